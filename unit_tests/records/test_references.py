"""Columns with the ids of what a record refers to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from integration_tests.reference.manifest import STREAMS
from source_coupa.reading.field_selection import selected_columns
from source_coupa.records.references import add_ids, references_of
from unit_tests.conventions.schemas import load, types

SUPPLIER = (("supplier", "supplier_id"),)


def with_ids(record: dict[str, Any]) -> dict[str, Any]:
    copied = copy.deepcopy(record)
    add_ids(copied, SUPPLIER)
    return copied


def test_the_id_of_an_object_stands_beside_it() -> None:
    record = {"id": 1, "supplier": {"id": 7, "name": "Insight"}}
    assert with_ids(record) == {**record, "supplier_id": 7}
    assert with_ids({**record, "supplier_id": None}) == {**record, "supplier_id": 7}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"supplier": None},
        {"supplier": {}},
        {"supplier": {"id": None}},
        {"supplier": {"id": "7"}},
        {"supplier": {"id": True}},
        {"supplier": {"id": {"from": 7, "to": 8}}},
        {"supplier": "Insight"},
        {"supplier": [{"id": 7}]},
        {"supplier_id": 7},
        {"supplier": {"id": 7}, "supplier_id": 8},
        {"other": {"id": 7}},
    ],
)
def test_a_record_stays_as_it_is_where_there_is_no_id_or_no_free_name(
    record: dict[str, Any],
) -> None:
    assert with_ids(record) == record


def test_references_are_objects_with_an_id_column_beside_them() -> None:
    id_, text = {"type": ["null", "integer"]}, {"type": ["null", "string"]}
    thing: dict[str, Any] = {"type": ["null", "object"], "properties": {"id": id_}}
    properties: dict[str, Any] = {
        "supplier": thing,
        "supplier_id": id_,
        "phone_work": thing,
        "user_id": id_,
        "status": text,
        "status_id": id_,
    }
    assert references_of(properties) == SUPPLIER


def test_a_connection_that_selects_the_id_alone_asks_for_the_object() -> None:
    chosen = selected_columns(["id", "supplier_id", "status"], load("invoices"))
    assert chosen is not None
    names, nested = chosen
    assert set(names) == {"id", "updated_at", "supplier", "status"}
    assert nested == ["supplier"]


@pytest.mark.parametrize("name", sorted({stream.schema for stream in STREAMS}))
def test_an_id_column_holds_whole_numbers(name: str) -> None:
    properties = load(name)["properties"]
    for _, id_name in references_of(properties):
        assert types(properties[id_name]) == ["null", "integer"]
