"""Reads lists of which each parent has one of its own, such as the addresses of each user."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.streams.core import StreamData
from airbyte_cdk.sources.types import Record, StreamSlice
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.components.retriever import KeysetRetriever
from source_coupa.reading.coupa_list import ListReader
from source_coupa.reading.field_selection import Columns
from source_coupa.reading.pages import PAGE_SIZE, Dialect, PageReader, QueryRefusedError, logger

PARENT_ID = "parent_id"
"""The parent's id in a slice; the manifest's partition router puts it there."""

_NOT_FOUND = (requests.codes.not_found, requests.codes.gone)


class _ListNotFoundError(Exception):
    """Coupa has no such list."""


@dataclass
class ParentRetriever(KeysetRetriever):
    """Reads the ids of all parents of a nested stream, and nothing else if the instance can."""

    def _columns(self, records_schema: Mapping[str, Any]) -> Columns | None:
        return Columns(stream=self.name, names=("id",), tell=logger.info, are_sure=True)


@dataclass(kw_only=True)
class NestedRetriever(KeysetRetriever):
    """Reads the list of one parent, a slice, each row with the parent's id.

    The lists are short and many. What one shows about the instance holds for all.

    Attributes:
        parents_requester: sends requests for the list of parents.

    Of the stream's `$parameters`, `resource` is the parents' list, `nested` the name of the list
    below each, `parent` what a parent is called.
    """

    parents_requester: HttpRequester

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._limit_heads(self.parents_requester)
        self._parent_id = f"{parameters['parent']}_id"
        self._path = f"{self._resource}/:{self._parent_id}/{parameters['nested']}"
        self._parents = PageReader(resource=self._resource, send=self._send_to_parents)
        self._dialect: Dialect | None = None
        self._has_failed = False

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[StreamData]:
        """Yields the list of one parent; after one that failed the stream, no others are asked
        for."""
        if self._has_failed or stream_slice is None:
            return
        try:
            yield from super().read_records(records_schema, stream_slice)
        except AirbyteTracedException:
            self._has_failed = True
            raise

    def _read(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None
    ) -> Iterable[Record]:
        if stream_slice is None:
            raise ValueError("a nested list has a parent")
        parent = stream_slice.partition[PARENT_ID]
        send = partial(self._send_to_list, stream_slice)
        pages = PageReader(resource=self._path, send=send, dialect=self._known_dialect())
        try:
            for page in ListReader(pages=pages, fetchers=self._fetchers).read({}):
                yield from self.record_selector.filter_and_transform(
                    [{self._parent_id: parent, **record} for record in page],
                    stream_state={},
                    records_schema=records_schema,
                    stream_slice=stream_slice,
                )
        except _ListNotFoundError:
            if not self._is_gone(parent):
                raise errors.no_such_list(self._path, self.name) from None

    def _known_dialect(self) -> Dialect:
        """What is known about the lists, and at first, whether the instance serves whole pages:
        with all lists as short as one another, none would look like a last page."""
        with self._lock:
            if self._dialect is None:
                self._dialect = Dialect()
                self._parents.columns = self._parents.columns or Columns(
                    stream=self.name, names=("id",), tell=logger.info, are_sure=True
                )
                try:
                    if len(self._parents.first({})) == PAGE_SIZE:
                        self._dialect.longest_page = PAGE_SIZE
                except QueryRefusedError as refused:
                    logger.info(f"{self.name}: the size of pages could not be seen: {refused}")
            return self._dialect

    def _is_gone(self, parent: int) -> bool:
        """Whether a parent was deleted since its id was read."""
        try:
            return self._parents.first({"id": str(parent)}, limit=1) == []
        except QueryRefusedError:
            return False

    def _send_to_list(
        self, stream_slice: StreamSlice, query: Mapping[str, str]
    ) -> requests.Response:
        response = self._answer(self.requester, query, stream_slice)
        if response.status_code in _NOT_FOUND:
            raise _ListNotFoundError
        return self._usable(response)

    def _send_to_parents(self, query: Mapping[str, str]) -> requests.Response:
        return self._usable(self._answer(self.parents_requester, query))
