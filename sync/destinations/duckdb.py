"""A DuckDB file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sync.destinations.destination import causes
from sync.errors import SyncError
from sync.sandbox import ROOT


@dataclass(frozen=True)
class DuckDBFile:
    """The file at a path; see Destination."""

    path: str
    secrets: Sequence[str] = ()

    @property
    def title(self) -> str:
        return self.path

    @contextmanager
    def claimed(self, schema: str, *, demo: bool) -> Iterator[None]:
        if schema == Path(self.path).name.partition(".")[0]:
            raise SyncError(
                f"DuckDB cannot tell schema {schema} from the file {self.path}: choose another "
                "name for one of them, with --schema or --database."
            )
        # DuckDB itself lets one process write
        try:
            with duckdb.connect(self.path) as file:
                # a .csv or .json file would be opened, too, as a view
                if not file.execute(
                    "SELECT path FROM duckdb_databases() WHERE path IS NOT NULL"
                ).fetchall():
                    raise SyncError(f"{self.path} is not a DuckDB file.")
                if demo:
                    file.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise SyncError(f"{self.path} cannot be opened as a DuckDB file: {reason}") from None
        yield

    def cache(self, schema: str, folder: Path) -> Any:
        from sync.caches.duckdb import DuckDB

        return DuckDB(db_path=Path(self.path), schema_name=schema, cache_dir=folder)

    def enter(self, connection: Any, schema: str) -> None:
        connection.exec_driver_sql(f'USE "{schema}"')
        connection.exec_driver_sql("SET TimeZone = 'UTC'")

    def message(self, error: BaseException) -> str | None:
        for cause in causes(error):
            if isinstance(cause, duckdb.Error):
                return f"{self.path} could not be written: {str(cause).splitlines()[0]}"
        return None

    def decimal(self, column: str) -> str:
        return f'TRY_CAST("{column}" AS DECIMAL(38, 10))'

    def day(self, column: str) -> str:
        printed = f"TRY_CAST((_airbyte_meta -> 'days') ->> '{column}' AS DATE)"
        return f"coalesce({printed}, CAST(\"{column}\" AT TIME ZONE 'UTC' AS DATE))"

    def how_to_open(self, query: str) -> Sequence[str]:
        path = shlex.quote(self.path)
        python = shlex.quote(str(ROOT / ".venv-sync" / "bin" / "python"))
        call = f"connect({json.dumps(self.path)}, read_only=True).sql({json.dumps(query)}).show()"
        program = shlex.quote(f"import duckdb; duckdb.{call}")
        return (f"duckdb {path} {shlex.quote(query)}", f"{python} -c {program}")
