"""A host that stays down fails a sync after one row of attempts.

A failure of one list alone is no outage: the others do not wait for it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from airbyte_cdk.models import FailureType

from integration_tests.harness import ALL_STREAMS, RESOURCE_OF, final_states, run_read
from integration_tests.sandbox import Fault, RequestRecord, Sandbox
from integration_tests.truth import UNLIMITED, assert_stream_whole, assert_whole, messages_of
from unit_tests.conftest import Present, Waits
from unit_tests.failing import failures, traces

pytestmark = pytest.mark.usefixtures("no_budget")

ROWS = dict.fromkeys(RESOURCE_OF.values(), 60)
START = "2020-01-01T00:00:00Z"

ATTEMPTS = 9
WORKERS = 4

DOWN = {
    "maintenance": Fault("status", status=503, body="html"),
    "no response": Fault("drop"),
    "gateway": Fault("status", status=504, body="empty"),
    "web page": Fault("html_200"),
}


@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN)
def test_a_host_that_is_down_is_found_out_once(
    present: Present, waits: Waits, fault: Fault
) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(fault)
        output = run_read(sandbox, start_date=START, num_workers=WORKERS)
        # for each list: records with and without an update time, and whether one alone can be read
        for resource in ROWS:
            assert len(sandbox.requests_for(resource)) <= 4 * ATTEMPTS
        reported = failures(output)
        assert set(reported) == set(ALL_STREAMS)
        assert {kind for _, kind in reported.values()} == {FailureType.transient_error}
        assert traces(output)[-1].failure_type == FailureType.transient_error
        sandbox.faults.clear()
        assert_whole(run_read(sandbox, state=final_states(output), start_date=START), sandbox)


@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN)
def test_a_host_that_gives_no_token_is_not_asked_by_each_request(
    present: Present, waits: Waits, fault: Fault
) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(replace(fault, resource="oauth"))
        output = run_read(sandbox, start_date=START, num_workers=WORKERS)
        asked = Counter(r.form["scope"] for r in sandbox.requests_for("oauth"))
        assert asked
        assert len(asked) == 1
        # each list asks for records with and without an update time; on a busy machine these
        # attempts do not meet, and share no failure
        assert max(asked.values()) <= 2 * len(ROWS) * ATTEMPTS
        assert set(failures(output)) == set(ALL_STREAMS)


def test_a_host_that_goes_down_in_the_middle_is_found_out_once(
    present: Present, waits: Waits
) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(Fault("status", status=503, after=6))
        output = run_read(sandbox, start_date=START, num_workers=WORKERS)
        failed = [r for r in sandbox.requests if r.status == 503]
        assert 0 < len(failed) <= 4 * len(ROWS) * ATTEMPTS
        assert failures(output)
        sandbox.faults.clear()
        again = run_read(sandbox, state=final_states(output), start_date=START)
        assert messages_of(again) == []


def test_a_stream_that_is_down_alone_stops_no_other(present: Present, waits: Waits) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.latency = 0.002
        sandbox.faults.add(Fault("status", status=503, resource="invoices"))
        output = run_read(sandbox, start_date=START, num_workers=8)
        ((stream, (sentence, _)),) = failures(output).items()
        assert stream == "invoices"
        assert sentence.startswith("Coupa is not available for /api/invoices")
        for other in ("users", "expenses", "expense_lines"):
            assert_stream_whole(output, sandbox, other)


def test_a_host_that_comes_back_during_the_attempts_is_read(present: Present, waits: Waits) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        down: set[tuple[tuple[str, str], ...]] = set()

        def first_attempts(request: RequestRecord) -> bool:
            query = tuple(request.query.items())
            is_new = query not in down
            down.add(query)
            return is_new

        sandbox.faults.add(Fault("status", status=503, when=first_attempts))
        assert_whole(run_read(sandbox, start_date=START, num_workers=WORKERS), sandbox)
