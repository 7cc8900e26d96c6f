"""A sync with state brings what changed since, and the state never promises more than was read.

`updated_at[gt_or_eq]` starts at the state minus the look-back window, but never before the start
date. The state is the newest change that was read, but never later than when the pass began.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from airbyte_cdk.models import AirbyteStateMessage, FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import (
    ALL_STREAMS,
    RESOURCE_OF,
    check,
    final_states,
    records_by_stream,
    run_read,
    stream_state,
)
from integration_tests.sandbox import Fault, LiveEdits, Record, RequestRecord, Sandbox
from integration_tests.truth import (
    COMPLETE,
    INCOMPLETE,
    UNLIMITED,
    assert_whole,
    cursors,
    ids,
    instant,
    last_status,
    messages_of,
    truth,
)
from unit_tests.conftest import Present, Waits
from unit_tests.failing import traces

pytestmark = pytest.mark.usefixtures("no_budget")

ROWS = dict.fromkeys(RESOURCE_OF.values(), 80)


def printed(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def users_since(cursor: str) -> list[AirbyteStateMessage]:
    return stream_state({"users": {"updated_at": cursor}})


def lower_bounds(sandbox: Sandbox, resource: str = "users") -> set[str]:
    return {r.query.get("updated_at[gt_or_eq]", "none") for r in sandbox.requests_for(resource)}


@pytest.mark.parametrize("lookback", [0, 2])
def test_the_second_sync_brings_what_changed_and_the_look_back(
    present: Present, lookback: int
) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        first = run_read(sandbox, lookback_window_hours=lookback)
        assert_whole(first, sandbox)
        present.pass_by(hours=6)
        changed = {}
        for stream, resource in RESOURCE_OF.items():
            table = sandbox.tables[resource]
            changed[stream] = {*table.edit_many(7, touch=True), table.add(), table.add()}
        present.pass_by(minutes=1)
        second = run_read(sandbox, state=final_states(first), lookback_window_hours=lookback)
        read = records_by_stream(second)
        reached = cursors(first)
        for stream in ALL_STREAMS:
            expected = truth(sandbox, stream)
            floor = reached[stream] - timedelta(hours=lookback)
            assert set(ids(read[stream])) == {
                id for id, record in expected.items() if instant(record) >= floor
            }
            assert changed[stream] <= set(ids(read[stream]))
            assert len(read[stream]) < len(expected) / 2
            assert all(record == expected[record["id"]] for record in read[stream])


@pytest.mark.parametrize(("lookback", "is_found"), [(2, True), (0, False)])
def test_a_change_that_coupa_stores_late_is_found_within_the_look_back(
    present: Present, lookback: int, is_found: bool
) -> None:
    with Sandbox({"users": 20}, dialect=UNLIMITED, clock=present) as sandbox:
        first = run_read(sandbox, ["users"], lookback_window_hours=lookback)
        reached = cursors(first)["users"]
        late = sandbox.tables["users"].add(updated_at=reached - timedelta(hours=1))
        present.pass_by(hours=1)
        second = run_read(sandbox, ["users"], final_states(first), lookback_window_hours=lookback)
        read = ids(records_by_stream(second)["users"])
        assert (late in read) == is_found


@pytest.mark.parametrize("deletes", [0.0, 0.3])
def test_three_syncs_under_live_edits_together_give_the_truth(
    present: Present, deletes: float
) -> None:
    """Records are edited and added before each response of each sync, and between the syncs."""
    edits = LiveEdits(
        5, per_request=4, resources=list(ROWS), inserts=1.0, edits=3.0, deletes=deletes
    )
    newest: dict[str, dict[int, Record]] = {stream: {} for stream in ALL_STREAMS}
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        state: list[AirbyteStateMessage] = []
        sandbox.before_each(edits)
        for number in range(3):
            if number == 2:
                sandbox.callbacks.clear()
            output = run_read(sandbox, state=state)
            assert messages_of(output) == []
            keep_newest(newest, output)
            state = final_states(output)
            present.pass_by(minutes=10)
            for resource in ROWS:
                sandbox.tables[resource].edit_many(5)
            present.pass_by(minutes=10)
        # the edits after the last sync are for a fourth
        keep_newest(newest, run_read(sandbox, state=state))
        assert all(edits.edited[resource] and edits.inserted[resource] for resource in ROWS)
        for stream, resource in RESOURCE_OF.items():
            left = truth(sandbox, stream)
            kept = {id: r for id, r in newest[stream].items() if id not in edits.deleted[resource]}
            assert kept == left


def test_the_state_is_the_newest_change_that_was_read(present: Present) -> None:
    with Sandbox(ROWS, dialect=UNLIMITED, clock=present) as sandbox:
        output = run_read(sandbox)
        for stream, cursor in cursors(output).items():
            assert cursor == max(instant(record) for record in truth(sandbox, stream).values())
            assert cursor < present.now


@pytest.mark.parametrize(
    "zone", [330, -150, 765, 0, -720], ids=["+0530", "-0230", "+1245", "Z", "-1200"]
)
def test_the_state_keeps_the_instant_of_a_time_with_offset(present: Present, zone: int) -> None:
    """A time with an offset is later or earlier than its text looks."""
    moment = present.now - timedelta(hours=5)
    local = moment.astimezone(timezone(timedelta(minutes=zone)))
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        users.add(updated_at=local.isoformat())
        users.add(updated_at=(moment - timedelta(hours=3)).astimezone().isoformat())
        first = run_read(sandbox, ["users"], lookback_window_hours=0)
        assert cursors(first)["users"] == moment
        sandbox.requests.clear()
        second = run_read(sandbox, ["users"], final_states(first), lookback_window_hours=0)
        assert lower_bounds(sandbox) == {printed(moment)}
        assert len(records_by_stream(second)["users"]) == 1


@pytest.mark.parametrize(
    "cursor",
    [
        "2026-05-01T10:00:00+0000",
        "2026-05-01T10:00:00Z",
        "2026-05-01T12:00:00+02:00",
        "2026-05-01T04:30:00-0530",
        "2026-05-01T10:00:00.000000Z",
        "2026-05-01T10:00:00.999Z",
    ],
)
def test_a_state_in_any_form_goes_on_from_its_instant(present: Present, cursor: str) -> None:
    with Sandbox({"users": 120}, dialect=UNLIMITED, clock=present) as sandbox:
        output = run_read(sandbox, ["users"], users_since(cursor), lookback_window_hours=1)
        assert messages_of(output) == []
        floor = datetime(2026, 5, 1, 9, tzinfo=timezone.utc)
        expected = {id for id, r in truth(sandbox, "users").items() if instant(r) >= floor}
        assert set(ids(records_by_stream(output)["users"])) == expected
        assert min(lower_bounds(sandbox)) == "2026-05-01T09:00:00Z"


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_list_that_fails_in_its_middle_is_gone_on_with(
    present: Present, waits: Waits, after: int
) -> None:
    """What was read is not read again, what was not yet read comes, and nothing else fails."""
    with Sandbox({**ROWS, "users": 200}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(Fault("html_200", resource="users", when=is_later_page, after=after))
        first = run_read(sandbox)
        assert {stream: last_status(first, stream) for stream in ALL_STREAMS} == {
            **dict.fromkeys(ALL_STREAMS, COMPLETE),
            "users": INCOMPLETE,
        }
        assert "users" not in cursors(first)
        sandbox.faults.clear()
        present.pass_by(minutes=1)
        second = run_read(sandbox, state=final_states(first))
        assert messages_of(second) == []
        read = [*users_of(first), *users_of(second)]
        assert sorted(ids(read)) == sandbox.tables["users"].ids(), "each comes once"
        assert {record["id"]: record for record in read} == truth(sandbox, "users")


def test_what_is_edited_between_two_halves_of_a_pass_is_not_lost(
    present: Present, waits: Waits
) -> None:
    """The state of the whole pass is that of its first half."""
    with Sandbox({"users": 200}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        sandbox.faults.add(Fault("html_200", resource="users", when=is_later_page))
        first = run_read(sandbox, ["users"], lookback_window_hours=0)
        sandbox.faults.clear()
        present.pass_by(hours=1)
        early, late = ids(users_of(first))[0], users.ids()[-1]
        users.edit(early, updated_at=present.now)
        users.edit(late, updated_at=present.now)
        present.pass_by(hours=1)
        second = run_read(sandbox, ["users"], final_states(first), lookback_window_hours=0)
        assert late in ids(users_of(second))
        third = run_read(sandbox, ["users"], final_states(second), lookback_window_hours=0)
        assert early in ids(users_of(third))


def test_a_first_page_that_fails_leaves_no_state(present: Present, waits: Waits) -> None:
    with Sandbox({"users": 80}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(Fault("status", status=503))
        first = run_read(sandbox, ["users"])
        assert last_status(first, "users") == INCOMPLETE
        assert not cursors(first)
        sandbox.faults.clear()
        assert_whole(run_read(sandbox, ["users"], final_states(first)), sandbox, ["users"])


def test_a_sync_after_nothing_changed_keeps_the_state(present: Present) -> None:
    with Sandbox({"users": 60}, dialect=UNLIMITED, clock=present) as sandbox:
        first = run_read(sandbox, ["users"])
        for _ in range(3):
            present.pass_by(days=40)
            again = run_read(sandbox, ["users"], final_states(first))
            assert cursors(again) == cursors(first)
            first = again


def test_a_sync_of_an_empty_table_finds_what_is_added_later(present: Present) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        first = run_read(sandbox, ["users"])
        present.pass_by(hours=1)
        id = sandbox.tables["users"].add(updated_at=present.now - timedelta(days=200))
        second = run_read(sandbox, ["users"], final_states(first))
        assert ids(users_of(second)) == [id]


@pytest.mark.parametrize(
    ("start_date", "floor"),
    [
        ("2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z"),
        ("2026-02-03T04:05:06+05:30", "2026-02-02T22:35:06Z"),
        ("2026-02-03T04:05:06-08:00", "2026-02-03T12:05:06Z"),
        ("2026-02-03T04:05:06.250Z", "2026-02-03T04:05:06Z"),
        ("2005-02-03T04:05:06Z", "2005-02-03T04:05:06Z"),
        ("2026-11-21T11:59:59Z", "2026-11-21T11:59:59Z"),
    ],
)
def test_nothing_that_changed_before_the_start_date_is_asked_for(
    present: Present, start_date: str, floor: str
) -> None:
    with Sandbox({"users": 120}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        edge = datetime.fromisoformat(floor.replace("Z", "+00:00"))
        users.add(updated_at=edge - timedelta(seconds=1))
        on_edge = users.add(updated_at=edge)
        output = run_read(sandbox, ["users"], start_date=start_date)
        assert messages_of(output) == []
        read = set(ids(records_by_stream(output).get("users", [])))
        assert read == {id for id, r in truth(sandbox, "users").items() if instant(r) >= edge}
        assert on_edge in read
        assert min(lower_bounds(sandbox)) == floor


def test_a_start_date_ahead_is_refused(present: Present) -> None:
    """Its state would hide all that changes until then."""
    with Sandbox({"users": 20}, dialect=UNLIMITED, clock=present) as sandbox:
        ahead = printed(present.now + timedelta(hours=20))
        output = run_read(sandbox, ["users"], start_date=ahead)
        (error,) = traces(output)
        assert error.message.startswith("The start date lies in the future")
        assert error.failure_type == FailureType.config_error
        assert not list(sandbox.requests)
        status = check(sandbox.config(start_date=ahead)).connection_status
        assert status["status"] == "FAILED"
        assert "start date lies in the future" in status["message"]


def test_a_state_of_a_start_date_that_was_ahead_starts_over(present: Present) -> None:
    with Sandbox({"users": 20}, dialect=UNLIMITED, clock=present) as sandbox:
        state = users_since(printed(present.now + timedelta(hours=20)))
        assert_whole(run_read(sandbox, ["users"], state), sandbox, ["users"])


def test_the_look_back_stops_at_the_start_date(present: Present) -> None:
    with Sandbox({"users": 120}, dialect=UNLIMITED, clock=present) as sandbox:
        state = users_since("2026-05-01T10:00:00+0000")
        run_read(
            sandbox,
            ["users"],
            state,
            start_date="2026-05-01T09:00:00Z",
            lookback_window_hours=720,
        )
        assert min(lower_bounds(sandbox)) == "2026-05-01T09:00:00Z"


def test_a_start_date_moved_behind_the_state_wins(present: Present) -> None:
    with Sandbox({"users": 120}, dialect=UNLIMITED, clock=present) as sandbox:
        state = users_since("2026-05-01T10:00:00+0000")
        run_read(sandbox, ["users"], state, start_date="2026-08-01T00:00:00Z")
        assert min(lower_bounds(sandbox)) == "2026-08-01T00:00:00Z"


def is_later_page(request: RequestRecord) -> bool:
    return "id[gt]" in request.query


def users_of(output: EntrypointOutput) -> list[Record]:
    return records_by_stream(output).get("users", [])


def keep_newest(newest: dict[str, dict[int, Record]], output: EntrypointOutput) -> None:
    """What a destination does that removes duplicates: of each id, the newest change."""
    for stream, records in records_by_stream(output).items():
        for record in records:
            known = newest[stream].get(record["id"])
            if known is None or instant(record) >= instant(known):
                newest[stream][record["id"]] = record
