"""Reads one window of a stream by keyset."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import Any

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.extractors.record_selector import RecordSelector
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.retrievers.retriever import Retriever
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor, Cursor
from airbyte_cdk.sources.streams.core import StreamData
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.sources.streams.http.http_client import MAX_CONNECTION_POOL_SIZE
from airbyte_cdk.sources.types import Config, Record, StreamSlice
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.components import authenticator
from source_coupa.config import CoupaConfig
from source_coupa.reading.coupa_list import ListReader
from source_coupa.reading.field_selection import Columns, selected_columns
from source_coupa.reading.pages import PageReader, logger, trimmed
from source_coupa.reading.survey import Survey
from source_coupa.reading.windows import Window, since
from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant, value_of
from source_coupa.records.revisions import flat_revision
from source_coupa.transport.backpressure import shared_backlog
from source_coupa.transport.circuit_breaker import shared_outages
from source_coupa.transport.scheduler import shared_fetchers
from source_coupa.transport.time_limits import limit_heads

SHAPES = {"revision": flat_revision}
"""What lists need whose records do not have an id of their own where others have it."""


@dataclass
class KeysetRetriever(Retriever):
    """Reads the records of a slice in ascending order of id (see `pages`).

    A slice of an incremental stream is a window of update times. Each record's update time is
    compared with its window: an instance that ignored the filter would otherwise move the state
    past records that were not read.

    Attributes:
        name: the stream.
        config: the connection's settings.
        requester: sends the requests.
        record_selector: filters and transforms the records.
        parameters: the stream's `$parameters`; `resource` is the name under /api/, `shape` one of
            SHAPES.
        cursor: the stream's cursor, set by the CDK.
        beginning: the window that starts here has no lower bound: it holds all older records too.
        selected_columns: the columns of the configured catalog, set by SourceCoupa; None for all.
        since_start_date: whether a list that is not read by windows begins at the start date; set
            by SourceCoupa for full refreshes of incremental streams.
    """

    name: str
    config: Config
    requester: HttpRequester
    record_selector: RecordSelector
    parameters: InitVar[Mapping[str, Any]]
    cursor: Cursor | None = None
    beginning: str = ""
    selected_columns: list[str] | None = None
    since_start_date: bool = False

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._resource = parameters["resource"]
        self._unusable: str | None = None
        self._lock = threading.Lock()
        config = CoupaConfig.parse(self.config)
        self._host = config.host
        self._bounds: Mapping[str, str] = {}
        if self.since_start_date and config.start_date is not None:
            self._bounds = since(UPDATED_AT, config.start_date)
        self._fetchers = shared_fetchers(config)
        self._outages = shared_outages(config)
        self._outage_told: str | None = None
        self._backlog = shared_backlog()
        self._shape = SHAPES.get(parameters.get("shape", ""))
        self._pages = PageReader(resource=self._resource, send=self._send, shape=self._shape)
        self._limit_heads(self.requester)
        self._lists = ListReader(pages=self._pages, fetchers=self._fetchers)
        self._survey = Survey(self._lists, config.start_date)

    def _limit_heads(self, requester: HttpRequester) -> None:
        limit_heads(
            requester._http_client._session,
            authenticator.LONGEST_ANSWER,
            connections=MAX_CONNECTION_POOL_SIZE,
        )

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[StreamData]:
        """Yields the records of a slice; safe to call from several threads at once.

        Raises:
            AirbyteTracedException: if anything could be missing; nothing is skipped. What the user
                has to mend fails all later slices too, without another request.
        """
        if self._unusable is not None:
            raise errors.config_error(self._unusable)
        try:
            yield from self._read(records_schema, stream_slice)
        except RecursionError:
            raise errors.too_deep(self._resource) from None
        except AirbyteTracedException as error:
            if error.failure_type == FailureType.config_error:
                self._unusable = error.message
            raise

    def _read(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None
    ) -> Iterable[Record]:
        self._choose_columns(records_schema)
        window = self._window(stream_slice)
        for page in self._pages_of(window):
            self._backlog.wait_for_room()
            if window:
                for record in page:
                    self._check(record, window)
            rows = list(self._rows(page, stream_slice))
            row_bytes = self._pages.record_bytes * len(page) // max(len(rows), 1)
            for row in self.record_selector.filter_and_transform(
                rows, stream_state={}, records_schema=records_schema, stream_slice=stream_slice
            ):
                self._backlog.hold(row, row_bytes)
                yield row

    def _pages_of(self, window: Window | None) -> Iterable[list[JsonRecord]]:
        if window is None:
            return self._lists.read(self._bounds)
        known = self._survey.records(window)
        if known is None:
            return self._lists.read(window.filters, window.end.timestamp())
        return [known]

    def _choose_columns(self, records_schema: Mapping[str, Any]) -> None:
        with self._lock:
            if self._pages.columns is None and self._shape is None:
                self._pages.columns = self._columns(records_schema)

    def _columns(self, records_schema: Mapping[str, Any]) -> Columns | None:
        """The columns that the stream asks for; None for all."""
        return selected_columns(
            stream=self.name,
            selected=self.selected_columns,
            schema=records_schema,
            tell=logger.info,
        )

    def _rows(
        self, page: list[JsonRecord], stream_slice: StreamSlice | None
    ) -> Iterable[JsonRecord]:
        """What the stream makes of the records of a page."""
        return page

    def _window(self, stream_slice: StreamSlice | None) -> Window | None:
        if not isinstance(self.cursor, ConcurrentCursor) or not stream_slice:
            return None
        start, end = (
            datetime.strptime(stream_slice[key], "%Y-%m-%dT%H:%M:%S%z")
            for key in ("start_time", "end_time")
        )
        is_first = self.beginning and start == instant(self.beginning)
        return Window(field=UPDATED_AT, start=None if is_first else start, end=end)

    def _check(self, record: JsonRecord, window: Window) -> None:
        value = value_of(record, window.field)
        if value is None:
            raise trimmed(self._resource, window.field)
        try:
            moment = instant(value)
        except ValueError:
            raise errors.system_error(
                f"Coupa sent a record of /api/{self._resource} whose {window.field} is no date and "
                "time with time zone.",
                f"id {record['id']}",
            ) from None
        if not window.holds(moment):
            raise errors.system_error(
                f"Coupa does not apply the filter on {window.field} to /api/{self._resource}, so "
                "that changes cannot be told: the stream was stopped.",
                f"id {record['id']}: {value} is not in {window}",
            )

    def _send(self, query: Mapping[str, str]) -> requests.Response:
        return self._usable(self._answer(self.requester, query))

    def _usable(self, response: requests.Response) -> requests.Response:
        if response.status_code not in (requests.codes.ok, requests.codes.bad_request):
            raise errors.unexpected_status(self._host, response.status_code)
        return response

    def _answer(
        self,
        requester: HttpRequester,
        query: Mapping[str, str],
        stream_slice: StreamSlice | None = None,
    ) -> requests.Response:
        """An answer that the manifest's error handler lets through."""
        self._backlog.wait_for_room()
        began = time.monotonic()
        try:
            with self._fetchers.slot():
                if self._outages.is_certain:
                    raise errors.given_up(self._host)
                began = time.monotonic()
                response = requester.send_request(request_params=query, stream_slice=stream_slice)
        except AirbyteTracedException as error:
            # without its cause, whose text quotes what Coupa answered
            raise self._noted(self._plain(error), began) from None
        self._outages.answered()
        if response is None:
            raise errors.system_error(f"The request to /api/{self._resource} got no answer.")
        self._fetchers.observe(response.elapsed.total_seconds())
        return response

    def _noted(self, failure: AirbyteTracedException, began: float) -> AirbyteTracedException:
        """The same failure; if the host is down, in the words that were first found for it, for
        each window's would be told."""
        if not isinstance(failure, errors.HostDownError):
            return failure
        self._outages.gave_up(began)
        self._outage_told = self._outage_told or failure.message
        sentence = self._outage_told or ""
        return errors.transient_error(sentence, failure.internal_message)

    def _plain(self, error: AirbyteTracedException) -> AirbyteTracedException:
        """The sentence of the manifest alone, without the CDK's words about retries and answers."""
        cause = error._exception
        sentence, kind = error.message, error.failure_type
        if isinstance(cause, BaseBackoffException):
            if cause.response is None:
                return errors.unreachable(self._host, _exception_named_in(str(cause)))
            if kind == FailureType.system_error:
                # a status that the manifest does not know
                return errors.unexpected_status(self._host, cause.response.status_code)
            sentence = str(cause)
            if errors.is_unavailable(cause.response):
                return errors.transient_error(sentence, kind=errors.HostDownError)
        if isinstance(error, errors.HostDownError):
            return error
        return AirbyteTracedException(
            message=sentence, internal_message=sentence, failure_type=kind
        )


def _exception_named_in(text: str) -> requests.RequestException:
    """The CDK keeps of a failed connection only "ReadTimeout: ..." or the like."""
    named = getattr(requests.exceptions, text.partition(":")[0], None)
    if isinstance(named, type) and issubclass(named, requests.RequestException):
        return named()
    return requests.ConnectionError()
