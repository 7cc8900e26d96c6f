"""Child tables: a row for each object in a list that Coupa's records hold.

What they must bring is computed here from the sandbox's records, in other words than the
connector's.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteStateMessage
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import final_states, records_by_stream, run_read
from integration_tests.sandbox import Record, RequestRecord, Sandbox, interesting_dialects
from integration_tests.truth import COMPLETE, UNLIMITED, instant, last_status, messages_of, truth_of
from source_coupa.reading.field_selection import MOST_PROOFS
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

DOCS = Path(__file__).resolve().parents[2] / "docs" / "integrations" / "sources" / "coupa.md"

INVOICE_TABLES = ("invoice_lines", "invoice_line_allocations", "invoice_charges")


def truth(sandbox: Sandbox, stream: str) -> dict[int, Record]:
    """The rows of all invoices by id, as messages print them."""
    return {row["id"]: row for row in truth_of(sandbox, stream)}


def assert_whole(output: EntrypointOutput, sandbox: Sandbox, stream: str) -> None:
    """Every row came once and unchanged."""
    assert messages_of(output) == []
    read = records_by_stream(output).get(stream, [])
    expected = truth(sandbox, stream)
    assert sorted(row["id"] for row in read) == sorted(expected)
    for row in read:
        assert row == expected[row["id"]]
    assert last_status(output, stream) == COMPLETE


def invoices(present: Present, rows: int = 130, **options: Any) -> Sandbox:
    """A sandbox whose invoices changed within the last half year."""
    changed = [present.now - timedelta(days=days) for days in (1, 2, 30, 100, 170)]
    options = {"dialect": UNLIMITED, "spread": changed, "clock": present, **options}
    return Sandbox({"invoices": rows}, **options)


def read(
    sandbox: Sandbox,
    stream: str,
    state: list[AirbyteStateMessage] | None = None,
    **config: Any,
) -> EntrypointOutput:
    return run_read(sandbox, [stream], state, start_date="2026-01-01T00:00:00Z", **config)


@pytest.mark.parametrize("stream", INVOICE_TABLES)
def test_every_row_of_every_record_comes_once_and_unchanged(present: Present, stream: str) -> None:
    with invoices(present) as sandbox:
        output = read(sandbox, stream)
        assert_whole(output, sandbox, stream)
        parents = {row["invoice_id"] for row in records_by_stream(output)[stream]}
        assert len(parents) > 10, "hardly any parent has rows: this test tests nothing"


def test_rows_cost_no_requests_of_their_own(present: Present) -> None:
    with invoices(present) as sandbox:
        run_read(sandbox, ["invoices"], start_date="2026-01-01T00:00:00Z")
        for_invoices = len(sandbox.requests_for("invoices"))
        sandbox.requests.clear()
        assert_whole(read(sandbox, "invoice_line_allocations"), sandbox, "invoice_line_allocations")
        # one proves the columns; windows that are read at once may each confirm their ends
        assert len(sandbox.requests_for("invoices")) <= for_invoices + 1 + 3
        assert {request.resource for request in sandbox.requests} == {"invoices", "oauth"}


def test_only_the_list_is_asked_for_where_it_comes_as_in_full_records(present: Present) -> None:
    with invoices(present, 400, spread=[present.now - timedelta(days=1)]) as sandbox:
        output = read(sandbox, "invoice_lines")
        assert_whole(output, sandbox, "invoice_lines")
        asked = [request.query.get("fields") for request in sandbox.requests_for("invoices")]
        in_part = '["id","updated_at","invoice_lines"]'
        assert asked.count(in_part) > 5
        first, proof = asked.index(None), asked.index(in_part)
        assert first < proof


@pytest.mark.parametrize("nested_fields", ["ids", "refused"])
def test_rows_are_whole_where_the_list_alone_would_not_be(
    present: Present, nested_fields: Any
) -> None:
    with invoices(
        present,
        400,
        spread=[present.now - timedelta(days=1)],
        dialect=UNLIMITED.but(nested_fields=nested_fields),
    ) as sandbox:
        assert_whole(read(sandbox, "invoice_lines"), sandbox, "invoice_lines")
        asked = [r.query["fields"] for r in sandbox.requests_for("invoices") if "fields" in r.query]
        assert len([fields for fields in asked if "invoice_lines" in fields]) <= MOST_PROOFS


@pytest.mark.parametrize("name", [name for name in interesting_dialects() if "token" not in name])
def test_each_dialect_brings_all_rows_or_says_why_not(present: Present, name: str) -> None:
    dialect = interesting_dialects()[name].but(rate_limit=None)
    with invoices(present, dialect=dialect) as sandbox:
        output = read(sandbox, "invoice_lines")
        if messages := messages_of(output):
            assert "order_by=id ignored" in name or "id ranges" in name
            assert any("the stream was stopped" in m or "HTTP 400" in m for m in messages)
            assert last_status(output, "invoice_lines") != COMPLETE
        elif name in ("times in one zone per response", "updated_at ignored"):
            # times are printed in another way, or the list is read again without the filter
            rows = records_by_stream(output)["invoice_lines"]
            assert {row["id"] for row in rows} == truth(sandbox, "invoice_lines").keys()
        else:
            assert_whole(output, sandbox, "invoice_lines")


class Warehouse:
    """A database that keeps the newest row of each key, as destinations do."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.execute("create table invoices (id integer primary key, updated_at integer)")
        self._database.execute(
            "create table invoice_lines"
            " (id integer primary key, invoice_id integer, invoice_updated_at integer)"
        )

    def load(self, output: EntrypointOutput) -> None:
        streams = records_by_stream(output)
        for record in streams.get("invoices", []):
            self._database.execute(
                "replace into invoices values (?, ?)", (record["id"], seconds(record["updated_at"]))
            )
        for row in streams.get("invoice_lines", []):
            self._database.execute(
                "replace into invoice_lines values (?, ?, ?)",
                (row["id"], row["invoice_id"], seconds(row["invoice_updated_at"])),
            )

    def lines(self) -> set[int]:
        return {id for (id,) in self._database.execute("select id from invoice_lines")}

    def current_lines(self) -> set[int]:
        """What the query of the docs page finds."""
        queries = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
        (query,) = (query for query in queries if "invoice_lines" in query)
        return {row[0] for row in self._database.execute(query)}


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    database = sqlite3.connect(":memory:")
    yield Warehouse(database)
    database.close()


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def test_the_documented_query_finds_lines_that_left_their_invoice(
    present: Present, warehouse: Warehouse
) -> None:
    with invoices(present) as sandbox:
        table = sandbox.tables["invoices"]
        streams = ["invoices", "invoice_lines"]
        first = run_read(sandbox, streams, start_date="2026-01-01T00:00:00Z")
        warehouse.load(first)
        assert (
            warehouse.current_lines() == warehouse.lines() == set(truth(sandbox, "invoice_lines"))
        )
        present.pass_by(hours=1)
        several = [id for id in table.ids() if len(table.get(id)["invoice-lines"]) > 1]
        removed_first, removed_last, removed_all, untouched = several[:4]
        for id, kept in (
            (removed_first, slice(1, None)),
            (removed_last, slice(0, -1)),
            (removed_all, slice(0, 0)),
            (untouched, slice(None)),
        ):
            table.edit(id, {"invoice-lines": table.get(id)["invoice-lines"][kept]})
        present.pass_by(minutes=1)
        second = run_read(sandbox, streams, final_states(first), start_date="2026-01-01T00:00:00Z")
        warehouse.load(second)
        assert warehouse.current_lines() == set(truth(sandbox, "invoice_lines"))
        assert warehouse.lines() - warehouse.current_lines()


def test_three_syncs_under_live_edits_of_lines_together_give_the_truth(
    present: Present, warehouse: Warehouse
) -> None:
    random = Random(5)
    streams = ["invoices", "invoice_lines"]

    def edit_lines(sandbox: Sandbox, request: RequestRecord) -> None:
        table = sandbox.tables["invoices"]
        for id in random.sample(table.ids(), 3):
            lines = table.get(id)["invoice-lines"]
            if lines and random.random() < 0.5:
                lines.pop(random.randrange(len(lines)))
            else:
                lines.append({"id": 10**9 + random.randrange(10**6), "description": "new"})
            table.edit(id, {"invoice-lines": lines})

    with invoices(present) as sandbox:
        sandbox.before_each(edit_lines)
        state: list[AirbyteStateMessage] = []
        for _ in range(2):
            output = run_read(sandbox, streams, state, start_date="2026-01-01T00:00:00Z")
            assert messages_of(output) == []
            warehouse.load(output)
            state = final_states(output)
            present.pass_by(minutes=10)
        sandbox.callbacks.clear()
        warehouse.load(run_read(sandbox, streams, state, start_date="2026-01-01T00:00:00Z"))
        assert warehouse.current_lines() == set(truth(sandbox, "invoice_lines"))
        assert len(warehouse.lines()) > len(warehouse.current_lines()), "no line was removed"


def test_the_state_moves_over_records_without_rows(present: Present) -> None:
    with invoices(present, 60) as sandbox:
        table = sandbox.tables["invoices"]
        for id in table.ids():
            table.edit(id, {"invoice-lines": []}, touch=False)
        first = read(sandbox, "invoice_lines")
        assert messages_of(first) == []
        assert records_by_stream(first) == {}
        newest = max(instant(record) for record in map(underscored_time, table.records()))
        (state,) = final_states(first)
        assert state.stream is not None
        reached = vars(state.stream.stream_state)["invoice_updated_at"]
        assert datetime.strptime(reached, "%Y-%m-%dT%H:%M:%S%z") == newest
        sandbox.requests.clear()
        read(sandbox, "invoice_lines", final_states(first))
        assert len(sandbox.requests_for("invoices")) <= 3


def underscored_time(record: Record) -> Record:
    return {"updated_at": record["updated-at"]}


def test_a_list_that_a_filter_cuts_off_is_reported_in_the_log(present: Present) -> None:
    kept = {"invoices": frozenset({"id", "updated-at", "invoice-number"})}
    with invoices(present, 30, dialect=UNLIMITED.but(response_filter=kept)) as sandbox:
        output = read(sandbox, "invoice_lines")
        warnings = [m.log.message for m in output.logs if m.log and m.log.level.value == "WARN"]
        assert warnings == [
            "Records of /api/invoices come without invoice-lines: if they should have some, an "
            "API response filter in Coupa may cut them off."
        ]
