"""The token bucket in front of the API."""

from __future__ import annotations

import threading
import time

from .dialect import RateLimit


class Bucket:
    """Counts requests against a RateLimit, which may change at any time. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit: RateLimit | None = None
        self._level = 0.0
        self._at = 0.0

    def take(self, limit: RateLimit | None) -> float:
        """Take one request; 0.0 if it is allowed, else the seconds until one would be."""
        if limit is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            if limit != self._limit:
                self._limit, self._level, self._at = limit, float(limit.burst), now
            elapsed = now - self._at
            self._level = min(float(limit.burst), self._level + elapsed * limit.per_second)
            self._at = now
            if self._level >= 1.0:
                self._level -= 1.0
                return 0.0
            return (1.0 - self._level) / limit.per_second
