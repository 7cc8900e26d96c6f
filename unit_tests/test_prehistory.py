"""A first sync without start date asks little about the years before the first record.

Records older than the windows, or than their own creation by the lowest id suggests, are read all
the same: years are passed over only where an answer proved that they are empty.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from integration_tests.harness import ALL_STREAMS, run_read
from integration_tests.sandbox import Fault, Record, Sandbox

from .conftest import Present
from .truth import UNLIMITED, assert_whole, instant, truth

pytestmark = pytest.mark.usefixtures("no_budget")

STEP = timedelta(days=90)
ALL_WINDOWS = 85
"""Windows from 2006 to the time that the tests take for now."""

PROBES = 2
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
        sandbox.tables["users"].add(created_at=utc(2026, 8), updated_at=utc(2026, 8))
        requests_of_first_sync(sandbox)
        probes = [r for r in sandbox.requests_for("users") if is_probe(r.query)]
        assert len(probes) == PROBES


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
        assert len(sandbox.requests_for("users")) <= PROBES + RECENT_WINDOWS + 2


def test_records_before_a_start_date_are_not_taken_for_the_first(present: Present) -> None:
    """The request that looks for the first record stays within the start date too."""
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        users.add(created_at=utc(2008), updated_at=utc(2008))
        users.add(created_at=utc(2026, 8), updated_at=utc(2026, 8))
        run_read(sandbox, ["users"], start_date="2010-01-01T00:00:00Z")
        asked = sandbox.requests_for("users")
        assert len(asked) <= PROBES + RECENT_WINDOWS + 2
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


def test_a_record_that_is_edited_while_the_sync_looks_for_the_first_is_not_lost(
    present: Present,
) -> None:
    """It leaves the old years for a window that is read later, or for the next sync."""
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        users = sandbox.tables["users"]
        old = users.add(created_at=utc(2010), updated_at=utc(2010))
        users.add(created_at=utc(2024), updated_at=utc(2024))

        def edit_before_second_request(_: Sandbox, request: object) -> None:
            if len(sandbox.requests_for("users")) == 2:
                users.edit(old, updated_at=utc(2026, 3))

        sandbox.before_each(edit_before_second_request)
        requests_of_first_sync(sandbox)
        assert instant(truth(sandbox, "users")[old]) == utc(2026, 3)


def is_probe(query: dict[str, str]) -> bool:
    return query["limit"] == "1" and query["dir"] == "asc"
