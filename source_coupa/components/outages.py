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


class Outages:
    """What the requests of a process know of their host. Safe to share between threads.

    A failure that is one stream's alone is no outage: while a request was tried again and again,
    others were answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = float("-inf")
        self._is_known = False

    @property
    def is_known(self) -> bool:
        """Whether a request was given up, and none was answered since its first attempt."""
        return self._is_known

    def answered(self) -> None:
        """Takes note of a request that got an answer."""
        with self._lock:
            self._answered = time.monotonic()
            self._is_known = False

    def gave_up(self, since: float) -> None:
        """Takes note of a request that got none, with its first attempt at `since` (seconds of the
        monotonic clock)."""
        with self._lock:
            self._is_known = self._is_known or self._answered < since


@lru_cache(maxsize=8)
def shared_outages(config: CoupaConfig) -> Outages:
    """What all streams of the process know together."""
    return Outages()
