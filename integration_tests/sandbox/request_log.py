"""What the server was asked, for tests to look at."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RequestRecord:
    """One request that arrived. It is in the log from its arrival; the rest is filled in later.

    Secrets are never kept: the `Authorization` header is replaced by a marker that names the token
    by number and scopes, and the secrets of a form by `<secret>`.
    """

    method: str
    path: str
    resource: str | None
    """Resource path ("invoices"), "oauth" for token requests, None for anything else."""
    query: dict[str, str]
    """Parameters as sent, decoded; of a repeated one, the last."""
    headers: Mapping[str, str]
    """Names in lower case."""
    form: dict[str, str] = field(default_factory=dict)
    token: int | None = None
    """Number of the token in use (counted from 1), or of the token issued."""
    scopes: frozenset[str] = frozenset()
    status: int | None = None
    """None while in work, or for a connection that was dropped without a response."""
    rows: int | None = None
    """Number of records in the response, if it is a list or one record."""
    started: float = 0.0
    """`time.monotonic()` seconds at arrival."""
    ended: float | None = None
    bytes: int | None = None
    """Length of the response's body."""
    owner: int | None = None
    """The id of the record below which the list is."""
    fault: str | None = None
    """Kind of the fault that was played on this request."""

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**vars(self), "headers": dict(self.headers), "scopes": sorted(self.scopes)}


class RequestLog:
    """Requests in the order of their arrival; iterates over a copy. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def append(self, record: RequestRecord) -> None:
        """Add an arrival."""
        with self._lock:
            self._records.append(record)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._records.clear()

    def __iter__(self) -> Iterator[RequestRecord]:
        with self._lock:
            return iter(self._records.copy())

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)

    def __getitem__(self, index: int) -> RequestRecord:
        with self._lock:
            return self._records[index]

    def peak_rate(self) -> int:
        """The most resource requests that arrived within any one second, refused ones included."""
        times = sorted(record.started for record in self if _is_resource(record))
        best = first = 0
        for last, time in enumerate(times):
            while time - times[first] >= 1.0:
                first += 1
            best = max(best, last - first + 1)
        return best

    def peak_concurrency(self) -> int:
        """The most resource requests that were in work at the same moment."""
        changes: list[tuple[float, int]] = []
        for record in self:
            if _is_resource(record):
                changes.append((record.started, 1))
                if record.ended is not None:
                    changes.append((record.ended, -1))
        level = best = 0
        for _, change in sorted(changes):
            level += change
            best = max(best, level)
        return best


def _is_resource(record: RequestRecord) -> bool:
    return record.resource is not None and record.resource != "oauth"
