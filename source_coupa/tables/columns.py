"""Which fields of a row have a column, and where the others go."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from source_coupa.records.fields import JsonRecord

ADDITIONAL_FIELDS = "additional_fields"
"""The column of each stream for what no other column holds."""

SCHEMA: Mapping[str, Any] = {
    "type": ["null", "object"],
    "additionalProperties": True,
    "description": "Fields that Coupa sends and that have no column of their own yet, by name. "
    "Refresh the schema of the connection to give them columns.",
}
"""Of that column."""

RESERVED = ("_airbyte_", "_ab_")
"""What names begin with that mean something to Airbyte: `_airbyte_raw_id` is a column of each of
its tables, and a row with a value in `_ab_cdc_deleted_at` is deleted."""

DELETED_AT = "_ab_cdc_deleted_at"
"""The column by which Airbyte's destinations know that a record was deleted."""

DELETED_AT_SCHEMA: Mapping[str, Any] = {
    "type": ["null", "string"],
    "format": "date-time",
    "airbyte_type": "timestamp_with_timezone",
    "description": "When the connector found that Coupa does not show the record any more: it was "
    "deleted, or the client may not see it. Empty for all other records.",
}
"""Of that column."""

logger = logging.getLogger("airbyte")


def is_reserved(name: str) -> bool:
    """Whether a field of Coupa's can have no column of this name; it is kept in
    `additional_fields`."""
    return name == ADDITIONAL_FIELDS or _is_airbytes(name)


def _is_airbytes(name: str) -> bool:
    return name.lower().startswith(RESERVED)


class Columns:
    """The columns of a table.

    Args:
        stream: for the log.
        configured: the columns of the configured catalog; empty if it names none.
        known: those of the stream's own schema. One of these that is not configured was deselected
            by the user, or the catalog is older than the schema: it is not put elsewhere, and
            destinations have no column for it.
    """

    def __init__(self, stream: str, configured: Collection[str], known: Collection[str]) -> None:
        self._stream = stream
        self._configured = frozenset(configured)
        self._known = frozenset(
            name for name in (*known, *self._configured) if not is_reserved(name)
        )
        self._keeps = ADDITIONAL_FIELDS in self._configured
        self._unknown: set[str] = set()

    def of(self, row: JsonRecord) -> JsonRecord:
        """The row by its columns; fields that have none, and hold something, are in
        `additional_fields`."""
        if not self._configured or row.keys() <= self._known:
            return row
        kept, others = {}, {}
        for name, value in row.items():
            if name in self._known:
                kept[name] = value
            elif value is not None:
                others[name] = value
        self._unknown.update(others)
        if not self._keeps:
            if not any(map(_is_airbytes, others)):
                return row
            return {name: value for name, value in row.items() if not _is_airbytes(name)}
        return {**kept, ADDITIONAL_FIELDS: others} if others else kept

    def report(self) -> None:
        """Logs which fields had no column, and which columns the connection leaves out, in one line
        each, at the end of a stream."""
        if self._configured and (left_out := sorted(self._known - self._configured)):
            logger.info(
                f"Stream {self._stream}: the connection leaves out the columns "
                f"{', '.join(left_out)}. If nobody deselected them, refresh its schema."
            )
        if kept := sorted(filter(is_reserved, self._unknown)):
            logger.warning(
                f"Stream {self._stream}: Coupa sends fields whose names Airbyte uses itself: "
                f"{', '.join(kept)}. They "
                + (f"are kept in {ADDITIONAL_FIELDS}." if self._keeps else "are not sent.")
            )
        unknown = self._unknown.difference(kept)
        if not unknown:
            return
        where = (
            f"they are kept in the column {ADDITIONAL_FIELDS} until then"
            if self._keeps
            else f"the destination cannot keep them until then, nor in {ADDITIONAL_FIELDS}"
        )
        logger.warning(
            f"Stream {self._stream}: Coupa sends fields that have no column: "
            f"{', '.join(sorted(unknown))}. Refresh the schema of the connection to give "
            f"them columns; {where}."
        )
