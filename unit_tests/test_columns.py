"""A connection that selects some columns asks Coupa for no more, and gets the same values.

What Coupa sends for an object that is named in `fields` is not documented, so the connector relies
on nothing that it did not see: these tests play the answers that are thinkable.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import records_by_stream, run_read
from integration_tests.sandbox import (
    Dialect,
    Fault,
    Record,
    RequestRecord,
    Sandbox,
    interesting_dialects,
)
from source_coupa.reading.field_selection import (
    LONGEST_QUERY,
    MOST_PROOFS,
    Columns,
    selected_columns,
)

from .conftest import Present
from .truth import COMPLETE, UNLIMITED, assert_whole, ids, last_status, messages_of, truth

pytestmark = pytest.mark.usefixtures("no_budget")

SCHEMAS = Path(__file__).resolve().parents[1] / "source_coupa" / "schemas"
START = "2026-06-01T00:00:00Z"

TEN = (
    "id",
    "updated_at",
    "invoice_number",
    "status",
    "gross_total",
    "paid",
    "currency",
    "supplier",
    "invoice_lines",
    "custom_fields",
)


def schema_of(stream: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{stream}.json").read_text(encoding="utf-8"))
    return schema


def invoices(present: Present, rows: int = 230, dialect: Dialect = UNLIMITED) -> Sandbox:
    """Invoices that all changed in one window, read in several pages."""
    return Sandbox(
        {"invoices": rows},
        dialect=dialect,
        spread=[present.now - timedelta(days=3)],
        clock=present,
    )


def read(sandbox: Sandbox, columns: Collection[str] = TEN) -> EntrypointOutput:
    sandbox.requests.clear()
    return run_read(sandbox, ["invoices"], start_date=START, columns={"invoices": columns})


def asked_in_part(sandbox: Sandbox) -> list[RequestRecord]:
    """Requests for pages with some columns; those that look where a list can be cut are others."""
    asked = sandbox.requests_for("invoices")
    return [r for r in asked if r.query.get("fields", '["id"]') != '["id"]']


def assert_selected(
    output: EntrypointOutput, sandbox: Sandbox, columns: Collection[str] = TEN
) -> None:
    """Every record came once, its selected columns unchanged."""
    assert messages_of(output) == []
    expected = truth(sandbox, "invoices")
    read = records_by_stream(output)["invoices"]
    assert sorted(ids(read)) == list(expected)
    for record in read:
        assert picked(record, columns) == picked(expected[record["id"]], columns)
    assert last_status(output, "invoices") == COMPLETE


def picked(record: Record, columns: Collection[str]) -> Record:
    return {name: record[name] for name in columns if name in record}


def said(output: EntrypointOutput) -> list[str]:
    """What the log says about columns."""
    texts = [message.log.message for message in output.logs if message.log]
    return [text for text in texts if "columns only" in text or "reading full records" in text]


def test_after_a_proof_only_the_selected_columns_are_asked_for(present: Present) -> None:
    with invoices(present) as sandbox:
        output = read(sandbox)
        assert_selected(output, sandbox)
        proof, *following = asked_in_part(sandbox)
        assert following
        assert {request.query["fields"] for request in (proof, *following)} == {
            '["id","updated_at","currency",{"custom_fields":{}},"gross_total","invoice_lines",'
            '"invoice_number","paid","status","supplier",'
            '"custom_field_7","gpo_entity","radio_button_test"]'
        }
        pages = [r for r in sandbox.requests_for("invoices") if r.query["limit"] == "50"]
        assert [r.rows for r in pages if "fields" not in r.query and r.rows] == [50]
        assert said(output) == [
            "invoices: asking Coupa for 13 columns only, which came as they do in full records."
        ]


def test_a_selection_moves_fewer_bytes(present: Present) -> None:
    plain = ("id", "updated_at", "invoice_number", "status", "gross_total", "paid")
    with invoices(present, 600) as sandbox:
        assert_whole(read(sandbox, ()), sandbox, ["invoices"])
        whole = sum(request.bytes or 0 for request in sandbox.requests_for("invoices"))
        assert_selected(read(sandbox, plain), sandbox, plain)
        part = sum(request.bytes or 0 for request in sandbox.requests_for("invoices"))
        # of twelve pages, the first comes in full
        assert part < whole / 7


@pytest.mark.parametrize("rows", [1, 49])
def test_a_list_of_one_page_is_read_in_full(present: Present, rows: int) -> None:
    with invoices(present, rows) as sandbox:
        assert_whole(read(sandbox), sandbox, ["invoices"])
        assert asked_in_part(sandbox) == []


def test_nothing_is_asked_in_part_if_all_columns_are_selected(present: Present) -> None:
    with invoices(present) as sandbox:
        every = schema_of("invoices")["properties"]
        assert_whole(read(sandbox, every), sandbox, ["invoices"])
        assert_whole(read(sandbox, [*every, "gpo_entity"]), sandbox, ["invoices"])
        assert asked_in_part(sandbox) == []


@pytest.mark.parametrize("name", [name for name in interesting_dialects() if "token" not in name])
def test_each_dialect_brings_all_records_or_says_why_not(present: Present, name: str) -> None:
    dialect = interesting_dialects()[name].but(rate_limit=None)
    with invoices(present, dialect=dialect) as sandbox:
        output = read(sandbox)
        if messages := messages_of(output):
            assert "ignored" in name or name == "updated_at refused"
            assert any("the stream was stopped" in m or "HTTP 400" in m for m in messages)
            assert last_status(output, "invoices") != COMPLETE
        elif name == "times in one zone per answer":
            assert sorted(ids(records_by_stream(output)["invoices"])) == list(
                truth(sandbox, "invoices")
            )
            assert len(asked_in_part(sandbox)) > 1, "zones make no difference"
        else:
            assert_selected(output, sandbox)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"nested_fields": "ids"},
            "Coupa sends currency in another form when it is asked for alone",
        ),
        (
            {"nested_fields": "refused"},
            "Coupa refuses to send some columns alone (fields says nothing about currency)",
        ),
        (
            {"fields": "refused"},
            "Coupa refuses to send some columns alone (fields is not supported)",
        ),
    ],
)
def test_where_a_part_is_not_what_it_is_in_full_records_all_is_read(
    present: Present, changes: dict[str, Any], reason: str
) -> None:
    with invoices(present, dialect=UNLIMITED.but(**changes)) as sandbox:
        output = read(sandbox)
        assert_whole(output, sandbox, ["invoices"])
        assert said(output) == [f"invoices: reading full records, because {reason}."]
        assert len(asked_in_part(sandbox)) == 1


def test_records_that_change_between_the_two_requests_are_no_difference(present: Present) -> None:
    with invoices(present) as sandbox:
        table = sandbox.tables["invoices"]

        def edit(sandbox: Sandbox, request: RequestRecord) -> None:
            if request in asked_in_part(sandbox)[:1]:
                for id in table.ids()[:40]:
                    table.edit(id, status="edited", updated_at=present.now - timedelta(days=2))

        sandbox.before_each(edit)
        output = read(sandbox)
        assert len(asked_in_part(sandbox)) > 1
        assert sorted(ids(records_by_stream(output)["invoices"])) == table.ids()


def test_older_custom_fields_come_with_any_selection(present: Present) -> None:
    """No catalog shows them, so that nobody can have left them out. A catalog that is older than
    the schema looks like a selection too."""
    columns = ("id", "updated_at")
    older = ("gpo_entity", "custom_field_7", "radio_button_test")
    with invoices(present) as sandbox:
        output = read(sandbox, columns)
        assert asked_in_part(sandbox)
        assert_selected(output, sandbox, (*columns, *older))
        for record in records_by_stream(output)["invoices"][50:]:
            assert {name.removesuffix("_2") for name in record} <= {*columns, *older}


def test_older_custom_fields_that_hold_nothing_so_far_are_waited_for(present: Present) -> None:
    """Nobody knows in which form a value would come alone."""
    with invoices(present) as sandbox:
        table = sandbox.tables["invoices"]
        for id in table.ids():
            table.edit(id, {"gpo-entity": None}, touch=False)
        output = read(sandbox, ("id", "updated_at"))
        assert_whole(output, sandbox, ["invoices"])
        assert asked_in_part(sandbox) == []


def test_a_column_that_was_empty_so_far_is_waited_for(present: Present) -> None:
    """A list without any payment does not tell in which form payments come alone."""
    columns = ("id", "updated_at", "payments")
    with invoices(present, 120) as sandbox:
        table = sandbox.tables["invoices"]
        for id in table.ids():
            table.edit(id, {"payments": []}, touch=False)
        output = read(sandbox, columns)
        assert_whole(output, sandbox, ["invoices"])
        assert asked_in_part(sandbox) == []
        assert said(output) == [
            "invoices: reading full records until there is something to compare in payments."
        ]
        table.edit(table.ids()[7], {"payments": [{"id": 5, "amount-paid": "1.0"}]}, touch=False)
        assert_selected(read(sandbox, columns), sandbox, columns)
        assert len(asked_in_part(sandbox)) > 1


def test_an_answer_without_id_ends_the_proof_and_no_record(present: Present) -> None:
    with invoices(present) as sandbox:
        sandbox.faults.add(
            Fault("missing_id", when=lambda r: "invoice_number" in r.query.get("fields", ""))
        )
        assert_whole(read(sandbox), sandbox, ["invoices"])


class TestColumns:
    """The proof itself."""

    def columns(self, *names: str, nested: Collection[str] = ()) -> Columns:
        self.told: list[str] = []
        return Columns(stream="orders", names=("id", *names), nested=nested, tell=self.told.append)

    def proved(self, columns: Columns, full: list[Record], part: list[Record]) -> Mapping[str, str]:
        columns.prove(full, lambda query: part)
        return columns.query

    def test_equal_values_prove_a_column(self) -> None:
        columns = self.columns("po_number")
        assert columns.query == {}
        page = [{"id": 1, "po-number": "A"}]
        assert self.proved(columns, page, page) == {"fields": '["id","po_number"]'}

    @pytest.mark.parametrize(
        "part",
        [
            {"id": 1, "po-number": "B"},
            {"id": 1},
            {"id": 1, "po-number": None},
            {"id": 1, "po-number": ["A"]},
        ],
    )
    def test_another_value_or_none_ends_it_for_good(self, part: Record) -> None:
        columns = self.columns("po_number")
        full = [{"id": 1, "po-number": "A"}]
        assert self.proved(columns, full, [part]) == {}
        assert self.proved(columns, full, full) == {}
        assert self.told == [
            "orders: reading full records, because Coupa sends po_number in another form when it "
            "is asked for alone."
        ]

    @pytest.mark.parametrize("value", [None, [], {}])
    def test_an_empty_object_or_list_proves_nothing(self, value: object) -> None:
        columns = self.columns("lines", nested={"lines"})
        page = [{"id": 1, "lines": value}]
        assert self.proved(columns, page, page) == {}
        page = [{"id": 2, "lines": [{"id": 3}]}]
        assert self.proved(columns, page, page) != {}

    def test_a_column_that_is_on_no_record_is_not_proved(self) -> None:
        """Whether Coupa knows its name in `fields` would be a guess."""
        columns = self.columns("po_number")
        assert self.proved(columns, [{"id": 1}], [{"id": 1}]) == {}

    def test_null_in_both_proves_a_plain_column(self) -> None:
        columns = self.columns("po_number")
        page = [{"id": 1, "po-number": None}]
        assert self.proved(columns, page, page) != {}

    def test_a_deeper_difference_is_one(self) -> None:
        columns = self.columns("lines", nested={"lines"})
        full = [{"id": 1, "lines": [{"id": 3, "account": {"id": 4, "code": "A"}}]}]
        part = [{"id": 1, "lines": [{"id": 3, "account": {"id": 4}}]}]
        assert self.proved(columns, full, part) == {}
        assert "lines in another form" in self.told[0]

    def test_records_that_changed_or_are_new_are_passed_over(self) -> None:
        columns = self.columns("updated_at", "status")
        before, after = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
        full = [{"id": id, "updated-at": before, "status": "new"} for id in (1, 2)]
        part = [
            {"id": 1, "updated-at": after, "status": "paid"},
            {"id": 2, "updated-at": "2026-01-01T02:00:00+02:00", "status": "new"},
            {"id": 3, "updated-at": after, "status": "paid"},
        ]
        assert self.proved(columns, full, part) != {}

    def test_proofs_are_not_asked_for_without_end(self) -> None:
        columns = self.columns("lines", nested={"lines"})
        asked = []
        for id in range(1, 20):
            page = [{"id": id, "lines": [{"id": id}]}]
            columns.prove(page, lambda query: asked.append(query) or [])  # type: ignore[func-returns-value]
        assert len(asked) == MOST_PROOFS
        assert columns.query == {}

    def test_a_page_that_proves_nothing_costs_no_request(self) -> None:
        columns = self.columns("lines", "number", nested={"lines"})
        asked = []
        for page in ([{"id": 1, "lines": [], "number": 1}], [{"id": 1, "lines": [{"id": 2}]}]):
            columns.prove(page, lambda query: asked.append(query) or [])  # type: ignore[func-returns-value]
        assert asked == []
        assert self.told == [
            "orders: reading full records until there is something to compare in lines."
        ]

    def test_very_many_columns_are_not_named(self) -> None:
        names = [f"custom_field_{number}" for number in range(LONGEST_QUERY // 15)]
        columns = self.columns(*names)
        page = [{"id": 1, **dict.fromkeys(names, "x")}]
        assert self.proved(columns, page, page) == {}

    def test_what_is_selected_is_compared_with_the_schema(self) -> None:
        schema = {
            "properties": {
                "id": {"type": "integer"},
                "updated_at": {"type": ["null", "string"]},
                "lines": {"type": ["null", "array"]},
                "number": {"type": ["null", "string"]},
            }
        }

        def selection(selected: Collection[str] | None) -> Columns | None:
            return selected_columns(stream="s", selected=selected, schema=schema, tell=print)

        assert selection(None) is None
        assert selection([]) is None
        assert selection(schema["properties"]) is None
        columns = selection(["number"])
        assert columns is not None
        page = [{"id": 1, "updated-at": "2026-01-01T00:00:00Z", "number": "A"}]
        columns.prove(page, lambda query: page)
        assert columns.query == {"fields": '["id","updated_at","number"]'}
