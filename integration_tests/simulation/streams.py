"""The streams that scenarios read: lists, and tables of the rows that come with their records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from integration_tests.harness import ALL_STREAMS, RESOURCE_OF
from integration_tests.reference.manifest import ROOT, StreamRow
from integration_tests.reference.manifest import STREAMS as MANIFEST_STREAMS
from integration_tests.sandbox import Record
from integration_tests.truth import rows_of


@dataclass(frozen=True)
class Stream:
    """What a stream must bring of each record of a list.

    Attributes:
        list_: the stream that reads the list itself.
        parent: what a record of the list is called in a child table; None for the list itself.
        columns: some of its columns, for connections that leave out the others.
    """

    name: str
    list_: str
    parent: str | None = None
    columns: Sequence[str] = ()

    @property
    def resource(self) -> str:
        return RESOURCE_OF[self.list_]

    @property
    def path(self) -> str:
        """The path of its rows in a record."""
        return MANIFEST[self.name].rows or ""

    @property
    def lookback_hours(self) -> int:
        """Hours that the stream reads again whatever the settings say."""
        return 168 if MANIFEST[self.name].base.startswith("week_back") else 0

    def id_of(self, row: Record) -> int:
        """The id of the record that a row came with."""
        id_: int = row["id" if self.parent is None else f"{self.parent}_id"]
        return id_

    def time_of(self, row: Record) -> str | None:
        """When that record was changed last, as printed; None if Coupa did not say."""
        return row.get("updated_at" if self.parent is None else f"{self.parent}_updated_at")

    def rows_of(self, record: Record) -> dict[int, Record]:
        """The rows of one of the sandbox's records by their own ids, as messages print them."""
        return {row["id"]: row for row in rows_of(MANIFEST[self.name], record)}


MANIFEST: Mapping[str, StreamRow] = {stream.name: stream for stream in MANIFEST_STREAMS}

COLUMNS: Mapping[str, Sequence[str]] = {
    "users": ("id", "updated_at", "login", "roles", "department"),
    "expenses": ("id", "updated_at", "title", "status", "expense_lines"),
    "expense_lines": ("id", "updated_at", "description", "amount", "currency"),
    "invoices": ("id", "updated_at", "invoice_number", "supplier", "invoice_lines"),
}

STREAMS: Mapping[str, Stream] = {
    **{name: Stream(name, name, columns=COLUMNS[name]) for name in ALL_STREAMS},
    "invoice_lines": Stream("invoice_lines", "invoices", "invoice"),
    "invoice_line_allocations": Stream("invoice_line_allocations", "invoices", "invoice"),
    "invoice_charges": Stream("invoice_charges", "invoices", "invoice"),
    "user_roles": Stream("user_roles", "users", "user"),
}
"""By name."""


def all_columns(name: str) -> Sequence[str]:
    """The columns that a stream's schema declares."""
    schema = ROOT / "source_coupa" / "schemas" / f"{name}.json"
    return tuple(json.loads(schema.read_text(encoding="utf-8"))["properties"])
