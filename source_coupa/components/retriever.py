"""Reads one list for all of its tables."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass
from itertools import chain
from typing import Any

from airbyte_cdk.sources.declarative.extractors.record_selector import RecordSelector
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.retrievers.retriever import Retriever
from airbyte_cdk.sources.streams.core import StreamData
from airbyte_cdk.sources.types import Config, StreamSlice

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.query_filter import NO_FILTER, ListFilter
from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.known_ids import Ids
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.sweep import swept
from source_coupa.records.revisions import flat_revision
from source_coupa.tables.fan_out import PAGE
from source_coupa.transport.connection import HttpConnection
from source_coupa.transport.instance import instance_of

SHAPES = {"revision": flat_revision}
"""What lists need whose records do not have an id of their own where others have it."""


@dataclass
class KeysetRetriever(Retriever):
    """Gives the pages of one list to the CDK, each as one record.

    Attributes:
        name: of the list.
        config: the connection's settings.
        requester: says where the list is, how requests are signed, and what statuses mean.
        record_selector: transforms the records.
        parameters: the stream's `$parameters`; `resource` is the name under /api/, `shape` one of
            SHAPES.
        wanted: what to read, set by SourceCoupa.
        selection: what part of the records to ask for, likewise; None for all.
        filter: what the settings ask of the list, likewise; None for nothing.
        sweep: what to look for when all is read, likewise; None for nothing.
    """

    name: str
    config: Config
    requester: HttpRequester
    record_selector: RecordSelector
    parameters: InitVar[Mapping[str, Any]]
    wanted: Any = None
    selection: Any = None
    filter: Any = None
    sweep: Any = None

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._resource = parameters["resource"]
        self._shape = SHAPES.get(parameters.get("shape", ""))
        self._settings = CoupaConfig.parse(self.config)
        self._read_ids = array("q")

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[StreamData]:
        """Yields the pages of the list; the fan-out makes rows of them.

        Raises:
            AirbyteTracedException: if anything could be missing; nothing is skipped.
        """
        try:
            for page in chain(self._pages(self.wanted or Pass(), records_schema), self._swept()):
                page.records = [
                    dict(record)
                    for record in self.record_selector.filter_and_transform(
                        page.records, stream_state={}, records_schema={}, stream_slice=stream_slice
                    )
                ]
                if self.sweep is not None:
                    self._read_ids.extend(record["id"] for record in page.records)
                    page.goes_on = page.is_last
                yield {PAGE: page}
        except RecursionError:
            raise errors.too_deep(self._resource) from None

    def _swept(self) -> Iterable[Page]:
        if self.sweep is not None:
            ids = self._list(self.requester, ids_only=True)
            records = self._list(self.requester)
            yield from swept(self.sweep, ids, records, lambda: Ids.of(self._read_ids))

    def _pages(self, wanted: Pass, schema: Mapping[str, Any]) -> Iterable[Page]:
        asked: ListFilter = self.filter or NO_FILTER
        try:
            for page in self._list(self.requester, self.selection).read(wanted):
                if (found := asked.contradicted_by(page.records)) is not None:
                    condition, record = found
                    if page.load is not None:
                        page.load.release()
                    raise errors.user_filter_ignored(self._resource, condition.name, record["id"])
                yield page
        except errors.RefusedQueryError as refused:
            if asked == NO_FILTER:
                raise
            reason = refused.internal_message or ""
            raise errors.refused_filter(self._resource, reason) from None

    def _list(
        self,
        requester: HttpRequester,
        selection: FieldSelection | None = None,
        *,
        ids_only: bool = False,
    ) -> CoupaList:
        return CoupaList(
            resource=self._resource,
            connection=self._connection(requester, filter=self.filter or NO_FILTER),
            instance=instance_of(self._settings),
            selection=selection,
            ids_only=ids_only,
            shape=self._shape,
        )

    def _connection(
        self,
        requester: HttpRequester,
        stream_slice: StreamSlice | None = None,
        *,
        filter: ListFilter = NO_FILTER,
    ) -> HttpConnection:
        """A connection to the list that a requester of the manifest describes."""
        instance = instance_of(self._settings)
        if requester.error_handler is None:
            raise ValueError("the manifest's requesters have error handlers")
        parameters = requester.get_request_params(stream_slice=stream_slice)
        return HttpConnection(
            url=requester.get_url(stream_slice=stream_slice),
            headers=requester.get_request_headers(),
            optional={name: value for name, value in parameters.items() if value},
            authenticator=requester.get_authenticator(),  # type: ignore[arg-type]
            error_handler=requester.error_handler,
            session=instance.session,
            budget=requester.api_budget,
            timeouts=(
                requester.connect_timeout_in_seconds or 15.0,
                requester.read_timeout_in_seconds or 300.0,
            ),
            clock=instance.clock,
            host=self._settings.host,
            resource=self._resource,
            filter=filter,
        )
