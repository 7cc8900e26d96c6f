"""`bin/sync`: the whole way from Coupa through PyAirbyte into DuckDB."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import ALL_STREAMS, RESOURCE_OF
from .sandbox import Dialect, Fault, Sandbox

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    rows = {"users": 60, "expense_reports": 60, "expense_lines": 120, "invoices": 130}
    with Sandbox(rows=rows, dialect=Dialect(rate_limit=None)) as sandbox:
        yield sandbox


def _sync(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `bin/sync` in `folder`; makes its environment first where that is not there yet."""
    run = subprocess.run(
        [ROOT / "bin" / "sync", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    if "no Python from 3.10 to 3.12" in run.stderr:
        pytest.skip("PyAirbyte needs a Python from 3.10 to 3.12")
    return run


def _config_file(folder: Path, sandbox: Sandbox, **overrides: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(sandbox.config(**overrides)))
    return str(path)


def _query(database: Path, sql: str) -> list[list[Any]]:
    """The rows of a query, asked by the Python that has DuckDB."""
    program = (
        "import duckdb, json, sys; file, sql = sys.argv[1:]; "
        "print(json.dumps(duckdb.connect(file, read_only=True).execute(sql).fetchall()))"
    )
    answer = subprocess.run(
        [ROOT / ".venv-sync" / "bin" / "python", "-c", program, str(database), sql],
        check=True,
        capture_output=True,
        text=True,
    )
    rows: list[list[Any]] = json.loads(answer.stdout)
    return rows


def _schema_of(sandbox: Sandbox) -> str:
    return sandbox.url.removeprefix("http://").replace(":", "_")


def _assert_equals_truth(database: Path, sandbox: Sandbox) -> None:
    for stream in ALL_STREAMS:
        rows = _query(
            database, f"SELECT id, epoch(updated_at)::BIGINT FROM {_schema_of(sandbox)}.{stream}"
        )
        truth = sandbox.tables[RESOURCE_OF[stream]].stamps()
        assert len(rows) == len(truth), stream
        assert dict(rows) == truth, stream


def test_tables_equal_the_instance_after_every_sync(tmp_path: Path, sandbox: Sandbox) -> None:
    database = tmp_path / "coupa.duckdb"
    config = _config_file(tmp_path, sandbox)

    run = _sync(tmp_path, "--config", config, "--streams", *ALL_STREAMS)
    assert run.returncode == 0, run.stderr
    _assert_equals_truth(database, sandbox)
    assert sandbox.config()["client_secret"] not in run.stdout + run.stderr

    for stream in ALL_STREAMS:
        table = sandbox.tables[RESOURCE_OF[stream]]
        assert table.edit_many(3), stream
        table.add()
    sandbox.requests.clear()
    run = _sync(tmp_path, "--config", config, "--streams", *ALL_STREAMS)
    assert run.returncode == 0, run.stderr
    _assert_equals_truth(database, sandbox)
    rows = sum(request.rows or 0 for request in sandbox.requests_for("invoices"))
    assert rows < 100, "the state of the first run must be used"

    [[kind]] = _query(
        database,
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'invoices' "
        f"AND column_name = 'updated_at' AND table_schema = '{_schema_of(sandbox)}'",
    )
    assert kind == "TIMESTAMP WITH TIME ZONE"


def test_selected_streams_alone_are_synced(tmp_path: Path, sandbox: Sandbox) -> None:
    run = _sync(
        tmp_path,
        *("--config", _config_file(tmp_path, sandbox)),
        *("--streams", "users,expenses", "--database", "other.duckdb"),
    )
    assert run.returncode == 0, run.stderr
    tables = _query(
        tmp_path / "other.duckdb",
        "SELECT table_name FROM information_schema.tables WHERE table_name NOT LIKE '\\_%' "
        "ESCAPE '\\' ORDER BY table_name",
    )
    assert tables == [["expenses"], ["users"]]


def test_a_failing_stream_is_told_and_the_others_are_stored(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault("status", resource="invoices", status=403))
    config = _config_file(tmp_path, sandbox)
    run = _sync(tmp_path, "--config", config, "--streams", *ALL_STREAMS)
    assert run.returncode == 1
    error = run.stderr[run.stderr.index("error: ") :]
    assert "invoices" in error
    assert "Traceback" not in run.stderr
    for stream in ("users", "expenses", "expense_lines"):
        [[count]] = _query(
            tmp_path / "coupa.duckdb", f"SELECT count(*) FROM {_schema_of(sandbox)}.{stream}"
        )
        assert count == len(sandbox.tables[RESOURCE_OF[stream]])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--config", "absent.json"), "absent.json cannot be read: No such file or directory."),
        (("--config", "text.json"), "text.json is not a JSON file (line 1)."),
        (("--config", "list.json"), "list.json must hold a JSON object with instance_url,"),
        (("--config", "wrong.json"), "client"),
        (("--config", "right.json", "--streams", "nothing"), "There is no stream nothing that"),
        (("--config", "right.json", "--database", "text.json"), "text.json is not a DuckDB file."),
        (("--config", "right.json", "--database", "absent/x.duckdb"), "No such file or directory"),
    ],
)
def test_a_wrong_input_gives_one_sentence(
    tmp_path: Path, sandbox: Sandbox, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "text.json").write_text("no json")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "right.json").write_text(json.dumps(sandbox.config()))
    wrong = sandbox.config(client_secret="not-the-secret-4b7d10c2")
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    run = _sync(tmp_path, *arguments)
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
    assert "not-the-secret" not in run.stdout + run.stderr


def test_demo_shows_rows_a_query_and_the_changes(tmp_path: Path) -> None:
    run = _sync(tmp_path)
    assert run.returncode == 0, run.stderr
    assert "All 40 records that were edited or added came." in run.stdout
    counts = dict(
        _query(
            tmp_path / "coupa.duckdb",
            " UNION ALL ".join(f"SELECT '{s}', count(*) FROM sandbox.{s}" for s in ALL_STREAMS),
        )
    )
    assert counts == {"users": 401, "expenses": 802, "expense_lines": 2_004, "invoices": 3_005}
    for word in ("First sync", "SELECT", "Second sync", "coupa.duckdb"):
        assert word in run.stdout
