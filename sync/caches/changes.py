"""What could not be stored as it came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sync.caches.columns import Kind

_NAMED = 5
"""How many records a note names."""


class Changes:
    """What a cache had to change of the records that it stored, until `notes` is called."""

    def __init__(self) -> None:
        self.without_nul: Counter[str] = Counter()
        """Stream -> records in which U+FFFD replaced NUL, which PostgreSQL cannot store."""
        self._misfits: Counter[tuple[str, str, Kind]] = Counter()
        self._records: dict[tuple[str, str, Kind], list[str]] = {}
        self._undeclared: dict[str, dict[str, str]] = {}

    def misfit(self, stream: str, column: str, kind: Kind, record: str) -> None:
        """A value that its column cannot hold, of the record with this id."""
        where = (stream, column, kind)
        self._misfits[where] += 1
        records = self._records.setdefault(where, [])
        if len(records) < _NAMED:
            records.append(record)

    def undeclared(self, stream: str, field: str, record: str) -> None:
        """A field for which there is no column, of the record with this id."""
        self._undeclared.setdefault(stream, {}).setdefault(field, record)

    def notes(self) -> list[str]:
        """What users should know, each thing once."""
        found = list(self._notes())
        self.__init__()  # type: ignore[misc]
        return found

    def _notes(self) -> Iterator[str]:
        for stream, count in self.without_nul.items():
            yield (
                f"{count:,} records of {stream} have the character NUL, which PostgreSQL cannot "
                "store: U+FFFD stands in its place."
            )
        for where, count in self._misfits.items():
            stream, column, kind = where
            records = ", ".join(self._records[where])
            more = f" and {count - _NAMED:,} others" if count > _NAMED else ""
            yield (
                f"{stream}.{column} of record {records}{more} is no {kind.value}: the column is "
                "null there, and _airbyte_meta keeps the value."
            )
        for stream, fields in self._undeclared.items():
            named = ", ".join(f"{field} (record {record})" for field, record in fields.items())
            yield f"{stream} has no column yet for {named}: _airbyte_meta keeps what they hold."
