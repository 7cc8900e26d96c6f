"""The resources the sandbox serves, a table of short entries: add a row to add a resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from .blueprint import Record
from .generators.expenses import expense_line, expense_report
from .generators.invoices import invoice
from .generators.nested import invoice_comment, user_address
from .generators.users import user


@dataclass(frozen=True)
class Resource:
    """One entry under `/api/`."""

    path: str
    """`invoices`; of a list below each record of another, `users/:user_id/addresses`."""
    scopes: frozenset[str]
    """Any one of them opens the resource."""
    xml_root: str
    """Root element of an XML list, from Coupa's Swagger files."""
    size: int
    """Default size of a record in bytes."""
    generate: Callable[[Random, int], Record]
    edited_key: str
    """A text attribute that random edits change."""
    updates: bool = True
    """Whether records have `updated-at`."""

    @property
    def parent(self) -> str | None:
        """Path of the resource below whose records the lists are."""
        head, found, _ = self.path.partition("/:")
        return head if found else None

    @property
    def object_name(self) -> str:
        """Name of one record in error bodies: `invoice_header`."""
        return self.xml_root.removesuffix("s").replace("-", "_")


RESOURCES: Mapping[str, Resource] = MappingProxyType(
    {
        resource.path: resource
        for resource in (
            Resource("users", frozenset({"core.user.read"}), "users", 3_000, user, "middlename"),
            Resource(
                "expense_reports",
                frozenset({"core.expense.read"}),
                "expense-reports",
                6_000,
                expense_report,
                "auditor-note",
            ),
            Resource(
                "expense_lines",
                frozenset({"core.expense.read"}),
                "expense-lines",
                3_000,
                expense_line,
                "description",
            ),
            Resource(
                "invoices",
                frozenset({"core.invoice.read"}),
                "invoice-headers",
                8_000,
                invoice,
                "internal-note",
            ),
            Resource(
                "users/:user_id/addresses",
                frozenset({"core.user.read"}),
                "addresses",
                600,
                user_address,
                "street2",
            ),
            Resource(
                "invoices/:invoice_id/comments",
                frozenset({"core.invoice.read"}),
                "comments",
                600,
                invoice_comment,
                "comments",
            ),
        )
    }
)
"""By path."""

ALL_SCOPES = frozenset().union(*(resource.scopes for resource in RESOURCES.values()))
