"""The databases that `bin/sync` writes, asked without the code that wrote them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from integration_tests.truth import in_order

from .postgres import PostgresServer
from .reference.manifest import ROOT, STREAMS
from .sandbox import Record, Sandbox

PYTHON = ROOT / ".venv-sync" / "bin" / "python"

KINDS = ("timestamp_with_timezone", "integer", "number", "boolean", "text", "json")
ADDED = ("_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta")


class Database(Protocol):
    """A database that a sync has written."""

    @property
    def argument(self) -> str:
        """What `--database` is."""

    @property
    def types(self) -> tuple[str, ...]:
        """What information_schema calls the types of KINDS."""

    def rows(self, sql: str) -> list[Record]:
        """The rows of a query; times as text with their offset, JSON as what it stands for."""

    def run(self, sql: str) -> None:
        """Runs a statement as somebody who may do anything."""


@dataclass(frozen=True)
class DuckDBFile:
    """A DuckDB file, asked by the Python that has DuckDB."""

    path: Path
    types = ("TIMESTAMP WITH TIME ZONE", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "JSON")

    @property
    def argument(self) -> str:
        return str(self.path)

    def rows(self, sql: str) -> list[Record]:
        program = (
            "import duckdb, json, sys; file, sql = sys.argv[1:]; "
            "response = duckdb.connect(file, read_only=True).execute(sql); "
            "names = [(column[0], str(column[1]) == 'JSON') for column in response.description]; "
            "print(json.dumps([{name: json.loads(value) if is_json and value else value "
            "for (name, is_json), value in zip(names, row)} for row in response.fetchall()], "
            "default=lambda time: time.isoformat()))"
        )
        response = subprocess.run(
            [PYTHON, "-c", program, self.path, sql], check=True, capture_output=True, text=True
        )
        found: list[Record] = json.loads(response.stdout)
        return found

    def run(self, sql: str) -> None:
        program = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
        subprocess.run([PYTHON, "-c", program, self.path, sql], check=True)


@dataclass(frozen=True)
class PostgresDatabase:
    """The database of a test's server, asked by psql."""

    server: PostgresServer
    types = ("timestamp with time zone", "bigint", "numeric", "boolean", "text", "jsonb")

    @property
    def argument(self) -> str:
        return self.server.address()

    def rows(self, sql: str) -> list[Record]:
        found: list[Record] = json.loads(
            self.server.run(f"SELECT coalesce(json_agg(found), '[]') FROM ({sql}) AS found")
        )
        return found

    def run(self, sql: str) -> None:
        self.server.run(sql)


def assert_holds(database: Database, schema: str, expected: dict[str, list[Record]]) -> None:
    """The tables of `schema` have exactly these records of each stream, in typed columns, and one
    column for what no schema declares.

    Args:
        expected: stream -> its records, as messages print them.
    """
    for stream, records in expected.items():
        properties = schema_of(stream)
        columns = {
            row["column_name"]: row["data_type"]
            for row in database.rows(
                "SELECT column_name, data_type FROM information_schema.columns "
                f"WHERE table_schema = '{schema}' AND table_name = '{stream}'"
            )
        }
        names = dict(zip(KINDS, database.types, strict=True))
        assert {n: t for n, t in columns.items() if n in properties} == {
            name: names[kind_of(definition)] for name, definition in properties.items()
        }, stream
        # what discover adds: `test_unknown_fields` looks into these
        assert "additional_fields" in columns, stream
        found = [
            {name: _stored(row[name], properties[name]) for name in properties}
            for row in database.rows(f"SELECT * FROM {schema}.{stream}")
        ]
        wanted = [
            {name: _sent(record.get(name), properties[name]) for name in properties}
            for record in records
        ]
        assert sorted(found, key=in_order) == sorted(wanted, key=in_order), stream


def schema_of(stream: str) -> dict[str, Any]:
    """The properties of a stream's records."""
    file = next(row.schema for row in STREAMS if row.name == stream)
    text = (ROOT / "source_coupa" / "schemas" / f"{file}.json").read_text(encoding="utf-8")
    properties: dict[str, Any] = json.loads(text)["properties"]
    return properties


def kind_of(definition: dict[str, Any]) -> str:
    """Which of KINDS a property is stored as."""
    types = definition["type"]
    single = [types] if isinstance(types, str) else [type for type in types if type != "null"]
    if len(single) > 1:
        return "text"
    kind = {"string": "text", "object": "json", "array": "json"}.get(single[0], single[0])
    return str(definition.get("airbyte_type", kind))


def schema_name(sandbox: Sandbox) -> str:
    """The schema that `bin/sync` names after the sandbox's host."""
    return sandbox.url.removeprefix("http://").replace(":", "_")


def _sent(value: Any, definition: dict[str, Any]) -> Any:
    """A value of a record as it must be found."""
    if value is not None and kind_of(definition) == "timestamp_with_timezone":
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return value


def _stored(value: Any, definition: dict[str, Any]) -> Any:
    """A value of a row in the same form."""
    is_union = len({*definition["type"]} - {"null"}) > 1 and isinstance(definition["type"], list)
    if is_union and isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    return _sent(value, definition)
