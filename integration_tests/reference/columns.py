"""The columns of the most used streams, each with its type and a description."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .joins import joins
from .manifest import STREAMS, StreamRow, columns_of
from .tables import markdown_table

MOST_USED = (
    "users",
    "expenses",
    "expense_lines",
    "expense_line_allocations",
    "expense_report_approvals",
    "invoices",
    "invoice_lines",
    "invoice_line_allocations",
    "invoice_payments",
    "invoice_approvals",
    "requisitions",
    "requisition_lines",
    "purchase_orders",
    "purchase_order_lines",
    "purchase_order_line_allocations",
    "receiving_transactions",
    "suppliers",
    "supplier_sites",
    "contracts",
    "items",
    "budget_lines",
    "accounts",
    "departments",
    "commodities",
    "approvals",
)
"""The streams whose columns are described."""

_DESCRIPTIONS = Path(__file__).parent / "columns.tsv"
"""Descriptions that the schemas lack: of a column of one stream, or of all (`*`)."""

_SAYS_LITTLE = ("", "Decimal as text.")

_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "flag",
    "object": "object",
    "array": "list",
}


def column_tables() -> str:
    """A table of columns for each stream."""
    by_name = {stream.name: stream for stream in STREAMS}
    return "\n".join(_table(by_name[name]) for name in MOST_USED)


def _table(stream: StreamRow) -> str:
    rows = [
        (f"`{column}`", _type(field), _description(stream, column, field))
        for column, field in columns_of(stream).items()
    ]
    return f"### {stream.name}\n\n{markdown_table(('Column', 'Type', 'Description'), rows)}"


def _type(field: Mapping[str, Any]) -> str:
    if field.get("format") == "date-time":
        return "time"
    types = field.get("type", [])
    named = [types] if isinstance(types, str) else types
    return " or ".join(_TYPES[each] for each in named if each != "null")


def _description(stream: StreamRow, column: str, field: Mapping[str, Any]) -> str:
    """What is written for this column, or else the schema's words, or what is written for all of
    its name; and which stream it joins."""
    written = _written()
    of_schema = field.get("description", "")
    of_name = written.get(("*", column)) or _id(column)
    text = written.get((stream.name, column)) or (
        of_name or of_schema if of_schema in _SAYS_LITTLE else of_schema
    )
    target = _targets().get((stream.name, column))
    return f"{text} Joins `{target}`." if target else text


def _id(column: str) -> str:
    holder = column.removesuffix("_id").replace("_", " ")
    return f"Id of the {holder}." if column.endswith("_id") else ""


@lru_cache(maxsize=1)
def _targets() -> Mapping[tuple[str, str], str]:
    return {(join.stream, join.column.removesuffix(".id")): join.target for join in joins()}


@lru_cache(maxsize=1)
def _written() -> Mapping[tuple[str, str], str]:
    with _DESCRIPTIONS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, dialect="excel-tab")
        return {(row["stream"], row["column"]): row["description"] for row in rows}
