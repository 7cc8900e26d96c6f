"""What the caches share: when a stream is stored, its columns, and what they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar

import ulid
from airbyte._writers.jsonl import JsonlWriter
from airbyte.shared.sql_processor import SqlProcessorBase, SQLRuntimeError
from airbyte.strategies import WriteStrategy
from airbyte_protocol.models import AirbyteStreamStatus

from sync.caches.changes import Changes
from sync.caches.columns import (
    WIDER,
    Kind,
    MisfitError,
    as_json,
    as_stored,
    column_of,
    is_day,
    kind_of,
    view_of,
)

_DAY = len("2026-11-26")
_RAW_ID, _EXTRACTED_AT, _META = "_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta"


class Writer(JsonlWriter):
    """Files of rows: column -> the text of its value, as `as_stored` gives it."""

    longest_row = 0
    """In characters."""

    def write(self, stream: str, row: Mapping[str, str | None], progress_tracker: Any) -> None:
        """Adds a row of a stream."""
        batch = self.get_active_batch(stream)
        if batch is None or batch.record_count >= self.MAX_BATCH_SIZE:
            batch = self._new_batch(stream_name=stream, progress_tracker=progress_tracker)
        line = as_json(row)
        batch.open_file_writer.write(line + "\n")
        batch.increment_record_count()
        self.longest_row = max(self.longest_row, len(line))


@dataclass(frozen=True)
class _Columns:
    """Where the fields of a stream's records go."""

    of_field: Mapping[str, str]
    kinds: Mapping[str, Kind]
    keys: tuple[str, ...]
    keep_digits: bool


@dataclass(frozen=True)
class _Aside:
    """What `_airbyte_meta` keeps: values that do not fit into their columns, fields without a
    column, and days that are others in UTC, in which times are stored."""

    misfits: dict[str, Any]
    undeclared: dict[str, Any]
    days: dict[str, str]

    def meta(self) -> dict[str, Any]:
        """Its JSON, with changes in the form of the Airbyte protocol."""
        changes = [
            {
                "field": column,
                "change": "NULLED",
                "reason": "DESTINATION_TYPECAST_ERROR",
                "value": value,
            }
            for column, value in self.misfits.items()
        ]
        all_of_it = {"changes": changes, "undeclared": self.undeclared, "days": self.days}
        return {name: kept for name, kept in all_of_it.items() if kept}


class Processor(SqlProcessorBase):
    """Stores streams in tables, every value in a column of its own.

    PyAirbyte passes over fields that no schema declares, keeps one of the fields whose names are
    equal to it, such as `Status` and `status`, and stores nothing of a stream if one value does not
    fit into its column.
    """

    file_writer_class = Writer

    types: ClassVar[Mapping[Kind, str]]
    """What the database calls the types of columns."""

    has_nul: ClassVar[bool] = True
    """Whether a text can hold the character NUL."""

    keeps_digits: ClassVar[bool] = True
    """Whether a number has as many digits as it came with."""

    def process_airbyte_messages(
        self,
        messages: Iterable[Any],
        *,
        write_strategy: Any = WriteStrategy.AUTO,
        progress_tracker: Any,
    ) -> None:
        """Stores each stream when it is complete.

        PyAirbyte waits for a status that connectors do not send, and so stores nothing at all if
        one stream of many fails.
        """
        options = {"write_strategy": write_strategy, "progress_tracker": progress_tracker}
        columns: dict[str, _Columns] = {}
        for message in messages:
            self.sql_config.watch(message)
            if message.record:
                stream = message.record.stream
                if stream not in columns:
                    columns[stream] = self._columns(stream)
                row = self._row(message.record, columns[stream])
                self.file_writer.write(stream, row, progress_tracker)
            elif message.state:
                stream = message.state.stream.stream_descriptor.name
                self._pending_state_messages[stream].append(message.state)
            elif message.trace and message.trace.stream_status:
                status = message.trace.stream_status
                if status.status == AirbyteStreamStatus.COMPLETE:
                    self.write_stream_data(status.stream_descriptor.name, **options)
        self._write_all_stream_data(**options)
        self.cleanup_all()

    def _row(self, message: Any, columns: _Columns) -> dict[str, str | None]:
        stream, record = message.stream, message.data
        row, aside = _fitted(record, columns)
        if not self.has_nul and any(_has_nul(text) for text in row.values()):
            # its own fields keep their names, by which their columns are found
            cleaned = {field: _without_nul(value) for field, value in record.items()}
            if cleaned != record:
                self._changes.without_nul[stream] += 1
                row, aside = _fitted(cleaned, columns)
        if aside.misfits or aside.undeclared:
            name = "/".join(str(record.get(key)) for key in columns.keys)
            for column in aside.misfits:
                self._changes.misfit(stream, column, columns.kinds[column], name)
            for field in aside.undeclared:
                self._changes.undeclared(stream, field, name)
        extracted = datetime.fromtimestamp(message.emitted_at / 1000, tz=timezone.utc)
        return {**row, _RAW_ID: str(ulid.ULID()), _EXTRACTED_AT: extracted.isoformat()}

    @property
    def _changes(self) -> Changes:
        changes: Changes = self.sql_config.changes
        return changes

    def _columns(self, stream: str) -> _Columns:
        """The columns of a stream, with the types that its table has, if there is one."""
        properties = self.catalog_provider.get_stream_properties(stream)
        of_field = {field: column_of(field) for field in properties}
        kinds = {of_field[field]: kind_of(each) for field, each in properties.items()}
        table = self.get_sql_table_name(stream)
        if self._table_exists(table):
            self._ensure_compatible_table_schema(stream, table)
            stored = self._stored_types(table)
            names = {name.lower(): kind for kind, name in self.types.items()}
            kinds = {column: names.get(stored[column], Kind.TEXT) for column in kinds}
        keys = tuple(self.catalog_provider.get_primary_keys(stream))
        return _Columns(of_field, kinds, keys, self.keeps_digits)

    def _get_sql_column_definitions(self, stream_name: str) -> dict[str, str]:
        """Column -> what the database calls its type."""
        properties = self.catalog_provider.get_stream_properties(stream_name)
        columns = {
            column_of(field): self.types[kind_of(each)] for field, each in properties.items()
        }
        return {
            **columns,
            _RAW_ID: self.types[Kind.TEXT],
            _EXTRACTED_AT: self.types[Kind.INSTANT],
            _META: self.types[Kind.JSON],
        }

    def _stored_types(self, table: str) -> dict[str, str]:
        """Column -> what the database calls its type, of a table that is there."""
        query = (
            "SELECT column_name, data_type FROM information_schema.columns "
            f"WHERE table_schema = '{self.sql_config.schema_name}' AND table_name = '{table}'"
        )
        with self.get_sql_connection() as connection:
            found = connection.exec_driver_sql(query).fetchall()
        return {column: name.lower() for column, name in found}

    def _ensure_compatible_table_schema(self, stream_name: str, table_name: str) -> None:
        """Adds columns that are new in the schema, and widens those that take more in it now."""
        kinds = {name.lower(): kind for kind, name in self.types.items()}
        stored = self._stored_types(table_name)
        for column, name in self._get_sql_column_definitions(stream_name).items():
            if column not in stored:
                self._alter(table_name, f'ADD COLUMN "{column}" {name}')
                continue
            kind = kinds.get(stored[column], Kind.TEXT)
            if kinds[name.lower()] in WIDER[kind]:
                # not while a view shows it: ours is made again, another one keeps the column
                view = self._fully_qualified(view_of(table_name))
                with suppress(SQLRuntimeError):
                    self._execute_sql(f"DROP VIEW IF EXISTS {view}")
                    self._alter(table_name, self._widening(column, kinds[name.lower()]))

    def _alter(self, table: str, change: str) -> None:
        self._execute_sql(f"ALTER TABLE {self._fully_qualified(table)} {change}")

    def _widening(self, column: str, kind: Kind) -> str:
        name = self.types[kind]
        value = f'to_json("{column}")' if kind is Kind.JSON else f'"{column}"'
        return f'ALTER COLUMN "{column}" TYPE {name} USING CAST({value} AS {name})'


def _fitted(record: Mapping[str, Any], columns: _Columns) -> tuple[dict[str, str | None], _Aside]:
    """A row, without the two columns of Airbyte that differ with each."""
    row: dict[str, str | None] = {}
    aside = _Aside({}, {}, {})
    for field, value in record.items():
        column = columns.of_field.get(field)
        if column is None:
            if value is not None:
                aside.undeclared[field] = value
            continue
        kind = columns.kinds[column]
        try:
            text = as_stored(value, kind, keeps_digits=columns.keep_digits)
            row[column] = text
        except MisfitError:
            row[column] = None
            aside.misfits[column] = value
            continue
        if kind is Kind.INSTANT and text and is_day(column):
            day = value.strip()[:_DAY]
            if day != text[:_DAY]:
                aside.days[column] = day
    row[_META] = as_json(aside.meta())
    return row, aside


def _has_nul(text: str | None) -> bool:
    # as itself or as JSON writes it, where it can also be a backslash that is part of a text
    return text is not None and ("\0" in text or "\\u0000" in text)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
