"""The request budget: tokens, pages, probes and retries of all streams together stay within it.

Coupa documents 25 requests per second with a burst of 20. The sandbox enforces that, counts the
requests as they arrive, and must never have a reason to refuse one.
"""

from __future__ import annotations

from collections import Counter

import pytest

from integration_tests.harness import (
    ALL_STREAMS,
    RESOURCE_OF,
    check,
    discover,
    records_by_stream,
    run_read,
)
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import Dialect, Fault, RequestRecord, Sandbox
from unit_tests.conftest import Waits
from unit_tests.failing import START_DATE, days_ago, small_sandbox

COUPAS_BURST = 20


def most_within(seconds: float, requests: list[RequestRecord]) -> int:
    """The most requests that arrived within any such span."""
    times = sorted(request.started for request in requests)
    first = best = 0
    for last, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        best = max(best, last - first + 1)
    return best


@pytest.mark.parametrize(
    ("per_second", "rows", "most_at_once"),
    [
        # what arrives late on its way meets what was sent after it: a quarter more at most
        pytest.param(5, 60, 6, id="5 per second"),
        pytest.param(20, 700, 25, id="20 per second"),
    ],
)
def test_no_second_of_a_read_has_more_requests_than_allowed(
    per_second: int, rows: int, most_at_once: int, waits: Waits
) -> None:
    tables = dict.fromkeys(RESOURCE_OF.values(), rows)
    with Sandbox(rows=tables, spread=[days_ago(1)], dialect=Dialect()) as sandbox:
        sandbox.faults.add(
            Fault("status", status=429, rate=0.1),
            Fault("status", status=503, rate=0.1),
            Fault("drop", rate=0.05),
        )
        output = run_read(sandbox, requests_per_second=per_second, start_date=START_DATE)
        assert output.errors == []
        read = {stream: len(records) for stream, records in records_by_stream(output).items()}
        assert read == dict.fromkeys(ALL_STREAMS, rows)
        requests = list(sandbox.requests)
        assert most_within(1.0, requests) <= most_at_once
        # spread out, not in heaps of a second's worth
        assert most_within(0.1, requests) <= max(per_second // 2, 3) < COUPAS_BURST
        refused = [request for request in requests if request.status == 429 and not request.fault]
        assert refused == []
        # and yet it is made use of: the test would pass for a reader that idles
        lasted = requests[-1].started - requests[0].started
        assert (len(requests) - 1) / lasted >= per_second * 0.5
        # every table asks at least once for each of its pages
        pages = Counter(request.resource for request in requests)
        assert all(pages[resource] >= rows / 50 for resource in tables)


def test_tokens_count_too() -> None:
    with small_sandbox() as sandbox:
        assert check(sandbox.config(requests_per_second=2)).connection_status == {
            "status": "SUCCEEDED"
        }
        assert [request.resource for request in sandbox.requests] == ["oauth", "users"]
        sandbox.requests.clear()
        check(sandbox.config(requests_per_second=1))
        assert most_within(0.9, list(sandbox.requests)) == 1


def test_check_needs_two_requests_and_discover_one_for_each_list() -> None:
    with small_sandbox() as sandbox:
        check(sandbox.config(requests_per_second=25))
        assert len(sandbox.requests) == 2
        sandbox.requests.clear()
        discover(sandbox.config(requests_per_second=25))
        asked = Counter(request.resource for request in sandbox.requests)
        assert set(asked.values()) == {1}
        assert asked.keys() - {"oauth"} <= {stream.resource for stream in STREAMS}
