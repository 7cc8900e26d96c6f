"""A first sync without start date asks little about years without records, and about short lists.

Records older than the windows, or than their own creation by the lowest id suggests, are read all
the same: years are passed over only where an answer proved that they are empty.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from integration_tests.harness import ALL_STREAMS, final_states, records_by_stream, run_read
from integration_tests.sandbox import Dialect, Fault, Record, Sandbox

from .conftest import Present
from .truth import COMPLETE, UNLIMITED, assert_whole, last_status, truth

pytestmark = pytest.mark.usefixtures("no_budget")

STEP = timedelta(days=90)
ALL_WINDOWS = 85
"""Windows from 2006 to the time that the tests take for now."""

SURVEY = 3
"""Requests that look at both ends of a list and for what is older than its first record."""

RECENT_WINDOWS = 6
"""At most; windows that ended less than a year ago are always asked for."""


def utc(year: int, month: int = 1, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=timezone.utc)


def requests_of_first_sync(sandbox: Sandbox, stream: str = "users") -> int:
    """Requests of a full sync, which has to bring everything."""
    sandbox.requests.clear()
    assert_whole(run_read(sandbox, [stream]), sandbox, [stream])
    return len([r for r in sandbox.requests if r.resource != "oauth"])


@pytest.mark.parametrize("stream", ALL_STREAMS)
def test_an_empty_instance_costs_a_handful_of_requests(present: Present, stream: str) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        assert requests_of_first_sync(sandbox, stream) <= RECENT_WINDOWS


@pytest.mark.parametrize("days", [1, 100, 1_000, 3_000])
def test_a_young_instance_costs_requests_for_its_own_years(present: Present, days: int) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        for age in range(0, days, max(days // 10, 1)):
            moment = present.now - timedelta(days=days - age)
            sandbox.tables["users"].add(created_at=moment, updated_at=moment)
        requests_of_first_sync(sandbox)
        asked = [r.query for r in sandbox.requests_for("users") if r.query["limit"] == "50"]
        windows = {query["updated_at[lt]"] for query in asked}
        assert len(windows) <= max(days // STEP.days + 2, RECENT_WINDOWS) < ALL_WINDOWS


def test_the_years_are_asked_about_once_for_all_windows(present: Present) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        for minute in range(60):
            moment = utc(2026, 8) + timedelta(minutes=minute)
            sandbox.tables["users"].add(created_at=moment, updated_at=moment)
        requests_of_first_sync(sandbox)
        assert len([r for r in sandbox.requests_for("users") if is_probe(r.query)]) == SURVEY - 1


@pytest.mark.parametrize("rows", [2, 49, 50])
def test_a_list_of_one_page_costs_two_requests_for_all_its_years(
    present: Present, rows: int
) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        for month in range(rows):
            moment = utc(2010) + timedelta(days=30 * month)
            sandbox.tables["users"].add(created_at=moment, updated_at=moment)
        assert requests_of_first_sync(sandbox) == SURVEY - 1


@pytest.mark.parametrize(
    "dialect",
    [
        UNLIMITED.but(page_cap=20),
        UNLIMITED.but(order_by_id="ignored"),
        UNLIMITED.but(order_by_id="ignored", default_order="shuffled"),
        UNLIMITED.but(order_by_id="refused"),
        UNLIMITED.but(updated_at_filter="refused"),
    ],
    ids=["smaller pages", "order ignored", "shuffled", "order refused", "times refused"],
)
@pytest.mark.parametrize("rows", [1, 19, 20, 21, 45])
def test_a_page_is_taken_for_a_list_only_where_both_ends_are_seen(
    present: Present, dialect: Dialect, rows: int
) -> None:
    with Sandbox({}, dialect=dialect, clock=present) as sandbox:
        for month in range(rows):
            moment = utc(2016) + timedelta(days=30 * month)
            sandbox.tables["users"].add(created_at=moment, updated_at=moment)
        output = run_read(sandbox, ["users"])
        if last_status(output, "users") == COMPLETE:
            assert_whole(output, sandbox, ["users"])
        else:
            assert output.errors


@pytest.mark.parametrize("year", [1970, 1999, 2005, 2006])
def test_records_from_before_the_first_window_are_read(present: Present, year: int) -> None:
    with Sandbox({"users": 60}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        users.add(created_at=utc(year), updated_at=utc(year))
        users.add(created_at=utc(2026), updated_at=utc(year, 6))
        requests_of_first_sync(sandbox)


OLDER_THAN_THEY_SEEM: dict[str, list[Record]] = {
    "changed before the oldest id was created": [
        {"id": 1, "created-at": utc(2025), "updated-at": utc(2025)},
        {"id": 2, "created-at": utc(2010), "updated-at": utc(2012)},
        {"id": 3, "created-at": utc(2010), "updated-at": utc(2024)},
    ],
    "the oldest id was imported last": [
        {"id": 1, "created-at": utc(2026, 11, 20), "updated-at": utc(2026, 11, 20)},
        *(
            {"id": id, "created-at": utc(2000 + id), "updated-at": utc(2000 + id, 7)}
            for id in range(7, 25)
        ),
    ],
    "changed before it was created": [
        {"id": 1, "created-at": utc(2025), "updated-at": utc(2009)},
    ],
    "a second before the oldest id was created": [
        {"id": 1, "created-at": utc(2020), "updated-at": utc(2026)},
        {"id": 2, "created-at": utc(2020), "updated-at": utc(2020) - timedelta(seconds=1)},
    ],
    "just when the oldest id was created": [
        {"id": 1, "created-at": utc(2020), "updated-at": utc(2026)},
        {"id": 2, "created-at": utc(2020), "updated-at": utc(2020)},
    ],
    "created in the future": [
        {"id": 1, "created-at": utc(2031), "updated-at": utc(2016)},
        {"id": 2, "created-at": utc(2031), "updated-at": utc(2026)},
    ],
    "creation unknown": [
        {"id": 1, "created-at": None, "updated-at": utc(2024)},
        {"id": 2, "created-at": utc(2010), "updated-at": utc(2011)},
    ],
    "creation without zone": [
        {"id": 1, "created-at": "2024-01-01T00:00:00", "updated-at": utc(2024)},
        {"id": 2, "created-at": utc(2010), "updated-at": utc(2011)},
    ],
}


@pytest.mark.parametrize("rows", OLDER_THAN_THEY_SEEM.values(), ids=OLDER_THAN_THEY_SEEM)
@pytest.mark.parametrize("order", ["id", "shuffled"])
def test_a_wrong_guess_of_the_first_year_loses_nothing(
    present: Present, rows: list[Record], order: str
) -> None:
    """Where the order of an instance is not by id, any record may be the one that is looked at."""
    dialect = UNLIMITED.but(order_by_id="ignored" if order == "shuffled" else "honoured")
    dialect = dialect.but(default_order="shuffled" if order == "shuffled" else "id")
    with Sandbox({}, dialect=dialect, clock=present) as sandbox:
        for row in rows:
            sandbox.tables["users"].add(row)
        assert len(truth(sandbox, "users")) == len(rows)
        requests_of_first_sync(sandbox)


def test_a_start_date_long_ago_is_no_more_work(present: Present) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        users.add(created_at=utc(2026, 8), updated_at=utc(2026, 8))
        output = run_read(sandbox, ["users"], start_date="1990-01-01T00:00:00Z")
        assert_whole(output, sandbox, ["users"])
        assert len(sandbox.requests_for("users")) <= SURVEY + RECENT_WINDOWS + 2


def test_records_before_a_start_date_are_not_taken_for_the_first(present: Present) -> None:
    """The request that looks for the first record stays within the start date too."""
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        users.add(created_at=utc(2008), updated_at=utc(2008))
        users.add(created_at=utc(2026, 8), updated_at=utc(2026, 8))
        run_read(sandbox, ["users"], start_date="2010-01-01T00:00:00Z")
        asked = sandbox.requests_for("users")
        assert len(asked) <= SURVEY + RECENT_WINDOWS + 2
        assert all(r.query["updated_at[gt_or_eq]"] >= "2010" for r in asked)


def test_a_hiccup_while_looking_for_the_first_record_loses_nothing(
    present: Present, waits: object
) -> None:
    with Sandbox({"users": 60}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(
            Fault("html_200", times=2, when=lambda r: is_probe(r.query)),
            Fault("status", status=503, times=2, when=lambda r: is_probe(r.query)),
        )
        requests_of_first_sync(sandbox)


@pytest.mark.parametrize("fault", ["html_200", "status"])
def test_a_first_record_that_cannot_be_found_spares_nothing_and_loses_nothing(
    present: Present, waits: object, fault: str
) -> None:
    """A query without lower bound may take an instance too long. It is tried for one window, not
    for each: the years would wait for one another."""
    with Sandbox({"users": 60}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(Fault(fault, status=504, when=lambda r: is_probe(r.query)))
        requests_of_first_sync(sandbox)
        assert len([r for r in sandbox.requests_for("users") if is_probe(r.query)]) < 10


@pytest.mark.parametrize("more", [0, 60])
def test_a_record_that_is_edited_while_the_sync_looks_around_comes_with_the_next(
    present: Present, more: int
) -> None:
    """Whether the list is short, so that its records are kept, or not."""
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        old = users.add(created_at=utc(2010), updated_at=utc(2010))
        for minute in range(more + 1):
            users.add(created_at=utc(2024), updated_at=utc(2024) + timedelta(minutes=minute))

        def edit_before_second_request(_: Sandbox, request: object) -> None:
            if len(sandbox.requests_for("users")) == 2:
                users.edit(old, updated_at=present.now + timedelta(seconds=5))

        sandbox.before_each(edit_before_second_request)
        first = run_read(sandbox, ["users"])
        sandbox.callbacks.clear()
        present.pass_by(minutes=1)
        second = run_read(sandbox, ["users"], state=final_states(first))
        assert [r["id"] for r in records_by_stream(first)["users"]].count(old) <= 1
        last = {r["id"]: r for run in (first, second) for r in records_by_stream(run)["users"]}
        assert last == truth(sandbox, "users")


def is_probe(query: dict[str, str]) -> bool:
    """Whether a request looks for the last record of all, or for any before the first."""
    return query["limit"] == "1" and "updated_at[gt_or_eq]" not in query
