"""Records that are gone are marked as deleted, where the user asks for it, and only those."""

from __future__ import annotations

import json
import sqlite3
from random import Random
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteStateMessage, SyncMode
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import (
    discover,
    final_states,
    records_by_stream,
    run_read,
    stream_state,
)
from integration_tests.reference.page import queries_on_deletions
from integration_tests.sandbox import Fault, Record, RequestRecord, Sandbox
from integration_tests.truth import (
    COMPLETE,
    INCOMPLETE,
    UNLIMITED,
    cursors,
    ids,
    instant,
    last_status,
    messages_of,
)
from source_coupa.reading import known_ids, look_up, sweep
from source_coupa.tables.columns import DELETED_AT
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

COLUMNS = {"users": ("id", "updated_at", "login", DELETED_AT)}
COUNT = 120
EMPTY = known_ids.Ids().text()


def sync(
    sandbox: Sandbox,
    before: EntrypointOutput | None = None,
    *,
    every: int = 7,
    streams: tuple[str, ...] = ("users",),
    state: list[AirbyteStateMessage] | None = None,
    **settings: Any,
) -> EntrypointOutput:
    if before is not None:
        state = final_states(before)
    sandbox.requests.clear()
    return run_read(
        sandbox,
        streams,
        state,
        columns=settings.pop("columns", COLUMNS),
        deleted_records_every_days=every,
        **settings,
    )


def deletions(output: EntrypointOutput) -> dict[int, Record]:
    records = records_by_stream(output).get("users", [])
    return {record["id"]: record for record in records if record.get(DELETED_AT)}


def rows(output: EntrypointOutput, before: EntrypointOutput | None = None) -> list[int]:
    """The ids of a sync's other records, but for the newest one of the sync before."""
    reached = cursors(before)["users"] if before is not None else None
    records = records_by_stream(output).get("users", [])
    return ids(
        record
        for record in records
        if not record.get(DELETED_AT)
        and (record.get("updated_at") is None or instant(record) != reached)
    )


def sweeps(sandbox: Sandbox) -> list[RequestRecord]:
    """Requests for pages of ids, and for single ones."""
    found = sandbox.requests_for("users")
    return [
        request
        for request in found
        if request.query.get("fields") in ('["id"]', '["id","updated_at"]')
        and (request.query["limit"] == "50" or "id" in request.query)
        and "updated_at[lt]" not in request.query
    ]


def known(output: EntrypointOutput) -> dict[str, Any]:
    (state,) = final_states(output)
    assert state.stream is not None
    assert state.stream.stream_state is not None
    return dict(vars(state.stream.stream_state)["known_ids"])


def test_what_is_gone_is_marked_as_deleted_once(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        assert not deletions(first)
        assert not sweeps(sandbox)
        gone = [users.id_at(0), users.id_at(60), users.id_at(COUNT - 1)]
        for id_ in gone:
            users.delete(id_)
        present.pass_by(days=7)
        second = sync(sandbox, first)
        assert sorted(deletions(second)) == gone
        for record in deletions(second).values():
            assert record.keys() == {"id", "updated_at", DELETED_AT}
            assert record["updated_at"] == record[DELETED_AT]
        assert last_status(second, "users") == COMPLETE
        present.pass_by(days=6)
        third = sync(sandbox, second)
        assert not deletions(third)
        assert not sweeps(sandbox)
        present.pass_by(days=1)
        assert not deletions(sync(sandbox, third))
        assert sweeps(sandbox)


def test_without_the_setting_nothing_is_asked_and_nothing_kept(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        first = sync(sandbox, every=0)
        sandbox.tables["users"].delete(sandbox.tables["users"].id_at(3))
        present.pass_by(days=30)
        second = sync(sandbox, first, every=0)
        assert not sweeps(sandbox)
        assert not deletions(second)
        assert "known_ids" not in json.dumps(
            [vars(s.stream.stream_state) for s in final_states(second) if s.stream]
        )


def test_a_connection_that_has_a_state_learns_its_ids_first(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox, every=0)
        second = sync(sandbox, first)
        assert sweeps(sandbox)
        assert not deletions(second)
        assert rows(second, first) == []
        users.delete(users.id_at(3))
        present.pass_by(days=8)
        assert len(deletions(sync(sandbox, second))) == 1


def test_deletions_of_a_time_without_the_setting_are_found_later(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        new = users.add()
        present.pass_by(days=20)
        second = sync(sandbox, first, every=0)
        assert new in rows(second)
        gone = {new, users.id_at(5)}
        for id_ in gone:
            users.delete(id_)
        present.pass_by(days=1)
        third = sync(sandbox, second, every=0)
        assert not sweeps(sandbox)
        assert deletions(sync(sandbox, third)).keys() == gone


def test_a_record_that_was_made_and_deleted_between_two_sweeps_is_gone(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        first = sync(sandbox)
        new = sandbox.tables["users"].add()
        present.pass_by(days=2)
        second = sync(sandbox, first)
        sandbox.tables["users"].delete(new)
        present.pass_by(days=6)
        assert deletions(sync(sandbox, second)).keys() == {new}


@pytest.mark.parametrize("count", [150, COUNT], ids=["most", "all"])
def test_a_mass_disappearance_deletes_nothing(present: Present, count: int) -> None:
    total = COUNT if count == COUNT else 400
    with Sandbox({"users": total, "invoices": 30}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        streams = ("users", "invoices")
        first = sync(sandbox, streams=streams)
        for id_ in users.ids()[:count]:
            users.delete(id_)
        present.pass_by(days=8)
        added = [users.add()] if count != COUNT else []
        second = sync(sandbox, first, streams=streams)
        assert not deletions(second)
        assert rows(second, first) == added
        assert last_status(second, "users") == INCOMPLETE
        assert last_status(second, "invoices") == COMPLETE
        message = next(text for text in messages_of(second) if "not there any more" in text)
        assert f"{count} of the {total} records of /api/users" in message
        assert "clear the stream's data" in message
        # what was read is not read again, and what is gone is not forgotten
        for id_ in list(users._gone):
            users.restore(id_)
        third = sync(sandbox, second, streams=streams)
        assert last_status(third, "users") == COMPLETE
        assert not deletions(third)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=500, resource="users"),
        Fault("unordered", resource="users"),
        Fault("html_200", resource="users"),
    ],
    ids=lambda fault: fault.kind,
)
@pytest.mark.usefixtures("waits")
def test_a_sweep_that_fails_deletes_nothing_and_loses_nothing(
    present: Present, fault: Fault
) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        gone = users.id_at(30)
        users.delete(gone)
        present.pass_by(days=8)
        new = users.add()

        broken: list[RequestRecord] = []

        def break_sweep(sandbox: Sandbox, request: RequestRecord) -> None:
            if request.query.get("fields") == '["id"]' and not broken:
                broken.append(request)
                sandbox.faults.add(fault)

        sandbox.before_each(break_sweep)
        second = sync(sandbox, first)
        assert not deletions(second)
        assert rows(second, first) == [new]
        assert last_status(second, "users") == INCOMPLETE
        sandbox.faults.clear()
        third = sync(sandbox, second)
        assert deletions(third).keys() == {gone}
        assert last_status(third, "users") == COMPLETE


@pytest.mark.parametrize("touch", [True, False])
def test_a_record_that_is_there_again_comes_again(present: Present, touch: bool) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        gone = users.id_at(40)
        first = sync(sandbox)
        users.delete(gone)
        present.pass_by(days=8)
        second = sync(sandbox, first)
        assert deletions(second).keys() == {gone}
        present.pass_by(days=8)
        users.restore(gone, touch=touch)
        third = sync(sandbox, second)
        assert rows(third, second) == [gone]
        assert not deletions(third)
        users.delete(gone)
        present.pass_by(days=8)
        assert deletions(sync(sandbox, third)).keys() == {gone}


def test_a_record_that_a_second_look_finds_is_not_deleted(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        hidden = users.id_at(40)
        first = sync(sandbox)
        present.pass_by(days=8)
        users.delete(hidden)

        def show(_: Sandbox, request: RequestRecord) -> None:
            if "id[in]" in request.query and hidden not in users.ids():
                users.restore(hidden)

        sandbox.before_each(show)
        second = sync(sandbox, first)
        assert hidden in users.ids()
        assert not deletions(second)
        assert last_status(second, "users") == COMPLETE


@pytest.mark.parametrize("way", ["refused", "ignored", "first"])
@pytest.mark.usefixtures("waits")
def test_where_groups_cannot_be_asked_for_ids_are_asked_for_one_by_one(
    present: Present, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(look_up, "MOST_SINGLY", 2)
    dialect = UNLIMITED.but(id_list=way)
    with Sandbox({"users": COUNT}, dialect=dialect, clock=present) as sandbox:
        users = sandbox.tables["users"]
        gone = users.ids()[40:43]
        first = sync(sandbox)
        for id_ in gone:
            users.delete(id_)
        present.pass_by(days=8)
        second = sync(sandbox, first)
        assert sorted(deletions(second)) == gone[:2]
        assert last_status(second, "users") == COMPLETE
        # those that there was no room for are next
        present.pass_by(days=8)
        assert sorted(deletions(sync(sandbox, second))) == gone[2:]


@pytest.mark.parametrize("cap", [7, 20])
def test_small_pages_hide_nothing_from_a_second_look(present: Present, cap: int) -> None:
    dialect = UNLIMITED.but(page_cap=cap)
    with Sandbox({"users": COUNT}, dialect=dialect, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        present.pass_by(days=8)
        hidden = users.ids()[20:60]
        for id_ in hidden:
            users.delete(id_)

        def show(_: Sandbox, request: RequestRecord) -> None:
            if "id[in]" in request.query and users._gone:
                for id_ in list(users._gone):
                    users.restore(id_)

        sandbox.before_each(show)
        second = sync(sandbox, first)
        assert not deletions(second)
        assert last_status(second, "users") == COMPLETE


def test_a_second_look_ends_with_the_last_id_that_was_asked_for(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        gone = users.ids()[20:60]
        for id_ in gone:
            users.delete(id_)
        present.pass_by(days=8)
        assert sorted(deletions(sync(sandbox, first))) == gone
        assert sum("id[in]" in request.query for request in sandbox.requests) == 1


def test_records_before_the_start_date_are_not_missed(present: Present) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        old = [users.add(updated_at="2020-01-01T00:00:00Z") for _ in range(30)]
        without = users.add(updated_at=None)
        new = [users.add() for _ in range(70)]
        start: dict[str, Any] = {"start_date": "2026-01-01T00:00:00Z"}
        first = sync(sandbox, **start)
        assert sorted(rows(first)) == sorted([without, *new])
        for id_ in (old[0], without, new[0]):
            users.delete(id_)
        present.pass_by(days=8)
        second = sync(sandbox, first, **start)
        assert deletions(second).keys() == {new[0]}
        assert all(
            request.query["updated_at[gt_or_eq]"] == "2026-01-01T00:00:00Z"
            for request in sweeps(sandbox)
            if "id[in]" not in request.query
        )
        # another start date changes nothing of what the table has
        present.pass_by(days=8)
        users.delete(new[1])
        third = sync(sandbox, second, start_date="2026-11-20T00:00:00Z")
        assert deletions(third).keys() == {new[1]}
        assert rows(third, second) == []


def test_where_the_bound_is_refused_update_times_are_compared_here(present: Present) -> None:
    dialect = UNLIMITED.but(updated_at_filter="refused")
    with Sandbox({}, dialect=dialect, clock=present) as sandbox:
        users = sandbox.tables["users"]
        for _ in range(30):
            users.add(updated_at="2020-01-01T00:00:00Z")
        new = [users.add() for _ in range(70)]
        start: dict[str, Any] = {"start_date": "2026-01-01T00:00:00Z"}
        first = sync(sandbox, every=0, **start)
        second = sync(sandbox, first, **start)
        users.delete(new[0])
        users.delete(users.id_at(0))
        present.pass_by(days=8)
        assert deletions(sync(sandbox, second, **start)).keys() == {new[0]}


def test_the_deletion_of_a_record_with_a_time_to_come_wins(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        id_ = users.add(updated_at="2031-05-05T00:00:00Z")
        first = sync(sandbox)
        users.delete(id_)
        present.pass_by(days=8)
        second = sync(sandbox, first)
        assert deletions(second)[id_]["updated_at"] == "2031-05-05T00:00:00Z"
        assert deletions(second)[id_][DELETED_AT] < "2027"
        assert known(second)["newest"] == "2031-05-05T00:00:00Z"


def test_a_sync_that_was_stopped_forgets_no_id(present: Present) -> None:
    with Sandbox({"users": 6_000}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        states = [
            message.state
            for message in first.state_messages
            if message.state and message.state.stream
        ]
        middle = states[len(states) // 2]
        assert middle.stream is not None
        blob = vars(middle.stream.stream_state)
        assert blob["pass"]
        assert blob["known_ids"]["swept_at"] is None
        read = next(users_id for after, users_id in blob["pass"]["done"] if users_id < 1 << 62)
        users.delete(read)
        second = sync(sandbox, state=[middle])
        assert read not in rows(second)
        assert not deletions(second)
        present.pass_by(days=8)
        assert deletions(sync(sandbox, second)).keys() == {read}


def stopped(output: EntrypointOutput, share: float = 0.5) -> list[AirbyteStateMessage]:
    """The state of a sync that was stopped in its sweep, when that had come so far."""
    states = [message.state for message in output.state_messages if message.state]
    marked = [
        state
        for state in states
        if state.stream and vars(state.stream.stream_state)["known_ids"].get("sweep")
    ]
    return [marked[int(len(marked) * share)]]


def compared(state: list[AirbyteStateMessage]) -> known_ids.Ids:
    """The ids that a stopped sweep has compared."""
    stream = state[0].stream
    assert stream is not None
    return known_ids.Ids.from_text(vars(stream.stream_state)["known_ids"]["sweep"]["done"])


@pytest.fixture
def _marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SECONDS_PER_MARK", 0.0)


@pytest.mark.usefixtures("_marks")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_sweep_that_was_stopped_goes_on(present: Present, share: float) -> None:
    with Sandbox({"users": 6_000}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        gone = set(users.ids()[::97])
        back = min(gone)
        for id_ in gone:
            users.delete(id_)
        present.pass_by(days=8)
        state = stopped(sync(sandbox, first), share)
        whole = len(sweeps(sandbox))
        done = compared(state)
        assert done
        # what happens before the next sync, in both parts of the list
        users.restore(back, touch=False)
        later = {id_ for id_ in users.ids()[5::501] if id_ != back}
        for id_ in later:
            users.delete(id_)
        new = users.add()
        present.pass_by(days=1)
        second = sync(sandbox, state=state)
        assert len(sweeps(sandbox)) < whole * (1.3 - share)
        asked = [int(query.get("id[gt]", 0)) for query in (r.query for r in sweeps(sandbox))]
        assert not any(id_ + 1 in done for id_ in asked if id_)
        assert last_status(second, "users") == COMPLETE
        assert new in rows(second)
        found = deletions(second).keys()
        assert found == (gone - {back}) | {id_ for id_ in later if id_ not in done}
        # the next sweep is due as if this one had not been stopped, and finds the others
        assert "sweep" not in known(second)
        present.pass_by(days=6)
        third = sync(sandbox, second)
        assert deletions(third).keys() == later - found
        assert back in users.ids()


@pytest.mark.usefixtures("_marks")
def test_a_first_sweep_that_was_stopped_learns_all_ids(present: Present) -> None:
    with Sandbox({"users": 3_000}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox, every=0)
        state = stopped(sync(sandbox, first))
        second = sync(sandbox, state=state)
        assert not deletions(second)
        assert known_ids.Ids.from_text(known(second)["ids"]) == known_ids.Ids.of(users.ids())


@pytest.mark.usefixtures("_marks")
def test_a_record_that_appears_where_a_stopped_sweep_has_been_stays(present: Present) -> None:
    with Sandbox({"users": 3_000}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        hidden, quiet = users.id_at(10), users.id_at(20)
        users.delete(hidden)
        first = sync(sandbox)
        users.delete(quiet)
        present.pass_by(days=8)
        state = stopped(sync(sandbox, first))
        assert {hidden, quiet} <= {*compared(state)}
        users.restore(hidden, touch=True)
        users.restore(quiet, touch=False)
        present.pass_by(days=1)
        # the sync that goes on is stopped as well
        second = sync(sandbox, state=state)
        assert hidden in rows(second)
        third = sync(sandbox, state=stopped(second))
        for output in (second, third):
            assert not deletions(output)
            assert {hidden, quiet} <= {*known_ids.Ids.from_text(known(output)["ids"])}


@pytest.mark.usefixtures("_marks")
@pytest.mark.parametrize("old", ["late", "filter"])
def test_a_stopped_sweep_that_is_too_old_or_of_another_filter_starts_over(
    present: Present, old: str
) -> None:
    with Sandbox({"users": 3_000}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        present.pass_by(days=8)
        state = stopped(sync(sandbox, first))
        gone = users.id_at(0)
        assert gone in compared(state)
        users.delete(gone)
        if old == "late":
            present.pass_by(days=7)
            second = sync(sandbox, state=state)
            assert deletions(second).keys() == {gone}
            assert any(
                request.query.keys().isdisjoint({"id[gt]", "id[in]"}) for request in sweeps(sandbox)
            )
            return
        filters = [{"stream": "users", "filter": "active=true"}]
        second = sync(sandbox, state=state, filters=filters)
        assert not sweeps(sandbox)
        assert not deletions(second)
        assert "sweep" not in json.dumps(known(second))


def test_a_connection_without_the_column_is_not_swept(present: Present) -> None:
    columns = {"users": ("id", "updated_at", "login")}
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox, columns=columns)
        users.delete(users.id_at(7))
        present.pass_by(days=8)
        second = sync(sandbox, first, columns=columns)
        assert not sweeps(sandbox)
        assert rows(second, first) == []
        assert any("Refresh its schema" in log.log.message for log in second.logs if log.log)
        # nothing is forgotten
        assert len(deletions(sync(sandbox, second))) == 1


def test_a_full_refresh_is_not_swept(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        for _ in range(2):
            sandbox.requests.clear()
            output = run_read(
                sandbox,
                ["users"],
                sync_mode=SyncMode.full_refresh,
                columns=COLUMNS,
                deleted_records_every_days=1,
            )
            assert not sweeps(sandbox)
            assert not deletions(output)
            present.pass_by(days=8)


@pytest.mark.usefixtures("waits")
def test_a_record_that_cannot_be_read_is_not_gone(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        ill, gone = users.id_at(10), users.id_at(50)
        users.delete(gone)
        users.edit(ill)
        sandbox.faults.add(Fault("status", status=500, resource="users", ids=[ill]))
        present.pass_by(days=8)
        users.edit(ill)
        second = sync(sandbox, first)
        assert deletions(second).keys() == {gone}
        assert last_status(second, "users") == INCOMPLETE


@pytest.mark.usefixtures("waits")
def test_an_ill_record_that_is_there_again_keeps_no_deletion_back(present: Present) -> None:
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        ill, again, gone = users.id_at(10), users.id_at(20), users.id_at(50)
        users.delete(ill)
        users.delete(again)
        present.pass_by(days=8)
        second = sync(sandbox, first)
        users.restore(ill)
        users.restore(again)
        users.delete(gone)
        sandbox.faults.add(Fault("status", status=500, resource="users", ids=[ill]))
        present.pass_by(days=8)
        third = sync(sandbox, second)
        assert deletions(third).keys() == {gone}
        assert rows(third, second) == [again]
        sandbox.faults.clear()
        present.pass_by(days=8)
        assert rows(sync(sandbox, third), third) == [ill]


def test_child_tables_get_the_rows_of_a_record_that_is_there_again(present: Present) -> None:
    streams = ("users", "user_roles")
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox, streams=streams)
        of_user = {row["user_id"] for row in records_by_stream(first)["user_roles"]}
        back = next(iter(sorted(of_user)))
        users.delete(back)
        present.pass_by(days=8)
        second = sync(sandbox, first, streams=streams)
        assert deletions(second).keys() == {back}
        assert "user_roles" not in records_by_stream(second)
        present.pass_by(days=8)
        users.restore(back)
        third = records_by_stream(sync(sandbox, second, streams=streams))
        assert {row["user_id"] for row in third["user_roles"]} == {back}


def test_a_list_whose_ids_are_too_scattered_is_synced_without_a_sweep(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_ids, "LONGEST_TEXT", 20)
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = sync(sandbox)
        users.delete(users.id_at(3))
        new = users.add()
        present.pass_by(days=8)
        second = sync(sandbox, first)
        assert new in rows(second)
        assert known(second)["ids"] is None
        assert last_status(second, "users") == COMPLETE
        assert not deletions(second)
        assert not sweeps(sandbox)
        assert any("too many gaps" in log.log.message for log in second.logs if log.log)


@pytest.mark.parametrize(
    "state",
    [
        *({"ids": "?"}, {"ids": "AAAA"}, {}, {"ids": 4}, []),
        *({"ids": EMPTY, "sweep": {}}, {"ids": EMPTY, "sweep": []}),
        {"ids": EMPTY, "sweep": {"began": "now", "done": EMPTY, "absent": EMPTY, "new": EMPTY}},
    ],
)
def test_known_ids_that_cannot_be_read_fail_the_sync(present: Present, state: Any) -> None:
    with Sandbox({"users": 3}, dialect=UNLIMITED, clock=present) as sandbox:
        output = sync(
            sandbox,
            state=stream_state(
                {"users": {"updated_at": "2026-01-01T00:00:00Z", "known_ids": state}}
            ),
        )
        assert output.errors
        assert not sandbox.requests_for("users")


@pytest.mark.parametrize("every", [0, 7])
def test_the_column_is_declared_where_deletions_are_looked_for(every: int) -> None:
    with Sandbox({"users": 3}, dialect=UNLIMITED) as sandbox:
        (catalog,) = discover(sandbox.config(deleted_records_every_days=every)).of_type("CATALOG")
        shown = {
            stream["name"]: stream
            for stream in catalog["catalog"]["streams"]
            if DELETED_AT in stream["json_schema"]["properties"]
        }
        if not every:
            assert not shown
            return
        assert {"users", "invoices"} <= shown.keys()
        assert not {"invoice_lines", "user_roles", "purchase_order_revisions"} & shown.keys()
        assert all("incremental" in stream["supported_sync_modes"] for stream in shown.values())
        assert shown["users"]["json_schema"]["properties"][DELETED_AT]["format"] == "date-time"


class Merged:
    """A table in the mode Append + Deduped, merged as the SQL of Airbyte's destinations does: of a
    batch the record with the latest cursor, and of these the one that was extracted last; and that
    only if it is later than the row that is there.

    Attributes:
        rows: id -> when it was changed, when it was extracted, and the record.
    """

    def __init__(self, *, hard: bool) -> None:
        self.rows: dict[int, tuple[tuple[float, int], Record]] = {}
        self._hard = hard

    def load(self, output: EntrypointOutput) -> None:
        newest: dict[int, tuple[tuple[float, int], Record]] = {}
        for place, message in enumerate(output.records):
            assert message.record is not None
            if message.record.stream != "suppliers":
                continue
            data = message.record.data
            order = (instant(data).timestamp(), place)
            if data["id"] not in newest or order > newest[data["id"]][0]:
                newest[data["id"]] = (order, data)
        for id_, (order, data) in newest.items():
            there = self.rows.get(id_)
            if there is not None and order[0] < there[0][0]:
                continue
            if self._hard and data.get(DELETED_AT):
                self.rows.pop(id_, None)
            else:
                self.rows[id_] = (order, data)


def test_tables_and_queries_show_what_coupa_shows(present: Present) -> None:
    random = Random(3)
    columns = {"suppliers": ("id", "updated_at", "name", DELETED_AT)}
    soft_query, there_query, gone_query = queries_on_deletions("What destinations do")
    database = sqlite3.connect(":memory:")
    database.execute(
        "create table history (id, updated_at, name, _ab_cdc_deleted_at, _airbyte_extracted_at)"
    )
    hard, soft = Merged(hard=True), Merged(hard=False)
    with Sandbox({"suppliers": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        table = sandbox.tables["suppliers"]
        output: EntrypointOutput | None = None
        hidden: set[int] = set()
        all_ids = set(table.ids())
        for number in range(6):
            output = sync(sandbox, output, streams=("suppliers",), columns=columns)
            assert last_status(output, "suppliers") == COMPLETE
            hard.load(output)
            soft.load(output)
            for place, message in enumerate(output.records):
                assert message.record is not None
                data = message.record.data
                row = [data.get(name) for name in columns["suppliers"]]
                row.append(10_000 * number + place)
                database.execute("insert into history values (?, ?, ?, ?, ?)", row)
            there = set(table.ids())
            assert hard.rows.keys() == there
            assert {id_: row.get("name") for id_, (_, row) in hard.rows.items()} == {
                id_: table.get(id_).get("name") for id_ in there
            }
            database.execute("drop table if exists suppliers")
            database.execute("create table suppliers as select * from history")
            assert {row[0] for row in database.execute(there_query)} == there
            assert {row[0] for row in database.execute(gone_query)} == all_ids - there
            database.execute("delete from suppliers")
            for _, marked in soft.rows.values():
                values = (
                    marked["id"],
                    marked["updated_at"],
                    marked.get("name"),
                    marked.get(DELETED_AT),
                )
                database.execute("insert into suppliers values (?, ?, ?, ?, null)", values)
            shown = {row[0] for row in database.execute(soft_query)}
            # a record that is there again with its old time stays marked, as the page says
            assert there - hidden <= shown <= there
            present.pass_by(days=8)
            for id_ in random.sample(sorted(table._gone), min(len(table._gone), 2)):
                touch = random.random() < 0.5
                table.restore(id_, touch=touch)
                hidden.discard(id_) if touch else hidden.add(id_)
            for id_ in random.sample(table.ids(), 4):
                table.edit(id_, {"name": f"name {number}"})
                hidden.discard(id_)
            for id_ in random.sample(table.ids(), 3):
                table.delete(id_)
            all_ids |= {table.add(), table.renumber(table.ids()[0])}
    database.close()


def test_rows_of_records_that_are_gone_are_found_by_the_documented_query(present: Present) -> None:
    (query,) = queries_on_deletions("Rows of child tables")
    with Sandbox({"users": COUNT}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        output = sync(sandbox, streams=("users", "user_roles"))
        roles = [row["user_id"] for row in records_by_stream(output)["user_roles"]]
        gone = set(sorted(set(roles))[:3])
        database = sqlite3.connect(":memory:")
        database.execute("create table users (id)")
        database.execute("create table user_roles (user_id)")
        database.executemany("insert into user_roles values (?)", [(id_,) for id_ in roles])
        for id_ in gone:
            users.delete(id_)
        present.pass_by(days=8)
        assert deletions(sync(sandbox, output)).keys() == gone
        database.executemany("insert into users values (?)", [(id_,) for id_ in users.ids()])
        found = [row[0] for row in database.execute(query)]
        database.close()
        assert sorted(found) == sorted(id_ for id_ in roles if id_ in gone)
