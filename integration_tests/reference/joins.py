"""Which columns hold the keys of other streams: a table of all, and small diagrams in Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .manifest import STREAMS, columns_of
from .tables import markdown_table

DIAGRAMS: Mapping[str, Sequence[str]] = {
    "From requisition to invoice": (
        "requisitions",
        "requisition_lines",
        "purchase_orders",
        "purchase_order_lines",
        "receiving_transactions",
        "invoice_lines",
        "invoices",
    ),
    "Invoices and their accounts": (
        "suppliers",
        "invoices",
        "invoice_lines",
        "invoice_line_allocations",
        "accounts",
        "invoice_payments",
        "invoice_approvals",
    ),
    "Expenses": (
        "departments",
        "users",
        "expenses",
        "expense_lines",
        "expense_line_allocations",
        "accounts",
    ),
    "Suppliers, contracts and items": (
        "suppliers",
        "supplier_sites",
        "contracts",
        "commodities",
        "items",
        "supplier_items",
    ),
}
"""Title -> the streams of a diagram. More than seven cannot be read on a page."""

_BY_NAME = {stream.name: stream for stream in STREAMS}

_TARGETS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "approved_by",
            "contract_owner",
            "expensed_by",
            "line_owner",
            "locked_by_user",
            "manager",
            "requested_by",
            "requester",
            "resolved_by",
            "resource_manager",
            "ship_to_user",
            "submitted_by",
            "submitter",
        ),
        "users",
    ),
    "bill_to_address": "addresses",
    "default_account": "accounts",
    "expense_holding_account": "accounts",
    "expense_report": "expenses",
    "holding_account": "accounts",
    "inventory_transaction": "inventory_transactions",
    "master_contract": "contracts",
    "order_header": "purchase_orders",
    "order_line": "purchase_order_lines",
    "original_transaction": "inventory_transactions",
    "payment_terms": "payment_terms",
    "proxy_supplier": "suppliers",
    "requisition_header": "requisitions",
    "ship_to_address": "addresses",
    "statement": "coupa_pay_statements",
    "third_party_supplier": "suppliers",
}
"""What a column points to whose name, without `_id`, is not that of a stream in the singular."""

_HEADS = (
    "account_type",
    "commodity",
    "currency",
    "exchange_rate",
    "expense_line",
    "uom",
    "warehouse",
    "warehouse_location",
)
"""Words that keep their meaning behind others: `foreign_currency` is a currency."""


@dataclass(frozen=True)
class Join:
    """A column of one stream that holds the key of another."""

    stream: str
    column: str
    target: str


def joins() -> Iterator[Join]:
    """The columns that hold keys of other streams, by the schemas: `invoice_id`, or `supplier.id`
    of an object in the column `supplier`.

    `created_by` and `updated_by` are left out: nearly all streams have them.
    """
    for stream in STREAMS:
        properties = columns_of(stream)
        for column, field in properties.items():
            holder, is_object = column.removesuffix("_id"), "id" in field.get("properties", {})
            target = _target(holder)
            if target is None or (target == stream.name and holder in _singular()):
                continue
            if is_object and f"{column}_id" in properties:
                continue
            if is_object and "object" in field["type"]:
                yield Join(stream.name, f"{column}.id", target)
            elif column.endswith("_id") and "integer" in field["type"]:
                yield Join(stream.name, column, target)


def join_table() -> str:
    """All joins, as a table."""
    rows = [(f"`{join.stream}`", f"`{join.column}`", f"`{join.target}`") for join in joins()]
    return markdown_table(("From", "Column", "To"), rows)


def diagrams() -> str:
    """The diagrams, each under its title."""
    parts = [f"### {title}\n\n{_diagram(streams)}" for title, streams in DIAGRAMS.items()]
    return "\n".join(parts)


def _diagram(streams: Sequence[str]) -> str:
    found = [join for join in joins() if {join.stream, join.target} <= {*streams}]
    lines = ["```mermaid", "erDiagram"]
    for name in streams:
        # Mermaid allows no dots in the names of attributes
        own = {join.column.replace(".", "_") for join in found if join.stream == name}
        marks = {key: ["PK"] for key in _BY_NAME[name].primary_key}
        for column in sorted(own):
            marks.setdefault(column, []).append("FK")
        columns = [f"    integer {column} {', '.join(mark)}" for column, mark in marks.items()]
        lines += [f"  {name} {{", *columns, "  }"]
    lines += [f'  {join.target} ||--o{{ {join.stream} : "{join.column}"' for join in found]
    return "\n".join([*lines, "```"]) + "\n"


def _target(holder: str) -> str | None:
    """The stream that a column points to, by its name without `_id`."""
    singular = _singular()
    head = next((head for head in _HEADS if holder.endswith(f"_{head}")), holder)
    return _TARGETS.get(holder) or singular.get(holder) or singular.get(head)


@lru_cache(maxsize=1)
def _singular() -> Mapping[str, str]:
    """What one record of a stream is called -> the stream."""
    return {_one(stream.name): stream.name for stream in STREAMS if stream.name.endswith("s")}


def _one(stream: str) -> str:
    return f"{stream[:-3]}y" if stream.endswith("ies") else stream[:-1]
