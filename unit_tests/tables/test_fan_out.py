"""What is read of a list becomes the messages of its tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteLogMessage, AirbyteMessage, Level, SyncMode, Type

from source_coupa.reading.bookmark import Bookmark, IdSet
from source_coupa.reading.pages import Page
from source_coupa.tables.fan_out import (
    MOST_SILENCE,
    NO_CURSOR_STATE,
    PAGES_PER_STATE,
    SECONDS_PER_LOG,
    SECONDS_PER_STATE,
    FanOut,
)
from source_coupa.transport.backpressure import Backpressure
from source_coupa.transport.scheduler import Traffic
from unit_tests.reading.fake_list import InstantClock

from .parts import (
    BEGAN,
    STREAMS,
    Sync,
    at,
    fanned_out,
    invoice,
    page_message,
    page_of,
    planned,
    said_of,
    synced,
    tick,
)

FULL, INCREMENTAL = SyncMode.full_refresh, SyncMode.incremental
TABLES = ("invoices", "invoice_lines", "invoice_taxes")
CURSORS = {stream.name: stream.cursor_field or "no_cursor" for stream in STREAMS}


def state(stream: str, day: int, **more: Any) -> dict[str, Any]:
    return {CURSORS[stream]: at(day), "highest_id": 100, **more}


def done_of(found: dict[str, Any]) -> list[list[int]]:
    done: list[list[int]] = found["pass"]["done"]
    return done


# --- Rows ---


def test_each_record_becomes_the_rows_of_all_tables() -> None:
    sync = synced(planned(TABLES), page_of(invoice(1, at(1)), invoice(2, at(2))))
    assert sync.ids("invoices") == [1, 2]
    assert sync.ids("invoice_lines") == [11, 12, 21, 22]
    assert sync.ids("invoice_taxes") == [101, 102, 201, 202]
    for table in TABLES:
        assert sync.statuses(table) == ["STARTED", "RUNNING", "COMPLETE"]
        assert sync.errors(table) == []
        assert sync.states(table) == [{CURSORS[table]: at(2), "highest_id": 2}]


def test_a_table_comes_in_one_piece_of_messages() -> None:
    """STARTED, RUNNING, rows, state, COMPLETE."""
    sync = synced(planned(["invoices"]), page_of(invoice(1, at(1))))
    kinds = [message.type for message in sync.messages]
    assert kinds == [Type.TRACE, Type.TRACE, Type.RECORD, Type.STATE, Type.TRACE]


def test_a_table_without_rows_is_complete() -> None:
    record = {**invoice(1, at(1)), "invoice_lines": []}
    sync = synced(planned(["invoices", "invoice_lines"]), page_of(record))
    assert sync.statuses("invoice_lines") == ["STARTED", "COMPLETE"]
    assert sync.states("invoice_lines") == [{"invoice_updated_at": at(1), "highest_id": 1}]


def test_only_child_tables_come_if_only_they_are_selected() -> None:
    sync = synced(planned(["invoice_lines"]), page_of(invoice(1, at(1))))
    assert {m.record.stream for m in sync.messages if m.record} == {"invoice_lines"}


def test_each_table_has_its_own_columns() -> None:
    columns = {"invoices": ["id", "additional_fields"], "invoice_lines": ["id"]}
    plans = planned(["invoices", "invoice_lines"], columns=columns)
    sync = synced(plans, page_of(invoice(1, at(1), new_field="x")))
    (row,) = sync.rows("invoices")
    assert row["additional_fields"]["new_field"] == "x"
    assert "additional_fields" not in sync.rows("invoice_lines")[0]


def test_room_is_given_back_when_the_rows_are_printed() -> None:
    backpressure = Backpressure()
    page = page_of(invoice(1, at(1)))
    page.load = backpressure.reserve(1_000)
    plans = planned(["invoices"])
    held = [
        backpressure.held
        for message in FanOut(plans, InstantClock(), Traffic(20)).messages(
            [page_message("invoices", page)]
        )
        if message.record
    ]
    assert (held, backpressure.held) == ([1_000], 0)


# --- Tables with different states ---


def test_parents_older_than_a_tables_bound_are_dropped() -> None:
    states = {"invoices": state("invoices", 9), "invoice_lines": state("invoice_lines", 3)}
    plans = planned(["invoices", "invoice_lines"], states)
    sync = synced(plans, page_of(invoice(1, at(3)), invoice(2, at(8)), invoice(3, at(9))))
    assert sync.ids("invoices") == [3]
    assert sync.ids("invoice_lines") == [11, 12, 21, 22, 31, 32]


def test_no_state_moves_back() -> None:
    states = {"invoices": state("invoices", 9), "invoice_lines": state("invoice_lines", 3)}
    plans = planned(["invoices", "invoice_lines"], states)
    sync = synced(plans, page_of(invoice(1, at(3)), invoice(200, at(5))))
    assert sync.states("invoices")[-1] == {"updated_at": at(9), "highest_id": 200}
    assert sync.states("invoice_lines")[-1]["invoice_updated_at"] == at(5)
    assert synced(planned(TABLES, {})).states("invoices") == [{}]
    assert synced(planned(["invoices"], states)).states("invoices")[-1] == state("invoices", 9)


def test_a_state_is_never_later_than_the_begin_of_its_pass() -> None:
    later = (BEGAN + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sync = synced(planned(["invoices"]), page_of(invoice(1, later)))
    assert sync.states("invoices")[-1]["updated_at"] == "2026-11-21T12:00:00Z"


def test_a_new_table_gets_all_rows_and_the_others_only_what_is_new() -> None:
    plans = planned(["invoices", "invoice_lines"], {"invoices": state("invoices", 9)})
    sync = synced(plans, page_of(invoice(1, at(3)), invoice(2, at(9))))
    assert sync.ids("invoices") == [2]
    assert sync.ids("invoice_lines") == [11, 12, 21, 22]


def test_full_refresh_and_incremental_tables_of_one_list() -> None:
    modes = {"invoices": INCREMENTAL, "invoice_lines": FULL}
    plans = planned(modes, {"invoices": state("invoices", 9)})
    sync = synced(plans, page_of(invoice(1, at(3)), invoice(2, at(9))))
    assert sync.ids("invoices") == [2]
    assert sync.ids("invoice_lines") == [11, 12, 21, 22]
    assert sync.states("invoice_lines") == [dict(NO_CURSOR_STATE)]
    assert sync.states("invoices")[-1]["updated_at"] == at(9)


def test_what_one_table_has_of_a_pass_that_goes_on_does_not_come_to_it_again() -> None:
    def mark(until: int) -> dict[str, Any]:
        return {"pass": {"began": at(1), "since": None, "done": [[0, until]], "newest": at(2)}}

    plans = planned(["invoices", "invoice_lines"], {"invoices": mark(2), "invoice_lines": mark(1)})
    sync = synced(plans, page_of(invoice(2, at(1)), invoice(3, at(1)), after=1))
    assert sync.ids("invoices") == [3]
    assert sync.ids("invoice_lines") == [21, 22, 31, 32]
    # its newest record came in the first part
    assert sync.states("invoices")[-1]["updated_at"] == at(1), "never later than its begin"


# --- A table that fails ---


@pytest.mark.parametrize(
    "odd",
    [
        {"invoice_lines": {"id": 1}},
        {"invoice_lines": ""},
        {"invoice_lines": [{"description": "no id"}]},
    ],
)
def test_an_odd_list_ends_its_table_alone(odd: dict[str, Any]) -> None:
    pages = [
        page_of(invoice(1, at(1))),
        page_of({**invoice(2, at(2)), **odd}, after=1),
        page_of(invoice(3, at(3)), after=2),
    ]
    sync = synced(planned(["invoices", "invoice_lines"]), *pages)
    assert sync.ids("invoices") == [1, 2, 3]
    assert sync.statuses("invoices")[-1] == "COMPLETE"
    assert sync.ids("invoice_lines") == [11, 12]
    assert sync.statuses("invoice_lines")[-1] == "INCOMPLETE"
    assert len(sync.errors("invoice_lines")) == 1
    assert sync.errors("invoices") == []
    for held in sync.states("invoice_lines"):
        assert 2 not in IdSet((a, b) for a, b in done_of(held)), "its state moved past the row"


def test_an_odd_inner_list_does_not_end_the_outer_table() -> None:
    odd = invoice(1, at(1))
    odd["invoice_lines"][0]["tax_lines"] = "none"
    sync = synced(planned(TABLES), page_of(odd))
    assert sync.statuses("invoice_lines")[-1] == "COMPLETE"
    assert sync.statuses("invoice_taxes")[-1] == "INCOMPLETE"


def test_a_list_that_fails_fails_its_tables_with_what_they_have_in_their_states() -> None:
    plans = planned(["invoices", "invoice_lines"], {"invoices": state("invoices", 1)})
    sync = synced(plans, page_of(invoice(1, at(2))), error="Coupa is down.")
    for table in ("invoices", "invoice_lines"):
        assert sync.errors(table) == ["Coupa is down."]
        assert sync.statuses(table)[-1] == "INCOMPLETE"
        assert done_of(sync.states(table)[-1]) == [[0, 1]]
    assert sync.states("invoices")[-1]["updated_at"] == at(1)


def test_a_list_that_fails_at_once_leaves_its_tables_as_they_were() -> None:
    sync = synced(planned(["invoices"]), error="Coupa is down.")
    assert sync.states("invoices") == []
    assert sync.statuses("invoices") == ["STARTED", "INCOMPLETE"]


def test_a_list_that_ends_without_its_last_page_is_not_complete() -> None:
    messages = [
        m
        for m in said_of("invoices", page_of(invoice(1, at(1))))
        if not (m.record and m.record.data["page"].is_last)
    ]
    sync = fanned_out(planned(["invoices"]), messages)
    assert sync.statuses("invoices")[-1] == "INCOMPLETE"


def test_lists_do_not_mix() -> None:
    plans = planned(["invoices", "currencies"])
    sync = fanned_out(
        plans,
        [
            *said_of("invoices", page_of(invoice(1, at(1))), error="Coupa is down."),
            *said_of("currencies", page_of({"id": 7})),
        ],
    )
    assert sync.ids("currencies") == [7]
    assert sync.statuses("currencies")[-1] == "COMPLETE"
    assert sync.statuses("invoices")[-1] == "INCOMPLETE"


# --- Records that cannot be read ---


def test_records_that_cannot_be_read_are_named_and_kept_in_the_state() -> None:
    missing = Page(began=BEGAN, covers=(1, 2), missing=2)
    pages = [page_of(invoice(1, at(1))), missing, page_of(invoice(3, at(3)), after=2)]
    sync = synced(planned(["invoices", "invoice_lines"]), *pages)
    for table in ("invoices", "invoice_lines"):
        assert sync.states(table)[-1]["missing"] == [2]
        assert sync.states(table)[-1][CURSORS[table]] == at(3)
        assert sync.statuses(table)[-1] == "INCOMPLETE"
        (sentence,) = sync.errors(table)
        assert "1 record(s) of /api/invoices: 2." in sentence
    assert sync.ids("invoices") == [1, 3]


def test_a_record_that_was_missing_comes_whatever_its_update_time() -> None:
    states = {
        "invoices": state("invoices", 9, missing=[7]),
        "invoice_lines": state("invoice_lines", 9),
    }
    found = Page(records=[invoice(7, at(1))], began=BEGAN, found=7)
    sync = synced(planned(["invoices", "invoice_lines"], states), found)
    assert sync.ids("invoices") == [7]
    assert sync.ids("invoice_lines") == []
    assert "missing" not in sync.states("invoices")[-1]
    assert sync.statuses("invoices")[-1] == "COMPLETE"


def test_a_missing_record_that_is_gone_is_forgotten() -> None:
    plans = planned(["invoices"], {"invoices": state("invoices", 9, missing=[7])})
    sync = synced(plans, Page(began=BEGAN, found=7))
    assert "missing" not in sync.states("invoices")[-1]
    assert sync.errors("invoices") == []


# --- States within a pass ---


def pages_to(count: int) -> list[Page]:
    return [
        page_of(*(invoice(50 * n + i, at(1)) for i in range(1, 51)), after=50 * n)
        for n in range(count)
    ]


@pytest.mark.parametrize("stop", range(1, 90, 11))
def test_a_sync_that_is_killed_repeats_little(stop: int) -> None:
    """At most 2,000 records, or a twentieth."""
    plans = planned(["invoices"])
    messages = said_of("invoices", *pages_to(100))[: 2 + stop]
    sync = fanned_out(plans, messages)
    sent = sync.ids("invoices")
    done = [0, 0]
    if states := sync.states("invoices"):
        (done,) = done_of(states[-1])
    assert done[1] <= max(sent, default=0)
    assert len(sent) - done[1] <= max(2_000, len(sent) // 20)


def test_a_sync_goes_on_from_any_of_its_states() -> None:
    pages = pages_to(100)
    first = synced(planned(["invoices", "invoice_lines"]), *pages)
    for mark in first.states("invoices")[:-1]:
        (plan,) = planned(["invoices"], {"invoices": mark})
        ((after, _),) = plan.wanted().done.gaps()
        rest = [page for page in pages if page.covers and page.covers[0] >= after]
        second = synced([plan], *rest)
        before = [id_ for id_ in first.ids("invoices") if id_ <= after]
        assert before + second.ids("invoices") == first.ids("invoices")
        assert second.states("invoices")[-1]["updated_at"] == at(1)


def test_there_are_few_state_messages() -> None:
    sync = synced(planned(["invoices"]), *pages_to(100))
    assert len(sync.states("invoices")) <= 100 / PAGES_PER_STATE + 1


def test_a_state_comes_each_minute_although_pages_are_slow() -> None:
    clock = InstantClock()

    def slow() -> Any:
        for message in said_of("invoices", *pages_to(5)):
            clock.waited.append(SECONDS_PER_STATE)
            yield message

    sync = fanned_out(planned(["invoices"]), slow(), clock)
    assert len(sync.states("invoices")) == 6


def test_rows_of_several_readers_are_kept_as_ranges() -> None:
    pages = [
        page_of(invoice(501, at(1)), after=500, until=600),
        page_of(invoice(1, at(1)), after=0, until=50),
    ]
    sync = synced(planned(["invoices"]), *pages, error="Coupa is down.")
    assert done_of(sync.states("invoices")[-1]) == [[0, 50], [500, 600]]


@pytest.mark.parametrize("stream", ["currencies", "invoices", "user_addresses"])
def test_a_full_refresh_that_is_killed_goes_on(stream: str) -> None:
    """What `is_resumable` in the catalog promises."""
    list_name = stream
    records = [{"id": id_, "updated_at": at(1)} for id_ in range(1, 4)]
    (plan,) = planned({stream: FULL})
    cut = synced([plan], page_of(*records[:2]), error="Coupa is down.")
    mark = cut.states(stream)[-1]
    (again,) = planned({stream: FULL}, {stream: mark})
    assert again.wanted().done.gaps()[0][0] == 2
    rest = synced([again], page_of(records[2], after=2))
    assert rest.ids(stream) == [3]
    assert rest.states(stream)[-1] == dict(NO_CURSOR_STATE)
    assert rest.statuses(list_name)[-1] == "COMPLETE"


def test_what_was_not_whole_comes_again() -> None:
    pages = [
        page_of(invoice(1, at(2))),
        Page(began=BEGAN, starts_over=True),
        page_of(invoice(1, at(2)), invoice(2, at(1))),
    ]
    sync = synced(planned(["invoices"]), *pages, error="Coupa is down.")
    assert sync.ids("invoices") == [1, 1, 2]
    assert done_of(sync.states("invoices")[-1]) == [[0, 2]]
    only = synced(planned(["invoices"]), *pages[:2], error="Coupa is down.")
    assert done_of(only.states("invoices")[-1]) == []


def test_what_an_earlier_sync_sent_of_lists_below_records_comes_again_too() -> None:
    """It was not whole for the same reason."""
    mark = {
        "began": at(1),
        "since": None,
        "done": [[0, 50]],
        "newest": None,
        "full_refresh": True,
    }
    state: dict[str, Any] = {"pass": mark}
    plans = planned(["user_addresses"], {"user_addresses": state})
    assert plans[0].wanted().done.gaps()[0][0] == 50
    sync = synced(plans, Page(began=BEGAN, starts_over=True), error="Coupa is down.")
    assert done_of(sync.states("user_addresses")[-1]) == []


# --- Records without update times ---


def test_records_without_an_update_time_are_sent_and_remembered() -> None:
    plans = planned(["invoices"])
    sync = synced(plans, page_of(invoice(1, None), invoice(2, at(1))))
    assert sync.ids("invoices") == [1, 2]
    assert sync.states("invoices")[-1] == {
        "updated_at": at(1),
        "highest_id": 2,
        "null_times_above": 2,
    }


def test_they_are_asked_for_above_where_they_were_asked_for_last() -> None:
    plans = planned(["invoices"], {"invoices": state("invoices", 9, null_times_above=50)})
    assert plans[0].wanted().nulls_above == 50
    messages = said_of("invoices", page_of(invoice(200, at(9))))
    messages[-2] = page_message("invoices", Page(began=BEGAN, is_last=True, nulls_above=60))
    sync = fanned_out(plans, messages)
    assert sync.states("invoices")[-1]["null_times_above"] == 60


def test_a_sync_that_is_killed_asks_for_them_above_the_last_that_came() -> None:
    old = {"updated_at": at(1)}
    pages = [
        Page(records=[invoice(id_, None)], began=BEGAN, nulls_above=id_)
        for id_ in range(1, PAGES_PER_STATE + 2)
    ]
    sync = synced(planned(["invoices"], {"invoices": old}), *pages, error="Coupa is down.")
    assert [found["null_times_above"] for found in sync.states("invoices")] == [20, 21]
    (plan,) = planned(["invoices"], {"invoices": sync.states("invoices")[0]})
    assert (plan.wanted().asks_for_nulls, plan.wanted().nulls_above) == (True, 20)


def test_a_table_that_has_none_of_them_gets_all() -> None:
    states: dict[str, dict[str, Any]] = {
        "invoices": {"updated_at": at(1), "null_times_above": 20},
        "invoice_lines": {"updated_at": at(1)},
    }
    (plan,) = planned(["invoices", "invoice_lines"], states)
    assert (plan.wanted().asks_for_nulls, plan.wanted().nulls_above) == (True, None)


def test_a_list_without_any_update_time_has_a_state_too() -> None:
    sync = synced(planned(["invoices"]), page_of(invoice(1, None)))
    (found,) = sync.states("invoices")
    assert found == {"highest_id": 1, "null_times_above": 1}
    (plan,) = planned(["invoices"], {"invoices": found})
    assert plan.wanted().since is None


# --- Time ---


def test_something_is_printed_although_nothing_happens() -> None:
    clock = InstantClock()

    def silence() -> Any:
        started, *_ = said_of("invoices", page_of(invoice(1, at(1))))
        yield started
        for _ in range(5):
            clock.waited.append(MOST_SILENCE)
            yield tick()
        yield page_message("invoices", page_of(invoice(1, at(1))))
        clock.waited.append(MOST_SILENCE)
        yield tick()
        yield tick()

    sync = fanned_out(planned(["invoices"]), silence(), clock)
    assert sync.statuses("invoices") == ["STARTED", *["RUNNING"] * 6]
    assert len(sync.states("invoices")) == 2
    assert not any(m.log for m in sync.messages), "a tick is never printed"


def test_a_line_a_minute_says_how_far_a_sync_is(caplog: pytest.LogCaptureFixture) -> None:
    clock, traffic = InstantClock(), Traffic(per_second=20)
    plans = planned(["invoices", "invoice_lines", "currencies"])
    first, second = page_of(invoice(1, at(1))), page_of(invoice(2, at(1)), after=1)
    second.left = 6

    def messages() -> Any:
        yield tick()
        traffic.sent = 7
        clock.waited.append(SECONDS_PER_LOG)
        yield tick()
        yield page_message("invoices", first)
        traffic.sent, traffic.limited = 607, 2
        clock.waited.append(SECONDS_PER_LOG)
        yield tick()
        yield page_message("invoices", second)
        clock.waited.append(SECONDS_PER_LOG)
        yield tick()
        yield tick()
        yield page_message("invoices", Page(began=BEGAN, is_last=True))
        clock.waited.append(SECONDS_PER_LOG)
        yield tick()

    with caplog.at_level("INFO", "airbyte"):
        sync = fanned_out(plans, messages(), clock, traffic)
    assert caplog.messages == [
        "Requests per second: 0.1 of 20, 0 met Coupa's limit (HTTP 429).",
        "Requests per second: 10.0 of 20, 2 met Coupa's limit (HTTP 429). "
        "Reading invoices 1 rows, invoice_lines 2 rows.",
        "Requests per second: 0.0 of 20, 0 met Coupa's limit (HTTP 429). "
        "Reading invoices 2 rows, invoice_lines 4 rows (about 25%, 6 minutes left).",
        "Requests per second: 0.0 of 20, 0 met Coupa's limit (HTTP 429).",
        "Sent 6 rows of 3 streams in 4:00 minutes with 607 requests to lists. "
        "2 met Coupa's limit (HTTP 429).",
    ]
    estimates = [m.trace.estimate for m in sync.messages if m.trace and m.trace.estimate]
    assert [(e.name, e.row_estimate) for e in estimates] == [("invoices", 8), ("invoice_lines", 16)]


def test_a_list_that_failed_is_read_no_more(caplog: pytest.LogCaptureFixture) -> None:
    clock = InstantClock()
    page = page_of(invoice(1, at(1)))
    page.left = 100

    def messages() -> Any:
        yield from said_of("invoices", page, error="It broke.")
        clock.waited.append(SECONDS_PER_LOG)
        yield tick()

    with caplog.at_level("INFO", "airbyte"):
        sync = fanned_out(planned(["invoices"]), messages(), clock)
    assert caplog.messages[-2].startswith("Requests per second: ")
    assert "Reading" not in caplog.messages[-2]
    assert not [m for m in sync.messages if m.trace and m.trace.estimate]


def test_other_messages_pass_as_they_are() -> None:
    log = AirbyteMessage(type=Type.LOG, log=AirbyteLogMessage(level=Level.INFO, message="x"))
    assert fanned_out(planned(["invoices"]), [log]).messages == [log]


def test_states_that_the_cdk_makes_of_lists_are_dropped() -> None:
    other = Sync(synced(planned(["invoices"]), page_of(invoice(1, at(1)))).messages)
    states = [m for m in other.messages if m.state]
    assert fanned_out(planned(["invoices"]), states).messages == []
    assert fanned_out(planned(["currencies"]), states).messages == states


def test_every_state_can_be_read_again() -> None:
    missing = Page(began=BEGAN, covers=(5_000, 5_001), missing=5_001)
    sync = synced(planned(["invoices"]), *pages_to(60), missing)
    for found in sync.states("invoices"):
        bookmark = Bookmark.from_state(found, "updated_at")
        assert bookmark.to_state("updated_at") == found
        assert replace(bookmark) == bookmark


# --- Changes of rows ---


def of_row_changes(*records: dict[str, Any]) -> Page:
    """A page of records that come because rows of theirs have changed."""
    return Page(records=list(records), began=BEGAN, is_of_row_changes=True)


def test_a_record_older_than_the_bound_comes_for_its_rows() -> None:
    plans = planned(TABLES, {table: state(table, 9) for table in TABLES})
    sync = synced(plans, of_row_changes(invoice(1, at(3))))
    assert sync.ids("invoices") == [1]
    assert sync.ids("invoice_lines") == [11, 12]
    assert sync.ids("invoice_taxes") == [101, 102]


def test_a_table_that_gets_a_record_by_its_own_time_gets_it_once() -> None:
    states = {"invoices": state("invoices", 9), "invoice_lines": state("invoice_lines", 3)}
    plans = planned(["invoices", "invoice_lines"], states)
    record = invoice(1, at(5))
    sync = synced(plans, page_of(record), of_row_changes(record))
    assert sync.ids("invoices") == [1]
    assert sync.ids("invoice_lines") == [11, 12]


def test_a_table_that_reads_everything_wants_none_for_their_rows() -> None:
    plans = planned(
        {"invoices": INCREMENTAL, "invoice_lines": FULL}, {"invoices": state("invoices", 9)}
    )
    sync = synced(plans, page_of(invoice(1, at(3))), of_row_changes(invoice(1, at(3))))
    assert sync.ids("invoices") == [1]
    assert sync.ids("invoice_lines") == [11, 12]


def test_records_that_come_for_their_rows_move_no_state() -> None:
    before = {table: state(table, 9) for table in TABLES}
    records = invoice(500, at(3)), invoice(501, None), invoice(502, at(20))
    sync = synced(planned(TABLES, before), of_row_changes(*records))
    for table in TABLES:
        assert sync.states(table) == [before[table]]


def test_a_pass_that_stops_behind_them_covers_nothing() -> None:
    plans = planned(["invoices"], {"invoices": state("invoices", 9)})
    sync = synced(plans, of_row_changes(invoice(1, at(3))), error="not available")
    (left,) = sync.states("invoices")
    assert done_of(left) == []
    assert left["updated_at"] == at(9)


def test_a_stopped_pass_remembers_that_short_pages_end_nothing() -> None:
    pages = [page_of(invoice(id_, at(1)), after=id_ - 1) for id_ in range(1, PAGES_PER_STATE + 2)]
    pages[0].short_page = 0
    sync = synced(planned(["invoices"]), *pages, error="Coupa is down.")
    assert {found["short_page"] for found in sync.states("invoices")} == {0}
