"""Whatever an instance makes of the parameters: every record, or an error that says why not.

Coupa documents `order_by`, `dir`, `limit` and the operators of filters, but not how an instance
meets `order_by=id` or `id[gt]`, nor that all serve pages of 50. What is documented is relied on,
and each instance that does otherwise has to be found out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest
from airbyte_cdk.models import AirbyteStateMessage
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import final_states, records_by_stream, run_read
from integration_tests.sandbox import Dialect, Sandbox, interesting_dialects
from integration_tests.truth import (
    COMPLETE,
    UNLIMITED,
    as_message,
    ids,
    instant,
    last_status,
    messages_of,
    truth,
)
from unit_tests.conftest import Present
from unit_tests.failing import traces

pytestmark = pytest.mark.usefixtures("no_budget", "waits", "present")

PLAYS = ("honoured", "ignored", "refused")
ORDERS = ("id", "updated_at", "shuffled")

OUT_OF_ORDER = (
    "Coupa does not list /api/users in order of id, and records could be missed: the stream "
    "was stopped."
)

DIALECTS: dict[str, Dialect] = {
    **{
        name: dialect.but(rate_limit=None)
        for name, dialect in interesting_dialects().items()
        if "token" not in name
    },
    "no rows are 404": UNLIMITED.but(no_match="not_found"),
    "some rows are hidden": UNLIMITED.but(hidden_every=3),
    "pages of one": UNLIMITED.but(page_cap=1),
    "blank times ignored": UNLIMITED.but(blank_time="ignored"),
    "blank times refused": UNLIMITED.but(blank_time="refused"),
    "filters in another zone, east": UNLIMITED.but(filter_zone=2),
    "filters in another zone, west": UNLIMITED.but(filter_zone=-8),
    "neither filters on times nor blank": UNLIMITED.but(
        updated_at_filter="refused", blank_time="refused"
    ),
    "neither order nor filters on times": UNLIMITED.but(
        order_by_id="refused", updated_at_filter="refused"
    ),
}

STOPS = {
    "large limit refused",
    "order_by=id ignored, ordered by updated_at",
    "order_by=id ignored, shuffled",
    "id ranges ignored",
    "id ranges refused",
    "updated_at ignored",
    "filters in another zone, east",
    "filters in another zone, west",
}
"""What may stop a stream; all others have to be read."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """130 users, their update times in no order."""
    with Sandbox({}, dialect=UNLIMITED, clock=Present()) as sandbox:
        now = Present().now
        for number in range(130):
            changed = now - timedelta(days=2, minutes=number * 7919 % 1000)
            sandbox.tables["users"].add(id=100 + number * 3, updated_at=changed)
        yield sandbox


@pytest.mark.parametrize(("order", "default", "id_filter"), list(product(PLAYS, ORDERS, PLAYS)))
@pytest.mark.parametrize("cap", [50, 25])
def test_a_sync_brings_all_or_says_why_not(
    sandbox: Sandbox, order: str, default: str, id_filter: str, cap: int
) -> None:
    sandbox.dialect = UNLIMITED.but(
        order_by_id=order, default_order=default, id_filter=id_filter, page_cap=cap
    )
    sandbox.requests.clear()
    output = run_read(sandbox, ["users"], start_date="2026-11-01T00:00:00Z")
    is_served = id_filter == "honoured" and (order == "honoured" or default == "id")
    assert_all_or_why_not(output, sandbox, must_bring_all=is_served)
    if order == "ignored" and default != "id":
        assert messages_of(output)[0] == OUT_OF_ORDER
    assert len(sandbox.requests_for("users")) < 30, "no instance keeps it busy for ever"


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_alone(present: Present, name: str, count: int) -> None:
    """In a first sync, and in one that goes on from its state."""
    dialect = DIALECTS[name]
    if name == "large limit refused":
        dialect = dialect.but(page_cap=20)
    with Sandbox({"users": count}, dialect=dialect, clock=present) as sandbox:
        users = sandbox.tables["users"]
        first = run_read(sandbox, ["users"], lookback_window_hours=0)
        stops = name in STOPS
        assert_all_or_why_not(first, sandbox, must_bring_all=not stops)
        present.pass_by(hours=1)
        new = {users.add(updated_at=present.now - timedelta(minutes=5)) for _ in range(30)}
        new |= set(users.edit_many(min(count, 3), touch=True))
        state = final_states(first)
        output = run_read(sandbox, ["users"], state, lookback_window_hours=0)
        if last_status(output, "users") == COMPLETE:
            came = set(ids(records_by_stream(output).get("users", [])))
            assert {id for id in new if is_shown(id, dialect)} <= came
        else:
            assert stops
            assert all(error.message.endswith(".") for error in traces(output))


def test_an_instance_that_wants_smaller_limits_is_reported(present: Present) -> None:
    dialect = UNLIMITED.but(over_cap="refused", page_cap=20)
    with Sandbox({"users": 130}, dialect=dialect, clock=present) as sandbox:
        assert messages_of(run_read(sandbox, ["users"]))[0] == (
            "Coupa refuses the query for /api/users (HTTP 400): limit must be at most 20."
        )


@pytest.mark.usefixtures("cut_often")
@pytest.mark.parametrize("fields", PLAYS)
@pytest.mark.parametrize("max_offset", [None, 120])
@pytest.mark.parametrize("cap", [50, 25])
@pytest.mark.parametrize("unknown", ["ignored", "refused"])
def test_ranges_are_read_in_full_however_an_instance_tells_where_to_cut(
    fields: str, max_offset: int | None, cap: int, unknown: str
) -> None:
    dialect = UNLIMITED.but(
        fields=fields, max_offset=max_offset, page_cap=cap, unknown_parameter=unknown
    )
    with Sandbox({"users": 900}, dialect=dialect, size={"users": 300}) as sandbox:
        output = run_read(sandbox, ["users"])
        assert_all_or_why_not(output, sandbox, must_bring_all=True)
        assert any(r.query.get("dir") == "desc" for r in sandbox.requests_for("users"))


def test_what_was_learned_about_an_instance_is_not_asked_again(sandbox: Sandbox) -> None:
    sandbox.dialect = UNLIMITED.but(order_by_id="refused")
    sandbox.requests.clear()
    assert_all_or_why_not(run_read(sandbox, ["users"]), sandbox, must_bring_all=True)
    refused = [r for r in sandbox.requests_for("users") if r.status == 400]
    assert 0 < len(refused) <= 3


@pytest.mark.parametrize("zone", [-8.0, 2.0, 5.5])
def test_filters_that_are_read_in_another_zone_are_found_out_at_once(
    sandbox: Sandbox, zone: float
) -> None:
    """Later syncs would miss what was changed in the hours between."""
    sandbox.dialect = UNLIMITED.but(filter_zone=zone)
    output = run_read(sandbox, ["users"])
    assert messages_of(output)[0] == (
        "Coupa does not find a record of /api/users by its own update time, and changes would "
        "be missed: sync the stream in full refresh mode, without a start date."
    )
    assert not any(has_time(state) for state in final_states(output))


def assert_all_or_why_not(
    output: EntrypointOutput, sandbox: Sandbox, *, must_bring_all: bool
) -> None:
    """The read brought every record once, or failed with messages and promises nothing."""
    expected = {
        id: instant(as_message(record))
        for id, record in truth(sandbox, "users").items()
        if is_shown(id, sandbox.dialect)
    }
    if last_status(output, "users") == COMPLETE:
        assert messages_of(output) == []
        read = records_by_stream(output).get("users", [])
        assert sorted(ids(read)) == list(expected)
        assert {record["id"]: instant(record) for record in read} == expected
        return
    assert not must_bring_all, messages_of(output)
    assert all(error.message.endswith(".") for error in traces(output))
    assert not any(has_time(state) for state in final_states(output))


def is_shown(id: int, dialect: Dialect) -> bool:
    return not dialect.hidden_every or id % dialect.hidden_every != 0


def has_time(message: AirbyteStateMessage) -> bool:
    """Whether a state promises that everything up to some time was read."""
    assert message.stream is not None
    return "updated_at" in vars(message.stream.stream_state)
