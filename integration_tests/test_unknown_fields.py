"""Nothing is lost until it is in a column, whatever Coupa sends that no schema declares.

The whole way: discover, the catalog that it gives, a read of every stream, and the tables of DuckDB
and PostgreSQL, which are held against the sandbox path by path.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.streams.call_rate import MovingWindowCallRatePolicy

from source_coupa.tables.columns import Columns
from sync.caches.columns import column_of

from .databases import ADDED, KINDS, PYTHON, Database, DuckDBFile, PostgresDatabase
from .full_records import add_full_records
from .harness import CliFiles, CliRun, discover, run_here
from .reference.manifest import ROOT, STREAMS
from .sandbox import RESOURCES, Dialect, Record, Sandbox
from .sandbox.generators.custom_fields import NAMES
from .truth import truth_of

pytestmark = pytest.mark.slow

ROWS = 2
"""Of each list, beside one record in which all of its lists are filled; discover looks at all."""

SCHEMA = "unknown"

KEPT = "additional_fields"

VALUES: tuple[Any, ...] = (
    "7",
    7,
    0.5,
    True,
    ["a", {"b-c": None}],
    {"id": 5, "name-of": "x"},
    None,
    "",
    {},
    [],
)
"""What unknown fields hold."""

LATE = ("late-field", "Late Field", "遅い", "late_field")
"""Unknown fields that nobody has yet when discover looks."""

LATE_COLUMNS = frozenset({"late_field", "late_field_2", "Late Field", "遅い"})

DROPPED = frozenset({*LATE_COLUMNS, *NAMES, "COST_CENTER"})

REVISIONS = "purchase_order_revisions"

Stored = Mapping[str, list[Record]]
"""Stream -> its rows by the names of fields."""


def with_fields(value: Any, names: Iterator[str], values: Iterator[Any]) -> Any:
    """A record with an unknown field in each of its objects, at every depth."""
    if isinstance(value, list):
        return [with_fields(item, names, values) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: with_fields(item, names, values) for key, item in value.items()}
    if value.keys() == {"from", "to"}:
        return inner
    return {next(names): next(values), **inner}


def add_fields(sandbox: Sandbox, *names: str) -> None:
    """Gives every record of every list unknown fields."""
    for table in sandbox.tables.values():
        endless = cycle(names), cycle(VALUES)
        for id in table.ids():
            table.edit(id, with_fields(table.get(id), *endless), touch=False)


@dataclass(frozen=True)
class Came:
    """What one sync printed, and what Coupa held.

    Attributes:
        catalog: the file of the configured catalog.
        messages: the file of what was printed.
        declared: stream -> its properties.
        truth: stream -> its rows.
        rows: stream -> its rows, as they were printed.
        log: the lines of the log.
    """

    catalog: Path
    messages: Path
    declared: Mapping[str, Record]
    truth: Stored
    rows: Stored
    log: list[str]

    def sent(self, stream: str) -> list[Record]:
        """The rows of a stream as they were printed."""
        return self.rows.get(stream, [])


def configured(run: CliRun, *streams: str) -> dict[str, Any]:
    """The catalog that `bin/sync` makes of what discover prints."""
    [message] = run.of_type("CATALOG")
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "incremental",
                "destination_sync_mode": "overwrite",
                "primary_key": stream["source_defined_primary_key"],
                "cursor_field": stream.get("default_cursor_field"),
            }
            for stream in message["catalog"]["streams"]
            if not streams or stream["name"] in streams
        ]
    }


def synced(sandbox: Sandbox, catalog: dict[str, Any], folder: Path) -> Came:
    """A first sync."""
    files = CliFiles(
        folder, "read", sandbox.config(), ConfiguredAirbyteCatalogSerializer.load(catalog)
    )
    run = run_here(files.arguments())
    assert run.errors == []
    assert run.exit_code == 0
    (folder / "configured.json").write_text(json.dumps(catalog))
    # other tests of this process may have raised its log level, and Airbyte knows no such messages
    known = [message for message in run.messages if message["type"] != "DEBUG"]
    (folder / "messages.jsonl").write_text("".join(f"{json.dumps(m)}\n" for m in known))
    names = {each["stream"]["name"]: each["stream"] for each in catalog["streams"]}
    rows: dict[str, list[Record]] = {}
    for message in run.of_type("RECORD"):
        rows.setdefault(message["record"]["stream"], []).append(message["record"]["data"])
    return Came(
        catalog=folder / "configured.json",
        messages=folder / "messages.jsonl",
        declared={name: stream["json_schema"]["properties"] for name, stream in names.items()},
        truth={name: truth_of(sandbox, name) for name in names},
        rows=rows,
        log=[message["log"]["message"] for message in run.of_type("LOG")],
    )


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Came:
    """One sync of all streams: of fields that discover could see, and of others since then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MovingWindowCallRatePolicy, "try_acquire", lambda *_, **__: None)
        with strange_sandbox(*RESOURCES) as sandbox:
            catalog = configured(discover(sandbox.config()))
            add_fields(sandbox, *LATE)
            return synced(sandbox, catalog, tmp_path_factory.mktemp("sync"))


@contextmanager
def strange_sandbox(*resources: str) -> Iterator[Sandbox]:
    """A sandbox whose records have unknown fields at every depth."""
    rows = dict.fromkeys(resources, ROWS)
    with Sandbox(rows, dialect=Dialect(rate_limit=None), custom_fields=True) as sandbox:
        if len(resources) == len(RESOURCES):
            add_full_records(sandbox, datetime.now(timezone.utc) - timedelta(days=1))
        add_fields(sandbox, *NAMES)
        yield sandbox


def store(database: Database, schemas: Mapping[str, Sequence[Came]]) -> dict[str, list[str]]:
    """Stores syncs in schemas, one after another, as `bin/sync` does; schema -> what it says."""
    is_file = isinstance(database, DuckDBFile)
    task = {
        "cache": "DuckDB" if is_file else "PostgreSQL",
        "options": {"db_path" if is_file else "url": database.argument},
        "schemas": {
            schema: [{"catalog": str(c.catalog), "messages": str(c.messages)} for c in syncs]
            for schema, syncs in schemas.items()
        },
    }
    run = subprocess.run(
        [PYTHON, ROOT / "integration_tests" / "store_batches.py"],
        input=json.dumps(task),
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    said: dict[str, list[str]] = json.loads(run.stdout.splitlines()[-1])
    return said


def stored(database: Database, came: Came, schema: str = SCHEMA) -> dict[str, list[Record]]:
    """Stream -> its rows by the names of columns; all columns of each."""
    queries = [
        f"SELECT '{name}' AS stream, to_json(t) AS columns FROM {schema}.{name} AS t"
        for name in came.declared
    ]
    found: dict[str, list[Record]] = {name: [] for name in came.declared}
    for row in database.rows(" UNION ALL ".join(queries)):
        found[row["stream"]].append(row["columns"])
    return found


def losses(came: Came, found: Mapping[str, list[Record]]) -> list[str]:
    """Each path of the truth whose value is in no column, and each row that is not there."""
    lost = []
    for name, rows in came.truth.items():
        declared = came.declared[name]
        key = next(stream.primary_key for stream in STREAMS if stream.name == name)
        by_key = {tuple(row[column] for column in key): row for row in found[name]}
        if len(found[name]) != len(rows):
            lost.append(f"{name}: {len(found[name])} of {len(rows)} rows")
        for row in rows:
            at = tuple(row[column] for column in key)
            if at not in by_key:
                lost.append(f"{name} {at}")
                continue
            fields = fields_of(by_key[at], declared, row)
            wrong = paths(row) ^ paths(fields)
            lost += [f"{name} {at}: {path} = {value}" for path, value in sorted(wrong)]
    return lost


def fields_of(row: Record, declared: Mapping[str, Any], sent: Record) -> Record:
    """The fields of a record from the columns of a row; where text holds what was sent as something
    else, it is its JSON."""
    columns = {field: column_of(field) for field in declared}
    assert row.keys() - set(ADDED) == set(columns.values())
    fields = {field: row[column] for field, column in columns.items()}
    for field, value in fields.items():
        if isinstance(value, str) and not isinstance(sent.get(field), str):
            fields[field] = json.loads(value)
    others = fields.pop(KEPT) or {}
    assert not fields.keys() & others.keys()
    return {**fields, **others}


def paths(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Where a record has values, and which; fields that are null at its top level are not there."""
    if isinstance(value, dict) and value:
        return {
            found
            for key, inner in value.items()
            if path or inner is not None
            for found in paths(inner, f"{path}/{key}")
        }
    if isinstance(value, list) and value:
        return {
            found for place, inner in enumerate(value) for found in paths(inner, f"{path}/{place}")
        }
    return {(path, _plain(value))}


_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)")


def _plain(value: Any) -> str:
    """A single value in one form: times differ by zone, and numbers by their digits."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        text = re.sub(r"([+-]\d\d)$", r"\1:00", value.replace("Z", "+00:00"))
        return f"time {datetime.fromisoformat(text).timestamp()}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"number {float(value)!r}"
    return f"{type(value).__name__} {value!r}"


@pytest.fixture(scope="module", params=["DuckDB", "PostgreSQL"])
def database(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    venv_sync: None,
    came: Came,
) -> Database:
    """A database that the sync is stored in."""
    database: Database
    if request.param == "DuckDB":
        database = DuckDBFile(tmp_path_factory.mktemp("database") / "coupa.duckdb")
    else:
        database = PostgresDatabase(request.getfixturevalue("postgres_server"))
    assert store(database, {SCHEMA: [came]}) == {SCHEMA: []}
    return database


def test_every_value_is_in_a_column(came: Came, database: Database) -> None:
    assert all(came.truth.values())
    assert losses(came, stored(database, came)) == []


def test_objects_of_unknown_fields_are_json(came: Came, database: Database) -> None:
    """So that SQL can look into them."""
    json_type = dict(zip(KINDS, database.types, strict=True))["json"]
    found = database.rows(
        "SELECT column_name AS name, data_type AS type FROM information_schema.columns "
        f"WHERE table_schema = '{SCHEMA}' AND column_name IN ('custom_fields', '{KEPT}')"
    )
    assert len([row for row in found if row["name"] == KEPT]) == len(came.declared)
    assert {row["type"] for row in found} == {json_type}


LOOKED_AT = [
    stream.name for stream in STREAMS if not stream.nested and REVISIONS not in stream.path
]


def test_only_fields_that_came_after_discover_are_kept_beside_the_columns(came: Came) -> None:
    for name in LOOKED_AT:
        others = {field for row in came.sent(name) for field in row.get(KEPT, {})}
        assert others <= LATE_COLUMNS, name
        assert others or not any(LATE_COLUMNS & row.keys() for row in came.truth[name]), name


def test_one_line_per_stream_names_the_fields_that_have_no_column(came: Came) -> None:
    expected = {}
    for name in came.declared:
        others = {field for row in came.sent(name) for field in row.get(KEPT, {})}
        if others:
            expected[name] = ", ".join(sorted(others))
    line = re.compile(r"Stream (\w+): .* have no column: (.*)\. Refresh .*")
    said = [found.groups() for found in map(line.fullmatch, came.log) if found]
    assert sorted(said) == sorted(expected.items())


@pytest.mark.parametrize("place", ["column", "catch-all", "nested"])
def test_a_connector_that_drops_one_field_is_found(
    place: str,
    tmp_path: Path,
    venv_sync: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proof that no bug can fail proves nothing."""
    original = Columns.of
    dropped: list[str] = []

    def drop_one(self: Columns, row: Record) -> Record:
        row = original(self, row)
        places = {"column": row, "catch-all": row.get(KEPT), "nested": row.get("supplier")}
        holder = places[place] or {}
        names = [name for name in holder if name in DROPPED and holder[name] is not None]
        if names and not dropped:
            dropped.append(names[0])
            del holder[names[0]]
        return row

    monkeypatch.setattr(MovingWindowCallRatePolicy, "try_acquire", lambda *_, **__: None)
    with strange_sandbox("invoices") as sandbox:
        catalog = configured(discover(sandbox.config()), "invoices")
        add_fields(sandbox, *LATE)
        monkeypatch.setattr(Columns, "of", drop_one)
        came = synced(sandbox, catalog, tmp_path)
    assert dropped
    database = DuckDBFile(tmp_path / "coupa.duckdb")
    assert store(database, {SCHEMA: [came]}) == {SCHEMA: []}
    lost = losses(came, stored(database, came))
    assert lost
    assert all(f"/{dropped[0]}" in each for each in lost)


LINES = [[1, 2], [1]], [[1, 2]]
"""Of two invoices, the ids of the allocations of each line: they repeat."""

TWINS = {
    "invoice-id": "a",
    "invoice_id": "b",
    "ID": "c",
    "Status": "d",
    "Updated-At": "e",
    "発注": "f",
    "": "g",
}

ODD = {"supplier": "Insight", "custom-fields": "", "paid": "", "exchange-rate": "dear"}
"""Values of other types than the schema's, and than those that discover saw."""


@pytest.fixture(params=["DuckDB", "PostgreSQL"])
def empty(request: pytest.FixtureRequest, tmp_path: Path, venv_sync: None) -> Database:
    if request.param == "DuckDB":
        return DuckDBFile(tmp_path / "coupa.duckdb")
    return PostgresDatabase(request.getfixturevalue("postgres_server"))


def test_odd_records_are_whole_in_the_tables(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that repeat, twins, values of other types, a list that is declared an object."""
    monkeypatch.setattr(MovingWindowCallRatePolicy, "try_acquire", lambda *_, **__: None)
    streams = ("invoices", "invoice_line_allocations", "suppliers")
    with Sandbox({}, dialect=Dialect(rate_limit=None)) as sandbox:
        for lines in LINES:
            nested = [
                {"id": place, "account-allocations": [{"id": id, "pool": "A"} for id in ids]}
                for place, ids in enumerate(lines, 1)
            ]
            sandbox.tables["invoices"].add({"invoice-lines": nested, "legacy-total": 7, **TWINS})
        sandbox.tables["suppliers"].add({"integration-contacts": []})
        catalog = configured(discover(sandbox.config()), *streams)
        odd = sandbox.tables["invoices"].add({**ODD, "legacy-total": "many", "line-count": 1.0})
        for folder in ("older", "newer"):
            (tmp_path / folder).mkdir()
        older = synced(sandbox, catalog, tmp_path / "older")
        catalog = configured(discover(sandbox.config()), *streams)
        newer = synced(sandbox, catalog, tmp_path / "newer")
    said = store(empty, {"older": [older], "newer": [older, newer]})

    lost = losses(newer, stored(empty, newer, "newer"))
    assert [loss.partition(": ")[2] for loss in lost] == ["/paid = str ''"]
    counts = "SELECT count(*) AS rows FROM older.invoice_line_allocations"
    assert empty.rows(counts) == [{"rows": 5}]
    [supplier] = empty.rows("SELECT integration_contacts AS contacts FROM older.suppliers")
    assert supplier["contacts"] == []

    found = {row["id"]: row for row in stored(empty, older, "older")["invoices"]}
    assert len(found) == 3
    assert [found[odd][name] for name in ("supplier", "custom_fields")] == ["Insight", ""]
    assert found[odd]["legacy_total"] is None
    kept = {each["field"]: each["value"] for each in found[odd]["_airbyte_meta"]["changes"]}
    assert kept["legacy_total"] == "many"
    assert kept["paid"] == ""
    for sentences in said.values():
        assert any(f"invoices.legacy_total of record {odd} is no number" in s for s in sentences)
