"""What a sync of hours meets: tokens that end, limits that others use up, maintenance."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airbyte_cdk.models import FailureType

from integration_tests.harness import final_states, records_by_stream, run_read
from integration_tests.sandbox import Fault, RequestRecord, Sandbox
from integration_tests.truth import UNLIMITED, assert_whole, ids, messages_of, truth
from unit_tests.conftest import Present, Waits
from unit_tests.failing import failures, traces

pytestmark = pytest.mark.usefixtures("no_budget")

ROWS = 120
START = "2026-11-01T00:00:00Z"


def one_window(present: Present, rows: int = ROWS) -> Sandbox:
    """Users of one window, which one worker reads: only its waits move the clock."""
    spread = [present.now - timedelta(days=2), present.now - timedelta(days=3)]
    return Sandbox(
        {"users": rows}, dialect=UNLIMITED, size={"users": 300}, spread=spread, clock=present
    )


@pytest.mark.usefixtures("cut_often")
def test_tokens_that_end_in_the_middle_of_parallel_ranges_lose_nothing(
    present: Present, waits: Waits
) -> None:
    with one_window(present, rows=1_200) as sandbox:

        def end_tokens(_: Sandbox, request: RequestRecord) -> None:
            if len(sandbox.requests_for("users")) in (5, 15):
                waits.sleep(60)  # by then a token is no longer taken for too fresh
                sandbox.expire_tokens()

        sandbox.before_each(end_tokens)
        output = run_read(sandbox, ["users"], start_date=START, num_workers=8)
        assert_whole(output, sandbox, ["users"])
        assert any(r.status == 401 and "id[gt]" in r.query for r in sandbox.requests)
        assert len(sandbox.requests_for("oauth")) > 1


@pytest.mark.parametrize("retry_after", [None, 0, 1, "date"])
def test_a_limit_that_others_use_up_is_outlived(
    present: Present, waits: Waits, retry_after: int | str | None
) -> None:
    """For two minutes, every request finds the limit used up. A server that asks for a second
    each time, or for none, must not use up the attempts at once."""
    with one_window(present) as sandbox:
        until = waits.monotonic() + 120
        sandbox.faults.add(
            Fault(
                "status",
                status=429,
                retry_after=retry_after,
                when=lambda _: waits.monotonic() < until,
            )
        )
        assert_whole(run_read(sandbox, ["users"], start_date=START), sandbox, ["users"])
        assert waits.monotonic() >= until


@pytest.mark.parametrize("rate", [0.3, 0.6])
def test_a_limit_that_others_share_slows_down_and_loses_nothing(
    present: Present, waits: Waits, rate: float
) -> None:
    with one_window(present) as sandbox:
        sandbox.faults.add(Fault("status", status=429, rate=rate, retry_after=0))
        output = run_read(sandbox, ["users"], start_date=START)
        if messages_of(output):
            assert traces(output)[-1].failure_type == FailureType.transient_error
            sandbox.faults.clear()
            output = run_read(sandbox, ["users"], final_states(output), start_date=START)
        assert set(ids(records_by_stream(output)["users"])) == set(truth(sandbox, "users"))


@pytest.mark.parametrize("minutes", [1, 4, 8])
def test_a_maintenance_of_minutes_is_outlived(present: Present, waits: Waits, minutes: int) -> None:
    with one_window(present) as sandbox:
        began = waits.monotonic()
        sandbox.faults.add(
            Fault(
                "status",
                status=503,
                body="html",
                after=2,
                when=lambda _: waits.monotonic() < began + minutes * 60,
            )
        )
        assert_whole(run_read(sandbox, ["users"], start_date=START), sandbox, ["users"])
        assert waits.monotonic() >= began + minutes * 60


def test_a_maintenance_of_an_hour_ends_the_sync_and_the_next_goes_on(
    present: Present, waits: Waits
) -> None:
    with one_window(present, rows=400) as sandbox:
        old = present.now - timedelta(days=400)
        first = sandbox.tables["users"].add(updated_at=old, created_at=old)
        began = waits.monotonic()
        sandbox.faults.add(
            Fault(
                "status",
                status=503,
                body="html",
                when=lambda r: "id[gt]" in r.query and waits.monotonic() < began + 3_600,
            )
        )
        stopped = run_read(sandbox, ["users"], start_date="2025-01-01T00:00:00Z", num_workers=2)
        ((stream, (sentence, kind)),) = failures(stopped).items()
        assert (stream, kind) == ("users", FailureType.transient_error)
        assert sentence == (
            "Coupa is not available for /api/users, perhaps for maintenance: the next sync "
            "continues where this one stopped."
        )
        sandbox.faults.clear()
        sandbox.requests.clear()
        state = final_states(stopped)
        resumed = run_read(sandbox, ["users"], state, start_date="2025-01-01T00:00:00Z")
        assert messages_of(resumed) == []
        read = {
            id
            for output in (stopped, resumed)
            for id in ids(records_by_stream(output).get("users", []))
        }
        assert read == set(truth(sandbox, "users"))
        assert first in read
