"""PyAirbyte's DuckDB cache, mended where it would lose what the connector sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import sqlalchemy
from airbyte._processors.sql.duckdb import DuckDBSqlProcessor
from airbyte.caches import DuckDBCache
from airbyte.types import SQLTypeConverter
from airbyte_protocol.models import AirbyteStreamStatus


class _Instant(sqlalchemy.types.UserDefinedType):
    """A point in time. PyAirbyte's own type becomes a TIMESTAMP, which drops the UTC offset."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TIMESTAMP WITH TIME ZONE"


class _TypeConverter(SQLTypeConverter):
    def to_sql_type(self, json_schema_property_def: dict[str, Any]) -> Any:
        """The column type of a property of a stream's schema."""
        if json_schema_property_def.get("airbyte_type") == "timestamp_with_timezone":
            return _Instant()
        types = json_schema_property_def.get("type")
        if isinstance(types, list) and len(set(types) - {"null"}) > 1:
            # text or object: PyAirbyte makes it text, too, but says so for every batch
            return self.get_string_type()
        return super().to_sql_type(json_schema_property_def)


class _Processor(DuckDBSqlProcessor):
    type_converter_class = _TypeConverter

    def process_airbyte_messages(self, messages: Iterable[Any], **options: Any) -> None:
        """Stores each stream when it is complete.

        PyAirbyte waits for a status that connectors do not send, and so stores nothing at all if
        one stream of many fails.
        """
        super().process_airbyte_messages(self._storing(messages, options), **options)

    def _storing(self, messages: Iterable[Any], options: dict[str, Any]) -> Iterator[Any]:
        for message in messages:
            yield message
            status = message.trace.stream_status if message.trace else None
            if status and status.status == AirbyteStreamStatus.COMPLETE:
                self.write_stream_data(status.stream_descriptor.name, **options)


class DuckDB(DuckDBCache):
    """One schema of a DuckDB file, with a table for each stream."""

    _sql_processor_class: ClassVar[Any] = _Processor
