"""One schema of a PostgreSQL database."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson
import sqlalchemy
from airbyte._processors.sql.postgres import PostgresSqlProcessor
from airbyte.caches import PostgresCache
from airbyte.secrets.base import SecretString
from pydantic import Field
from sqlalchemy.dialects import postgresql

from sync.caches.processor import Processor, TypeConverter
from sync.postgres_url import parsed

_DIALECT = postgresql.dialect()
_REPLACEMENT = "\ufffd"


class _TypeConverter(TypeConverter):
    instant = postgresql.TIMESTAMP(timezone=True)
    number = sqlalchemy.types.NUMERIC()

    @classmethod
    def get_string_type(cls) -> Any:
        return sqlalchemy.types.TEXT()

    @classmethod
    def get_json_type(cls) -> Any:
        return postgresql.JSONB()

    def to_sql_type(self, json_schema_property_def: dict[str, Any]) -> Any:
        converted = super().to_sql_type(json_schema_property_def)
        if isinstance(converted, sqlalchemy.types.JSON):
            return self.get_json_type()
        if isinstance(converted, sqlalchemy.types.VARCHAR):
            return self.get_string_type()
        return converted


class _Processor(Processor, PostgresSqlProcessor):
    """Loads records as they came.

    PyAirbyte's own way is pandas, which makes numbers of texts: "00123" becomes 123, "567.070"
    becomes 567.07, and an id beside an empty one loses its last digits.
    """

    type_converter_class = _TypeConverter

    def write_stream_data(
        self, stream_name: str, *, progress_tracker: Any, **_: Any
    ) -> Sequence[Any]:
        """Merges what was read of a stream into its table, by its primary key, all or nothing."""
        self.file_writer.flush_active_batches(progress_tracker=progress_tracker)
        with self.finalizing_batches(
            stream_name=stream_name, progress_tracker=progress_tracker
        ) as batches:
            table = self._ensure_final_table_exists(stream_name)
            if batches:
                self._ensure_compatible_table_schema(stream_name=stream_name, table_name=table)
                files = [file for batch in batches for file in batch.files]
                with self.get_sql_connection() as connection:
                    self._merge(connection.connection.cursor(), stream_name, files)
        progress_tracker.log_stream_finalized(stream_name)
        return list(batches)

    def _merge(self, cursor: Any, stream: str, files: Iterable[Path]) -> None:
        table = self._fully_qualified(self.get_sql_table_name(stream))
        types = self._get_sql_column_definitions(stream)
        names = ", ".join(map(self._quote_identifier, types))
        keys = list(map(self._quote_identifier, self.catalog_provider.get_primary_keys(stream)))
        others = [name for name in map(self._quote_identifier, types) if name not in keys]
        cursor.execute(
            f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} WHERE false"
        )
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for record, is_changed in _records(files):
                copy.write_row([_text(record.get(name)) for name in types])
                self.sql_config.without_nul[stream] += is_changed
        # of a record that came twice, the last one: rows lie in the order in which they came
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT DISTINCT ON ({', '.join(keys)}) {names} "
            f"FROM incoming ORDER BY {', '.join(keys)}, incoming.ctid DESC "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in others)
        )

    def _ensure_final_table_exists(
        self, stream_name: str, *, create_if_missing: bool = True
    ) -> str:
        """The name of the stream's table, which is made with its primary key if it is not there."""
        name: str = self.get_sql_table_name(stream_name)
        if create_if_missing and not self._table_exists(name):
            columns = self._get_sql_column_definitions(stream_name)
            self._create_table(
                name,
                ",\n".join(f"{self._quote_identifier(c)} {type}" for c, type in columns.items()),
                [
                    self._quote_identifier(key)
                    for key in self.catalog_provider.get_primary_keys(stream_name)
                ],
            )
        return name

    def _get_sql_column_definitions(self, stream_name: str) -> dict[str, Any]:
        """Column -> its type, which prints as PostgreSQL writes it."""
        columns = super()._get_sql_column_definitions(stream_name)
        return {name: type.compile(dialect=_DIALECT) for name, type in columns.items()}

    def _fully_qualified(self, table_name: str) -> str:
        schema = self._quote_identifier(self.sql_config.schema_name)
        return f"{schema}.{self._quote_identifier(table_name)}"


def _records(files: Iterable[Path]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The records of PyAirbyte's batch files, in the order in which they were read, and whether a
    NUL was replaced, the one character that PostgreSQL cannot store."""
    for file in files:
        with gzip.open(file, "rb") as lines:
            for line in lines:
                record: dict[str, Any] = orjson.loads(line)
                if b"\\u0000" not in line:
                    yield record, False
                    continue
                storable = _without_nul(record)
                yield storable, storable != record


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT)
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


def _text(value: Any) -> str | None:
    """A value as COPY wants it: every column takes its values as text."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


class PostgreSQL(PostgresCache):
    """One schema of a PostgreSQL database, with a table for each stream.

    `PostgreSQL(url="postgresql://user@host:5432/database", schema_name="coupa")`. Without a
    password in the address, PGPASSWORD and ~/.pgpass are asked, as by all programs of PostgreSQL.
    """

    url: SecretString
    # PyAirbyte wants these; the address says it all
    host: str = ""
    port: int = 5432
    database: str = ""
    username: str = ""
    password: str = ""

    without_nul: Counter[str] = Field(default_factory=Counter)
    """Stream -> how many records had a NUL, which is stored as U+FFFD."""

    _sql_processor_class: ClassVar[Any] = _Processor

    def get_sql_alchemy_url(self) -> SecretString:
        """The address with the driver that is used."""
        return SecretString(parsed(self.url).render_as_string(hide_password=False))

    def get_database_name(self) -> str:
        """The name of the database."""
        return str(parsed(self.url).database)
