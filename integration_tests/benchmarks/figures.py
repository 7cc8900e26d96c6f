"""How figures are computed from what was observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .scale import PAGE_SIZE

STEADY = (0.2, 0.8)
"""The part of the rows that counts as steady state: neither the start nor the last ranges."""

_ID_ALONE = '["id"]'


@dataclass(frozen=True)
class Requests:
    """What an instance was asked for records; requests for tokens are left out."""

    total: int
    refused: int
    """That got HTTP 429."""
    cuts: int
    """For one id, to know where to divide a list."""
    empty: int
    """That got no records."""


def count_requests(log: Iterable[Mapping[str, Any]], resource: str = "invoices") -> Requests:
    """Sorts the requests in a sandbox's log."""
    asked = [request for request in log if request["resource"] == resource]
    return Requests(
        total=len(asked),
        refused=sum(request["status"] == 429 for request in asked),
        cuts=sum(request["query"].get("fields") == _ID_ALONE for request in asked),
        empty=sum(request["status"] == 200 and request["rows"] == 0 for request in asked),
    )


def first_request(log: Iterable[Mapping[str, Any]]) -> float:
    """When the first request came, the one for a token included; ValueError if there was none."""
    return min(float(request["started"]) for request in log)


def seconds(log: Iterable[Mapping[str, Any]], times: Sequence[float]) -> float:
    """From the first request to the last of the records that came at `times`; 0 without any."""
    return times[-1] - first_request(log) if times else 0.0


@dataclass(frozen=True)
class Completeness:
    """What a reader brought, against what is there."""

    lost: int
    """Records that did not come."""
    duplicated: int
    """Records that came again."""
    unknown: int
    """Records that are not there."""


def compare(truth: Sequence[int], came: Sequence[int]) -> Completeness:
    """Compares the ids that are there with those that came."""
    there, seen = set(truth), set(came)
    return Completeness(
        lost=len(there - seen), duplicated=len(came) - len(seen), unknown=len(seen - there)
    )


def full_pages(rows: int) -> int:
    """The pages that hold so many rows."""
    return -(-rows // PAGE_SIZE)


def share(part: float, whole: float) -> float:
    """`part` of `whole` as a fraction; 0 of nothing."""
    return part / whole if whole else 0.0


def rate(rows: float, seconds: float) -> float:
    """Rows per second; 0 if no time passed."""
    return share(rows, seconds)


def steady_rate(times: Sequence[float]) -> float:
    """Rows per second in the steady state, from the ascending times at which rows came.

    0 if all of that part came at once.
    """
    if not times:
        return 0.0
    first, last = (int(len(times) * part) for part in STEADY)
    return rate(last - first, times[last] - times[first])


def per_cpu_second(rows: int, cpu_seconds: float, startup_cpu_seconds: float) -> float:
    """Rows per CPU second after start-up; 0 if it cost no more than starting."""
    return rate(rows, max(cpu_seconds - startup_cpu_seconds, 0.0))
