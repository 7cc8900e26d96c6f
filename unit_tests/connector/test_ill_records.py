"""What is wrong with one record, one page or one list costs neither the others nor the next sync.

Records that are too heavy together or cannot be printed at all, records without times, a single
refusal, an ill list beside healthy ones, a limit of requests a day, a process that is killed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteStateMessage, FailureType, SyncMode
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import ALL_STREAMS, final_states, records_by_stream, run_read
from integration_tests.sandbox import Fault, Sandbox
from integration_tests.truth import (
    COMPLETE,
    INCOMPLETE,
    UNLIMITED,
    assert_whole,
    cursors,
    ids,
    last_status,
    messages_of,
)
from source_coupa.tables import fan_out
from unit_tests.conftest import Present
from unit_tests.failing import failures, traces

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

FULL, INCREMENTAL = SyncMode.full_refresh, SyncMode.incremental


def of_users(present: Present, rows: int) -> Sandbox:
    """Small users; the tests start it."""
    return Sandbox({"users": rows}, dialect=UNLIMITED, size={"users": 300}, clock=present)


def read_ids(output: EntrypointOutput, stream: str = "users") -> list[int]:
    return ids(records_by_stream(output).get(stream, []))


def missing_of(output: EntrypointOutput) -> list[int]:
    """The ids that the state of users names as missing."""
    (message,) = final_states(output)
    assert message.stream is not None
    found: list[int] = vars(message.stream.stream_state).get("missing", [])
    return found


@pytest.mark.parametrize("blank", ["honoured", "ignored", "refused"])
@pytest.mark.parametrize("mode", [FULL, INCREMENTAL])
@pytest.mark.parametrize("start_date", [None, "2020-01-01T00:00:00Z"])
def test_a_record_without_times_comes_in_each_mode(
    present: Present, blank: Any, mode: SyncMode, start_date: str | None
) -> None:
    """Coupa prints such payment terms; no comparison of times finds them."""
    with of_users(present, 0) as sandbox:
        sandbox.dialect = UNLIMITED.but(blank_time=blank)
        users = sandbox.tables["users"]
        then = present.now - timedelta(days=20)
        users.load([(id, then, then if id != 3 else None) for id in range(1, 62)])
        first = run_read(sandbox, ["users"], sync_mode=mode, start_date=start_date)
        assert messages_of(first) == []
        assert set(read_ids(first)) == set(range(1, 62))
        if mode == INCREMENTAL:
            present.pass_by(hours=1)
            users.load([*((id, then, then) for id in range(1, 62)), (70, then, None)])
            second = run_read(sandbox, ["users"], final_states(first), start_date=start_date)
            assert messages_of(second) == []
            assert 70 in read_ids(second)


def test_records_that_are_too_heavy_for_one_page_come_in_smaller_ones(present: Present) -> None:
    with of_users(present, 300) as sandbox:
        heavy = sandbox.tables["users"].ids()[100:160]
        sandbox.faults.add(Fault("status", status=504, ids=heavy, bearable=10))
        assert_whole(run_read(sandbox, ["users"]), sandbox, ["users"])
        assert len(sandbox.requests_for("users")) < 60


@pytest.mark.parametrize("place", [0, 49, 50, 177, 299])
@pytest.mark.parametrize("kind", ["status", "invalid_json"])
def test_a_record_that_cannot_be_read_is_named_and_comes_once_it_can(
    present: Present, kind: str, place: int
) -> None:
    with of_users(present, 300) as sandbox:
        users = sandbox.tables["users"]
        ill = users.ids()[place]
        sandbox.faults.add(Fault(kind, status=500, ids=[ill]))
        first = run_read(sandbox, ["users"], lookback_window_hours=0)
        assert sorted(read_ids(first)) == [id for id in users.ids() if id != ill]
        ((stream, (sentence, failure)),) = failures(first).items()
        assert (stream, failure) == ("users", FailureType.system_error)
        assert sentence.startswith(f"Coupa cannot send 1 record(s) of /api/users: {ill}. ")
        assert last_status(first, "users") == INCOMPLETE
        assert missing_of(first) == [ill]
        assert cursors(first), "the others need not come again"

        present.pass_by(days=1)
        still = run_read(sandbox, ["users"], final_states(first), lookback_window_hours=0)
        assert missing_of(still) == [ill]
        assert len(read_ids(still)) < 5

        sandbox.faults.clear()
        healed = run_read(sandbox, ["users"], final_states(still), lookback_window_hours=0)
        assert messages_of(healed) == []
        assert ill in read_ids(healed)
        assert missing_of(healed) == []


def test_a_list_that_is_ill_ends_alone_and_last(present: Present) -> None:
    rows = dict.fromkeys(("users", "expense_reports", "expense_lines", "invoices"), 60)
    with Sandbox(rows, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(Fault("status", status=500, resource="invoices"))
        output = run_read(sandbox)
        healthy = [stream for stream in ALL_STREAMS if stream != "invoices"]
        assert {stream: last_status(output, stream) for stream in ALL_STREAMS} == {
            **dict.fromkeys(healthy, COMPLETE),
            "invoices": INCOMPLETE,
        }
        assert all(len(read_ids(output, stream)) == 60 for stream in healthy)
        assert set(failures(output)) == {"invoices"}
        assert len(sandbox.requests_for("invoices")) < 40


@pytest.mark.parametrize("mode", [FULL, INCREMENTAL])
def test_a_list_that_a_days_requests_do_not_suffice_for_is_gone_on_with(
    present: Present, mode: SyncMode
) -> None:
    """All of its records have one update time, so no time can show how far it was read."""
    with of_users(present, 0) as sandbox:
        users = sandbox.tables["users"]
        then = present.now - timedelta(days=20)
        users.load([(id, then, then) for id in range(1, 601)])
        state: list[AirbyteStateMessage] = []
        read: list[int] = []
        for _ in range(6):
            sandbox.faults.clear()
            sandbox.faults.add(Fault("status", status=429, retry_after=86_400, after=6))
            output = run_read(sandbox, ["users"], state, sync_mode=mode)
            read += read_ids(output)
            state = final_states(output)
            present.pass_by(days=1)
            if last_status(output, "users") == COMPLETE:
                break
            assert traces(output)[-1].failure_type == FailureType.transient_error
        assert last_status(output, "users") == COMPLETE
        assert sorted(read) == users.ids(), "each comes once"


@pytest.mark.parametrize("mode", [FULL, INCREMENTAL])
def test_an_attempt_that_is_killed_is_gone_on_with_by_the_next(
    present: Present, monkeypatch: pytest.MonkeyPatch, mode: SyncMode
) -> None:
    monkeypatch.setattr(fan_out, "PAGES_PER_STATE", 2)
    with of_users(present, 600) as sandbox:
        whole = run_read(sandbox, ["users"], sync_mode=mode)
        messages = whole.records_and_state_messages
        place = [number for number, message in enumerate(messages) if message.state][2]
        before = [m.record.data["id"] for m in messages[: place + 1] if m.record]
        state = messages[place].state
        assert state is not None
        assert 0 < len(before) < 600
        rest = read_ids(run_read(sandbox, ["users"], [state], sync_mode=mode))
        assert sorted(before + rest) == sandbox.tables["users"].ids()


@pytest.mark.parametrize("body", ["html", "json"])
@pytest.mark.parametrize("status", [302, 400, 403, 404, 410])
def test_one_refusal_among_good_responses_is_no_wrong_setting(
    present: Present, status: int, body: str
) -> None:
    with of_users(present, 300) as sandbox:
        sandbox.faults.add(Fault("status", status=status, body=body, times=1, after=4))
        output = run_read(sandbox, ["users"])
        assert any(request.fault for request in sandbox.requests_for("users"))
        assert_whole(output, sandbox, ["users"])


def test_no_results_as_404_is_an_empty_page(present: Present) -> None:
    with of_users(present, 120) as sandbox:
        sandbox.dialect = UNLIMITED.but(no_match="not_found")
        output = run_read(sandbox, ["users", "invoices"])
        assert_whole(output, sandbox, ["users", "invoices"])
