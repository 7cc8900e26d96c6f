"""A sync without state brings every record of every stream once, its values as Coupa sent them.

However many records there are, wherever in time they lie, and whichever zones print their times.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Literal

import pytest
from airbyte_cdk.models import SyncMode

from integration_tests.harness import (
    ALL_STREAMS,
    RESOURCE_OF,
    final_states,
    records_by_stream,
    run_read,
)
from integration_tests.sandbox import Record, Sandbox
from integration_tests.truth import UNLIMITED, assert_whole, ids, instant, truth
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

Spread = Literal["even", "mass_update"]
Offsets = Literal["per_record", "per_response", "utc"]

TICK = timedelta(seconds=1)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=timezone.utc)


ONE_INSTANT = [utc(2026, 5, 17, 9, 30)]

CLOCK_CHANGES = [
    change + shift
    for change in (
        utc(2026, 3, 29, 1),  # Helsinki and London, an hour vanishes
        utc(2026, 10, 25, 1),  # an hour comes twice
        utc(2026, 3, 8, 10),  # Los Angeles
        utc(2026, 11, 1, 9),
        utc(2026, 4, 4, 14),  # Auckland
        utc(2026, 4, 4, 16, 30),  # Adelaide, half an hour off
    )
    for shift in (-timedelta(minutes=30), -TICK, timedelta(0), TICK, timedelta(minutes=30))
]


@pytest.mark.parametrize("rows", [0, 1, 49, 50, 51, 100, 150])
def test_a_list_of_any_length_is_read_to_its_end(present: Present, rows: int) -> None:
    counts = dict.fromkeys(RESOURCE_OF.values(), rows)
    with Sandbox(counts, dialect=UNLIMITED, spread=ONE_INSTANT, clock=present) as sandbox:
        assert_whole(run_read(sandbox), sandbox)


@pytest.mark.parametrize("spread", ["even", "mass_update"])
def test_a_thousand_records_are_read_wherever_in_time_they_lie(
    present: Present, spread: Spread
) -> None:
    counts = {"users": 1_040, "expense_reports": 170, "expense_lines": 170, "invoices": 1_040}
    size = dict.fromkeys(counts, 1_000)
    with Sandbox(counts, dialect=UNLIMITED, spread=spread, size=size, clock=present) as sandbox:
        assert_whole(run_read(sandbox), sandbox)


@pytest.mark.usefixtures("cut_often")
@pytest.mark.parametrize("rows", [1_001, 3_210])
def test_ranges_of_ids_that_are_read_at_once_leave_no_record_between_them(
    present: Present, rows: int
) -> None:
    with Sandbox(
        {"users": rows},
        dialect=UNLIMITED,
        spread="mass_update",
        size={"users": 1_000},
        clock=present,
    ) as sandbox:
        assert_whole(run_read(sandbox, ["users"]), sandbox, ["users"])
        pages = [r for r in sandbox.requests_for("users") if r.query["limit"] == "50"]
        starts = [int(request.query.get("id[gt]", 0)) for request in pages]
        assert starts != sorted(starts), "no range was read: this test tests nothing"


def test_wide_gaps_between_ids_hide_no_record(present: Present) -> None:
    with Sandbox(dialect=UNLIMITED, clock=present, rows={}) as sandbox:
        for number in range(120):
            id = 1 + number * 7 + (number > 60) * 2**40 + (number > 110) * 2**53
            sandbox.tables["users"].add(id=id, updated_at=ONE_INSTANT[0])
        assert_whole(run_read(sandbox, ["users"]), sandbox, ["users"])


def test_nothing_is_too_new_to_come(present: Present) -> None:
    """Not the second that is not over yet, nor what a wrong clock has dated tomorrow. Neither moves
    the state so far that a change of the same moment would be missed."""
    with Sandbox({"users": 3}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        users.add(updated_at=present.now)
        users.add(updated_at=present.now + timedelta(days=1))
        first = run_read(sandbox, ["users"], lookback_window_hours=0)
        assert_whole(first, sandbox, ["users"])
        late = users.add(updated_at=present.now)
        present.pass_by(hours=1)
        edited = users.ids()[0]
        users.edit(edited, updated_at=present.now)
        second = run_read(sandbox, ["users"], final_states(first), lookback_window_hours=0)
        assert {late, edited} <= set(ids(records_by_stream(second)["users"]))


def test_one_filter_on_times_is_asked_for_at_most(present: Present) -> None:
    """An upper bound would lose what is edited while the list is read."""
    with Sandbox({"users": 120}, dialect=UNLIMITED, clock=present) as sandbox:
        run_read(sandbox, ["users"])
        pages = [r for r in sandbox.requests_for("users") if r.query["limit"] == "50"]
        assert not any("updated_at" in name for request in pages for name in request.query)


@pytest.mark.parametrize("offsets", ["per_record", "per_response", "utc"])
def test_the_zone_in_which_a_time_is_printed_changes_nothing(
    present: Present, offsets: Offsets
) -> None:
    with Sandbox(
        {"users": 200, "expense_lines": 200},
        dialect=UNLIMITED.but(offsets=offsets),
        spread=CLOCK_CHANGES,
        clock=present,
    ) as sandbox:
        streams = ["users", "expense_lines"]
        output = run_read(sandbox, streams)
        if offsets != "per_response":
            assert_whole(output, sandbox, streams)
        read = records_by_stream(output)
        for stream in streams:
            assert moments(read[stream]) == moments(truth(sandbox, stream).values())
            if offsets != "utc":
                assert len({record["updated_at"][19:] for record in read[stream]}) > 2


@pytest.mark.parametrize("stream", ALL_STREAMS)
def test_a_full_refresh_reads_the_same_records(present: Present, stream: str) -> None:
    rows = {RESOURCE_OF[stream]: 130}
    with Sandbox(rows, dialect=UNLIMITED, clock=present) as sandbox:
        output = run_read(sandbox, [stream], sync_mode=SyncMode.full_refresh)
        assert_whole(output, sandbox, [stream])


@pytest.mark.parametrize("workers", [2, 40])
def test_the_number_of_workers_changes_no_record(present: Present, workers: int) -> None:
    with Sandbox(
        dict.fromkeys(RESOURCE_OF.values(), 120), dialect=UNLIMITED, clock=present
    ) as sandbox:
        assert_whole(run_read(sandbox, num_workers=workers), sandbox)


def moments(records: Iterable[Record]) -> dict[int, datetime]:
    return {record["id"]: instant(record) for record in sorted(records, key=lambda r: r["id"])}
