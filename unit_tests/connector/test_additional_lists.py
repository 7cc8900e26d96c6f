"""Lists that the settings name are read as those of the manifest are, with the same guards.

Requests for them go to the configured host, below /api/, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import (
    check,
    discover,
    final_states,
    records_by_stream,
    run_read,
)
from integration_tests.sandbox import CUSTOM_OBJECTS, Fault, Sandbox
from integration_tests.truth import (
    COMPLETE,
    INCOMPLETE,
    UNLIMITED,
    as_message,
    ids,
    last_status,
    messages_of,
)
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

ROWS = 130
SHIPS: Mapping[str, Any] = {
    "name": "spaceships",
    "path": CUSTOM_OBJECTS,
    "scope": "core.common.read",
}


@pytest.fixture
def sandbox(present: Present) -> Iterator[Sandbox]:
    """Spaceships, which are a custom object, and users."""
    rows = {CUSTOM_OBJECTS: ROWS, "users": 20}
    with Sandbox(rows, dialect=UNLIMITED, clock=present) as sandbox:
        yield sandbox


def read(
    sandbox: Sandbox, *lists: Mapping[str, Any], after: EntrypointOutput | None = None, **more: Any
) -> EntrypointOutput:
    sandbox.requests.clear()
    state = final_states(after) if after is not None else None
    return run_read(sandbox, ["spaceships"], state, additional_lists=list(lists), **more)


def brought(output: EntrypointOutput) -> list[int]:
    return sorted(ids(records_by_stream(output).get("spaceships", [])))


def status_of(sandbox: Sandbox, *lists: Mapping[str, Any], **more: Any) -> str:
    """The message of a connection test; "" if it succeeds."""
    config = sandbox.config(additional_lists=list(lists), **more)
    return str(check(config).connection_status.get("message", ""))


def catalog_of(sandbox: Sandbox, *lists: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    run = discover(sandbox.config(additional_lists=list(lists), **more))
    (message,) = run.of_type("CATALOG")
    return {stream["name"]: stream for stream in message["catalog"]["streams"]}


def test_it_is_read_whole_and_then_what_changed(sandbox: Sandbox, present: Present) -> None:
    table = sandbox.tables[CUSTOM_OBJECTS]
    first = read(sandbox, SHIPS)
    assert messages_of(first) == []
    assert records_by_stream(first)["spaceships"] == [as_message(r) for r in table.records()]
    assert last_status(first, "spaceships") == COMPLETE
    present.pass_by(days=3)
    table.edit(table.id_at(7), {"spaceship-name": "Pequod"})
    second = read(sandbox, SHIPS, after=first)
    assert table.id_at(7) in brought(second)
    assert len(brought(second)) < 5
    assert {request.path for request in sandbox.requests} == {
        f"/api/{CUSTOM_OBJECTS}",
        "/oauth2/token",
    }


def test_one_without_update_times_is_read_in_full(sandbox: Sandbox) -> None:
    for id_ in sandbox.tables[CUSTOM_OBJECTS].ids():
        sandbox.tables[CUSTOM_OBJECTS].edit(id_, {"updated-at": None}, touch=False)
    full = {**SHIPS, "incremental": False}
    first = read(sandbox, full, start_date="2026-11-20T00:00:00Z")
    assert len(brought(first)) == ROWS
    assert brought(read(sandbox, full, after=first)) == brought(first)


def test_discover_shows_its_columns(sandbox: Sandbox) -> None:
    streams = catalog_of(sandbox, SHIPS)
    ships = streams["spaceships"]
    columns = ships["json_schema"]["properties"]
    assert {"id", "updated_at", "spaceship_name", "top_speed", "created_by"} <= columns.keys()
    assert columns["additional_fields"]["type"] == ["null", "object"]
    assert ships["source_defined_primary_key"] == [["id"]]
    assert ships["default_cursor_field"] == ["updated_at"]
    assert len(streams) == len(catalog_of(sandbox)) + 1
    full = catalog_of(sandbox, {**SHIPS, "incremental": False})["spaceships"]
    assert full["supported_sync_modes"] == ["full_refresh"]


def test_fields_without_a_column_are_kept(sandbox: Sandbox) -> None:
    columns = {"spaceships": ["id", "updated_at", "created_at", "top_speed", "additional_fields"]}
    output = read(sandbox, SHIPS, columns=columns)
    for record in records_by_stream(output)["spaceships"]:
        assert record["additional_fields"]["spaceship_name"].startswith("Ship ")
        assert "top_speed" in record


def test_it_can_be_filtered(sandbox: Sandbox) -> None:
    docked = [{"stream": "spaceships", "filter": "is-docked=true"}]
    output = read(sandbox, SHIPS, filters=docked)
    expected = [r["id"] for r in sandbox.tables[CUSTOM_OBJECTS].records() if r["is-docked"]]
    assert messages_of(output) == []
    assert brought(output) == expected
    assert 0 < len(expected) < ROWS
    assert status_of(sandbox, SHIPS, filters=docked) == ""


def test_it_is_refused_in_disorder(sandbox: Sandbox) -> None:
    sandbox.dialect = UNLIMITED.but(order_by_id="ignored", default_order="shuffled")
    output = read(sandbox, SHIPS)
    assert "in order of id" in messages_of(output)[0]
    assert last_status(output, "spaceships") == INCOMPLETE


def test_a_path_may_be_pasted(sandbox: Sandbox) -> None:
    for path in (f"/api/{CUSTOM_OBJECTS}", f" api/{CUSTOM_OBJECTS}\n", f"/{CUSTOM_OBJECTS}"):
        assert len(brought(read(sandbox, {**SHIPS, "path": path}))) == ROWS


PATH = "The path of an additional list must be that of a list below /api/"
NAME = "The name of an additional list must be lower case letters"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({"path": path}, PATH)
            for path in (
                "https://evil.example/api/users",
                "//evil.example/users",
                "/\\evil.example",
                "users?x=1",
                "users#x",
                "../oauth2/token",
                "users/../suppliers",
                "users/%2e%2e/x",
                "users/.",
                "users//1",
                "users/",
                "@evil.example",
                ":8080/users",
                "users\\..",
                "us ers",
                "users\nHost: evil.example",
                "{{ config['client_secret'] }}",
                "\u00fcsers",
                "api/api/",
                "",
                None,
                5,
            )
        ),
        *(
            ({"name": name}, NAME)
            for name in ("Spaceships", "1a", "a b", "a-b", "a;drop", "a" * 64, "", None, 5)
        ),
        *(
            ({"scope": scope}, "The scope of an additional list must be")
            for scope in ("a b", "a,b", "{{ 1 }}", "", None, 5)
        ),
        ({"incremental": "yes"}, "Incremental must be true or false"),
        ({"name": "invoices"}, "there is already a stream invoices"),
        ({"name": "invoice_lines"}, "there is already a stream invoice_lines"),
        ({"path": "invoices"}, "the stream invoices reads /api/invoices already"),
        ({"path": "Purchase-Orders"}, "the stream purchase_orders reads"),
    ],
)
def test_a_wrong_entry_is_refused_before_any_request(
    sandbox: Sandbox, change: dict[str, Any], message: str
) -> None:
    assert message in status_of(sandbox, {**SHIPS, **change})
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("change", [{"path": "other_things"}, {"name": "other_ships"}])
def test_two_entries_have_two_names_and_two_lists(sandbox: Sandbox, change: dict[str, Any]) -> None:
    message = status_of(sandbox, SHIPS, {**SHIPS, **change})
    assert message.startswith("Additional lists: ")
    assert len(sandbox.requests) == 0


def test_a_list_that_is_wrong_fails_a_sync_at_once(sandbox: Sandbox) -> None:
    output = read(sandbox, {**SHIPS, "name": "users"})
    assert "there is already a stream users" in messages_of(output)[0]
    assert len(sandbox.requests) == 0


def test_the_connection_test_tries_each(sandbox: Sandbox) -> None:
    assert status_of(sandbox, SHIPS) == ""
    assert sandbox.requests_for(CUSTOM_OBJECTS)
    unknown = {**SHIPS, "path": "no_such_list"}
    assert "does not offer /api/no_such_list (HTTP 404)" in status_of(sandbox, unknown)
    one = {**SHIPS, "path": f"users/{sandbox.tables['users'].id_at(0)}"}
    assert "Coupa sends no JSON list for /api/users/" in status_of(sandbox, one)
    no_scope = {**SHIPS, "scope": "core.no_such.read"}
    assert "lacks the scope core.no_such.read" in status_of(sandbox, no_scope)


def test_the_connection_test_finds_lists_without_what_is_needed(sandbox: Sandbox) -> None:
    for kept, message in (
        ({"id"}, "Turn Incremental off for the additional list spaceships"),
        ({"updated-at"}, f"Records of /api/{CUSTOM_OBJECTS} come without id"),
    ):
        sandbox.dialect = UNLIMITED.but(response_filter={CUSTOM_OBJECTS: frozenset(kept)})
        assert message in status_of(sandbox, SHIPS)
        sandbox.dialect = UNLIMITED


@pytest.mark.parametrize("id_", ["\x1b[2J", "12", 1.5, True, [1], {}])
def test_the_connection_test_finds_lists_whose_ids_are_no_numbers(
    sandbox: Sandbox, id_: object
) -> None:
    body = json.dumps([{"id": id_, "updated-at": "2024-01-01T00:00:00Z", "name": "x"}])
    sandbox.faults.add(Fault("status", status=200, body=body, resource=CUSTOM_OBJECTS))
    filters = [{"stream": "spaceships", "filter": "name=y"}]
    assert status_of(sandbox, SHIPS, filters=filters) == (
        f"Coupa sent a record of /api/{CUSTOM_OBJECTS} whose id is no whole number."
    )


def test_a_list_that_is_ill_keeps_no_other_from_its_end(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("status", resource=CUSTOM_OBJECTS, status=404))
    output = run_read(sandbox, ["spaceships", "users"], additional_lists=[SHIPS])
    assert last_status(output, "users") == COMPLETE
    assert last_status(output, "spaceships") == INCOMPLETE


def test_a_scope_that_the_client_lacks_hides_this_list_alone(sandbox: Sandbox) -> None:
    no_scope = {**SHIPS, "scope": "core.no_such.read"}
    assert catalog_of(sandbox, no_scope).keys() == catalog_of(sandbox).keys()


@pytest.mark.usefixtures("present")
def test_it_does_not_change_what_is_read_of_others(sandbox: Sandbox) -> None:
    first = run_read(sandbox, ["users"])
    second = run_read(sandbox, ["users"], final_states(first), additional_lists=[SHIPS])
    assert len(records_by_stream(second).get("users", [])) < 20
