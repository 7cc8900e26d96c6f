"""Distinguishes a failing list from a host that is down."""

from __future__ import annotations

import threading


class CircuitBreaker:
    """What all requests of a process know of their host. Safe to share between threads.

    The host counts as down when requests to two different lists were given up and no response
    came since. A list that fails while others get responses fails alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = 0
        self._given_up: set[str] = set()

    @property
    def answers(self) -> int:
        """How many responses came so far, to see whether any came in between."""
        return self._answers

    @property
    def is_open(self) -> bool:
        """Whether the host is down: requests are then not worth more than one attempt."""
        return len(self._given_up) > 1

    def answered(self) -> None:
        """Takes note of a page, or of Coupa's word that a query is refused."""
        with self._lock:
            self._answers += 1
            self._given_up.clear()

    def gave_up(self, resource: str) -> None:
        """Takes note of a list that was given up after all of its attempts."""
        with self._lock:
            self._given_up.add(resource)
