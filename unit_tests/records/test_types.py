"""What discover declares of fields that no schema knows."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from jsonschema import Draft7Validator

from source_coupa.records.types import columns_of

SINGLE = {
    "boolean": True,
    "number": 7,
    "string": "7",
    "object": {"id": 1},
    "array": [{"id": 1}, "a"],
}


def declared(*values: Any) -> dict[str, Any] | None:
    return columns_of([{"field": value} for value in values], ()).get("field")


@pytest.mark.parametrize("type", SINGLE)
def test_a_field_has_the_type_of_its_values_and_may_be_null(type: str) -> None:
    schema = declared(SINGLE[type], None)
    assert schema is not None
    assert schema["type"] == ["null", type]


def test_whole_numbers_and_others_are_numbers() -> None:
    assert declared(1, 0.5) == declared(1) == declared(0.5) == {"type": ["null", "number"]}


@pytest.mark.parametrize("pair", list(permutations(SINGLE, 2)), ids="-".join)
def test_a_field_of_several_types_has_their_union_in_any_order(pair: tuple[str, str]) -> None:
    values = [SINGLE[type] for type in pair]
    schema = declared(*values)
    assert schema is not None
    assert schema == declared(*reversed(values))
    assert set(schema["type"]) == {"null", *pair}
    for value in (*values, None):
        assert Draft7Validator(schema).is_valid(value)


def test_objects_and_lists_keep_whatever_is_in_them() -> None:
    assert declared({"a": 1}) == {"type": ["null", "object"], "additionalProperties": True}
    assert declared([1, {}]) == {"type": ["null", "array"], "items": {}}


def test_a_field_that_holds_nothing_yet_is_left_out() -> None:
    assert declared(None, None) is None
    assert columns_of([], ()) == {}


@pytest.mark.parametrize(("value", "type"), [("", "string"), ([], "array"), ({}, "object")])
def test_an_empty_value_has_a_type(value: Any, type: str) -> None:
    schema = declared(value)
    assert schema is not None
    assert schema["type"] == ["null", type]


def test_what_is_known_is_not_declared_again() -> None:
    assert columns_of([{"id": "x", "new": 1}], ["id"]).keys() == {"new"}


def test_names_are_in_alphabetical_order_whichever_record_has_them() -> None:
    rows: list[dict[str, Any]] = [{"b": 1, "Ä": 1}, {"a b": 1, "": 1}, {"予算": 1, "B": 1}]
    assert list(columns_of(rows, ())) == ["", "B", "a b", "b", "Ä", "予算"]
    assert columns_of(rows, ()) == columns_of(reversed(rows), ())
