"""A row that changes while `updated_at` of its record stays arrives with the next sync."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import final_states, records_by_stream, run_read
from integration_tests.sandbox import Fault, RequestRecord, Sandbox
from integration_tests.truth import (
    COMPLETE,
    INCOMPLETE,
    UNLIMITED,
    cursors,
    last_status,
    messages_of,
    truth_of,
)
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

TABLES = ("invoices", "invoice_lines", "invoice_line_allocations", "invoice_charges")
LINES, ALLOCATIONS = "invoice-lines", "invoice-lines.account-allocations"


def invoices(present: Present, **switches: Any) -> Sandbox:
    return Sandbox({"invoices": 130}, dialect=UNLIMITED.but(**switches), clock=present)


def with_rows(sandbox: Sandbox, path: str, least: int = 1) -> list[int]:
    """The ids of invoices with at least so many rows."""
    outer, _, inner = path.partition(".")
    return [
        record["id"]
        for record in sandbox.tables["invoices"].records()
        if sum(len(row.get(inner) or ()) if inner else 1 for row in record[outer]) >= least
    ]


def changed_since(
    sandbox: Sandbox, present: Present, *paths: str, tables: tuple[str, ...] = TABLES
) -> tuple[EntrypointOutput, list[int]]:
    """A first sync, then a row of one invoice changes at each path; the second sync, and which
    invoices these are."""
    first = run_read(sandbox, tables)
    assert messages_of(first) == []
    present.pass_by(hours=6)
    ids = []
    for number, path in enumerate(paths):
        ids.append(with_rows(sandbox, path)[number])
        sandbox.tables["invoices"].edit_row(ids[-1], path, amount=f"{number}.01")
    present.pass_by(minutes=1)
    sandbox.requests.clear()
    return run_read(sandbox, tables, final_states(first), lookback_window_hours=0), ids


def is_watch(request: RequestRecord) -> bool:
    return any("updated-at" in name for name in request.query)


def warnings(output: EntrypointOutput) -> list[str]:
    found = [m.log.message for m in output.logs if m.log and m.log.level.value == "WARN"]
    return [message for message in found if "cannot be asked for changes" in message]


@pytest.mark.parametrize("rows", ["all", "matching"])
@pytest.mark.parametrize("path", [LINES, ALLOCATIONS, "invoice-charges"])
def test_all_tables_of_the_list_get_the_record(present: Present, path: str, rows: str) -> None:
    with invoices(present, association_rows=rows) as sandbox:
        output, (id,) = changed_since(sandbox, present, path)
        assert messages_of(output) == []
        read = records_by_stream(output)
        for table in TABLES:
            key = "id" if table == "invoices" else "invoice_id"
            expected = [row for row in truth_of(sandbox, table) if row[key] == id]
            assert [row for row in read.get(table, []) if row[key] == id] == expected
            assert last_status(output, table) == COMPLETE
        assert not warnings(output)


def test_the_bookmark_does_not_move_and_the_next_sync_brings_it_again(present: Present) -> None:
    with invoices(present) as sandbox:
        first = run_read(sandbox, TABLES)
        output, (id,) = changed_since(sandbox, present, LINES)
        assert cursors(output) == cursors(first)
        again = run_read(sandbox, TABLES, final_states(output), lookback_window_hours=0)
        assert id in [row["id"] for row in records_by_stream(again)["invoices"]]


def test_one_request_is_sent_for_each_table_where_nothing_changed(present: Present) -> None:
    with invoices(present) as sandbox:
        output, _ = changed_since(sandbox, present)
        assert messages_of(output) == []
        asked = sandbox.requests_for("invoices")
        assert len([request for request in asked if is_watch(request)]) == len(TABLES) - 1
        assert len([request for request in asked if not is_watch(request)]) == 1


def test_a_table_that_is_not_selected_costs_no_request(present: Present) -> None:
    with invoices(present) as sandbox:
        changed_since(sandbox, present, LINES, tables=("invoices",))
        assert not list(filter(is_watch, sandbox.requests))


@pytest.mark.parametrize("play", ["ignored", "refused"])
def test_an_instance_that_cannot_be_asked_is_synced_all_the_same(
    present: Present, play: str
) -> None:
    with invoices(present, association_times=play) as sandbox:
        output, _ = changed_since(sandbox, present, LINES)
        assert messages_of(output) == []
        assert {last_status(output, table) for table in TABLES} == {COMPLETE}
        (line,) = warnings(output)
        assert "invoice-charges, invoice-lines, invoice-lines.account-allocations (" in line
        most = 1 if play == "ignored" else 2
        watches = list(filter(is_watch, sandbox.requests_for("invoices")))
        assert len(watches) <= most * (len(TABLES) - 1)


def test_a_question_that_fails_holds_the_state(present: Present) -> None:
    with invoices(present) as sandbox:
        first = run_read(sandbox, TABLES)
        present.pass_by(hours=6)
        id = with_rows(sandbox, LINES)[0]
        sandbox.tables["invoices"].edit_row(id, LINES, description="new")
        moved = sandbox.tables["invoices"].edit_many(1)
        present.pass_by(minutes=1)
        sandbox.faults.add(Fault("status", status=500, resource="invoices", when=is_watch))
        second = run_read(sandbox, TABLES, final_states(first), lookback_window_hours=0)
        assert {last_status(second, table) for table in TABLES} == {INCOMPLETE}
        assert set(moved) <= {row["id"] for row in records_by_stream(second)["invoices"]}
        sandbox.faults.clear()
        third = run_read(sandbox, TABLES, final_states(second), lookback_window_hours=0)
        assert messages_of(third) == []
        assert id in [row["id"] for row in records_by_stream(third)["invoices"]]


def test_remit_to_addresses_of_suppliers(present: Present) -> None:
    """What the field asks for."""
    streams = ("suppliers", "supplier_remit_to_addresses")
    with Sandbox({"suppliers": 60}, dialect=UNLIMITED, clock=present) as sandbox:
        table = sandbox.tables["suppliers"]
        first = run_read(sandbox, streams)
        id = next(r["id"] for r in table.records() if r.get("remit-to-addresses"))
        present.pass_by(hours=6)
        table.edit_row(id, "remit-to-addresses", city="Gdańsk")
        present.pass_by(hours=1)
        output = run_read(sandbox, streams, final_states(first), lookback_window_hours=0)
        read = records_by_stream(output)
        assert "Gdańsk" in [row["city"] for row in read["supplier_remit_to_addresses"]]
        (supplier,) = (row for row in read["suppliers"] if row["id"] == id)
        assert supplier["remit_to_addresses"][0]["city"] == "Gdańsk"
        assert any(
            "remit-to-addresses[updated-at][gt_or_eq]" in request.query
            for request in sandbox.requests_for("suppliers")
        )
