"""An entity diagram of the main streams, in Mermaid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .manifest import ROOT, STREAMS, StreamRow

MAIN = (
    "users",
    "expenses",
    "expense_lines",
    "requisitions",
    "requisition_lines",
    "purchase_orders",
    "purchase_order_lines",
    "purchase_order_line_allocations",
    "receiving_transactions",
    "invoices",
    "invoice_lines",
    "invoice_line_allocations",
    "invoice_payments",
    "invoice_approvals",
    "suppliers",
    "supplier_sites",
    "contracts",
    "items",
    "accounts",
    "departments",
    "commodities",
)
"""The streams of the diagram."""

TARGETS: Mapping[str, str] = {
    "account": "accounts",
    "commodity": "commodities",
    "contract": "contracts",
    "department": "departments",
    "expense_report": "expenses",
    "expensed_by": "users",
    "invoice": "invoices",
    "invoice_line": "invoice_lines",
    "item": "items",
    "order_header": "purchase_orders",
    "order_line": "purchase_order_lines",
    "purchase_order": "purchase_orders",
    "purchase_order_line": "purchase_order_lines",
    "requested_by": "users",
    "requisition": "requisitions",
    "requisition_header": "requisitions",
    "supplier": "suppliers",
    "supplier_site": "supplier_sites",
}
"""What a column, or an object in a column, points to: by its name, without `_id`."""


@dataclass(frozen=True)
class Join:
    """A column of one stream that holds the key of another."""

    stream: str
    column: str
    target: str


def joins() -> Iterator[Join]:
    """The columns of the main streams that hold keys of others, by the schemas: `invoice_id`, or
    `supplier.id` of an object in the column `supplier`."""
    for stream in _main():
        properties = _properties(stream)
        for column, field in properties.items():
            holder, is_object = column.removesuffix("_id"), "id" in field.get("properties", {})
            target = TARGETS.get(holder)
            if target is None or target == stream.name or target not in MAIN:
                continue
            if is_object and f"{column}_id" in properties:
                continue
            if is_object and "object" in field["type"]:
                yield Join(stream.name, f"{column}.id", target)
            elif column.endswith("_id") and "integer" in field["type"]:
                yield Join(stream.name, column, target)


def diagram() -> str:
    """The diagram as a block of Markdown."""
    found = list(joins())
    lines = ["```mermaid", "erDiagram"]
    for stream in _main():
        keys = [f"    integer {key} PK" for key in stream.primary_key]
        own = dict.fromkeys(join.column for join in found if join.stream == stream.name)
        named = [f"    integer {_plain(column)} FK" for column in own]
        lines += [f"  {stream.name} {{", *keys, *named, "  }"]
    lines += [f'  {join.target} ||--o{{ {join.stream} : "{join.column}"' for join in found]
    return "\n".join([*lines, "```"]) + "\n"


def _main() -> list[StreamRow]:
    by_name = {stream.name: stream for stream in STREAMS}
    return [by_name[name] for name in MAIN]


def _properties(stream: StreamRow) -> Mapping[str, Any]:
    file = ROOT / "source_coupa" / "schemas" / f"{stream.schema}.json"
    properties: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))["properties"]
    return properties


def _plain(column: str) -> str:
    """Mermaid takes no dots in the names of attributes."""
    return column.replace(".", "_")
