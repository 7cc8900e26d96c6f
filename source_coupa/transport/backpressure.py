"""Bounds the memory of responses, from the request until their records are printed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

LIMIT = 15_000_000
"""Bytes of JSON; as Python objects, records take about five times as much."""

MOST_WHILE_READING = LIMIT * 3 // 2
"""Where a response that turns out larger than expected is given up, if others are held too."""


class TooMuchHeldError(Exception):
    """A response is larger than the room that is left; it is asked for again when there is more."""


class Backpressure:
    """Counts the bytes that are expected, received or not printed yet. Safe to share.

    Nothing ever waits in here: a request whose response has no room is not sent, and one response
    always has room. So nobody waits for what they hold themselves.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._held = 0
        self._dropped: deque[int] = deque()
        self._lock = threading.Lock()
        self.on_release: Callable[[], None] = lambda: None

    @property
    def held(self) -> int:
        """The bytes that are counted now."""
        return self._held

    def reserve(self, size: int) -> Load | None:
        """Room for a response of about `size` bytes, or None if there is none for now."""
        with self._lock:
            while self._dropped:
                self._held -= self._dropped.popleft()
            if self._held and self._held + size > self._limit:
                return None
            self._held += size
            return Load(self, size)

    def resize(self, load: Load, size: int) -> None:
        """Counts `size` bytes for a response instead of what was counted so far.

        Raises:
            TooMuchHeldError: if that is too much beside what others hold.
        """
        with self._lock:
            others = self._held - load.size
            if others and others + size > MOST_WHILE_READING and size > load.size:
                raise TooMuchHeldError
            self._held = others + size
            load.size = size

    def free(self, load: Load) -> None:
        """Counts a response no longer."""
        with self._lock:
            size, load.size = load.size, 0
            self._held -= size
        if size:
            self.on_release()

    def drop(self, load: Load) -> None:
        """The same for one that nobody knows any more, as soon as room is wanted: the interpreter
        calls this at any moment, also while a lock is held."""
        self._dropped.append(load.size)


class Load:
    """The bytes of one response; freed by `release`, at the latest when nobody knows it any more.

    Attributes:
        size: the bytes that are counted for it.
    """

    def __init__(self, backpressure: Backpressure, size: int) -> None:
        self._backpressure = backpressure
        self.size = size

    def resize(self, size: int) -> None:
        """See `Backpressure.resize`."""
        self._backpressure.resize(self, size)

    def release(self) -> None:
        """Frees the room; to do it twice does no harm."""
        self._backpressure.free(self)

    def __del__(self) -> None:
        if self.size:
            self._backpressure.drop(self)
