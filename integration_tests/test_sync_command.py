"""`bin/sync`: the whole way from Coupa through PyAirbyte into DuckDB and PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from integration_tests.truth import truth_of

from .airbyte_sign_in import Airbyte
from .databases import Database, DuckDBFile, PostgresDatabase, assert_holds, schema_name
from .full_records import add_full_records
from .harness import ALL_STREAMS, RESOURCE_OF, run_here
from .postgres import PASSWORD
from .sandbox import Dialect, Fault, RequestRecord, Sandbox
from .sync_command import run_sync

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    rows = {"users": 60, "expense_reports": 60, "expense_lines": 120, "invoices": 130}
    with Sandbox(rows=rows, dialect=Dialect(rate_limit=None)) as sandbox:
        yield sandbox


def _config_file(folder: Path, sandbox: Sandbox, **overrides: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(sandbox.config(**overrides)))
    return str(path)


@pytest.fixture(params=["DuckDB", "PostgreSQL"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "DuckDB":
        return DuckDBFile(tmp_path / "coupa.duckdb")
    return PostgresDatabase(request.getfixturevalue("postgres_server"))


LOADED = (
    *("users", "user_roles", "expenses", "expense_lines", "invoices", "invoice_lines"),
    *("invoice_line_tax_lines", "currencies", "tax_codes"),
)
"""Lists, child tables, one of them with a key of two columns, a list without a cursor, numbers."""

TRAPS = (
    {"invoice-number": "00123", "internal-note": "567.070", "version": 2**53 + 1},
    {"invoice-number": "1e3", "internal-note": "2024-01-01", "version": None},
    {"invoice-number": "", "internal-note": 'a\tb\nc\\N "d" \u2028 {} é', "tax-rate": 0.1},
    {"invoice-number": "NaN", "internal-note": "null", "discount-percent": 1.23456789012345},
    {"invoice-date": "2024-03-10T00:00:00+09:00", "gross-total": "0.000000001"},
    {"invoice-date": "2024-07-10T00:00:00-07:00", "gross-total": "-90071992547409931.07"},
    {"invoice-date": None, "gross-total": "about 7", "discount-amount": ""},
    {"created-at": "2024-03-10T12:30:00+05:30", "custom-fields": {"a": [1, None, {"b": "007"}]}},
)
"""Values that a loader may take for others."""


def test_tables_equal_the_instance_after_every_sync(
    tmp_path: Path, sandbox: Sandbox, database: Database
) -> None:
    add_full_records(sandbox, datetime.now(timezone.utc) - timedelta(days=1))
    for values in TRAPS:
        sandbox.tables["invoices"].add(values)
    config = _config_file(tmp_path, sandbox, lookback_window_hours=0)
    arguments = ("--config", config, "--streams", *LOADED, "--database", database.argument)

    run = run_sync(tmp_path, *arguments, "--once")
    assert run.returncode == 0, run.stderr
    _assert_holds(database, sandbox)
    for secret in (sandbox.config()["client_secret"], PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in run.stdout + run.stderr

    schema = schema_name(sandbox)
    database.run(f"CREATE VIEW {schema}.mine AS SELECT id FROM {schema}.users_typed")
    for stream in ALL_STREAMS:
        table = sandbox.tables[RESOURCE_OF[stream]]
        assert table.edit_many(3), stream
        table.add()
    sandbox.requests.clear()
    run = run_sync(tmp_path, *arguments, "--once")
    assert run.returncode == 0, run.stderr
    _assert_holds(database, sandbox)
    for resource in RESOURCE_OF.values():
        since = [r for r in sandbox.requests_for(resource) if "updated_at[gt_or_eq]" in r.query]
        rows = sum(request.rows or 0 for request in since)
        assert 4 <= rows < 40, "the state of the first run must be used"
    mine = database.rows(f"SELECT id FROM {schema}.mine")
    assert {row["id"] for row in mine} == {record["id"] for record in truth_of(sandbox, "users")}


def _assert_holds(database: Database, sandbox: Sandbox) -> None:
    truth = {stream: truth_of(sandbox, stream) for stream in LOADED}
    assert all(truth.values())
    schema = schema_name(sandbox)
    assert_holds(database, schema, truth)
    text = "SELECT id, CAST({0} AS varchar) AS {0}, CAST({1} AS varchar) AS {1} FROM {2}.{3}_typed"
    for stream, amount, day in TYPED:
        found = {row["id"]: row for row in database.rows(text.format(amount, day, schema, stream))}
        assert len(found) == len(truth[stream])
        for record in truth[stream]:
            row = found[record["id"]]
            assert _decimal(row[amount]) == _decimal(record.get(amount))
            assert row[day] == (record[day][: len("2024-03-10")] if record.get(day) else None)


TYPED = (
    ("invoices", "gross_total", "invoice_date"),
    ("invoices", "discount_amount", "net_due_date"),
    ("expense_lines", "amount", "expense_date"),
)
"""Streams with an amount and a day."""


def _decimal(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


def test_a_failing_stream_is_reported_and_the_others_are_stored(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """Only those that were named. Settings that are null count as left out."""
    sandbox.faults.add(Fault("status", resource="invoices", status=403))
    config = _config_file(tmp_path, sandbox, start_date=None, credentials=None)
    arguments = ("--config", config, "--database", "other.duckdb")
    run = run_sync(tmp_path, *arguments, "--streams", ",".join(ALL_STREAMS))
    assert run.returncode == 1
    error = run.stderr[run.stderr.index("error: ") :]
    assert "invoices" in error
    assert "Traceback" not in run.stderr
    database = DuckDBFile(tmp_path / "other.duckdb")
    stored = ("users", "expenses", "expense_lines")
    for stream in stored:
        [row] = database.rows(f"SELECT count(*) AS rows FROM {schema_name(sandbox)}.{stream}")
        assert row["rows"] == len(sandbox.tables[RESOURCE_OF[stream]])
    tables = database.rows(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_name NOT LIKE '\\_%' "
        "ESCAPE '\\'"
    )
    names = {row["name"].removesuffix("_typed") for row in tables}
    assert set(stored) <= names <= set(ALL_STREAMS)


def test_a_sign_in_that_is_renewed_is_kept_for_the_next_sync(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """Each of the connector's commands renews it, and what stands in the file is used up then."""
    sandbox.dialect = sandbox.dialect.but(refresh_token="rotated", token_lifetime=50)
    (message,) = run_here(["spec"]).of_type("SPEC")
    form = sandbox.add_sign_in_client("core.user.read")
    signed_in = {**Airbyte(message["spec"]).authenticate(form), "instance_url": sandbox.url + "/"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(signed_in))
    for _ in range(2):
        before = json.loads(path.read_text())
        run = run_sync(tmp_path, "--config", str(path), "--streams", "users", "--once")
        assert run.returncode == 0, run.stderr
        after = json.loads(path.read_text())
        assert after["credentials"]["refresh_token"] != before["credentials"]["refresh_token"]
        assert {**after, "credentials": None} == {**signed_in, "credentials": None}
        for token in ("refresh_token", "access_token"):
            for config in (before, after):
                assert config["credentials"][token] not in run.stdout + run.stderr
    sandbox.end_sign_ins()
    run = run_sync(tmp_path, "--config", str(path), "--streams", "users", "--once")
    assert run.returncode == 1
    assert "no longer accepts the refresh token" in run.stderr


def test_no_secret_lies_where_others_can_read_it(tmp_path: Path, sandbox: Sandbox) -> None:
    """Neither while a sync runs, nor after it, nor after one that was killed."""
    secret = sandbox.config()["client_secret"]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    config = _config_file(tmp_path, sandbox)
    seen: list[bool] = []
    killed: list[int] = []

    def look(_: Sandbox, request: RequestRecord) -> None:
        for path in temporary.rglob("*.json"):
            # each command of the connector has files of its own, which go with it
            with suppress(FileNotFoundError):
                if secret in path.read_text():
                    seen.append(_is_open(path, temporary))
        if kill and request.resource == "users" and not killed:
            killed.append(process_of(temporary))
            os.kill(killed[0], signal.SIGKILL)

    sandbox.before_each(look)
    arguments = ("--config", config, "--streams", "users", "--once")
    for kill in (True, False):
        run = run_sync(tmp_path, *arguments, environment={"TMPDIR": str(temporary)})
        assert run.returncode == (-signal.SIGKILL if kill else 0), run.stderr
        assert seen
        assert not any(seen)
    assert list(temporary.iterdir()) == [], "what the killed one left is gone too"
    assert (tmp_path / "coupa.duckdb").stat().st_mode & 0o077 == 0


def process_of(temporary: Path) -> int:
    """The sync whose temporary files are in that folder."""
    [folder] = temporary.iterdir()
    return int((folder / "lock").read_text())


def _is_open(path: Path, below: Path) -> bool:
    """Whether other users can read a file."""
    folders = [each for each in path.parents if below in each.parents]
    return all(each.stat().st_mode & 0o011 for each in folders)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--config", "absent.json"), "absent.json cannot be read: No such file or directory."),
        (("--config", "text.json"), "text.json is not a JSON file (line 1)."),
        (("--config", "list.json"), "list.json must hold a JSON object with instance_url,"),
        (("--config", "wrong.json"), "client"),
        (("--config", "right.json", "--streams", "nothing"), "There is no stream nothing that"),
        (("--config", "right.json", "--streams", "invoice"), "The nearest are invoices, "),
        (("--config", "right.json", "--database", "text.json"), "text.json is not a DuckDB file."),
        (("--config", "right.json", "--database", "absent/x.duckdb"), "No such file or directory"),
        (("--config", "right.json", "--schema", "coupa"), "cannot tell schema coupa from the file"),
        (("--config", "right.json", "--schema", "My-Data"), "The name of a schema has lower-case"),
        (("--once",), "--schema and --once need --config"),
    ],
)
def test_a_wrong_input_gives_one_message(
    tmp_path: Path, sandbox: Sandbox, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "text.json").write_text("no json")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "right.json").write_text(json.dumps(sandbox.config()))
    wrong = sandbox.config(client_secret="not-the-secret-4b7d10c2")
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    run = run_sync(tmp_path, *arguments)
    assert run.returncode == 1
    *progress, line = run.stderr.splitlines()
    assert all(each.endswith(" ...") for each in progress)
    assert line.startswith("error: ")
    assert sentence in line
    assert "not-the-secret" not in run.stdout + run.stderr


def test_demo_shows_rows_a_query_and_the_changes(tmp_path: Path, database: Database) -> None:
    database.run("DROP SCHEMA IF EXISTS sandbox CASCADE")
    run = run_sync(tmp_path, "--database", database.argument)
    assert run.returncode == 0, run.stderr
    assert "All 43 records that were edited or added came, and the tables hold" in run.stdout
    counts = database.rows(
        " UNION ALL ".join(
            f"SELECT '{s}' AS name, count(*) AS rows FROM sandbox.{s}"
            for s in (*ALL_STREAMS, "suppliers")
        )
    )
    assert {row["name"]: row["rows"] for row in counts} == {
        "users": 401,
        "suppliers": 61,
        "expenses": 802,
        "expense_lines": 2_004,
        "invoices": 3_005,
    }
    assert "PyAirbyte" not in run.stdout + run.stderr
    assert "6,260 records" in run.stderr
    for word in ("First sync", "JOIN suppliers_typed", "Second sync", "invoices_typed LIMIT 10"):
        assert word in run.stdout
    assert "SELECT id, invoice_number, status, gross_total" in run.stdout
