"""One schema of a DuckDB file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from airbyte._processors.sql.duckdb import DuckDBSqlProcessor
from airbyte.caches import DuckDBCache
from pydantic import Field

from sync.caches.changes import Changes
from sync.caches.columns import DELETED_AT, Kind
from sync.caches.processor import Processor

_LONGEST_ROW = 2**24
"""What DuckDB reads unless it knows how long a row can be."""


class _Processor(Processor, DuckDBSqlProcessor):
    types: ClassVar[Mapping[Kind, str]] = {
        Kind.INTEGER: "BIGINT",
        Kind.NUMBER: "DOUBLE",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.INSTANT: "TIMESTAMP WITH TIME ZONE",
        Kind.TEXT: "VARCHAR",
        Kind.JSON: "JSON",
    }
    keeps_digits = False

    def _write_files_to_new_table(self, files: list[Path], stream_name: str, batch_id: str) -> str:
        """A table of the rows that were read, of a record that came twice the last one: DuckDB's
        MERGE would insert both. Rows of records that are gone are deleted."""
        name: str = self._get_temp_table_name(stream_name, batch_id)
        table = self._fully_qualified(name)
        stored = self._fully_qualified(self.get_sql_table_name(stream_name))
        columns = [f'"{column}"' for column in self._get_sql_column_definitions(stream_name)]
        keys = ", ".join(f'"{key}"' for key in self.catalog_provider.get_primary_keys(stream_name))
        # of a character, UTF-8 makes up to four bytes
        longest = max(_LONGEST_ROW, 4 * self.file_writer.longest_row + 1)
        paths = ", ".join("'{}'".format(str(file).replace("'", "''")) for file in files)
        texts = ", ".join(f"{column}: 'VARCHAR'" for column in columns)
        gone = f'SELECT {keys} FROM {table} WHERE "{DELETED_AT}" IS NOT NULL'
        deletions = (
            f"DELETE FROM {stored} WHERE ({keys}) IN ({gone})",
            f'DELETE FROM {table} WHERE "{DELETED_AT}" IS NOT NULL',
        )
        with self.get_sql_connection() as connection:
            for statement in (
                f"CREATE TABLE {table} AS SELECT {', '.join(columns)} FROM {stored} WHERE false",
                f"INSERT INTO {table} SELECT {', '.join(columns)} FROM read_json([{paths}], "
                f"format = 'newline_delimited', columns = {{{texts}}}, "
                f"maximum_object_size = {longest})",
                f"DELETE FROM {table} WHERE rowid NOT IN "
                f"(SELECT max(rowid) FROM {table} GROUP BY {keys})",
                *(deletions if f'"{DELETED_AT}"' in columns else ()),
            ):
                connection.exec_driver_sql(statement)
        return name


class DuckDB(DuckDBCache):
    """One schema of a DuckDB file, with a table for each stream.

    `DuckDB(db_path="coupa.duckdb", schema_name="coupa")` is made like PyAirbyte's DuckDBCache.
    """

    changes: Any = Field(default_factory=Changes)
    """What could not be stored as it came."""

    watch: Callable[[Any], object] = lambda _: None
    """Is called with each message of the connector."""

    _sql_processor_class: ClassVar[Any] = _Processor
