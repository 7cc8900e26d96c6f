"""PyAirbyte as it is used here: one connector, one DuckDB file, sync after sync."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import airbyte
import duckdb
from airbyte import exceptions

from sync.cache import DuckDB
from sync.errors import SyncError
from sync.sandbox import ROOT

CONNECTOR = ROOT / ".venv" / "bin" / "source-coupa"


@dataclass(frozen=True)
class StreamResult:
    """One stream after a sync.

    `rows` are in its table. This sync brought `new` ones, `updated` ones, whose `updated_at`
    moved, and `again` those that had not changed. `latest` is the last `updated_at`, None where
    the table is empty.
    """

    stream: str
    rows: int
    new: int
    updated: int
    again: int
    latest: datetime | None


@dataclass(frozen=True)
class SyncResult:
    """What one sync brought, and the connector's sentences about what went wrong."""

    streams: Sequence[StreamResult]
    failures: Sequence[str]


class Client:
    """One instance, synced into one schema of a DuckDB file. Made by `opened`."""

    def __init__(self, source: Any, cache: Any, connection: Any) -> None:
        self._source = source
        self._cache = cache
        self._connection = connection
        self._told: list[str] = []
        # PyAirbyte prints the connector's errors into its progress display and then raises one
        # that does not hold them
        source._print_error_message = self._told.append

    @property
    def streams(self) -> list[str]:
        """The names of the selected streams."""
        return list(self._source.get_selected_streams())

    def check(self) -> None:
        """Asks the connector whether it can read the instance.

        Raises:
            SyncError: with the connector's sentence, if it cannot.
        """
        try:
            with redirect_stderr(io.StringIO()):
                self._source.check()
        except exceptions.PyAirbyteError as error:
            reason = (error.context or {}).get("failure_reason")
            raise SyncError(reason or self._sentences(error)[0]) from None

    def select(self, streams: Sequence[str]) -> None:
        """Selects streams by name, or all that can be read if `streams` is empty.

        Raises:
            SyncError: if one is not there, or the connector cannot tell which are.
        """
        try:
            available = self._source.get_available_streams()
        except exceptions.PyAirbyteError as error:
            raise SyncError(self._sentences(error)[0]) from None
        unknown = [stream for stream in streams if stream not in available]
        if unknown:
            raise SyncError(
                f"There is no stream {', '.join(unknown)} that this client can read; there are "
                f"{', '.join(available)}."
            )
        self._source.select_streams(list(streams) or available)

    def sync(self) -> SyncResult:
        """Brings what changed since the last sync into this schema, everything at first.

        Streams that were read to their end are stored even if others fail.
        """
        self._told.clear()
        for stream in self.streams:
            self._remember(stream)
        failures: Sequence[str] = ()
        try:
            self._source.read(cache=self._cache)
        except exceptions.PyAirbyteError as error:
            failures = self._sentences(error)
        return SyncResult([self._compare(stream) for stream in self.streams], failures)

    def changed_ids(self, stream: str) -> frozenset[int]:
        """The ids of the records of `stream` that the last sync brought new or updated."""
        ids = self.query(
            f'SELECT now.id FROM "{stream}" AS now LEFT JOIN "before_{stream}" AS before '
            f"ON now.id = before.id WHERE {_NEW} OR {_UPDATED}"
        )
        return frozenset(row["id"] for row in ids)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, in which tables are named as the streams are."""
        rows = [dict(row) for row in self._connection.exec_driver_sql(sql).mappings()]
        # not to hold back what PyAirbyte writes next
        self._connection.commit()
        return rows

    def _has_table(self, stream: str) -> bool:
        tables = self.query(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = current_schema()"
        )
        return stream in {row["table_name"] for row in tables}

    def _remember(self, stream: str) -> None:
        """Keeps aside which records the table holds, to compare with after the sync."""
        columns = (
            f'SELECT id, updated_at, _airbyte_extracted_at FROM "{stream}"'
            if self._has_table(stream)
            else "SELECT 0 AS id, NULL::TIMESTAMPTZ AS updated_at, "
            "NULL::TIMESTAMP AS _airbyte_extracted_at WHERE false"
        )
        self._connection.exec_driver_sql(
            f'CREATE OR REPLACE TEMP TABLE "before_{stream}" AS {columns}'
        )
        self._connection.commit()

    def _compare(self, stream: str) -> StreamResult:
        if not self._has_table(stream):
            return StreamResult(stream, 0, 0, 0, 0, None)
        [row] = self.query(
            f"SELECT count(*) AS rows, count(*) FILTER ({_NEW}) AS new, "
            f"count(*) FILTER ({_UPDATED}) AS updated, count(*) FILTER ({_AGAIN}) AS again, "
            "max(now.updated_at) AS latest "
            f'FROM "{stream}" AS now LEFT JOIN "before_{stream}" AS before ON now.id = before.id'
        )
        return StreamResult(stream=stream, **row)

    def _sentences(self, error: exceptions.PyAirbyteError) -> tuple[str, ...]:
        """What the connector said, or what PyAirbyte says where the connector said nothing."""
        told = dict.fromkeys(self._told)
        # the CDK's last word repeats what it said of each stream
        single = [text for text in told if not text.startswith(_SUMMARY)]
        return tuple(single or told) or (error.get_message(),)


_SUMMARY = "During the sync, the following streams did not sync successfully"

_NEW = "before.id IS NULL"
_UPDATED = f"NOT {_NEW} AND now.updated_at IS DISTINCT FROM before.updated_at"
_AGAIN = (
    "now.updated_at IS NOT DISTINCT FROM before.updated_at "
    "AND now._airbyte_extracted_at > before._airbyte_extracted_at"
)


def _prepare(database: Path, schema_to_drop: str | None) -> None:
    """Makes sure that the file can be written, and drops a schema in it."""
    try:
        with duckdb.connect(database) as file:
            # a .csv or .json file would be opened, too, as a view
            if not file.execute(
                "SELECT path FROM duckdb_databases() WHERE path IS NOT NULL"
            ).fetchall():
                raise SyncError(f"{database} is not a DuckDB file.")
            if schema_to_drop:
                file.execute(f'DROP SCHEMA IF EXISTS "{schema_to_drop}" CASCADE')
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise SyncError(f"{database} cannot be opened as a DuckDB file: {reason}") from None


@contextmanager
def opened(
    config: dict[str, Any], *, database: Path, schema: str, empty: bool = False
) -> Iterator[Client]:
    """A client for the instance of `config` that writes into `schema` of the file `database`.

    With `empty`, what the schema holds is dropped first.

    Raises:
        SyncError: if the file cannot be written.
    """
    _prepare(database, schema if empty else None)
    with redirect_stderr(io.StringIO()):
        source = airbyte.get_source("source-coupa", config=config, local_executable=CONNECTOR)
    with (
        tempfile.TemporaryDirectory(prefix="source-coupa-") as batches,
        DuckDB(db_path=database, schema_name=schema, cache_dir=Path(batches)) as cache,
        cache.get_sql_engine().connect() as connection,
    ):
        connection.exec_driver_sql(f'USE "{schema}"')
        connection.exec_driver_sql("SET TimeZone = 'UTC'")
        yield Client(source, cache, connection)
