"""One schema of a DuckDB file."""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy
from airbyte._processors.sql.duckdb import DuckDBSqlProcessor
from airbyte.caches import DuckDBCache

from sync.caches.processor import Processor, TypeConverter


class _Type(sqlalchemy.types.UserDefinedType):
    """A column type by its name in DuckDB."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class _TypeConverter(TypeConverter):
    instant = _Type("TIMESTAMP WITH TIME ZONE")
    number = _Type("DOUBLE")


class _Processor(Processor, DuckDBSqlProcessor):
    type_converter_class = _TypeConverter

    def _merge_temp_table_to_final_table(
        self, stream_name: str, temp_table_name: str, final_table_name: str
    ) -> None:
        """Merges, of a record that came twice, the last one: DuckDB's MERGE would insert both."""
        keys = ", ".join(
            self._quote_identifier(key)
            for key in self.catalog_provider.get_primary_keys(stream_name)
        )
        table = self._fully_qualified(temp_table_name)
        self._execute_sql(
            f"DELETE FROM {table} WHERE rowid NOT IN "
            f"(SELECT max(rowid) FROM {table} GROUP BY {keys})"
        )
        super()._merge_temp_table_to_final_table(stream_name, temp_table_name, final_table_name)


class DuckDB(DuckDBCache):
    """One schema of a DuckDB file, with a table for each stream.

    `DuckDB(db_path="coupa.duckdb", schema_name="coupa")` is made like PyAirbyte's DuckDBCache.
    """

    _sql_processor_class: ClassVar[Any] = _Processor
