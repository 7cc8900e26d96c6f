"""Whatever an instance makes of the parameters: every record, or an error that says why not.

Coupa documents `order_by`, `dir`, `limit`, `offset` and the operators of filters, but not how an
instance meets `order_by=id` or `id[gt]`, nor that all serve pages of 50.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import records_by_stream, run_read
from integration_tests.sandbox import (
    Dialect,
    Fault,
    RequestRecord,
    Sandbox,
    interesting_dialects,
)
from source_coupa.reading.coupa_list import ListReader
from source_coupa.reading.pages import PageReader
from source_coupa.transport.scheduler import Fetchers

from .conftest import Present
from .truth import (
    COMPLETE,
    UNLIMITED,
    assert_whole,
    ids,
    last_status,
    messages_of,
    truth,
)

pytestmark = pytest.mark.usefixtures("no_budget")

PLAYS = ("honoured", "ignored", "refused")

OUT_OF_ORDER = (
    "Coupa does not list /api/users in order of id, so that records could be missed: the stream "
    "was stopped."
)

ONE_BY_ONE = (
    "Coupa honours no id filters on /api/users and sends its records one by one, so that some "
    "could be missed: the stream was stopped."
)

# What a list of several pages gives. An instance that honours `order_by` always gives all; without
# it the default order decides. What becomes of `id[gt]` makes no difference to the result.
#   order_by=id    default order  ->  id[gt] honoured, ignored, refused
OUTCOMES = {
    ("honoured", "id"): None,
    ("honoured", "updated_at"): None,
    ("honoured", "shuffled"): None,
    ("ignored", "id"): None,
    ("ignored", "updated_at"): OUT_OF_ORDER,
    ("ignored", "shuffled"): OUT_OF_ORDER,
    ("refused", "id"): None,
    ("refused", "updated_at"): OUT_OF_ORDER,
    ("refused", "shuffled"): OUT_OF_ORDER,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """130 users in one window, their update times in no order."""
    with Sandbox({}, dialect=UNLIMITED, clock=Present()) as sandbox:
        now = Present().now
        for number in range(130):
            changed = now - timedelta(days=2, minutes=number * 7919 % 1000)
            sandbox.tables["users"].add(id=100 + number * 3, updated_at=changed)
        yield sandbox


def read_users(sandbox: Sandbox, dialect: Dialect) -> EntrypointOutput:
    """A sync of one window."""
    sandbox.dialect = dialect
    sandbox.requests.clear()
    return run_read(sandbox, ["users"], start_date="2026-11-01T00:00:00Z")


@pytest.mark.usefixtures("present")
@pytest.mark.parametrize("id_filter", PLAYS)
@pytest.mark.parametrize(("order", "default"), OUTCOMES)
def test_a_sync_brings_all_or_says_why_not(
    sandbox: Sandbox, order: Any, default: Any, id_filter: Any
) -> None:
    dialect = UNLIMITED.but(order_by_id=order, default_order=default, id_filter=id_filter)
    output = read_users(sandbox, dialect)
    expected = OUTCOMES[order, default]
    if expected is None:
        assert_whole(output, sandbox, ["users"])
    else:
        assert set(messages_of(output)) >= {expected}
        assert_failed(output)


@pytest.mark.parametrize("cap", [50, 25, 10])
@pytest.mark.parametrize("id_filter", PLAYS)
@pytest.mark.parametrize(("order", "default"), OUTCOMES)
def test_pages_of_any_size_give_the_same(
    sandbox: Sandbox, order: Any, default: Any, id_filter: Any, cap: int
) -> None:
    sandbox.dialect = UNLIMITED.but(
        order_by_id=order,
        default_order=default,
        id_filter=id_filter,
        page_cap=cap,
    )
    expected = OUTCOMES[order, default]
    if expected is None:
        assert read_list(sandbox) == sandbox.tables["users"].ids()
    else:
        assert outcome_of(sandbox) == expected


@pytest.mark.parametrize(
    ("cap", "count"),
    [(50, 0), (50, 1), (50, 50), (50, 51), (50, 100), (10, 9), (10, 10), (10, 11), (10, 51)],
)
@pytest.mark.parametrize("id_filter", ["honoured", "refused"])
@pytest.mark.parametrize(("order", "default"), OUTCOMES)
def test_lists_of_any_length_are_whole_or_an_error(
    order: Any, default: Any, id_filter: Any, count: int, cap: int
) -> None:
    dialect = UNLIMITED.but(
        order_by_id=order, default_order=default, id_filter=id_filter, page_cap=cap
    )
    with Sandbox({"users": count}, dialect=dialect, size={"users": 300}) as sandbox:
        outcome = outcome_of(sandbox)
        if OUTCOMES[order, default] is None or count <= 1 or isinstance(outcome, list):
            assert outcome == sandbox.tables["users"].ids()
        else:
            assert outcome == OUT_OF_ORDER


@pytest.mark.parametrize("name", [name for name in interesting_dialects() if "token" not in name])
def test_each_dialect_alone(present: Present, name: str) -> None:
    dialect = interesting_dialects()[name].but(rate_limit=None)
    moment = present.now - timedelta(days=300)
    with Sandbox(
        {"users": 130}, dialect=dialect, spread=[moment, present.now - timedelta(days=1)]
    ) as sandbox:
        output = run_read(sandbox, ["users"])
        if name in ERRORS:
            assert ERRORS[name] in messages_of(output)
            assert_failed(output)
        elif name != "times in one zone per answer":
            assert_whole(output, sandbox, ["users"])
        else:
            read = ids(records_by_stream(output)["users"])
            assert sorted(read) == list(truth(sandbox, "users"))


ERRORS = {
    "order_by=id ignored, shuffled": OUT_OF_ORDER,
    "updated_at ignored": (
        "Coupa does not apply the filter on updated_at to /api/users, so that changes cannot be "
        "told: the stream was stopped."
    ),
    "updated_at refused": (
        "Coupa refuses the query for /api/users (HTTP 400): updated_at[lt] is not supported."
    ),
}


def test_an_instance_that_wants_smaller_limits_is_told_so(present: Present) -> None:
    dialect = UNLIMITED.but(over_cap="refused", page_cap=20)
    with Sandbox({"users": 130}, dialect=dialect, clock=present) as sandbox:
        output = run_read(sandbox, ["users"])
        assert (
            "Coupa refuses the query for /api/users (HTTP 400): limit must be at most 20."
            in messages_of(output)
        )
        assert_failed(output)


@pytest.mark.usefixtures("present")
@pytest.mark.parametrize(
    "id_filter",
    ["honoured", "refused"],
)
def test_a_limit_on_offsets_is_no_loss(sandbox: Sandbox, id_filter: Any) -> None:
    output = read_users(sandbox, UNLIMITED.but(max_offset=60, id_filter=id_filter))
    if id_filter == "honoured":
        assert_whole(output, sandbox, ["users"])
    else:
        assert_failed(output)


@pytest.mark.usefixtures("present")
def test_offsets_that_are_ignored_end_in_an_error(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without id filters too, nothing leads beyond the first page; the read must not go on for
    ever either."""
    monkeypatch.setattr("integration_tests.sandbox.query._offset", lambda text, dialect: 0)
    output = read_users(sandbox, UNLIMITED.but(id_filter="ignored"))
    assert (
        "Coupa honours neither id filters nor offsets on /api/users, so that the list cannot be "
        "read beyond its first page." in messages_of(output)
    )
    assert_failed(output)
    assert len(sandbox.requests_for("users")) < 30


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("id_filter", PLAYS)
@pytest.mark.parametrize(("order", "default"), OUTCOMES)
def test_pages_of_one_record_are_whole_or_an_error(
    order: Any, default: Any, id_filter: Any, count: int
) -> None:
    dialect = UNLIMITED.but(
        order_by_id=order, default_order=default, id_filter=id_filter, page_cap=1
    )
    with Sandbox({"users": count}, dialect=dialect, size={"users": 300}) as sandbox:
        outcome = outcome_of(sandbox)
        if count <= 1 or (order == id_filter == "honoured"):
            assert outcome == sandbox.tables["users"].ids()
        elif id_filter != "honoured":
            assert outcome in (OUT_OF_ORDER, ONE_BY_ONE)
        else:
            assert outcome in (OUT_OF_ORDER, ONE_BY_ONE, sandbox.tables["users"].ids())
        assert len(sandbox.requests_for("users")) < 30


def test_a_record_that_enters_while_the_end_is_looked_at_is_no_reason_to_stop() -> None:
    dialect = UNLIMITED.but(id_filter="ignored", page_cap=20)
    with Sandbox({"users": 41}, dialect=dialect, size={"users": 300}) as sandbox:
        users = sandbox.tables["users"]

        def enter(_: Sandbox, request: RequestRecord) -> None:
            if request.query.get("offset") == "41" and len(users) == 41:
                users.add()

        sandbox.before_each(enter)
        assert read_list(sandbox) == users.ids()
        assert len(users) == 42


@pytest.mark.parametrize("displaced", [0, 5, 49, 50, 70, 127])
@pytest.mark.parametrize("cap", [50, 25])
def test_a_record_out_of_an_order_that_else_is_that_of_ids_is_not_lost(
    displaced: int, cap: int
) -> None:
    """Ordered by update time, a table whose records are hardly ever edited looks ordered by id."""
    dialect = UNLIMITED.but(order_by_id="ignored", default_order="updated_at", page_cap=cap)
    with Sandbox({}, dialect=dialect, clock=Present()) as sandbox:
        users, start = sandbox.tables["users"], updated_like_ids(sandbox)
        users.edit(100 + displaced, updated_at=start + timedelta(minutes=128, seconds=30))
        assert outcome_of(sandbox) in (users.ids(), OUT_OF_ORDER)


@pytest.mark.parametrize("displaced", [0, 5, 49, 50, 70, 120])
@pytest.mark.parametrize("shrinks", [1, 5, 20])
def test_nor_is_it_lost_where_the_list_gets_shorter_meanwhile(displaced: int, shrinks: int) -> None:
    """A look beyond as many records as were read then finds nothing."""
    dialect = UNLIMITED.but(order_by_id="refused", default_order="updated_at")
    with Sandbox({}, dialect=dialect, clock=Present()) as sandbox:
        users, start = sandbox.tables["users"], updated_like_ids(sandbox)
        users.edit(100 + displaced, updated_at=start + timedelta(minutes=128, seconds=30))

        def shorten(_: Sandbox, request: object) -> None:
            if len(sandbox.requests_for("users")) == 4:
                for number in range(21, 21 + shrinks):
                    users.delete(100 + number)

        sandbox.before_each(shorten)
        outcome = outcome_of(sandbox)
        assert outcome == OUT_OF_ORDER or set(outcome or ()) >= set(users.ids())


def test_nor_is_it_taken_for_the_record_before_it_that_has_left() -> None:
    """It then begins the page that should begin with the last record of the page before."""
    dialect = UNLIMITED.but(order_by_id="refused", default_order="updated_at")
    with Sandbox({}, dialect=dialect, clock=Present()) as sandbox:
        users, start = sandbox.tables["users"], updated_like_ids(sandbox)
        users.edit(120, updated_at=start + timedelta(minutes=50, seconds=30))
        left = 100 + 50  # the last one of the first page, which 120 is not on

        def leave(_: Sandbox, request: RequestRecord) -> None:
            if "offset" in request.query and users.row(left) is not None:
                users.delete(left)

        sandbox.before_each(leave)
        assert outcome_of(sandbox) == OUT_OF_ORDER
        assert users.row(left) is None


def test_a_page_reached_by_going_back_ends_no_list_by_being_shorter_than_others() -> None:
    """One answer holds more than a page, and records leave: the walk goes back by as many, to pages
    on which nothing is new."""
    dialect = UNLIMITED.but(id_filter="ignored", page_cap=20)
    with Sandbox({}, dialect=dialect, clock=Present()) as sandbox:
        users = sandbox.tables["users"]
        updated_like_ids(sandbox)
        sandbox.faults.add(Fault("over_page", times=1, after=4))

        def leave(_: Sandbox, request: RequestRecord) -> None:
            if int(request.query.get("offset", 0)) > 70 and len(users) == 130:
                for number in range(3):
                    users.delete(100 + number)

        sandbox.before_each(leave)
        read = read_list(sandbox)
        assert len(users) == 127
        assert set(read) >= set(users.ids())


def test_records_that_enter_a_list_whose_order_is_not_proven_are_no_reason_to_stop() -> None:
    """All users were changed in the same second, so that ids and times ascend alike; one is edited
    and the list, which has it already, is longer than what was read."""
    with Sandbox({}, dialect=UNLIMITED, clock=Present()) as sandbox:
        users = sandbox.tables["users"]
        then = Present().now - timedelta(days=2)
        old = users.add(id=100, updated_at=then - timedelta(days=300))
        for number in range(1, 130):
            users.add(id=100 + number, updated_at=then)

        def enter(_: Sandbox, request: RequestRecord) -> None:
            if len(sandbox.requests_for("users")) == 4:
                users.edit(old, updated_at=then + timedelta(minutes=1))

        sandbox.before_each(enter)
        read = read_list(sandbox, {"updated_at[gt_or_eq]": then.strftime("%Y-%m-%dT%H:%M:%SZ")})
        assert set(read) == set(users.ids())
        again = [r for r in sandbox.requests_for("users") if "offset" in r.query]
        assert len(again) < 3, "the order shows on the first page that has the edited record"


@pytest.mark.parametrize("looks_first", [False, True])
def test_a_newest_record_that_leaves_is_no_proof_that_the_order_is_ignored(
    looks_first: bool,
) -> None:
    """The list seems to end before its first page does, whether that is met while the list is read
    or while both of its ends are looked at."""
    dialect = UNLIMITED.but(default_order="shuffled")
    with Sandbox({"users": 50}, dialect=dialect) as sandbox:
        table = sandbox.tables["users"]

        def leave(_: Sandbox, request: RequestRecord) -> None:
            if request.query.get("dir") == "desc" and len(table) == 50:
                wait_for_first_page(sandbox)
                table.delete(table.ids()[-1])

        sandbox.before_each(leave)
        with users_of(sandbox) as users:
            if looks_first:
                assert not users.overview({}).is_whole
            assert set(ids_in(users, {})) >= set(table.ids())
        assert len(table) == 49
        assert any(request.query.get("dir") == "asc" for request in sandbox.requests)


def test_a_list_that_all_records_leave_teaches_nothing_about_id_filters() -> None:
    dialect = UNLIMITED.but(id_filter="ignored")
    with Sandbox({"users": 50}, dialect=dialect, size={"users": 300}) as sandbox:
        table = sandbox.tables["users"]

        def leave(_: Sandbox, request: RequestRecord) -> None:
            if "id[gt]" in request.query and len(table) == 50:
                for id_ in table.ids():
                    table.delete(id_)

        sandbox.before_each(leave)
        with users_of(sandbox) as users:
            assert len(ids_in(users, {})) == 50
            assert len(table) == 0
            for _ in range(120):
                table.add()
            assert ids_in(users, {}) == table.ids()


@pytest.mark.usefixtures("cut_often")
@pytest.mark.parametrize("fields", PLAYS)
@pytest.mark.parametrize("max_offset", [None, 120])
@pytest.mark.parametrize("cap", [50, 25])
@pytest.mark.parametrize("unknown", ["ignored", "refused"])
def test_ranges_are_read_in_full_however_an_instance_tells_where_to_cut(
    fields: Any,
    max_offset: int | None,
    cap: int,
    unknown: Any,
) -> None:
    dialect = UNLIMITED.but(
        fields=fields, max_offset=max_offset, page_cap=cap, unknown_parameter=unknown
    )
    with Sandbox({"users": 900}, dialect=dialect, size={"users": 300}) as sandbox:
        assert read_list(sandbox) == sandbox.tables["users"].ids()
        asked = sandbox.requests_for("users")
        assert any("fields" in request.query for request in asked)
        assert any("id[lt_or_eq]" in request.query for request in asked)


@pytest.mark.usefixtures("present")
def test_what_was_learned_about_an_instance_is_not_asked_again(sandbox: Sandbox) -> None:
    read_users(sandbox, UNLIMITED.but(order_by_id="refused", id_filter="refused"))
    refused = [r for r in sandbox.requests_for("users") if r.status == 400]
    assert len([r for r in refused if "order_by" in r.query]) <= 2
    assert len([r for r in refused if "id[gt]" in r.query]) <= 1


def read_list(sandbox: Sandbox, filters: Mapping[str, str] | None = None) -> list[int]:
    """The ids of all users that match `filters`, read without the CDK."""
    with users_of(sandbox) as users:
        return ids_in(users, filters or {})


def ids_in(users: ListReader, filters: Mapping[str, str]) -> list[int]:
    """The ids that the reader finds."""
    return sorted(record["id"] for page in users.read(filters) for record in page)


@contextmanager
def users_of(sandbox: Sandbox) -> Iterator[ListReader]:
    """A reader that knows nothing about the instance yet."""
    session = requests.Session()
    config = sandbox.config()
    answer = session.post(
        f"{sandbox.url}/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": config["client_id"],
            "client_secret": config["client_secret"],
            "scope": "core.user.read",
        },
    )
    headers = {
        "Accept": "application/json",
        "Authorization": f"Bearer {answer.json()['access_token']}",
    }
    pages = PageReader(
        resource="users",
        send=lambda query: session.get(f"{sandbox.url}/api/users", params=query, headers=headers),
    )
    with session:
        yield ListReader(pages=pages, fetchers=Fetchers(6, 20))


def wait_for_first_page(sandbox: Sandbox) -> None:
    """Until a page of ascending ids was answered."""
    deadline = time.monotonic() + 10
    while not any(r.query.get("dir") == "asc" and r.rows for r in sandbox.requests):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def updated_like_ids(sandbox: Sandbox) -> datetime:
    """Adds 130 users, each changed a minute after the one before; gives the time of the first."""
    start = Present().now - timedelta(days=2)
    for number in range(130):
        sandbox.tables["users"].add(id=100 + number, updated_at=start + timedelta(minutes=number))
    return start


def outcome_of(sandbox: Sandbox) -> list[int] | str | None:
    """The ids that `read_list` finds, or the sentence with which it fails."""
    try:
        return read_list(sandbox)
    except AirbyteTracedException as error:
        return error.message


def assert_failed(output: EntrypointOutput) -> None:
    """The stream says that it is not complete, and each error is a sentence for the connector's
    maintainers: no setting can mend it."""
    assert last_status(output, "users") != COMPLETE
    assert output.errors
    for error in output.errors[:-1]:
        assert error.trace is not None
        assert error.trace.error is not None
        assert error.trace.error.failure_type == FailureType.system_error
        assert error.trace.error.message is not None
        assert error.trace.error.message.endswith(".")
