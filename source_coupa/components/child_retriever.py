"""Reads the rows of a child table, which come with the records of its parent."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airbyte_cdk.sources.types import Record, StreamSlice

from source_coupa.components.retriever import KeysetRetriever
from source_coupa.reading.field_selection import Columns
from source_coupa.reading.pages import logger
from source_coupa.records.fields import UPDATED_AT, JsonRecord, value_of
from source_coupa.tables.rows import Rows


@dataclass
class ChildRetriever(KeysetRetriever):
    """Reads the windows of the parent and makes a row of each object in one of its lists.

    All rows of a parent come together, with its update time: older ones are no longer in the list.
    Only the list is asked for, if it comes as it does in full records (see `columns`).

    Attributes:
        primary_key: of the stream, set by the CDK.

    Of the stream's `$parameters`, `rows` is the path of the list as Coupa prints it, `parent` what
    a record of `resource` is called (see `rows`).
    """

    primary_key: str | list[str] | None = None

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        key = self.primary_key
        self._list = Rows(
            resource=self._resource,
            path=parameters["rows"],
            parent=parameters["parent"],
            need_ids="id" in ([key] if isinstance(key, str) else key or ()),
        )
        self._cursor_field = f"{parameters['parent']}_{UPDATED_AT}"

    def _columns(self, records_schema: Mapping[str, Any]) -> Columns | None:
        name = self._list.outermost
        return Columns(
            stream=self.name, names=("id", UPDATED_AT, name), nested={name}, tell=logger.info
        )

    def _rows(
        self, page: list[JsonRecord], stream_slice: StreamSlice | None
    ) -> Iterable[JsonRecord]:
        for parent in page:
            rows = self._list.of(parent)
            if not rows:
                self._pass_by(parent, stream_slice)
            yield from rows

    def _pass_by(self, parent: JsonRecord, stream_slice: StreamSlice | None) -> None:
        """Lets the state move over a parent without rows, as the CDK does for each row."""
        if self.cursor is not None:
            data = {self._cursor_field: value_of(parent, UPDATED_AT)}
            self.cursor.observe(
                Record(data=data, stream_name=self.name, associated_slice=stream_slice)
            )
