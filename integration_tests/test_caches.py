"""How the caches of `sync/` store what no sandbox sends: one program for each database."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from .databases import ADDED, PYTHON, Database, DuckDBFile, PostgresDatabase
from .reference.manifest import ROOT
from .sandbox import Record

pytestmark = pytest.mark.slow

INTEGER, TEXT = {"type": "integer"}, {"type": ["null", "string"]}
NUMBER, OBJECT = {"type": ["null", "number"]}, {"type": ["null", "object"]}
WHOLE, FLAG = {"type": ["null", "integer"]}, {"type": ["null", "boolean"]}
MIXED = {"type": ["null", "object", "string"]}
TIME = {**TEXT, "format": "date-time", "airbyte_type": "timestamp_with_timezone"}


def batch(properties: dict[str, Any], *records: Record) -> dict[str, Any]:
    return {"properties": properties, "records": records}


def nested(depth: int) -> Any:
    """A value in as many lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


NOTES = {"id": INTEGER, "note": TEXT}
DELETED_AT = "_ab_cdc_deleted_at"
GONE = {**NOTES, DELETED_AT: TIME}
NEWER = {"id": INTEGER, "order": TEXT, "user": OBJECT, "rate": NUMBER}

TYPES = {
    "id": INTEGER,
    "note": TEXT,
    "supplier": OBJECT,
    "any": MIXED,
    "paid": FLAG,
    "count": WHOLE,
    "rate": NUMBER,
    "at": TIME,
}

FIELDS = {
    "id": 1,
    "ID": 2,
    "Id": 3,
    "status": "a",
    "Status": "b",
    "invoice-id": 4,
    "invoice_id": 5,
    "": "empty",
    " ": "blank",
    "発注番号": "ja",
    "発注 番号": "ja 2",
    "größe": "de",
    "Größe": "DE",
    "e\u0301": "two",
    "\u00e9": "one",
    "order": "word",
    "ctid": "system",
    "rowid": "row",
    "_airbyte_meta": "meta",
    "_AIRBYTE_RAW_ID": "raw",
    "401k": "digit",
    "%s :x \"'": "signs",
    "x" * 80: "long",
    "x" * 80 + "y": "longer",
    "\u8acb" * 40: "wide",
    "a\tb": "tab",
}
"""Fields of one record, of which none may take the place of another."""

SCHEMAS = {
    "misfits": (
        batch(
            TYPES,
            {"id": 1, "supplier": "Insight", "paid": "", "count": "many", "rate": "dear"},
            {"id": 2, "supplier": ["a"], "paid": 1, "count": 1.5, "rate": True, "at": "soon"},
            {"id": 3, "supplier": "", "paid": {"a": 1}, "count": 2**63, "rate": [1], "at": 7},
            {"id": 4, "note": {"a": 1.50}, "any": ["b"], "supplier": 3, "note_2": "new"},
            {"id": 5, "note": 7, "any": True, "paid": "true", "count": 1.0, "rate": "0.10"},
            {"id": 6, "at": "2024-03-10T12:30:00.25+05:30", "note": "kept", "count": "12"},
        ),
    ),
    "digits": (
        batch(
            {"id": INTEGER, "rate": NUMBER},
            {"id": 1, "rate": 2**53 + 1},
            {"id": 2, "rate": 2**53},
            {"id": 3, "rate": "12345678901234567890.12"},
            {"id": 4, "rate": "0.10"},
            {"id": 5, "rate": 2**63 - 1},
            {"id": 6, "rate": 1e300},
        ),
    ),
    "mixed": (batch({"id": INTEGER, "note": TEXT, "count": WHOLE}, {"id": 1, "count": "\0"}),),
    "fields": (batch({"id": INTEGER, **dict.fromkeys(list(FIELDS)[1:], TEXT)}, FIELDS),),
    "widened": (
        batch(
            {"id": INTEGER, "a": WHOLE, "b": FLAG, "c": OBJECT, "d": TEXT, "e": WHOLE, "f": TIME},
            {
                "id": 1,
                "a": 1,
                "b": True,
                "c": {"k": 1},
                "d": "x",
                "e": 5,
                "f": "2024-03-10T12:30:00Z",
            },
        ),
        batch(
            {"id": INTEGER, "a": TEXT, "b": OBJECT, "c": TEXT, "d": WHOLE, "e": NUMBER, "f": FLAG},
            {"id": 2, "a": "one", "b": [1], "c": "x", "d": 7, "e": 0.5, "f": True},
        ),
    ),
    "large": (
        batch(NOTES, {"id": 1, "note": "x" * 17_000_000}, {"id": 2, "note": "y"}),
        batch({"id": INTEGER, "note": OBJECT}, {"id": 3, "note": {"n": 2**80, "d": nested(300)}}),
    ),
    "twice": (
        batch(NOTES, {"id": 1, "note": "old"}, {"id": 2, "note": "old"}, {"id": 1, "note": "new"}),
        batch(NOTES, {"id": 2, "note": "newer"}, {"id": 3, "note": "old"}, {"id": 2, "note": None}),
    ),
    "gone": (
        batch(NOTES, {"id": 1, "note": "a"}, {"id": 2, "note": "b"}, {"id": 3, "note": "c"}),
        batch(
            GONE,
            {"id": 1, "note": "new"},
            {"id": 1, DELETED_AT: "2026-11-26T08:00:00Z"},
            {"id": 2, DELETED_AT: "2026-11-26T08:00:00Z"},
            {"id": 4, DELETED_AT: "2026-11-26T08:00:00Z"},
            {"id": 5, DELETED_AT: "2026-11-26T08:00:00Z"},
            {"id": 5, "note": "back"},
        ),
        batch(GONE, {"id": 2, "note": "back"}),
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
    """A database after SCHEMAS were stored, and what was said of each."""

    database: Database
    said: dict[str, list[str]]

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
        [PYTHON, ROOT / "integration_tests" / "store_batches.py"],
        input=json.dumps(task),
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


def test_a_row_whose_record_is_gone_is_deleted_until_it_comes_again(stored: Stored) -> None:
    assert stored.rows("gone", "id, note") == [
        {"id": 2, "note": "back"},
        {"id": 3, "note": "c"},
        {"id": 5, "note": "back"},
    ]


def test_columns_of_a_newer_version_are_added_whatever_their_names(stored: Stored) -> None:
    assert stored.rows("newer", 'id, "order", "user", rate') == [
        {"id": 1, "order": None, "user": None, "rate": None},
        {"id": 2, "order": "007", "user": {"a": 1}, "rate": 0.12345678901234},
    ]


def test_a_nul_is_replaced_where_it_cannot_be_stored_and_counted(stored: Stored) -> None:
    keeps_nul = isinstance(stored.database, DuckDBFile)
    nul = "\0" if keeps_nul else "\ufffd"
    assert not stored.said["twice"] + stored.said["newer"]
    assert [sentence[:48] for sentence in stored.said["nul"]] == (
        [] if keeps_nul else ["1 records of orders have the character NUL, whic"]
    )
    assert stored.rows("nul", 'id, note, "user"') == [
        {"id": 1, "note": f"a{nul}b", "user": {f"k{nul}": [nul, 1]}},
        {"id": 2, "note": "a\\u0000b", "user": {"k": "\\u0000"}},
    ]


def test_a_value_that_does_not_fit_leaves_all_others_in_place(stored: Stored) -> None:
    """It is stored as JSON text where the column can hold text, else it is null."""
    columns = 'id, note, supplier, "any", paid, count, rate, "at"'
    found = {row.pop("id"): row for row in stored.rows("misfits", columns)}
    assert {id: {k: v for k, v in row.items() if v is not None} for id, row in found.items()} == {
        1: {"supplier": "Insight"},
        2: {"supplier": ["a"]},
        3: {"supplier": ""},
        4: {"note": '{"a":1.5}', "any": '["b"]', "supplier": 3},
        5: {"note": "7", "any": "true", "paid": True, "count": 1, "rate": 0.1},
        6: {"note": "kept", "count": 12, "at": found[6]["at"]},
    }
    at = datetime.fromisoformat(found[6]["at"]).astimezone(timezone.utc)
    assert at.isoformat() == "2024-03-10T07:00:00.250000+00:00"


def test_what_does_not_fit_is_reported_with_its_place_and_kept_aside(stored: Stored) -> None:
    said = sorted(stored.said["misfits"])
    places = (
        *(
            "orders has no column yet for note_2 (record 4)",
            "orders.at of record 2, 3 is no point in",
        ),
        *("orders.count of record 1, 2, 3 is no whole", "orders.paid of record 1, 2, 3 is no true"),
        "orders.rate of record 1, 2, 3 is no number",
    )
    assert len(said) == len(places)
    for sentence, place in zip(said, places, strict=True):
        assert sentence.startswith(place)
    meta = [row["_airbyte_meta"] for row in stored.rows("misfits", "id, _airbyte_meta")]
    kept = [{each["field"]: each["value"] for each in row.get("changes", ())} for row in meta]
    assert kept == [
        {"paid": "", "count": "many", "rate": "dear"},
        {"paid": 1, "count": 1.5, "rate": True, "at": "soon"},
        {"paid": {"a": 1}, "count": 2**63, "rate": [1], "at": 7},
        *({}, {}, {}),
    ]
    assert meta[3] == {"undeclared": {"note_2": "new"}}
    assert meta[4] == {}


def test_a_number_keeps_its_digits_or_is_kept_aside(stored: Stored) -> None:
    """DuckDB has binary numbers, in which two ids could become one."""
    rows = stored.rows("digits", "id, CAST(rate AS VARCHAR) AS rate, _airbyte_meta")
    has_doubles = isinstance(stored.database, DuckDBFile)
    assert [row["id"] for row in rows if row["rate"] is None] == ([1, 3, 5] if has_doubles else [])
    kept = [
        Decimal(str(each["value"]))
        for row in rows
        for each in row["_airbyte_meta"].get("changes", [])
    ]
    kept += [Decimal(row["rate"]) for row in rows if row["rate"] is not None]
    sent = [Decimal(str(record["rate"])) for record in SCHEMAS["digits"][0]["records"]]
    assert sorted(kept) == sorted(sent)
    assert [sentence.partition(":")[0] for sentence in stored.said["digits"]] == (
        ["orders.rate of record 1, 3, 5 is no number that the column can hold"]
        if has_doubles
        else []
    )


def test_a_value_is_reported_once_even_if_it_has_a_nul_too(stored: Stored) -> None:
    places = [
        sentence for sentence in stored.said["mixed"] if "orders.count of record 1 is" in sentence
    ]
    assert len(places) == 1
    [row] = stored.rows("mixed", "id, count, _airbyte_meta")
    assert row["count"] is None
    assert row["_airbyte_meta"]["changes"][0]["field"] == "count"


def test_each_field_has_a_column_of_its_own_whatever_its_name(stored: Stored) -> None:
    [row] = stored.rows("fields", "*")
    values = {column: row[column] for column in row if column not in ADDED}
    assert sorted(map(str, values.values())) == sorted(map(str, FIELDS.values()))
    assert {values[plain] for plain in ("status", "発注番号", "größe", "order")} == (
        {"a", "ja", "de", "word"}
    )
    assert not stored.said["fields"]


def test_a_column_is_widened_when_its_field_gets_other_values(stored: Stored) -> None:
    first, second = stored.rows("widened", "id, a, b, c, d, e, _airbyte_meta")
    assert first == {
        "id": 1,
        "a": "1",
        "b": True,
        "c": {"k": 1},
        "d": "x",
        "e": 5,
        "_airbyte_meta": {},
    }
    [change] = second.pop("_airbyte_meta")["changes"]
    assert second == {"id": 2, "a": "one", "b": [1], "c": "x", "d": "7", "e": 0.5}
    assert (change["field"], change["value"]) == ("f", True)


def test_records_of_any_size_are_stored(stored: Stored) -> None:
    assert stored.rows("large", "id, length(note) AS letters") == [
        *({"id": 1, "letters": 17_000_000}, {"id": 2, "letters": 1}),
        {
            "id": 3,
            "letters": len(json.dumps({"n": 2**80, "d": nested(300)}, separators=(",", ":"))),
        },
    ]
