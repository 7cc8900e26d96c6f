"""Bounds the memory of records that the destination has not taken yet."""

from __future__ import annotations

import threading
import weakref
from functools import lru_cache
from typing import Any

LIMIT = 16_000_000
"""Bytes of JSON; as Python objects, records take about five times as much."""

PATIENCE = 60.0
"""Seconds after which a reader goes on in any case. Whoever collects the records of a stream, in
place of passing them on, then waits long, but not for ever."""


class Backlog:
    """Counts the bytes of the records that somebody still holds.

    The CDK's queue takes ten thousand records, whatever their size: of large ones that is more than
    a container has, wherever the destination is slower than Coupa.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._bytes = 0
        self._changed = threading.Condition()

    def wait_for_room(self) -> None:
        """Returns as soon as less than the limit is held."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self._limit, PATIENCE)

    def hold(self, record: Any, size: int) -> None:
        """Counts `size` bytes until `record` is gone."""
        key = id(record)
        with self._changed:
            self._bytes += size
            self._held[key] = (weakref.ref(record, lambda _: self._release(key)), size)

    def _release(self, key: int) -> None:
        with self._changed:
            self._bytes -= self._held.pop(key)[1]
            self._changed.notify_all()


@lru_cache(maxsize=1)
def shared_backlog() -> Backlog:
    """The backlog of the process, for all streams together."""
    return Backlog(LIMIT)
