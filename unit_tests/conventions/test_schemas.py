"""Coupa's printed responses fit the schemas; the rules for schemas are in `conventions/schemas`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from source_coupa.records.references import references_of
from unit_tests.conventions.schemas import (
    FLOAT_FIELDS,
    OBJECTS_WITH_PLURAL_NAMES,
    TIME,
    load,
    nodes,
    read,
    types,
)

SAMPLES = Path(__file__).resolve().parents[1] / "resource" / "http" / "response"

CUSTOM_FIELDS: Mapping[str, str] = {
    "custom_field_7": "numbered custom field of the instance that printed the users of doc 0015",
    "custom_field_8": "numbered custom field of the same instance",
    "function": "custom field of the same instance",
    "gpo_entity": "custom field of the same instance",
    "radio_button_test": "custom field of the same instance",
    "seg3default": "custom field of the same instance",
    "subsidary": "custom field of the same instance",
    "username1": "custom field of the same instance",
}
"""Keys of the samples that no schema can declare: custom fields made with the global API
namespace stay on the record itself (doc 0010) and differ from instance to instance."""

SAMPLE_STREAMS: tuple[tuple[str, str], ...] = (
    ("users", "users-0015-list.json"),
    ("users", "users-0015-show.json"),
    ("users", "users-0015-create.json"),
    ("users", "users-0015-update.json"),
    ("users", "users-0015-list-from-xml.json"),
    ("users", "users-0015-show-from-xml.json"),
    ("users", "users-0015-create-from-xml.json"),
    ("users", "users-0015-update-from-xml.json"),
    ("users", "users-0159-delegation.json"),
    ("expenses", "expense_reports-0008-shallow.json"),
    ("expenses", "expense_reports-0008-limited.json"),
    ("invoices", "invoices-0209-show.json"),
    ("invoices", "invoices-0023-fields.json"),
)


@pytest.mark.parametrize("stream", ["users", "expenses", "expense_lines", "invoices"])
def test_stream_has_key_and_cursor(stream: str) -> None:
    properties = load(stream)["properties"]
    assert properties["id"] == {"type": "integer"}
    assert properties["updated_at"].items() >= TIME.items()


def test_floats_named_as_evidence_are_declared() -> None:
    declared = {
        (node.parent, node.name)
        for schema in read().values()
        for node in nodes(schema.root)
        if "number" in types(node.schema)
    }
    assert declared == set(FLOAT_FIELDS)


def test_objects_with_plural_names_are_declared() -> None:
    declared = {node.name for schema in read().values() for node in nodes(schema.root)}
    assert OBJECTS_WITH_PLURAL_NAMES.keys() <= declared


@pytest.mark.parametrize("contacts", [[], [{"id": 7}], {"id": 7}, None])
def test_what_swagger_calls_an_object_may_come_as_a_list(contacts: Any) -> None:
    record = {"id": 1, "integration_contacts": contacts}
    assert list(Draft7Validator(load("suppliers")).iter_errors(record)) == []


def test_lines_are_the_same_inside_a_report_and_on_their_own() -> None:
    """An expense line has one shape, whichever stream brings it, but for what is added to rows."""
    nested = load("expenses")["properties"]["expense_lines"]["items"]["properties"]
    alone = load("expense_lines")["properties"]
    added = {column for _, column in references_of(alone)} - nested.keys()
    assert nested.keys() == alone.keys() - added


def snake_case(value: Any) -> Any:
    """The record as the connector emits it: underscores in every key, values untouched."""
    if isinstance(value, dict):
        return {key.replace("-", "_"): snake_case(item) for key, item in value.items()}
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    return value


def records(file: str) -> list[dict[str, Any]]:
    body = snake_case(json.loads((SAMPLES / file).read_text(encoding="utf-8")))
    return body if isinstance(body, list) else [body]


def values(
    value: Any, schema: Mapping[str, Any] | None, path: str = ""
) -> Iterator[tuple[str, Any, Mapping[str, Any] | None]]:
    """Every value of a record with its path and its sub-schema, None where it is undeclared."""
    yield path, value, schema
    known = schema or {}
    if isinstance(value, dict):
        if path.endswith("/custom_fields"):
            return
        for key, item in value.items():
            yield from values(item, known.get("properties", {}).get(key), f"{path}/{key}")
    elif isinstance(value, list):
        for item in value:
            yield from values(item, known.get("items"), f"{path}/[]")


@pytest.mark.parametrize(("stream", "file"), SAMPLE_STREAMS)
def test_sample_fits_the_schema(stream: str, file: str) -> None:
    validator = Draft7Validator(load(stream))
    for record in records(file):
        assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(record)] == []


@pytest.mark.parametrize(("stream", "file"), SAMPLE_STREAMS)
def test_sample_has_no_undeclared_path(stream: str, file: str) -> None:
    schema = load(stream)
    undeclared = {
        path
        for record in records(file)
        for path, _, declared in values(record, schema)
        if declared is None and path.rpartition("/")[2] not in CUSTOM_FIELDS
    }
    assert undeclared == set()


@pytest.mark.parametrize(("stream", "file"), SAMPLE_STREAMS)
def test_sample_times_fit_the_declared_format(stream: str, file: str) -> None:
    """Draft 7 checks no formats, but a destination empties a time that breaks its format."""
    schema = load(stream)
    with_offset = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
    wrong = {
        f"{path}: {value}"
        for record in records(file)
        for path, value, declared in values(record, schema)
        if (declared or {}).get("format") == "date-time"
        and value is not None
        and not with_offset.fullmatch(value)
    }
    assert wrong == set()


def test_every_excused_custom_field_is_in_a_sample_and_in_no_user_schema() -> None:
    seen = {
        path.rpartition("/")[2]
        for stream, file in SAMPLE_STREAMS
        for record in records(file)
        for path, _, declared in values(record, load(stream))
        if declared is None
    }
    assert seen == set(CUSTOM_FIELDS)


def test_every_sample_is_used() -> None:
    samples = {
        path.name
        for stream in ("users", "expense_reports", "invoices")
        for path in SAMPLES.glob(f"{stream}-0*.json")
    }
    assert samples == {file for _, file in SAMPLE_STREAMS}
