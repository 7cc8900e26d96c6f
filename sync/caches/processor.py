"""What the caches share: when a stream is stored, and which columns its table has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airbyte.shared.sql_processor import SqlProcessorBase
from airbyte.types import SQLTypeConverter
from airbyte_protocol.models import AirbyteStreamStatus


class TypeConverter(SQLTypeConverter):
    """Column types from the schemas of streams; each cache names its own."""

    instant: Any
    """A point in time. PyAirbyte's own type becomes a TIMESTAMP, which drops the UTC offset."""

    number: Any
    """A JSON number. PyAirbyte's own type rounds to nine decimals."""

    def to_sql_type(self, json_schema_property_def: dict[str, Any]) -> Any:
        """The column type of a property of a stream's schema."""
        if json_schema_property_def.get("airbyte_type") == "timestamp_with_timezone":
            return self.instant
        types = json_schema_property_def.get("type")
        single = set(types if isinstance(types, list) else [types]) - {"null"}
        if single == {"number"}:
            return self.number
        if len(single) > 1:
            # text or object: PyAirbyte makes it text, too, but says so for every batch
            return self.get_string_type()
        return super().to_sql_type(json_schema_property_def)


class Processor(SqlProcessorBase):
    """Stores streams in tables."""

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

    def _add_column_to_table(self, table: Any, column_name: str, column_type: Any) -> None:
        """Adds a column that a newer version of the connector brings.

        PyAirbyte does not quote its name, which may be a word of SQL: `order`, `user`.
        """
        self._execute_sql(
            f"ALTER TABLE {self._fully_qualified(table.name)} "
            f"ADD COLUMN {self._quote_identifier(column_name)} {column_type}"
        )
