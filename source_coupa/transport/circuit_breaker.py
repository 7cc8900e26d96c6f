"""Lets a sync find out once, not once for each window, that its host is down.

The attempts of one request last for minutes, to outlive a maintenance. A first sync has dozens of
windows for each stream: if each of them waited as long for a host that stays down, the sync would
take hours to fail.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache

from source_coupa.config import CoupaConfig

_SURE = 4
"""Requests that were given up, until no other is sent."""


class Outages:
    """What the requests of a process know of their host. Safe to share between threads.

    A failure that is one stream's alone is no outage: while a request was tried again and again,
    others were answered. One request may also be too much for an instance while nothing else is
    asked for, so that others are tried, but no longer for minutes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = float("-inf")
        self._given_up = 0

    @property
    def is_likely(self) -> bool:
        """Whether a request was given up, and none was answered since its first attempt: others
        are not worth more than one attempt."""
        return self._given_up > 0

    @property
    def is_certain(self) -> bool:
        """Whether several requests were given up like that: others are not worth any."""
        return self._given_up >= _SURE

    def answered(self) -> None:
        """Takes note of a request that got an answer."""
        with self._lock:
            self._answered = time.monotonic()
            self._given_up = 0

    def gave_up(self, since: float, *, is_certain: bool = False) -> None:
        """Takes note of a request that got none, with its first attempt at `since` (seconds of the
        monotonic clock). One for a token makes it certain: it is never too much for an instance.
        """
        with self._lock:
            if self._answered < since:
                self._given_up += _SURE if is_certain else 1


@lru_cache(maxsize=8)
def shared_outages(config: CoupaConfig) -> Outages:
    """What all streams of the process know together."""
    return Outages()
