"""One schema of a PostgreSQL database."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson
from airbyte._processors.sql.postgres import PostgresSqlProcessor
from airbyte.caches import PostgresCache
from airbyte.secrets.base import SecretString
from pydantic import Field

from sync.caches.changes import Changes
from sync.caches.columns import DELETED_AT, Kind
from sync.caches.processor import Processor
from sync.postgres_url import parsed


class _Processor(Processor, PostgresSqlProcessor):
    """Loads records as they came.

    PyAirbyte's own way is pandas, which makes numbers of texts: "00123" becomes 123, "567.070"
    becomes 567.07, and an id beside an empty one loses its last digits.
    """

    types: ClassVar[Mapping[Kind, str]] = {
        Kind.INTEGER: "bigint",
        Kind.NUMBER: "numeric",
        Kind.BOOLEAN: "boolean",
        Kind.INSTANT: "timestamp with time zone",
        Kind.TEXT: "text",
        Kind.JSON: "jsonb",
    }
    has_nul = False

    def write_stream_data(
        self, stream_name: str, *, progress_tracker: Any, **_: Any
    ) -> Sequence[Any]:
        """Merges what was read of a stream into its table, by its primary key, all or nothing."""
        self.file_writer.flush_active_batches(progress_tracker=progress_tracker)
        with self.finalizing_batches(
            stream_name=stream_name, progress_tracker=progress_tracker
        ) as batches:
            self._ensure_final_table_exists(stream_name)
            files = [file for batch in batches for file in batch.files]
            if files:
                with self.get_sql_connection() as connection:
                    self._merge(connection.connection.cursor(), stream_name, files)
        progress_tracker.log_stream_finalized(stream_name)
        return list(batches)

    def _merge(self, cursor: Any, stream: str, files: Iterable[Path]) -> None:
        table = self._fully_qualified(self.get_sql_table_name(stream))
        columns = list(self._get_sql_column_definitions(stream))
        names = ", ".join(map(self._quote_identifier, columns))
        keys = list(map(self._quote_identifier, self.catalog_provider.get_primary_keys(stream)))
        others = [name for name in map(self._quote_identifier, columns) if name not in keys]
        cursor.execute(
            f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} WHERE false"
        )
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for row in _rows(files):
                copy.write_row([row.get(column) for column in columns])
        # of a record that came twice, the last one: rows lie in the order in which they came
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT DISTINCT ON ({', '.join(keys)}) {names} "
            f"FROM incoming ORDER BY {', '.join(keys)}, incoming.ctid DESC "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in others)
        )
        if DELETED_AT in columns:
            cursor.execute(f'DELETE FROM {table} WHERE "{DELETED_AT}" IS NOT NULL')

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

    def _fully_qualified(self, table_name: str) -> str:
        schema = self._quote_identifier(self.sql_config.schema_name)
        return f"{schema}.{self._quote_identifier(table_name)}"


def _rows(files: Iterable[Path]) -> Iterator[dict[str, str | None]]:
    """The rows of batch files, in the order in which they were read."""
    for file in files:
        with gzip.open(file, "rb") as lines:
            yield from map(orjson.loads, lines)


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

    changes: Any = Field(default_factory=Changes)
    """What could not be stored as it came."""

    watch: Callable[[Any], object] = lambda _: None
    """Is called with each message of the connector."""

    _sql_processor_class: ClassVar[Any] = _Processor

    def get_sql_alchemy_url(self) -> SecretString:
        """The address with the driver that is used."""
        return SecretString(parsed(self.url).render_as_string(hide_password=False))

    def get_database_name(self) -> str:
        """The name of the database."""
        return str(parsed(self.url).database)
