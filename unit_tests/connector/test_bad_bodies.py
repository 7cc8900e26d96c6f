"""A response with status 200 that is no list of records is no end of the list.

It is asked for again, which helps after a hiccup, and then reported. No such response may end in
"no records" and COMPLETE: the destination would take that for the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import records_by_stream, run_read
from integration_tests.sandbox import Fault, RequestRecord, Sandbox
from integration_tests.truth import (
    COMPLETE,
    UNLIMITED,
    assert_whole,
    ids,
    last_status,
    messages_of,
    truth,
)
from unit_tests.conftest import Present, Waits

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

START = "2026-11-01T00:00:00Z"

NO_LISTS: dict[str, tuple[str, Fault]] = {
    "a web page": ("a web page", Fault("html_200")),
    "XML": ("XML", Fault("xml_200")),
    "half of the JSON": ("invalid JSON", Fault("invalid_json")),
    "nothing": ("an empty page", Fault("empty_body")),
    "blanks": ("an empty page", Fault("status", status=200, body=" \n ")),
    "an object around the list": ("a JSON object", Fault("object")),
    "null": ("a JSON null", Fault("null")),
    "an empty object": ("a JSON object", Fault("status", status=200, body="{}")),
    "an error as an object": (
        "a JSON object",
        Fault("status", status=200, body='{"errors":{"user":["Something went wrong"]}}'),
    ),
    "a string": ("a JSON string", Fault("status", status=200, body='"[]"')),
    "a number": ("a JSON value", Fault("status", status=200, body="0")),
    "false": ("a JSON value", Fault("status", status=200, body="false")),
    "numbers": ("a list with other things than objects", Fault("status", status=200, body="[7]")),
    "lists": ("a list with other things than objects", Fault("status", status=200, body="[[]]")),
    "null in a list": (
        "a list with other things than objects",
        Fault("status", status=200, body="[null]"),
    ),
    "text before the list": ("invalid JSON", Fault("status", status=200, body="ok []")),
    "two lists": ("invalid JSON", Fault("status", status=200, body="[][]")),
}

BROKEN_OFF = {
    "less than its length says": Fault("truncated"),
    "a connection that ends midway": Fault("drop_midway"),
    "no response at all": Fault("drop"),
}

WRONG_ORDER = {
    "descending": Fault("unordered"),
    "a record twice": Fault("duplicated"),
}

HARMLESS = {
    "more records than asked for": Fault("over_page"),
    "a list that is called a web page": Fault("wrong_content_type"),
}


def first_page(request: RequestRecord) -> bool:
    return (
        request.query["limit"] == "50"
        and "id[gt]" not in request.query
        and not without_time(request)
    )


def later_page(request: RequestRecord) -> bool:
    return request.query["limit"] == "50" and "id[gt]" in request.query


def proof(request: RequestRecord) -> bool:
    """The request that proves the filter on update times."""
    return "updated_at[lt]" in request.query


def without_time(request: RequestRecord) -> bool:
    """The request for records without an update time."""
    return "updated_at[blank]" in request.query


PLACES: dict[str, Callable[[RequestRecord], bool]] = {
    "first page": first_page,
    "later page": later_page,
    "proof": proof,
    "without time": without_time,
}

EACH_SOMEWHERE = [
    (seen, fault, place)
    for (seen, fault), place in zip(NO_LISTS.values(), cycle(PLACES.values()), strict=False)
]
"""Each bad response, dealt out over the places."""


@pytest.fixture
def sandbox(present: Present) -> Sandbox:
    """130 users in one window; the tests start it."""
    moment = present.now - timedelta(days=2)
    return Sandbox({"users": 130}, dialect=UNLIMITED, spread=[moment], clock=present)


def read_users(sandbox: Sandbox) -> EntrypointOutput:
    return run_read(sandbox, ["users"], start_date=START)


@pytest.mark.parametrize(("seen", "fault", "place"), EACH_SOMEWHERE, ids=NO_LISTS)
def test_one_bad_response_costs_a_request_and_no_record(
    sandbox: Sandbox,
    waits: Waits,
    seen: str,
    fault: Fault,
    place: Callable[[RequestRecord], bool],
) -> None:
    with sandbox:
        sandbox.faults.add(at(fault, place, times=1))
        output = read_users(sandbox)
        assert_whole(output, sandbox, ["users"])
        assert output.is_in_logs(
            f"asking for 25 records|Coupa sends {seen} instead of a JSON list for /api/users"
        )
        assert sum(request.fault is not None for request in sandbox.requests) == 1
        assert waits.slept


@pytest.mark.parametrize(("seen", "fault"), NO_LISTS.values(), ids=NO_LISTS)
def test_bad_responses_that_stay_are_an_error(sandbox: Sandbox, seen: str, fault: Fault) -> None:
    with sandbox:
        sandbox.faults.add(at(fault, lambda request: True, after=3))
        output = read_users(sandbox)
        assert messages_of(output)[0] == (
            f"Coupa sends {seen} instead of a JSON list for /api/users: check in a browser "
            "whether the instance is up, then sync again."
        )
        assert_failed(output, FailureType.transient_error)
        assert sum(request.fault is not None for request in sandbox.requests) < 100


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("fault", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_responses_that_break_off_are_asked_for_again(
    sandbox: Sandbox, fault: Fault, place: Callable[[RequestRecord], bool]
) -> None:
    with sandbox:
        sandbox.faults.add(at(fault, place, times=2))
        assert_whole(read_users(sandbox), sandbox, ["users"])


@pytest.mark.parametrize("fault", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_responses_that_always_break_off_are_an_error(sandbox: Sandbox, fault: Fault) -> None:
    with sandbox:
        sandbox.faults.add(at(fault, lambda request: "id[gt]" in request.query))
        assert_failed(read_users(sandbox), FailureType.transient_error)


@pytest.mark.parametrize("place", [first_page, later_page])
@pytest.mark.parametrize("fault", WRONG_ORDER.values(), ids=WRONG_ORDER)
def test_a_page_in_wrong_order_is_an_error(
    sandbox: Sandbox, fault: Fault, place: Callable[[RequestRecord], bool]
) -> None:
    with sandbox:
        sandbox.faults.add(at(fault, place, times=1))
        output = read_users(sandbox)
        assert messages_of(output)[0] == (
            "Coupa does not list /api/users in order of id, and records could be missed: the "
            "stream was stopped."
        )
        assert_failed(output, FailureType.system_error)


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("fault", HARMLESS.values(), ids=HARMLESS)
def test_what_is_only_odd_is_read(sandbox: Sandbox, fault: Fault, times: int | None) -> None:
    with sandbox:
        sandbox.faults.add(at(fault, lambda request: True, times=times))
        assert_whole(read_users(sandbox), sandbox, ["users"])


@pytest.mark.parametrize("fault", [f for _, f in NO_LISTS.values()], ids=NO_LISTS)
def test_no_bad_response_makes_a_table_look_empty(present: Present, fault: Fault) -> None:
    """Nor do they make the years before the first record look empty."""
    with Sandbox({"users": 30}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.faults.add(at(fault, lambda request: True))
        output = run_read(sandbox, ["users"], start_date="2025-03-01T00:00:00Z")
        assert not output.records
        assert_failed(output, FailureType.transient_error)


@pytest.mark.usefixtures("cut_often")
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_bad_responses_among_good_ones_lose_nothing(present: Present, rate: float) -> None:
    """Whichever requests they hit, those that look for places to divide a list included."""
    with Sandbox(
        {"users": 900}, dialect=UNLIMITED, size={"users": 300}, spread="mass_update", clock=present
    ) as sandbox:
        each = rate / 4
        sandbox.faults.add(
            Fault("html_200", rate=each),
            Fault("null", rate=each),
            Fault("truncated", rate=each),
            Fault("drop", rate=each),
            # few requests may meet none of the others
            Fault("html_200", times=1),
        )
        output = run_read(sandbox, ["users"])
        assert any(request.fault for request in sandbox.requests)
        read = ids(records_by_stream(output)["users"])
        assert len(read) == len(set(read))
        if last_status(output, "users") == COMPLETE:
            assert sorted(read) == list(truth(sandbox, "users"))
        else:
            assert output.errors


def at(fault: Fault, place: Callable[[RequestRecord], bool], **options: Any) -> Fault:
    """The fault on requests of `place` alone."""
    return replace(fault, resource="users", when=place, **options)


def assert_failed(output: EntrypointOutput, failure: FailureType) -> None:
    assert last_status(output, "users") != COMPLETE
    trace = output.errors[0].trace
    assert trace is not None
    assert trace.error is not None
    assert trace.error.failure_type == failure
    assert trace.error.message is not None
    assert trace.error.message.endswith(".")
