"""The stream schemas: what destinations need of them, and how this project writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .project import ROOT
from .rules import Check, Problems, Tree

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

OBJECTS_WITH_PLURAL_NAMES: Mapping[str, str] = {
    "changes": "one object of all that a revision prints of its order (doc 0242)",
    "custom_fields": "one object with a key for each field (doc 0010)",
    "order_line_custom_fields": "the custom fields of one order line, as in `custom_fields`",
}
"""Plural names that hold an object and never a list, and how that is known. Swagger types some
lists as objects, among them the `integration_contacts` of suppliers, which come as `[]`."""


def read() -> Mapping[str, Tree]:
    """The project's schemas, by stream or by what several streams share."""
    files = sorted((ROOT / "source_coupa" / "schemas").glob("*.json"))
    return {file.stem: Tree(load(file.stem)) for file in files}


@lru_cache(maxsize=256)
def load(stream: str) -> dict[str, Any]:
    """The schema in a file; do not change it."""
    schema: dict[str, Any] = json.loads(
        (ROOT / "source_coupa" / "schemas" / f"{stream}.json").read_text(encoding="utf-8")
    )
    return schema


@dataclass(frozen=True)
class Node:
    """One field of a schema: where it is, the field it sits in, its own name, its sub-schema."""

    path: str
    parent: str
    name: str
    schema: Mapping[str, Any]


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


def check_draft(document: Tree) -> Problems:
    """That a schema is a valid one is checked by the CDK's standard tests."""
    declared = document.root.get("$schema")
    draft_7 = "http://json-schema.org/draft-07/schema#"
    return [] if declared == draft_7 else [f"$schema is {declared!r}"]


def check_top_level(document: Tree) -> Problems:
    schema = document.root
    problems = [] if schema.get("type") == "object" else ["the top level is not an object"]
    properties = schema.get("properties", {})
    if "id" in properties and types(properties["id"]) != ["integer"]:
        problems.append("/id: the primary key must be an integer that is never null")
    return problems


def check_no_forbidden_keyword(document: Tree) -> Problems:
    schema = document.root
    found = [("/", schema), *((node.path, node.schema) for node in nodes(schema))]
    return [
        f"{path}: {keyword}" for path, part in found for keyword in FORBIDDEN_KEYWORDS & part.keys()
    ]


def check_objects_are_open(document: Tree) -> Problems:
    schema = document.root
    return [
        f"{path}: additionalProperties is not true"
        for path, part in objects(schema)
        if part.get("additionalProperties") is not True
    ]


def check_nullable_but_id(document: Tree) -> Problems:
    schema = document.root
    return [
        f"{node.path}: {node.schema.get('type')!r} is not a list of null and a type"
        for node in nodes(schema)
        if node.path != "/id"
        and (not isinstance(node.schema.get("type"), list) or types(node.schema)[:1] != ["null"])
    ]


def check_types_are_known(document: Tree) -> Problems:
    """One type beside null; several where Coupa's tables leave the form open."""
    schema = document.root
    single = (["string"], ["integer"], ["number"], ["boolean"], ["array"], ["object"])
    open_forms = (["string", "object"], ["array", "object"], ["string", "array", "object"])
    return [
        f"{node.path}: {types(node.schema)}"
        for node in nodes(schema)
        if [kind for kind in types(node.schema) if kind != "null"] not in (*single, *open_forms)
    ]


def check_plural_names_hold_lists(document: Tree) -> Problems:
    """A list in a column for objects would become null in typed destinations."""
    return [
        f"{node.path}: a plural name, but no list"
        for node in nodes(document.root)
        if re.search(r"[^su]s$", node.name)
        and node.name not in OBJECTS_WITH_PLURAL_NAMES
        and "object" in types(node.schema)
        and "array" not in types(node.schema)
    ]


def check_lists_have_items(document: Tree) -> Problems:
    schema = document.root
    return [
        f"{node.path}: items without a type"
        for node in nodes(schema)
        if "array" in types(node.schema) and not types(node.schema.get("items", {}))
    ]


def check_times_carry_a_timezone(document: Tree) -> Problems:
    """Coupa sends times with an offset. A plain `date` is declared nowhere: Coupa may send either
    a day or a full time for it, and a destination empties a value that breaks its format."""
    schema = document.root
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


def check_decimals_stay_text(document: Tree) -> Problems:
    schema = document.root
    problems = []
    for node in nodes(schema):
        if node.name in DECIMAL_FIELDS and types(node.schema) != ["null", "string"]:
            problems.append(f"{node.path}: a decimal typed {types(node.schema)}")
        if "number" in types(node.schema) and (node.parent, node.name) not in FLOAT_FIELDS:
            problems.append(f"{node.path}: a number without evidence of a JSON float")
    return problems


def check_keys_are_snake_case(document: Tree) -> Problems:
    schema = document.root
    return [
        f"{node.path}: key"
        for node in nodes(schema)
        if node.name != "[]" and not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", node.name)
    ]


def check_keys_are_ordered(document: Tree) -> Problems:
    schema = document.root
    problems = []
    for path, part in objects(schema):
        keys = list(part.get("properties", {}))
        wanted = [key for key in FIRST_KEYS if key in keys]
        wanted += sorted(key for key in keys if key not in FIRST_KEYS)
        if keys != wanted:
            problems.append(f"{path}: keys out of order")
    return problems


def check_custom_fields_are_free(document: Tree) -> Problems:
    schema = document.root
    free = {"type": ["null", "object"], "additionalProperties": True}
    return [
        f"{node.path}: must be an object without properties"
        for node in nodes(schema)
        if node.name == "custom_fields"
        and {key: value for key, value in node.schema.items() if key != "description"} != free
    ]


def check_descriptions(document: Tree) -> Problems:
    """A description says something, in sentences."""
    return [
        f"{node.path}: description {node.schema['description']!r}"
        for node in nodes(document.root)
        if "description" in node.schema
        and not re.fullmatch(r"[A-Z0-9`].*\.", node.schema["description"], re.S)
    ]


TIME = {
    "type": ["null", "string"],
    "format": "date-time",
    "airbyte_type": "timestamp_with_timezone",
}


_PLACE = "properties/faulty"

_TEXT = {"type": ["null", "string"]}


def example() -> Tree:
    """A schema that keeps every rule."""
    return Tree(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": True,
            "properties": {"id": {"type": "integer"}, "created_at": TIME, "updated_at": TIME},
        }
    )


CHECKS: tuple[Check[Tree], ...] = (
    Check(check_draft, ("$schema", "http://json-schema.org/draft-04/schema#")),
    Check(check_top_level, ("properties/id", {"type": ["null", "integer"]}), ("type", ["object"])),
    Check(
        check_no_forbidden_keyword,
        *((_PLACE, {**_TEXT, keyword: []}) for keyword in sorted(FORBIDDEN_KEYWORDS)),
        (_PLACE, {"type": ["null", "array"], "items": {"anyOf": []}}),
    ),
    Check(
        check_objects_are_open,
        ("additionalProperties", False),
        (_PLACE, {"type": ["null", "array"], "items": {"type": ["null", "object"]}}),
    ),
    Check(check_nullable_but_id, (_PLACE, {"type": "string"}), (_PLACE, {"type": ["string"]})),
    Check(
        check_types_are_known,
        (_PLACE, {"type": ["null", "string", "integer"]}),
        (_PLACE, {"type": ["null"]}),
    ),
    Check(
        check_plural_names_hold_lists,
        ("properties/contacts", {"type": ["null", "object"]}),
        ("properties/warnings", {"type": ["null", "string", "object"]}),
    ),
    Check(check_lists_have_items, (_PLACE, {"type": ["null", "array"]})),
    Check(
        check_times_carry_a_timezone,
        (_PLACE, {**_TEXT, "format": "date"}),
        (_PLACE, {**_TEXT, "format": "date-time"}),
        (_PLACE, {**TIME, "airbyte_type": "timestamp_without_timezone"}),
        (_PLACE, {**TIME, "type": ["null", "integer"]}),
        ("properties/created_at", _TEXT),
    ),
    Check(
        check_decimals_stay_text,
        ("properties/total", {"type": ["null", "integer"]}),
        (_PLACE, {"type": ["null", "number"]}),
    ),
    Check(check_keys_are_snake_case, ("properties/faulty-key", _TEXT)),
    Check(check_keys_are_ordered, ("properties/zebra", _TEXT, "properties/apple", _TEXT)),
    Check(
        check_custom_fields_are_free,
        (
            "properties/custom_fields",
            {"type": ["null", "object"], "additionalProperties": True, "properties": {}},
        ),
    ),
    Check(
        check_descriptions,
        (_PLACE, {**_TEXT, "description": ""}),
        (_PLACE, {**_TEXT, "description": "what it is"}),
    ),
)
