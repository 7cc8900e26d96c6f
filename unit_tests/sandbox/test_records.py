"""Generated records: the awkward things that real responses hold must be in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from integration_tests.sandbox import (
    HAND_MADE,
    RESOURCES,
    Record,
    Sandbox,
    Table,
    documented_records,
    payload,
)
from integration_tests.sandbox.generators.from_schema import FromSchema, schema
from integration_tests.truth import underscored
from unit_tests.conventions.schemas import DECIMAL_FIELDS
from unit_tests.sandbox.conftest import ROWS

MADE_FROM_SCHEMAS = [
    path for path, resource in RESOURCES.items() if isinstance(resource.generate, FromSchema)
]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox({**dict.fromkeys(RESOURCES, 100), **dict.fromkeys(HAND_MADE, 300)})


def objects(value: Any) -> Iterator[Record]:
    """Every object within a value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def has_twins(record: Record) -> bool:
    names = [key.replace("-", "_") for key in record]
    return len(set(names)) < len(names)


@pytest.mark.parametrize("path", HAND_MADE)
def test_sizes(sandbox: Sandbox, path: str) -> None:
    size = RESOURCES[path].size
    lengths = [
        len(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode())
        for record in sandbox.tables[path].records()
    ]
    assert 0.8 * size < sum(lengths) / len(lengths) < 1.3 * size


def test_a_wanted_size_adds_lines() -> None:
    table = Sandbox({"invoices": 3}, size={"invoices": 50_000}).tables["invoices"]
    for record in table.records():
        assert 40_000 < len(json.dumps(record, ensure_ascii=False).encode()) < 70_000
        assert record["line-count"] == len(record["invoice-lines"]) > 10


@pytest.mark.parametrize("path", HAND_MADE)
def test_types_follow_coupas_json(sandbox: Sandbox, path: str) -> None:
    for record in sandbox.tables[path].records():
        assert isinstance(record["id"], int)
        for found in objects(record):
            for key, value in found.items():
                if value is not None and key.replace("-", "_") in DECIMAL_FIELDS:
                    assert isinstance(value, str), key
                if value is not None and key.endswith("-at"):
                    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}(Z|[+-]\d\d:\d\d)", value), key


@pytest.mark.parametrize("path", HAND_MADE)
def test_awkward_values_are_there(sandbox: Sandbox, path: str) -> None:
    records = sandbox.tables[path].records()
    found = [inner for record in records for inner in objects(record)]
    custom = [inner["custom-fields"] for inner in found if "custom-fields" in inner]
    assert None in custom
    kinds = {type(value) for fields in custom if fields for value in fields.values()}
    assert kinds >= {type(None), str, bool, dict}
    assert any(fields and "" in fields.values() for fields in custom)
    assert any(has_twins(inner) for inner in found), "one name in two spellings"
    text = json.dumps(records, ensure_ascii=False)
    for piece in ("\U0001f9fe", "日本語", '\\"', "\\n", "\u2028", "A long text. " * 20):
        assert piece in text


@pytest.mark.parametrize("path", MADE_FROM_SCHEMAS)
def test_every_field_is_filled_somewhere_and_missing_elsewhere(sandbox: Sandbox, path: str) -> None:
    records = sandbox.tables[path].records()
    fields = {key for record in records for key in record}
    optional = fields - {"id", "created-at", "updated-at"}
    if path == "suppliers":
        # each has one, which queries show beside its invoices
        optional -= {"name"}
    assert all(any(record.get(key) is not None for record in records) for key in fields)
    assert all(any(record.get(key) is None for record in records) for key in optional)
    assert any(fields - record.keys() for record in records)
    assert any(None in record.values() for record in records)


@pytest.mark.parametrize("path", MADE_FROM_SCHEMAS)
def test_records_follow_the_schema(sandbox: Sandbox, path: str) -> None:
    made = RESOURCES[path].generate
    assert isinstance(made, FromSchema)
    records = [underscored(record) for record in sandbox.tables[path].records()]
    assert {key for record in records for key in record} == (
        schema(made.name)["properties"].keys() - made.without
    )
    validator = Draft7Validator(schema(made.name))
    assert [error.json_path for record in records for error in validator.iter_errors(record)] == []


def test_a_larger_size_makes_longer_lists() -> None:
    plain, large = (
        Sandbox({"requisitions": 50}, size={"requisitions": size}).tables["requisitions"]
        for size in (1_000, 60_000)
    )
    assert longest(large, "requisition-lines") > 4 * longest(plain, "requisition-lines")


def longest(table: Table, key: str) -> int:
    return max(len(record.get(key) or ()) for record in table.records())


def test_legacy_custom_fields_sit_at_the_top_level(sandbox: Sandbox) -> None:
    for path in ("users", "invoices"):
        assert all("gpo-entity" in record for record in sandbox.tables[path].records())


def test_null_and_absent_associations(sandbox: Sandbox) -> None:
    invoices = sandbox.tables["invoices"].records()
    assert {"contract" in record for record in invoices} == {True, False}
    assert {record["requested-by"] is None for record in invoices} == {True, False}


def test_large_decimals_keep_their_digits(sandbox: Sandbox) -> None:
    (digits,) = {r["amount-of-advance-payment"] for r in sandbox.tables["invoices"].records()}
    assert len(digits) > 40
    assert float(digits) != digits


def test_line_ids_are_unique(sandbox: Sandbox) -> None:
    ids = [r["id"] for i in sandbox.tables["invoices"].records() for r in i["invoice-lines"]]
    assert len(ids) == len(set(ids))


def test_documented_users_are_verbatim() -> None:
    assert documented_records("users") == [
        payload("users-0015-show.json"),
        *payload("users-0015-list.json"),
    ]


def test_the_documented_report_keeps_what_is_printed() -> None:
    (report,) = documented_records("expense_reports")
    printed = payload("expense_reports-0008-shallow.json")
    for key, value in printed.items():
        if not isinstance(value, (dict, list)):
            assert report[key] == value
    assert [line["id"] for line in report["expense-lines"]] == [546, 547, 548, 549]
    assert {"merchant", "account", "custom-field-20"} <= report["expense-lines"][0].keys()
    assert report["currency"] | printed["currency"] == report["currency"]


def test_rows_left_out_are_empty_tables() -> None:
    tables = Sandbox({"users": ROWS["users"]}).tables
    assert {path: len(table) for path, table in tables.items() if len(table)} == {
        "users": ROWS["users"]
    }
    with pytest.raises(ValueError, match="no such resources: nonsense"):
        Sandbox({"nonsense": 1})
