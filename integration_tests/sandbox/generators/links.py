"""References that lead to rows which exist: an expense to a user, an invoice to a supplier.

Generated records refer to ids at random. `Links` puts ids of the other tables in their place, with
the names that these rows have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from integration_tests.sandbox.blueprint import Record

_PEOPLE = (
    "approved-by approver created-by expensed-by line-owner manager owner requested-by requester "
    "resolved-by ship-to-user submitted-by updated-by user"
)

TARGETS: Mapping[str, str] = {
    **dict.fromkeys(_PEOPLE.split(), "users"),
    "account": "accounts",
    "account-type": "account_types",
    "commodity": "commodities",
    "contract": "contracts",
    "currency": "currencies",
    "department": "departments",
    "expense-line": "expense_lines",
    "expense-report": "expense_reports",
    "invoice": "invoices",
    "item": "items",
    "order-header": "purchase_orders",
    "order-line": "purchase_order_lines",
    "payment-term": "payment_terms",
    "purchase-order": "purchase_orders",
    "requisition-header": "requisitions",
    "shipping-term": "shipping_terms",
    "supplier": "suppliers",
    "supplier-site": "supplier_sites",
    "tax-code": "tax_codes",
    "uom": "uoms",
    "warehouse": "warehouses",
}
"""What an object, or an id with `-id` behind the name, leads to: the path of a list."""

FIRST = ("purchase_order_lines",)
"""Lists to link before others, which take over where their rows lead to."""


class Links:
    """Replaces ids in records.

    Args:
        ids: of the rows of each list; of those without rows nothing is changed.
        record: a row of a list by its id.
    """

    def __init__(
        self, ids: Mapping[str, Sequence[int]], record: Callable[[str, int], Record]
    ) -> None:
        self._ids = ids
        self._record = record

    def link(self, body: Record, number: int) -> Record:
        """The record with references to rows; `number` tells bodies of one list apart."""
        return {key: self._linked(key, value, number) for key, value in body.items()}

    def _linked(self, key: str, value: Any, number: int) -> Any:
        if isinstance(value, list):
            return [
                self._of_order(self.link(item, number + place), number + place)
                if isinstance(item, dict)
                else item
                for place, item in enumerate(value)
            ]
        if isinstance(value, dict):
            inner = self.link(value, number)
            id_ = self._pick(key, inner.get("id"))
            return inner if id_ is None else self._named(key, inner, id_)
        id_ = self._pick(key.removesuffix("-id"), value) if key.endswith("-id") else None
        return value if id_ is None else id_

    def _pick(self, name: str, id_: Any) -> int | None:
        """The id of a row instead of an id; None for one that leads nowhere."""
        ids = self._ids.get(TARGETS.get(name, ""), ())
        return ids[id_ % len(ids)] if ids and type(id_) is int else None

    def _named(self, key: str, inner: Record, id_: int) -> Record:
        """The object as the row it leads to names itself."""
        row = self._record(TARGETS[key], id_)
        texts = {
            name: row[name]
            for name, value in inner.items()
            if isinstance(value, str) and isinstance(row.get(name), str)
        }
        return {**inner, **texts, "id": id_}

    def _of_order(self, line: Record, number: int) -> Record:
        """A line with the number of an order, with that of an order that exists."""
        id_ = self._pick("order-line", number) if line.get("po-number") else None
        if id_ is None:
            return line
        order = self._record("purchase_order_lines", id_).get("order-header-id")
        headers = {"order-header-id": order} if order is not None else {}
        return {**line, **headers, "order-line-id": id_}
