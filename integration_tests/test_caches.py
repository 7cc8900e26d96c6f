"""How the caches of `sync/` store what no sandbox sends: one program for each database."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from .databases import PYTHON, Database, DuckDBFile, PostgresDatabase
from .reference.manifest import ROOT
from .sandbox import Record

pytestmark = pytest.mark.slow

INTEGER, TEXT = {"type": "integer"}, {"type": ["null", "string"]}
NUMBER, OBJECT = {"type": ["null", "number"]}, {"type": ["null", "object"]}


def batch(properties: dict[str, Any], *records: Record) -> dict[str, Any]:
    return {"properties": properties, "records": records}


NOTES = {"id": INTEGER, "note": TEXT}
NEWER = {"id": INTEGER, "order": TEXT, "user": OBJECT, "rate": NUMBER}

SCHEMAS = {
    "twice": (
        batch(NOTES, {"id": 1, "note": "old"}, {"id": 2, "note": "old"}, {"id": 1, "note": "new"}),
        batch(NOTES, {"id": 2, "note": "newer"}, {"id": 3, "note": "old"}, {"id": 2, "note": None}),
    ),
    "newer": (
        batch({"id": INTEGER}, {"id": 1}, {"id": 2}),
        batch(NEWER, {"id": 2, "order": "007", "user": {"a": 1}, "rate": 0.12345678901234}),
    ),
    "nul": (
        batch(
            {"id": INTEGER, "note": TEXT, "user": OBJECT},
            {"id": 1, "note": "a\0b", "user": {"k\0": ["\0", 1]}},
            {"id": 2, "note": "a\\u0000b", "user": {"k": "\\u0000"}},
        ),
    ),
}
"""Schema -> the batches that are stored in it, one after another."""


@dataclass(frozen=True)
class Stored:
    """A database after SCHEMAS were stored, and how many records had to be changed for it."""

    database: Database
    changed: dict[str, int]

    def rows(self, schema: str, columns: str) -> list[Record]:
        return self.database.rows(f"SELECT {columns} FROM {schema}.orders ORDER BY id")


@pytest.fixture(scope="module", params=["DuckDB", "PostgreSQL"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, venv_sync: None
) -> Stored:
    """One run of the program for each database."""
    database: Database
    if request.param == "DuckDB":
        path = tmp_path_factory.mktemp("caches") / "coupa.duckdb"
        database, options = DuckDBFile(path), {"db_path": str(path)}
    else:
        database = PostgresDatabase(request.getfixturevalue("postgres_server"))
        options = {"url": database.argument}
    task = {"cache": request.param, "options": options, "schemas": SCHEMAS}
    run = subprocess.run(
        [PYTHON, ROOT / "integration_tests" / "store_batches.py", json.dumps(task)],
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return Stored(database, json.loads(run.stdout.splitlines()[-1]))


def test_a_record_that_comes_twice_is_stored_once_as_it_came_last(stored: Stored) -> None:
    assert stored.rows("twice", "id, note") == [
        {"id": 1, "note": "new"},
        {"id": 2, "note": None},
        {"id": 3, "note": "old"},
    ]


def test_columns_of_a_newer_version_are_added_whatever_their_names(stored: Stored) -> None:
    assert stored.rows("newer", 'id, "order", "user", rate') == [
        {"id": 1, "order": None, "user": None, "rate": None},
        {"id": 2, "order": "007", "user": {"a": 1}, "rate": 0.12345678901234},
    ]


def test_a_nul_is_replaced_where_it_cannot_be_stored_and_counted(stored: Stored) -> None:
    keeps_nul = isinstance(stored.database, DuckDBFile)
    nul = "\0" if keeps_nul else "\ufffd"
    assert stored.changed == {"twice": 0, "newer": 0, "nul": 0 if keeps_nul else 1}
    assert stored.rows("nul", 'id, note, "user"') == [
        {"id": 1, "note": f"a{nul}b", "user": {f"k{nul}": [nul, 1]}},
        {"id": 2, "note": "a\\u0000b", "user": {"k": "\\u0000"}},
    ]
