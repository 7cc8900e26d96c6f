"""Records that cannot be synced safely stop their stream with a message that says why.

An administrator can make an API response filter the default of a resource, which then trims every
response in silence (Coupa's article on response filters): the user can fix that. Records with an id
or a time of another kind are nothing a user can fix.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteErrorTraceMessage, FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import (
    ALL_STREAMS,
    RESOURCE_OF,
    final_states,
    records_by_stream,
    run_read,
)
from integration_tests.sandbox import Fault, RequestRecord, Sandbox
from integration_tests.truth import (
    COMPLETE,
    UNLIMITED,
    assert_stream_whole,
    assert_whole,
    cursors,
    ids,
    last_status,
)
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

ROWS = dict.fromkeys(RESOURCE_OF.values(), 70)
START_DATE = "2026-11-01T00:00:00Z"


@pytest.fixture
def sandbox(present: Present) -> Sandbox:
    """70 rows in one window; the tests start it."""
    moment = present.now - timedelta(days=2)
    return Sandbox(ROWS, dialect=UNLIMITED, spread=[moment], clock=present)


@pytest.mark.parametrize("stream", ALL_STREAMS)
@pytest.mark.parametrize(
    ("kept", "lacking"),
    [
        ({"updated-at", "status"}, "id"),
        ({"id", "created-at", "status"}, "updated_at"),
        ({"status"}, "id"),
    ],
)
def test_a_response_filter_that_cuts_off_too_much_is_named(
    sandbox: Sandbox, stream: str, kept: set[str], lacking: str
) -> None:
    resource = RESOURCE_OF[stream]
    sandbox.dialect = UNLIMITED.but(response_filter={resource: frozenset(kept)})
    with sandbox:
        output = run_read(sandbox, start_date=START_DATE)
        assert failure_of(output, stream) == (
            f"Records of /api/{resource} come without {lacking}: an API response filter in Coupa "
            "cuts it off, the default one of the list or that of the settings. Add "
            f"{lacking} to that filter, or name another one for the stream in the settings "
            "(Filters).",
            FailureType.config_error,
        )
        assert stream not in cursors(output), "the state did not move"
        for other in ALL_STREAMS:
            if other != stream:
                assert_stream_whole(output, sandbox, other)


def test_a_response_filter_that_leaves_id_and_cursor_is_fine(sandbox: Sandbox) -> None:
    kept = frozenset({"id", "updated-at", "login"})
    sandbox.dialect = UNLIMITED.but(response_filter={"users": kept})
    with sandbox:
        output = run_read(sandbox, ["users"], start_date=START_DATE)
        assert last_status(output, "users") == COMPLETE
        read = records_by_stream(output)["users"]
        assert len(read) == 70
        assert {key for record in read for key in record} == {"id", "updated_at", "login"}


@pytest.mark.parametrize("is_later", [False, True], ids=["first page", "second page"])
def test_one_record_without_its_id_is_enough(sandbox: Sandbox, is_later: bool) -> None:
    def is_meant(request: RequestRecord) -> bool:
        is_page = request.query["limit"] == "50" and "updated_at[blank]" not in request.query
        return is_page and ("id[gt]" in request.query) == is_later

    with sandbox:
        sandbox.faults.add(Fault("missing_id", resource="invoices", times=1, when=is_meant))
        output = run_read(sandbox, ["invoices"], start_date=START_DATE)
        sentence, failure = failure_of(output, "invoices")
        assert "Records of /api/invoices come without id: " in str(sentence)
        assert failure == FailureType.config_error


def test_one_record_without_its_cursor_comes_like_all_others(sandbox: Sandbox) -> None:
    """Coupa prints times that are null; where others have theirs, no filter cuts them off."""
    with sandbox:
        fault = Fault(
            "missing_cursor",
            resource="invoices",
            times=1,
            when=lambda request: request.query.get("dir") == "asc",
        )
        sandbox.faults.add(fault)
        output = run_read(sandbox, ["invoices"])
        assert last_status(output, "invoices") == COMPLETE
        read = records_by_stream(output)["invoices"]
        assert sorted(ids(read)) == sandbox.tables["invoices"].ids()
        assert sum("updated_at" not in record for record in read) == 1


@pytest.mark.parametrize("id", ['"17"', "17.0", "true", "[]", "{}", '""'])
def test_an_id_that_is_no_whole_number_stops_the_stream(sandbox: Sandbox, id: str) -> None:
    body = f'[{{"id": {id}, "updated-at": "2026-11-19T12:00:00Z"}}]'
    with sandbox:
        sandbox.faults.add(Fault("status", resource="users", status=200, body=body))
        output = run_read(sandbox, ["users"], start_date=START_DATE)
        assert failure_of(output, "users") == (
            "Coupa sent a record of /api/users whose id is no whole number.",
            FailureType.system_error,
        )
        assert not output.records


@pytest.mark.parametrize(
    "time",
    [
        '"yesterday"',
        '""',
        '"2026-11-19"',
        '"2026-11-19T12:00:00"',
        '"11/19/2026 12:00 PM"',
        '"2026-13-19T12:00:00Z"',
        "1763553600",
        "true",
        "[]",
        "{}",
    ],
)
def test_a_cursor_that_is_no_time_stops_the_stream(sandbox: Sandbox, time: str) -> None:
    body = f'[{{"id": 17, "updated-at": {time}}}]'
    with sandbox:
        sandbox.faults.add(Fault("status", resource="users", status=200, body=body))
        output = run_read(sandbox, ["users"], start_date=START_DATE)
        assert failure_of(output, "users") == (
            "Coupa sent a record of /api/users whose updated_at is no date and time with time "
            "zone.",
            FailureType.system_error,
        )
        assert not output.records


@pytest.mark.parametrize(
    "time",
    ["2026-11-19T12:00:00Z", "2026-11-19T12:00:00+05:30", "2026-11-19T12:00:00.250-08:00"],
)
def test_a_cursor_in_any_form_that_coupa_prints_is_read(present: Present, time: str) -> None:
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.tables["users"].add(updated_at=time)
        output = run_read(sandbox, ["users"], start_date=START_DATE)
        assert_whole(output, sandbox, ["users"])


@pytest.mark.parametrize("days", [300, 20], ids=["long ago", "a while ago"])
def test_an_instance_that_ignores_the_filter_on_update_times_is_found_out(
    present: Present, days: int
) -> None:
    """Otherwise each sync would bring the whole table, and the state would mean nothing."""
    dialect: Any = UNLIMITED.but(updated_at_filter="ignored", blank_time="refused")
    moments = [present.now - timedelta(days=days), present.now - timedelta(days=1)]
    with Sandbox({"users": 60}, dialect=dialect, spread=moments, clock=present) as sandbox:
        first = run_read(sandbox, ["users"])
        assert_whole(first, sandbox, ["users"])
        output = run_read(sandbox, ["users"], final_states(first))
        assert failure_of(output, "users") == (
            "Coupa does not apply the filter on updated_at to /api/users, and changes could be "
            "missed: the stream was stopped.",
            FailureType.system_error,
        )


def failure_of(output: EntrypointOutput, stream: str) -> tuple[str | None, FailureType | None]:
    """The first error of a read, which failed this stream."""
    assert last_status(output, stream) != COMPLETE
    traces: list[AirbyteErrorTraceMessage] = [
        error.trace.error for error in output.errors if error.trace and error.trace.error
    ]
    return traces[0].message, traces[0].failure_type
