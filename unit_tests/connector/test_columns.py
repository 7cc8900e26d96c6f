"""A connection that selects some columns asks Coupa for no more, and gets the same values.

What Coupa sends for an object that is named in `fields` is not documented: the connector relies on
nothing that it did not see. `reading/test_field_selection.py` has the proof itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection
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
from integration_tests.truth import (
    COMPLETE,
    UNLIMITED,
    assert_whole,
    ids,
    last_status,
    messages_of,
    truth,
)
from source_coupa.reading.field_selection import MOST_PROOFS
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

SCHEMAS = Path(__file__).resolve().parents[2] / "source_coupa" / "schemas"
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
    return [text for text in texts if "reading full records" in text]


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
        assert said(output) == []


def test_a_selection_moves_fewer_bytes(present: Present) -> None:
    plain = ("id", "updated_at", "invoice_number", "status", "gross_total", "paid")
    with invoices(present, 1_500) as sandbox:
        assert_whole(read(sandbox, ()), sandbox, ["invoices"])
        whole = sum(request.bytes or 0 for request in sandbox.requests_for("invoices"))
        assert_selected(read(sandbox, plain), sandbox, plain)
        part = sum(request.bytes or 0 for request in sandbox.requests_for("invoices"))
        # what is asked for until a page was compared, and to compare more, comes in full
        assert part < whole / 2


@pytest.mark.parametrize("rows", [1, 49])
def test_a_list_of_one_page_is_read_in_full(present: Present, rows: int) -> None:
    with invoices(present, rows) as sandbox:
        assert_whole(read(sandbox), sandbox, ["invoices"])
        assert len(asked_in_part(sandbox)) <= 1


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
            assert "order_by=id ignored" in name or "id ranges" in name
            assert any("the stream was stopped" in m or "HTTP 400" in m for m in messages)
            assert last_status(output, "invoices") != COMPLETE
        elif name in ("times in one zone per response", "updated_at ignored"):
            # times are printed in another way, or the list is read again without the filter
            assert {*ids(records_by_stream(output)["invoices"])} == {*truth(sandbox, "invoices")}
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
            "fields says nothing about currency",
        ),
        (
            {"fields": "refused"},
            "fields is not supported",
        ),
    ],
)
def test_where_a_part_is_not_what_it_is_in_full_records_all_is_read(
    present: Present, changes: dict[str, Any], reason: str
) -> None:
    with invoices(present, dialect=UNLIMITED.but(**changes)) as sandbox:
        output = read(sandbox)
        assert_whole(output, sandbox, ["invoices"])
        (sentence,) = said(output)
        assert sentence.startswith("invoices: reading full records, because ")
        assert reason in sentence
        assert len(asked_in_part(sandbox)) <= MOST_PROOFS


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
        wanted = {*columns, *older}
        read_in_part = [
            record
            for record in records_by_stream(output)["invoices"]
            if {name.removesuffix("_2") for name in record} <= wanted
        ]
        assert read_in_part


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
    """A list without any payment does not show in which form payments come alone."""
    columns = ("id", "updated_at", "payments")
    with invoices(present, 120) as sandbox:
        table = sandbox.tables["invoices"]
        for id in table.ids():
            table.edit(id, {"payments": []}, touch=False)
        output = read(sandbox, columns)
        assert_whole(output, sandbox, ["invoices"])
        assert asked_in_part(sandbox) == []
        table.edit(table.ids()[7], {"payments": [{"id": 5, "amount-paid": "1.0"}]}, touch=False)
        assert_selected(read(sandbox, columns), sandbox, columns)
        assert len(asked_in_part(sandbox)) > 1


def test_a_response_without_id_ends_the_proof_and_no_record(present: Present) -> None:
    with invoices(present) as sandbox:
        sandbox.faults.add(
            Fault("missing_id", when=lambda r: "invoice_number" in r.query.get("fields", ""))
        )
        assert_whole(read(sandbox), sandbox, ["invoices"])
