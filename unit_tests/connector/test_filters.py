"""The settings say what to read of a list: which records, by a filter, and which fields, by one of
Coupa's API response filters. Each request of the list has them, and the state knows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import SyncMode
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import (
    check,
    discover,
    final_states,
    records_by_stream,
    run_read,
    stream_state,
)
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import Dialect, Fault, Record, RequestRecord, Sandbox
from integration_tests.truth import COMPLETE, INCOMPLETE, UNLIMITED, ids, last_status, messages_of
from source_coupa.config import StreamFilter
from source_coupa.streams import StreamRow, filters_of
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

DOCS = Path(__file__).resolve().parents[2] / "docs/integrations/sources/coupa/filters.md"

ROWS = 130
APPROVED = "status[in]=approved,voided"
NOT_VOIDED = "status[not_eq]=voided"
RESPONSE_FILTER = "for_airbyte"
KEPT = frozenset({"id", "updated-at", "status", "invoice-number"})


@pytest.fixture
def sandbox(present: Present) -> Any:
    """Invoices and users; Coupa knows one API response filter of invoices."""
    dialect = UNLIMITED.but(response_filters={"invoices": {RESPONSE_FILTER: KEPT}})
    rows = {"invoices": ROWS, "users": 20, "users/:user_id/addresses": 60}
    changed = [present.now - timedelta(days=days) for days in (1, 2, 30, 100, 170)]
    with Sandbox(rows, dialect=dialect, spread=changed, clock=present) as sandbox:
        yield sandbox


def filters(
    filter: str = "", response_filter: str = "", stream: str = "invoices"
) -> list[dict[str, str]]:
    return [{"stream": stream, "filter": filter, "response_filter": response_filter}]


def read(
    sandbox: Sandbox,
    *streams: str,
    asked: list[dict[str, str]] | None = None,
    after: EntrypointOutput | None = None,
    **more: Any,
) -> EntrypointOutput:
    sandbox.requests.clear()
    state = final_states(after) if after is not None else None
    return run_read(sandbox, streams or ("invoices",), state, filters=asked, **more)


def brought(output: EntrypointOutput, stream: str = "invoices") -> list[int]:
    return sorted(ids(records_by_stream(output).get(stream, [])))


def news(output: EntrypointOutput, before: EntrypointOutput, stream: str = "invoices") -> list[int]:
    """The ids of records that a sync brought, and the one before did not; a sync repeats those of
    the time at which the last one ended."""
    known = records_by_stream(before).get(stream, [])
    return sorted(ids(r for r in records_by_stream(output).get(stream, []) if r not in known))


def those(sandbox: Sandbox, wanted: Callable[[Record], bool], path: str = "invoices") -> list[int]:
    return [record["id"] for record in sandbox.tables[path].records() if wanted(record)]


def is_approved(record: Record) -> bool:
    return record["status"] in ("approved", "voided")


def lists(sandbox: Sandbox, path: str = "invoices") -> list[RequestRecord]:
    return sandbox.requests_for(path)


def said(output: EntrypointOutput) -> str:
    return "\n".join(message.log.message for message in output.logs if message.log)


def test_only_what_meets_the_filter_is_read_and_each_request_has_it(sandbox: Sandbox) -> None:
    output = read(sandbox, "invoices", "invoice_lines", asked=filters(APPROVED))
    expected = those(sandbox, is_approved)
    assert messages_of(output) == []
    assert 0 < len(expected) < ROWS
    assert brought(output) == expected
    lines = records_by_stream(output)["invoice_lines"]
    assert {line["invoice_id"] for line in lines} <= set(expected)
    assert lists(sandbox)
    for request in lists(sandbox):
        assert request.query["status[in]"] == "approved,voided"


@pytest.mark.usefixtures("cut_often")
def test_a_long_list_is_cut_with_its_filter(present: Present) -> None:
    with Sandbox({"invoices": 900}, dialect=UNLIMITED, clock=present) as sandbox:
        output = read(sandbox, asked=filters(APPROVED))
        assert brought(output) == those(sandbox, is_approved)
        assert all("status[in]" in request.query for request in lists(sandbox))
        assert any("offset" in request.query for request in lists(sandbox)) or any(
            request.query.get("dir") == "desc" for request in lists(sandbox)
        )


def test_other_lists_are_read_as_ever(sandbox: Sandbox) -> None:
    output = read(sandbox, "invoices", "users", asked=filters(APPROVED))
    assert brought(output, "users") == sandbox.tables["users"].ids()
    assert not any("status[in]" in request.query for request in lists(sandbox, "users"))


def test_lists_below_records_are_those_of_records_that_meet_it(sandbox: Sandbox) -> None:
    output = read(sandbox, "user_addresses", asked=filters("active=true", stream="users"))
    active = set(those(sandbox, lambda user: user["active"] is True, "users"))
    assert messages_of(output) == []
    assert 0 < len(active) < 20
    below = lists(sandbox, "users/:user_id/addresses")
    assert {request.owner for request in below} <= active
    addresses = sandbox.tables["users"].below["addresses"]
    with_addresses = {id for id in active if addresses.rows_below(id)}
    assert {m.record.data["user_id"] for m in output.records if m.record} == with_addresses
    assert not any("active" in request.query for request in below)
    assert all(request.query["active"] == "true" for request in lists(sandbox, "users"))


def test_a_filter_goes_through_two_associations(sandbox: Sandbox) -> None:
    def codes(record: Record) -> list[str]:
        accounts = [line.get("account") or {} for line in record.get("invoice-lines") or []]
        return [account["code"] for account in accounts if "code" in account]

    found = [code for r in sandbox.tables["invoices"].records() for code in codes(r)]
    output = read(sandbox, asked=filters(f"invoice-lines[account][code]={found[0]}"))
    assert brought(output) == those(sandbox, lambda record: found[0] in codes(record))


def test_the_filters_of_the_docs_page_bring_what_it_says(present: Present) -> None:
    """The examples of the table, each read from a list in which some records meet it."""
    met: dict[str, dict[str, Any]] = {
        "invoices": {"status": "approved"},
        "purchase_orders": {"supplier": {"id": 7, "name": "Acme"}},
        "expense_lines": {"created-at": "2024-02-01T00:00:00+02:00"},
        "lookup_values": {"lookup": {"id": 3, "name": "Project"}},
        "users": {"active": True},
    }
    unmet: dict[str, dict[str, Any]] = {
        "invoices": {"status": "draft"},
        "purchase_orders": {"supplier": {"id": 8, "name": "Acme Europe"}},
        "expense_lines": {"created-at": "2023-12-31T23:00:00Z"},
        "lookup_values": {"lookup": {"id": 4, "name": "Country"}},
        "users": {"active": False},
    }
    rows = re.findall(r"(?m)^\| `(\w+)` \| `(.+?)` \|", DOCS.read_text(encoding="utf-8"))
    assert sorted(stream for stream, _ in rows) == sorted(met)
    asked = [{"stream": stream, "filter": text} for stream, text in rows]
    with Sandbox(dict.fromkeys(met, 9), dialect=UNLIMITED, clock=present) as sandbox:
        for path, changes in unmet.items():
            for place, id_ in enumerate(sandbox.tables[path].ids()):
                sandbox.tables[path].edit(id_, changes if place % 3 else met[path], touch=False)
        output = run_read(sandbox, list(met), filters=asked)
        assert messages_of(output) == []
        for stream in met:
            expected = sandbox.tables[stream].ids()[::3]
            assert brought(output, stream) == expected, stream
        assert status_of(sandbox, asked) == ""


# --- API response filters ---


def test_a_response_filter_says_what_comes(sandbox: Sandbox) -> None:
    columns = {"invoices": ["id", "updated_at", "status"]}
    output = read(sandbox, asked=filters("", RESPONSE_FILTER), columns=columns)
    assert brought(output) == those(sandbox, lambda _: True)
    for record in records_by_stream(output)["invoices"]:
        assert record.keys() <= {"id", "updated_at", "status", "invoice_number"}
    for request in lists(sandbox):
        # both would say what comes
        assert ("fields" in request.query) != (request.query.get("filter") == RESPONSE_FILTER)
        assert request.query.get("fields", '["id"]') == '["id"]'


def test_a_response_filter_takes_the_place_of_a_default_one(sandbox: Sandbox) -> None:
    """Which message of the default one leads to."""
    sandbox.dialect = sandbox.dialect.but(response_filter={"invoices": frozenset({"id"})})
    output = read(sandbox)
    (message, _) = messages_of(output)
    assert "name another one for the stream in the settings (Filters)" in message
    output = read(sandbox, asked=filters("", RESPONSE_FILTER))
    assert messages_of(output) == []
    assert len(brought(output)) == ROWS


def test_discover_looks_through_the_filters(sandbox: Sandbox) -> None:
    for id_ in sandbox.tables["invoices"].ids():
        sandbox.tables["invoices"].edit(id_, {"brand-new": "x"}, touch=False)
    sandbox.dialect = sandbox.dialect.but(
        response_filter={"invoices": KEPT},
        response_filters={"invoices": {RESPONSE_FILTER: KEPT | {"brand-new"}}},
    )
    sandbox.requests.clear()
    for asked, has_it in (([], False), (filters(APPROVED, RESPONSE_FILTER), True)):
        run = discover(sandbox.config(filters=asked))
        (catalog,) = run.of_type("CATALOG")
        (invoices,) = (s for s in catalog["catalog"]["streams"] if s["name"] == "invoices")
        assert ("brand_new" in invoices["json_schema"]["properties"]) == has_it
    assert lists(sandbox)[-1].query["status[in]"] == "approved,voided"


# --- State ---


def test_the_next_sync_goes_on_with_the_same_filter(sandbox: Sandbox, present: Present) -> None:
    first = read(sandbox, asked=filters(APPROVED))
    present.pass_by(days=1)
    table = sandbox.tables["invoices"]
    entering = next(iter(those(sandbox, lambda record: not is_approved(record))))
    leaving, staying = those(sandbox, is_approved)[:2]
    table.edit(entering, status="approved")
    table.edit(leaving, status="draft")
    table.edit(staying, {"internal-note": "edited"})
    present.pass_by(minutes=1)
    again = "?status[in]=approved, voided"
    second = read(sandbox, asked=filters(again), after=first)
    assert news(second, first) == sorted([entering, staying])
    assert len(brought(second)) < len(brought(first))
    assert "was changed" not in said(second)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, filters(APPROVED)),
        (filters(APPROVED), None),
        (filters(APPROVED), filters(NOT_VOIDED)),
        (None, filters("", RESPONSE_FILTER)),
        (filters(APPROVED), filters(APPROVED, RESPONSE_FILTER)),
    ],
)
def test_a_changed_filter_starts_over_and_says_so(
    sandbox: Sandbox,
    present: Present,
    before: list[dict[str, str]] | None,
    now: list[dict[str, str]] | None,
) -> None:
    first = read(sandbox, "invoices", "invoice_lines", asked=before)
    present.pass_by(days=1)
    fresh = read(sandbox, asked=now)
    second = read(sandbox, "invoices", "invoice_lines", asked=now, after=first)
    assert messages_of(second) == []
    assert brought(second) == brought(fresh)
    assert "Stream invoices: its filter was changed" in said(second)
    third = read(sandbox, "invoices", "invoice_lines", asked=now, after=second)
    assert news(third, second) == []
    assert len(brought(third)) < len(brought(second))
    assert "was changed" not in said(third)


def test_a_table_that_is_added_under_another_filter_gets_all_of_it(
    sandbox: Sandbox, present: Present
) -> None:
    first = read(sandbox, "invoices", asked=filters(NOT_VOIDED))
    lines = read(sandbox, "invoice_lines", asked=filters(APPROVED))
    present.pass_by(days=1)
    states = [*final_states(first), *final_states(lines)]
    sandbox.requests.clear()
    both = run_read(sandbox, ["invoices", "invoice_lines"], states, filters=filters(APPROVED))
    assert brought(both) == those(sandbox, is_approved)
    assert news(both, lines, "invoice_lines") == []
    assert len(brought(both, "invoice_lines")) < len(brought(lines, "invoice_lines"))
    assert "Stream invoice_lines: its filter was changed" not in said(both)


@pytest.mark.parametrize("mode", [SyncMode.incremental, SyncMode.full_refresh])
def test_a_pass_under_way_does_not_go_on_under_another_filter(
    sandbox: Sandbox, mode: SyncMode
) -> None:
    beyond = Fault("status", status=503, when=lambda request: "id[gt]" in request.query)
    sandbox.faults.add(beyond)
    stopped = read(sandbox, asked=filters(NOT_VOIDED), sync_mode=mode)
    sandbox.faults.clear()
    (state,) = final_states(stopped)
    assert vars(state.stream.stream_state)["pass"]["done"]  # type: ignore[union-attr]
    output = read(sandbox, asked=filters(APPROVED), after=stopped, sync_mode=mode)
    assert brought(output) == those(sandbox, is_approved)
    again = read(sandbox, asked=filters(NOT_VOIDED), after=stopped, sync_mode=mode)
    others = those(sandbox, lambda record: record["status"] != "voided")
    assert 0 < len(brought(again)) < len(others), "the same filter goes on"


@pytest.mark.parametrize("filtered", [True, False])
def test_states_of_earlier_versions_mean_no_filter(
    sandbox: Sandbox, present: Present, filtered: bool
) -> None:
    moment = (present.now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S+0000")
    old = stream_state({"invoices": {"updated_at": moment}})
    output = run_read(sandbox, ["invoices"], old, filters=filters(APPROVED) if filtered else None)
    if filtered:
        assert brought(output) == those(sandbox, is_approved)
        assert "its filter was changed" in said(output)
    else:
        assert 0 < len(brought(output)) < ROWS
        assert "was changed" not in said(output)


def test_a_record_that_leaves_the_filter_is_not_taken_for_a_deleted_one(
    sandbox: Sandbox, present: Present
) -> None:
    columns = {"invoices": ["id", "updated_at", "status", "_ab_cdc_deleted_at"]}
    more: dict[str, Any] = {"columns": columns, "deleted_records_every_days": 1}
    first = read(sandbox, asked=filters(APPROVED), **more)
    present.pass_by(days=3)
    for id_ in those(sandbox, is_approved)[:3]:
        sandbox.tables["invoices"].edit(id_, status="draft")
    present.pass_by(days=3)
    second = read(sandbox, asked=filters(APPROVED), after=first, **more)
    assert messages_of(second) == []
    assert news(second, first) == []
    assert "a record that leaves the filter" in said(second)


# --- What Coupa makes of it ---


def test_an_ignored_filter_is_found_out(sandbox: Sandbox) -> None:
    sandbox.dialect = sandbox.dialect.but(ignored_filters=frozenset({"status"}))
    output = read(sandbox, "invoices", "users", asked=filters(APPROVED))
    message = messages_of(output)[0]
    assert re.match(
        r"Coupa does not apply the filter status\[in\] to /api/invoices: it sends record \d+, "
        "which does not meet it",
        message,
    )
    assert last_status(output, "invoices") == INCOMPLETE
    assert last_status(output, "users") == COMPLETE
    assert "does not apply the filter" in status_of(sandbox, filters(APPROVED))


def test_a_refused_filter_fails_its_list_alone(sandbox: Sandbox) -> None:
    sandbox.dialect = sandbox.dialect.but(unknown_parameter="refused")
    output = read(sandbox, "invoices", "users", asked=filters("no_such=1"))
    assert "no_such is not a valid attribute" in messages_of(output)[0]
    assert "which has the filter of the settings" in messages_of(output)[0]
    assert brought(output) == []
    assert last_status(output, "users") == COMPLETE
    assert len(brought(output, "users")) == 20


def status_of(sandbox: Sandbox, asked: list[dict[str, str]], **more: Any) -> str:
    """The message of a connection test; "" if it succeeds."""
    status = check(sandbox.config(filters=asked, **more)).connection_status
    assert (status["status"] == "FAILED") == ("message" in status)
    return str(status.get("message", ""))


def test_the_connection_test_tries_each_filter(sandbox: Sandbox) -> None:
    sandbox.dialect = sandbox.dialect.but(unknown_parameter="refused")
    assert status_of(sandbox, filters(APPROVED, RESPONSE_FILTER)) == ""
    assert {r.query.get("filter") for r in lists(sandbox)} >= {RESPONSE_FILTER}
    wrong = [*filters("no_such=1"), *filters("", "unheard_of", stream="users")]
    message = status_of(sandbox, wrong)
    assert "of the stream invoices (HTTP 400): no_such is not a valid attribute" in message
    assert "of the stream users (HTTP 400): unheard_of is not an API response filter" in message


def test_the_connection_test_finds_a_response_filter_that_trims_too_much(sandbox: Sandbox) -> None:
    for kept, field in (({"id"}, "updated_at"), ({"updated-at"}, "id")):
        sandbox.dialect = sandbox.dialect.but(
            response_filters={"invoices": {RESPONSE_FILTER: frozenset(kept)}}
        )
        message = status_of(sandbox, filters("", RESPONSE_FILTER))
        assert message.startswith(f"Records of /api/invoices come without {field}")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (filters("a=1", stream="no_such"), "entry 1: there is no stream of this name"),
        (filters("a=1", stream="invoice_lines"), "Enter invoices, whose filter holds for"),
        (filters("a=1", stream="user_addresses"), "Enter users, whose filter holds for"),
        ([*filters("a=1"), *filters("b=1")], "entry 2: invoices has a filter already"),
        (filters("updated-at[gt]=1"), "entry 1: the connector itself uses updated_at"),
        ([*filters(), {"filter": "a=1"}], "Filters must be a list with a stream"),
    ],
)
def test_a_wrong_entry_is_refused_before_any_request(
    sandbox: Sandbox, asked: list[dict[str, str]], message: str
) -> None:
    assert message in status_of(sandbox, asked)
    output = read(sandbox, asked=asked)
    assert message in messages_of(output)[0]
    assert len(sandbox.requests) == 0


def test_each_table_of_a_list_leads_to_the_stream_that_can_be_filtered() -> None:
    rows = [
        StreamRow(name=row.name, resource=row.resource, scopes=(), rows=row.rows or None)
        for row in STREAMS
        if not row.nested
    ]
    main = {row.resource: row.name for row in rows if row.is_main}
    for row in rows:
        asked = [StreamFilter(stream=row.name)]
        if row.is_main:
            assert filters_of(asked, rows).keys() == {row.resource}
            continue
        with pytest.raises(AirbyteTracedException, match=f"Enter {main[row.resource]}, whose"):
            filters_of(asked, rows)


def test_what_is_empty_is_left_out(sandbox: Sandbox) -> None:
    entry: Mapping[str, Any] = {"stream": "invoices", "filter": None, "response_filter": ""}
    output = run_read(sandbox, ["invoices"], filters=[entry])
    assert len(brought(output)) == ROWS
    assert status_of(sandbox, [dict(entry)]) == ""
    (state,) = final_states(output)
    assert "filter" not in json.dumps(vars(state.stream.stream_state))  # type: ignore[union-attr]


def test_a_dialect_without_order_keeps_the_filter(sandbox: Sandbox) -> None:
    refusing: Dialect = sandbox.dialect.but(order_by_id="refused")
    sandbox.dialect = refusing
    output = read(sandbox, asked=filters(APPROVED))
    assert brought(output) == those(sandbox, is_approved)
