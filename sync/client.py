"""PyAirbyte as it is used here: one connector, one schema of a database, sync after sync."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import airbyte
from airbyte import exceptions
from airbyte_protocol.models import Level

from sync.changes import StreamResult, Table, rows
from sync.destinations import Destination
from sync.errors import SyncError
from sync.progress import Progress
from sync.sandbox import ROOT
from sync.streams import unknown_stream
from sync.views import make_view

CONNECTOR = ROOT / ".venv" / "bin" / "source-coupa"


@dataclass(frozen=True)
class SyncResult:
    """What one sync brought, what to know of it, and the connector's messages about what went
    wrong."""

    streams: Sequence[StreamResult]
    notes: Sequence[str]
    failures: Sequence[str]


class Client:
    """One instance, synced into one schema of a database. Made by `opened`."""

    def __init__(
        self,
        source: Any,
        cache: Any,
        connection: Any,
        destination: Destination,
        progress: Progress,
    ) -> None:
        self._destination = destination
        self._progress = progress
        self._source = source
        self._cache = cache
        self._connection = connection
        self._tables: dict[str, Table] = {}
        self._reported: list[str] = []
        self._warned: dict[str, None] = {}
        # PyAirbyte prints the connector's errors into its progress display and then raises one
        # that does not hold them
        source._print_error_message = self._reported.append
        source._print_info_message = self._not_a_message
        # it takes null for a wrong setting and names none; the connector checks them all
        source.validate_config = lambda config=None: None
        cache.watch = self._watch

    @property
    def streams(self) -> list[str]:
        """The names of the selected streams."""
        return list(self._source.get_selected_streams())

    def check(self) -> None:
        """Asks the connector whether it can read the instance.

        Raises:
            SyncError: with the connector's message, if it cannot.
        """
        try:
            with self._progress.doing("Checking the connection"), _silence():
                self._source.check()
        except exceptions.PyAirbyteError as error:
            reason = (error.context or {}).get("failure_reason")
            raise SyncError(reason or self._messages(error)[0]) from None

    def select(self, streams: Sequence[str]) -> None:
        """Selects streams by name, or all that can be read if `streams` is empty.

        Raises:
            SyncError: if one is not there, or the connector cannot say which are.
        """
        try:
            with self._progress.doing("Asking which streams this client can read"), _silence():
                available = self._source.get_available_streams()
        except exceptions.PyAirbyteError as error:
            raise SyncError(self._messages(error)[0]) from None
        for stream in streams:
            if stream not in available:
                raise SyncError(unknown_stream(stream, available))
        self._source.select_streams(list(streams) or available)
        self._tables = {
            each.stream.name: Table(
                self._connection,
                each.stream.name,
                keys=[field for [field] in each.primary_key],
                cursor=(each.cursor_field or [""])[0],
            )
            for each in self._source.get_configured_catalog().streams
        }

    def sync(self) -> SyncResult:
        """Brings what changed since the last sync into this schema, everything at first.

        Streams that were read to their end are stored even if others fail. Errors of the database
        are left to Destination.message.
        """
        self._reported.clear()
        self._warned.clear()
        failures: Sequence[str] = ()
        for table in self._tables.values():
            table.remember()
        try:
            with self._progress.doing("Reading"), _silence():
                self._source.read(cache=self._cache)
        except exceptions.PyAirbyteError as error:
            if self._destination.message(error):
                raise
            failures = self._messages(error)
        results = [self._tables[stream].result() for stream in self.streams]
        notes = [*self._warned, *self._cache.changes.notes(), *self._make_views()]
        return SyncResult(results, notes, failures)

    def changed_ids(self, stream: str) -> frozenset[int]:
        """The ids of the records of `stream` that the last sync brought new or updated."""
        return self._tables[stream].changed_ids()

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, in which tables are named as the streams are."""
        return rows(self._connection, sql)

    def telling_columns(self, stream: str) -> list[str]:
        """See Table.telling_columns."""
        return self._tables[stream].telling_columns()

    def _make_views(self) -> list[str]:
        """Makes the views of all tables; a note for each that cannot be made."""
        notes = [
            make_view(
                self._connection,
                self._destination,
                each.stream.name,
                each.stream.json_schema["properties"],
            )
            for each in self._source.get_configured_catalog().streams
            if self._tables[each.stream.name].is_there()
        ]
        return list(filter(None, notes))

    def _watch(self, message: Any) -> None:
        if message.record:
            self._progress.record(message.record.stream)
        elif message.log and message.log.level in _WARNINGS:
            self._warned[message.log.message] = None

    def _not_a_message(self, line: str) -> None:
        """PyAirbyte takes what it cannot parse for a log line, a record included."""
        if '"type":"RECORD"' in line.replace(" ", "")[:100]:
            raise SyncError(
                "PyAirbyte cannot read a record of the connector, such as one that is nested too "
                "deep, and would pass over it."
            )

    def _messages(self, error: exceptions.PyAirbyteError) -> tuple[str, ...]:
        """What the connector said, or what PyAirbyte says where the connector said nothing."""
        texts = dict.fromkeys(self._reported)
        # the CDK's last word repeats what it said of each stream
        single = [text for text in texts if not text.startswith(_SUMMARY)]
        return tuple(single or texts) or (error.get_message(),)


_WARNINGS = (Level.WARN, Level.ERROR, Level.FATAL)

_SUMMARY = "During the sync, the following streams did not sync successfully"


@contextmanager
def _silence() -> Iterator[None]:
    """PyAirbyte prints where its own logs are, and advice for those who call it."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def opened(
    config: dict[str, Any],
    *,
    destination: Destination,
    schema: str,
    keep: Callable[[dict[str, Any]], None],
    progress: Progress,
) -> Iterator[Client]:
    """A client for the instance of `config` that writes into `schema`, which is claimed; `keep`
    stores settings that the connector changes, such as a renewed sign-in."""

    def take_over(changed: dict[str, Any]) -> None:
        keep(changed)
        # PyAirbyte starts the connector again for each command, and with the settings it had
        source.set_config(changed, validate=False)

    with progress.doing("Starting the connector"), _silence():
        source = airbyte.get_source(
            "source-coupa",
            config=dict(config),
            local_executable=CONNECTOR,
            config_change_callback=take_over,
        )
    with (
        tempfile.TemporaryDirectory() as batches,
        destination.cache(schema, Path(batches)) as cache,
        cache.get_sql_engine().connect() as connection,
    ):
        destination.enter(connection, schema)
        yield Client(source, cache, connection, destination, progress)
