"""Records that are gone: `bin/sync` deletes their rows, and the page's queries find them in what
other destinations store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from .databases import Database, DuckDBFile, PostgresDatabase
from .harness import final_states, records_by_stream, run_read
from .reference.page import queries_on_deletions
from .sandbox import Dialect, Record, Sandbox
from .sync_command import run_sync
from .truth import instant

pytestmark = pytest.mark.slow

DELETED_AT = "_ab_cdc_deleted_at"
COLUMNS = {"suppliers": ("id", "updated_at", "name", DELETED_AT)}
COUNT = 60
LONG_AGO = "2020-01-01T00:00:00+00:00"
"""When a list was last swept, for a test that wants it to be swept again."""


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> Database:
    if kind == "DuckDB":
        return DuckDBFile(tmp_path / "coupa.duckdb")
    return PostgresDatabase(request.getfixturevalue("postgres_server"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    rows = {"users": COUNT, "suppliers": COUNT}
    with Sandbox(rows=rows, dialect=Dialect(rate_limit=None)) as sandbox:
        yield sandbox


def ids(database: Database, query: str, column: str = "id") -> list[int]:
    return sorted(row[column] for row in database.rows(f"select {column} from ({query}) as q"))


@pytest.mark.parametrize("kind", ["DuckDB", "PostgreSQL"])
def test_rows_go_with_their_records_and_come_back_with_them(
    tmp_path: Path, sandbox: Sandbox, database: Database
) -> None:
    schema = "main"
    if isinstance(database, PostgresDatabase):
        schema = "public"
        database.run("DROP SCHEMA IF EXISTS public CASCADE")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sandbox.config(deleted_records_every_days=1)))
    [of_gone] = queries_on_deletions("Rows of child tables")

    def sync() -> None:
        arguments = ("--config", str(config), "--streams", "users", "user_roles", "--once")
        place = ("--schema", schema, "--database", database.argument)
        run = run_sync(tmp_path, *arguments, *place)
        assert run.returncode == 0, run.stderr
        database.run(
            f"UPDATE {schema}._airbyte_state SET state_json = regexp_replace(state_json, "
            f'\'("swept_at": *)"[^"]*"\', \'\\1"{LONG_AGO}"\')'
        )

    sync()
    users = sandbox.tables["users"]
    roles = ids(database, "select * from user_roles", "user_id")
    first, last = roles[0], roles[-1]
    assert first != last
    assert ids(database, of_gone, "user_id") == []
    changed = next(id_ for id_ in users.ids() if id_ not in (first, last))
    for id_ in (first, last):
        users.delete(id_)
    users.edit(changed, {"login": "changed"})
    sync()
    assert ids(database, "select * from users") == users.ids()
    assert ids(database, "select * from users_typed") == users.ids()
    assert ids(database, of_gone, "user_id") == [id_ for id_ in roles if id_ in (first, last)]
    [row] = database.rows(f"select login from users where id = {changed}")
    assert row == {"login": "changed"}

    users.restore(first, touch=False)
    users.restore(last, touch=True)
    new = users.add()
    sync()
    assert new in users.ids()
    assert ids(database, "select * from users") == users.ids()
    assert ids(database, of_gone, "user_id") == []
    found = database.rows(f"select login, {DELETED_AT} from users where id in ({first}, {last})")
    assert {row["login"] for row in found} == {users.get(id_)["login"] for id_ in (first, last)}
    assert all(row[DELETED_AT] is None for row in found)


@pytest.mark.parametrize("kind", ["DuckDB", "PostgreSQL"])
def test_the_queries_find_what_is_there_and_what_is_gone(
    sandbox: Sandbox, database: Database
) -> None:
    suppliers = sandbox.tables["suppliers"]
    syncs = [_synced(sandbox, None)]
    deleted, back, unnoticed, edited = suppliers.ids()[5:45:10]
    for id_ in (deleted, back, unnoticed):
        suppliers.delete(id_)
    suppliers.edit(edited, {"name": "edited"})
    syncs.append(_synced(sandbox, syncs[-1]))
    suppliers.restore(back, touch=True)
    suppliers.restore(unnoticed, touch=False)
    renumbered = suppliers.id_at(3)
    suppliers.renumber(renumbered)
    syncs.append(_synced(sandbox, syncs[-1]))

    history = [
        {**dict.fromkeys(COLUMNS["suppliers"]), **record, "extracted_at": f"2026-11-{day}"}
        for day, output in enumerate(syncs, 10)
        for record in records_by_stream(output)["suppliers"]
    ]
    deduplicated = {
        row["id"]: row
        # the latest update time wins, and of equal ones the row that came last
        for row in sorted(history, key=lambda row: (instant(row), row["extracted_at"]))
    }
    marked, there, gone = queries_on_deletions("What destinations do")
    assert len(history) > len(deduplicated) > len(suppliers.ids())

    _store(database, history)
    assert ids(database, there) == suppliers.ids()
    [row] = database.rows(f"select name from ({there}) as q where id = {edited}")
    assert row == {"name": "edited"}
    since = {row["id"]: row[DELETED_AT] for row in database.rows(gone)}
    assert since.keys() == {deleted, renumbered}
    assert all(since.values())

    _store(database, list(deduplicated.values()))
    # one that is there again with its old time stays marked, as the page says
    assert ids(database, marked) == [id_ for id_ in suppliers.ids() if id_ != unnoticed]


def _synced(sandbox: Sandbox, before: EntrypointOutput | None) -> EntrypointOutput:
    """A sync that looks for deleted records, whenever the one before has."""
    states = final_states(before) if before is not None else []
    for state in states:
        assert state.stream is not None
        vars(state.stream.stream_state)["known_ids"]["swept_at"] = LONG_AGO
    settings: dict[str, Any] = {"columns": COLUMNS, "deleted_records_every_days": 1}
    return run_read(sandbox, ["suppliers"], states, **settings)


def _store(database: Database, rows: list[Record]) -> None:
    """Makes a table of rows, as destinations do."""
    time = "timestamp with time zone"
    values = ", ".join(
        f"({', '.join('null' if value is None else _quoted(value) for value in row)})"
        for row in (
            (r["id"], r["updated_at"], r["name"], r[DELETED_AT], r["extracted_at"]) for r in rows
        )
    )
    if isinstance(database, PostgresDatabase):
        database.run("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
    database.run(
        "DROP TABLE IF EXISTS suppliers; "
        f"CREATE TABLE suppliers (id bigint, updated_at {time}, name varchar, {DELETED_AT} {time}, "
        f"_airbyte_extracted_at {time}); INSERT INTO suppliers VALUES {values}"
    )


def _quoted(value: object) -> str:
    return "'{}'".format(str(value).replace("'", "''"))
