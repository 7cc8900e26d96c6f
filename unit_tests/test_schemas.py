"""The stream schemas: what destinations need of them, and that Coupa's printed answers fit them.

Rules are data (`CHECKS`): each takes one schema and returns a list of problems, so that one run
reports everything. `test_check_finds_a_fault` shows that no rule passes by doing nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[1]
SCHEMA_FILES = sorted((ROOT / "source_coupa" / "schemas").glob("*.json"))
SAMPLES = Path(__file__).parent / "resource" / "http" / "response"

FORBIDDEN_KEYWORDS = frozenset(
    {
        "$ref",
        "$defs",
        "allOf",
        "anyOf",
        "definitions",
        "dependencies",
        "else",
        "enum",
        "if",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "required",
        "then",
    }
)
"""Keywords that destinations ignore or refuse, or that make a harmless change a breaking one."""

FIRST_KEYS = ("id", "created_at", "updated_at")
"""These lead every object; the other keys follow in alphabetical order."""

DECIMAL_FIELDS = frozenset(
    """
    accounting_amount accounting_total advance_payment_received_amount amount amount_due
    amount_due_less_discount amount_engine amount_of_advance_payment amount_paid approved_amount
    available_amount base basis budget_amount conversion_denominator conversion_numerator
    correct_value_of_supply credit_note_differences_with_original_invoice customer_accounting_tax
    customer_accounting_tax_less_discount deduction_applied discount_amount distance divisor
    exchange_rate foreign_currency_amount gross_total gross_total_less_discount handling_amount
    handling_distribution_total issued_share_capital limit_amount limit_exceeded local_amount
    max_commit max_rate maximum_value min_commit minimum_value misc_amount misc_distribution_total
    net_total_less_discount net_weight origin_currency_gross origin_currency_net original_distance
    original_value_of_supply pack_qty pack_weight paid_amount payable_amount pct price price_per_uom
    qty quantity rate_applied rate_engine receipt_total_amount reimbursable_total_amount
    remaining_amount remittance_amount reporting_total savings_pct scope_3_emission shipping_amount
    shipping_distribution_total std_amount supplier_rate supplier_total tax_amount
    tax_amount_engine tax_distribution_total tax_due_to_supplier tax_rate_engine taxable_amount
    taxes_in_origin_country_currency total total_booked total_charged total_distance
    total_remaining total_taxes_less_discount total_with_taxes withholding_amount
    withholding_tax_override
    """.split()  # noqa: SIM905 (a literal would take a line for each name)
)
"""Names that Coupa's field tables or Swagger files type as `decimal(p,s)`. Doc 0011: decimals are
JSON strings; as numbers they would lose digits."""

FLOAT_FIELDS: Mapping[tuple[str, str], str] = {
    ("", "discount_percent"): "doc 0205: float",
    ("", "discount_rate"): "doc 0064: float",
    ("", "duration"): "Swagger R39 Task: float",
    ("", "percentage"): "doc 0096: float",
    ("", "price_change"): "Swagger R39 SupplierItem: float",
    ("", "rate"): "docs 0215 and 0216: float",
    ("", "reorder_point"): "Swagger R39 Item: float",
    ("", "tax_rate"): "doc 0205: float; 8.25 in the invoice of doc 0209",
    ("charge_tax_lines", "rate"): "doc 0215: float",
    ("invoice_lines", "tax_rate"): "float in the XML of doc 0209",
    ("payment_term", "discount_rate"): "doc 0064: float; 2.0 in the suppliers of doc 0081",
    ("payment_terms", "discount_rate"): "doc 0064: float",
    ("tax_code", "percentage"): "doc 0096: float",
    ("tax_lines", "rate"): "doc 0215: float",
    ("tcs_tax_lines", "rate"): "Swagger R39 TcsTaxLine: float",
    ("withholding_tax_lines", "rate"): "doc 0216: float",
}
"""The only fields typed `number`: (parent, name) and the evidence that Coupa sends a JSON float."""

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


@dataclass(frozen=True)
class Node:
    """One field of a schema: where it is, the field it sits in, its own name, its sub-schema."""

    path: str
    parent: str
    name: str
    schema: Mapping[str, Any]


def load(stream: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (ROOT / "source_coupa" / "schemas" / f"{stream}.json").read_text(encoding="utf-8")
    )
    return schema


def types(schema: Mapping[str, Any]) -> list[str]:
    """The JSON types a sub-schema names, in order."""
    declared = schema.get("type", [])
    return [declared] if isinstance(declared, str) else list(declared)


def nodes(schema: Mapping[str, Any], path: str = "", parent: str = "") -> Iterator[Node]:
    """Every field below `schema`; the items of a list are a node named `[]`."""
    for name, child in schema.get("properties", {}).items():
        yield Node(path=f"{path}/{name}", parent=parent, name=name, schema=child)
        yield from nodes(child, f"{path}/{name}", name)
    items = schema.get("items")
    if isinstance(items, Mapping):
        yield Node(path=f"{path}/[]", parent=parent, name="[]", schema=items)
        yield from nodes(items, f"{path}/[]", parent)


def objects(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "/", schema
    for node in nodes(schema):
        if "object" in types(node.schema):
            yield node.path, node.schema


def check_valid_draft_7(schema: Mapping[str, Any]) -> list[str]:
    declared = schema.get("$schema")
    meta = Draft7Validator(Draft7Validator.META_SCHEMA)
    problems = [error.message for error in meta.iter_errors(schema)]
    if declared != "http://json-schema.org/draft-07/schema#":
        problems.append(f"$schema is {declared!r}")
    return problems


def check_top_level(schema: Mapping[str, Any]) -> list[str]:
    problems = [] if schema.get("type") == "object" else ["the top level is not an object"]
    properties = schema.get("properties", {})
    if types(properties.get("id", {})) != ["integer"]:
        problems.append("/id: the primary key must be an integer that is never null")
    return problems


def check_no_forbidden_keyword(schema: Mapping[str, Any]) -> list[str]:
    found = [("/", schema), *((node.path, node.schema) for node in nodes(schema))]
    return [
        f"{path}: {keyword}" for path, part in found for keyword in FORBIDDEN_KEYWORDS & part.keys()
    ]


def check_objects_are_open(schema: Mapping[str, Any]) -> list[str]:
    return [
        f"{path}: additionalProperties is not true"
        for path, part in objects(schema)
        if part.get("additionalProperties") is not True
    ]


def check_nullable_but_id(schema: Mapping[str, Any]) -> list[str]:
    return [
        f"{node.path}: {node.schema.get('type')!r} is not a list of null and a type"
        for node in nodes(schema)
        if node.path != "/id"
        and (not isinstance(node.schema.get("type"), list) or types(node.schema)[:1] != ["null"])
    ]


def check_types_are_known(schema: Mapping[str, Any]) -> list[str]:
    """One type beside null; text or object where Coupa's tables leave the form open."""
    allowed = (["string"], ["integer"], ["number"], ["boolean"], ["array"], ["object"])
    return [
        f"{node.path}: {types(node.schema)}"
        for node in nodes(schema)
        if [kind for kind in types(node.schema) if kind != "null"]
        not in (*allowed, ["string", "object"])
    ]


def check_lists_have_items(schema: Mapping[str, Any]) -> list[str]:
    return [
        f"{node.path}: items without a type"
        for node in nodes(schema)
        if "array" in types(node.schema) and not types(node.schema.get("items", {}))
    ]


def check_times_carry_a_timezone(schema: Mapping[str, Any]) -> list[str]:
    """Coupa sends times with an offset. A plain `date` is declared nowhere: Coupa may send either
    a day or a full time for it, and a destination empties a value that breaks its format."""
    problems = []
    for node in nodes(schema):
        is_time = node.schema.get("format") == "date-time"
        if "format" in node.schema and not is_time:
            problems.append(f"{node.path}: format {node.schema['format']}")
        if is_time != (node.schema.get("airbyte_type") == "timestamp_with_timezone"):
            problems.append(f"{node.path}: format and airbyte_type do not go together")
        if is_time and types(node.schema) != ["null", "string"]:
            problems.append(f"{node.path}: a time that is not a string")
        if node.name in ("created_at", "updated_at") and not is_time:
            problems.append(f"{node.path}: not a date-time")
    return problems


def check_decimals_stay_text(schema: Mapping[str, Any]) -> list[str]:
    problems = []
    for node in nodes(schema):
        if node.name in DECIMAL_FIELDS and types(node.schema) != ["null", "string"]:
            problems.append(f"{node.path}: a decimal typed {types(node.schema)}")
        if "number" in types(node.schema) and (node.parent, node.name) not in FLOAT_FIELDS:
            problems.append(f"{node.path}: a number without evidence of a JSON float")
    return problems


def check_keys_are_snake_case(schema: Mapping[str, Any]) -> list[str]:
    return [
        f"{node.path}: key"
        for node in nodes(schema)
        if node.name != "[]" and not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", node.name)
    ]


def check_keys_are_ordered(schema: Mapping[str, Any]) -> list[str]:
    problems = []
    for path, part in objects(schema):
        keys = list(part.get("properties", {}))
        wanted = [key for key in FIRST_KEYS if key in keys]
        wanted += sorted(key for key in keys if key not in FIRST_KEYS)
        if keys != wanted:
            problems.append(f"{path}: keys out of order")
    return problems


def check_custom_fields_are_free(schema: Mapping[str, Any]) -> list[str]:
    free = {"type": ["null", "object"], "additionalProperties": True}
    return [
        f"{node.path}: must be an object without properties"
        for node in nodes(schema)
        if node.name == "custom_fields"
        and {key: value for key, value in node.schema.items() if key != "description"} != free
    ]


@dataclass(frozen=True)
class Check:
    """A rule for every schema, and a field that breaks it."""

    name: str
    run: Callable[[Mapping[str, Any]], list[str]]
    fault: Mapping[str, Any]


TIME = {
    "type": ["null", "string"],
    "format": "date-time",
    "airbyte_type": "timestamp_with_timezone",
}

CHECKS: tuple[Check, ...] = (
    Check("valid draft 7", check_valid_draft_7, {"faulty": {"type": "text"}}),
    Check("top level", check_top_level, {"id": {"type": ["null", "integer"]}}),
    Check(
        "no forbidden keyword",
        check_no_forbidden_keyword,
        {"faulty": {"type": ["null", "array"], "items": {"anyOf": []}}},
    ),
    Check(
        "objects are open",
        check_objects_are_open,
        {"faulty": {"type": ["null", "array"], "items": {"type": ["null", "object"]}}},
    ),
    Check("nullable but id", check_nullable_but_id, {"faulty": {"type": "string"}}),
    Check(
        "known types", check_types_are_known, {"faulty": {"type": ["null", "string", "integer"]}}
    ),
    Check("lists have items", check_lists_have_items, {"faulty": {"type": ["null", "array"]}}),
    Check(
        "times carry a timezone",
        check_times_carry_a_timezone,
        {"faulty": {"type": ["null", "string"], "format": "date-time"}},
    ),
    Check("decimals stay text", check_decimals_stay_text, {"total": {"type": ["null", "number"]}}),
    Check(
        "keys are snake case",
        check_keys_are_snake_case,
        {"faulty-key": {"type": ["null", "string"]}},
    ),
    Check("keys are ordered", check_keys_are_ordered, {"zebra": TIME, "apple": TIME}),
    Check(
        "custom fields are free",
        check_custom_fields_are_free,
        {
            "custom_fields": {
                "type": ["null", "object"],
                "additionalProperties": True,
                "properties": {},
            }
        },
    ),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.stem)
def test_schema_keeps_the_rule(file: Path, check: Check) -> None:
    assert check.run(json.loads(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_check_finds_a_fault(check: Check) -> None:
    properties = {"id": {"type": "integer"}, "created_at": TIME, "updated_at": TIME}
    sound = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": True,
        "properties": properties,
    }
    assert check.run(sound) == []

    assert check.run({**sound, "properties": {**properties, **check.fault}}) != []


@pytest.mark.parametrize("stream", ["users", "expenses", "expense_lines", "invoices"])
def test_stream_has_key_and_cursor(stream: str) -> None:
    properties = load(stream)["properties"]
    assert properties["id"] == {"type": "integer"}
    assert properties["updated_at"].items() >= TIME.items()


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.stem)
def test_file_is_indented_by_two(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "\t" not in text
    assert all((len(line) - len(line.lstrip(" "))) % 2 == 0 for line in text.splitlines())


def test_floats_named_as_evidence_are_declared() -> None:
    declared = {
        (node.parent, node.name)
        for file in SCHEMA_FILES
        for node in nodes(json.loads(file.read_text(encoding="utf-8")))
        if "number" in types(node.schema)
    }
    assert declared == set(FLOAT_FIELDS)


def test_lines_are_the_same_inside_a_report_and_on_their_own() -> None:
    """An expense line has one shape, whichever stream brings it."""
    nested = load("expenses")["properties"]["expense_lines"]["items"]["properties"]
    assert nested.keys() == load("expense_lines")["properties"].keys()


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
