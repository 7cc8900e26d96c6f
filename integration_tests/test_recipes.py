"""docs/recipes: what can be run is run from the text of the pages, the rest is checked.

Each language of a code block has a test; `test_no_block_is_left_out` counts them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from jsonschema import Draft7Validator

from integration_tests.truth import truth_of

from .databases import Database, DuckDBFile, PostgresDatabase, assert_holds
from .full_records import add_full_records
from .postgres import PASSWORD, PostgresServer
from .recipes import PAGES, Block, block, blocks
from .reference.manifest import MANIFEST, ROOT, STREAMS
from .sandbox import Dialect, Sandbox

SPEC = MANIFEST["spec"]["connection_specification"]
FIGURES = json.loads((ROOT / "docs" / "benchmark" / "benchmark.json").read_text(encoding="utf-8"))
CHECKED = ("bash", "crontab", "hcl", "json", "python", "yaml")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    rows = {"users": 60, "invoices": 130}
    with Sandbox(rows=rows, dialect=Dialect(rate_limit=None)) as sandbox:
        add_full_records(sandbox, datetime.now(timezone.utc) - timedelta(days=1))
        yield sandbox


@pytest.fixture
def checkout(tmp_path: Path, sandbox: Sandbox, venv_sync: None) -> Path:
    """A folder that looks like this project, with the configuration that a user puts there."""
    for name in (".venv", ".venv-sync", "sync"):
        (tmp_path / name).symlink_to(ROOT / name)
    # the command makes environments beside itself
    command = tmp_path / "bin" / "sync"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{ROOT / "bin" / "sync"}" "$@"\n')
    command.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps(sandbox.config()))
    return tmp_path


def run(script: str, folder: Path, **environment: str) -> str:
    """Runs lines of bash; what they print."""
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "no_proxy": "localhost,127.0.0.1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


def change(sandbox: Sandbox) -> None:
    for resource in ("users", "invoices"):
        assert sandbox.tables[resource].edit_many(3)
        sandbox.tables[resource].add()
    sandbox.requests.clear()


def assert_only_changes_were_read(sandbox: Sandbox) -> None:
    for resource in ("users", "invoices"):
        since = [r for r in sandbox.requests_for(resource) if "updated_at[gt_or_eq]" in r.query]
        rows = sum(request.rows or 0 for request in since)
        assert 4 <= rows < 40, resource


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "schema"), [("sync_to_duckdb.py", "raw"), ("sync_to_postgres.py", "coupa")]
)
def test_a_pyairbyte_script_loads_everything_and_then_what_changed(
    request: pytest.FixtureRequest, checkout: Path, sandbox: Sandbox, file: str, schema: str
) -> None:
    database: Database = DuckDBFile(checkout / "coupa.duckdb")
    environment = {}
    if file == "sync_to_postgres.py":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.run("DROP SCHEMA IF EXISTS coupa CASCADE")
        database = PostgresDatabase(server)
        environment = {"COUPA_DATABASE": server.address(password=None), "PGPASSWORD": PASSWORD}
    (checkout / file).write_text(block(file).text)
    [command] = [
        line
        for each in blocks("bash", "pyairbyte.md")
        for line in each.text.splitlines()
        if line.endswith(f" {file}")
    ]
    streams = ("users", "invoices", "invoice_lines")
    for is_first in (True, False):
        output = run(command, checkout, **environment)
        truth = {stream: truth_of(sandbox, stream) for stream in streams}
        assert_holds(database, schema, truth)
        for stream, records in truth.items():
            assert f"{stream} {len(records)} rows" in output
        # PyAirbyte's own caches print that of each column that can hold a text or an object
        assert "Could not determine" not in output
        if is_first:
            change(sandbox)
    assert_only_changes_were_read(sandbox)


@pytest.mark.slow
def test_the_crontab_syncs_what_changed_since_it_ran_last(
    checkout: Path, sandbox: Sandbox, postgres_server: PostgresServer
) -> None:
    [tab] = blocks("crontab")
    *settings, job = tab.text.splitlines()
    assert [line.partition("=")[0] for line in settings] == ["PROJECT", "COUPA_DATABASE"]
    times, command = re.fullmatch(r"((?:\S+ ){5})(.+)", job).groups()  # type: ignore[union-attr]
    assert all(re.fullmatch(r"\*|\d+", field) for field in times.split())
    assert "%" not in command, "cron makes it a new line"

    postgres_server.run("DROP SCHEMA IF EXISTS coupa CASCADE")
    environment = {
        "PROJECT": str(checkout),
        "COUPA_DATABASE": postgres_server.address(password=None),
        "PGPASSWORD": PASSWORD,
    }
    database = PostgresDatabase(postgres_server)
    assert run(command, checkout, **environment) == ""
    assert_holds(database, "coupa", {s: truth_of(sandbox, s) for s in ("users", "invoices")})
    change(sandbox)
    assert run(command, checkout, **environment) == ""
    assert_holds(database, "coupa", {s: truth_of(sandbox, s) for s in ("users", "invoices")})
    assert_only_changes_were_read(sandbox)


@pytest.mark.parametrize("each", blocks("bash"), ids=lambda each: each.page)
def test_commands_are_bash(each: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=each.text, capture_output=True, text=True)
    assert done.stderr == ""


def test_options_of_bin_sync_exist() -> None:
    help_text = (ROOT / "sync" / "cli.py").read_text(encoding="utf-8")
    lines = [
        line
        for each in (*blocks("bash"), *blocks("crontab"))
        for line in each.text.splitlines()
        if "bin/sync" in line
    ]
    assert lines
    for line in lines:
        for option in re.findall(r"bin/sync.*?(?=>>|$)", line)[0].split():
            if option.startswith("--") and option != "--help":
                assert f'"{option}"' in help_text, option


@pytest.mark.parametrize("each", blocks("python"), ids=lambda each: each.file)
def test_python_compiles_and_names_streams_that_exist(each: Block) -> None:
    assert each.file, "a script has its name in the first line"
    tree = ast.parse(each.text)
    named = [
        item.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg == "streams"
        and isinstance(node.value, ast.List)
        for item in node.value.elts
        if isinstance(item, ast.Constant)
    ]
    assert set(named) <= {stream.name for stream in STREAMS}


@pytest.mark.parametrize("each", blocks("json"), ids=lambda each: each.page)
def test_settings_fit_the_form(each: Block) -> None:
    assert problems_of(json.loads(each.text)) == []


@pytest.mark.parametrize("each", blocks("yaml"), ids=lambda each: each.page)
def test_yaml_can_be_read(each: Block) -> None:
    assert isinstance(yaml.safe_load(each.text), dict)


def test_terraform_sets_what_the_connector_knows() -> None:
    parsed = _plain(hcl2.loads(block("main.tf").text))
    resources = {kind: body for each in parsed["resource"] for kind, body in each.items()}
    [source] = resources["airbyte_source"].values()
    [inner] = re.findall(r"jsonencode\((\{.*\})\)", source["configuration"], re.S)
    settings = _plain(hcl2.loads(f"settings = {inner}\n"))["settings"]
    assert problems_of(settings) == []

    [connection] = resources["airbyte_connection"].values()
    modes = {
        stream["name"]: stream["sync_mode"] for stream in connection["configurations"]["streams"]
    }
    for name, mode in modes.items():
        [stream] = [stream for stream in STREAMS if stream.name == name]
        wanted = "incremental_deduped_history" if stream.cursor else "full_refresh_overwrite"
        assert mode == wanted, name


def test_images_have_the_tag_of_this_version() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [version] = re.findall(r'^version = "(.+)"$', text, re.M)
    named = [
        tag
        for each in (*blocks("bash"), *blocks("hcl"))
        for tag in re.findall(r'(?:source-coupa:|docker_image_tag *= *")([\w.]+)', each.text)
    ]
    assert named
    assert set(named) == {version}


def test_terraform_refers_to_nothing_that_is_missing() -> None:
    text = block("main.tf").text
    declared = set(re.findall(r'^variable "(\w+)"', text, re.M))
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared
    resources = set(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.M))
    assert set(re.findall(r"\b(airbyte_\w+)\.(\w+)\.", text)) <= resources


def test_streams_and_scopes_of_the_example_connections_exist() -> None:
    text = (ROOT / "docs" / "recipes" / "kubernetes.md").read_text(encoding="utf-8")
    scopes_of = {stream.name: stream.scopes for stream in STREAMS}
    rows = re.findall(r"^\| [\w-]+ \| (`.+?) \| (`.+?) \| \w+ \| (\d+) \|$", text, re.M)
    for streams, scopes, _ in rows:
        granted = set(re.findall(r"`([\w.]+)`", scopes))
        needed = [scopes_of[name] for name in re.findall(r"`(\w+)`", streams)]
        assert all(granted & set(each) for each in needed), streams
        assert all(any(scope in each for each in needed) for scope in granted), scopes
    assert sum(int(rate) for _, _, rate in rows) <= 20
    assert len(rows) == 3


def test_figures_are_those_of_the_published_benchmark() -> None:
    text = (ROOT / "docs" / "recipes" / "kubernetes.md").read_text(encoding="utf-8")
    [table] = re.findall(r"<!-- figures -->\n(.*)<!-- figures end -->", text, re.S)
    company = FIGURES["company"]
    company = company[0] if isinstance(company, list) else company
    runs = [
        (
            f"{cost['rows']:,} rows of {cost['record_bytes']:,} bytes"
            + (f" in {cost['tables']} tables" if cost["tables"] > 1 else ""),
            cost,
        )
        for cost in FIGURES["cost"]
    ]
    runs.append((f"first sync of {company['streams']} streams, {company['rows']:,} rows", company))
    expected = [
        f"| {what} | {figures['peak_memory_mb']:.0f} MB | {figures['cpu_seconds']:.0f} "
        f"| {figures['seconds']:.0f} |"
        for what, figures in runs
    ]
    assert table.splitlines()[2:] == expected


def test_no_block_is_left_out() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = re.findall(r"^```(\w*)\n.*?^```$", text, re.M | re.S)
        assert set(found) <= set(CHECKED), page.name
        assert text.count("```") == 2 * len(found), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            headers = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.M)
            assert anchor in {_anchor(header) for header in headers}, target


def problems_of(settings: dict[str, Any]) -> list[str]:
    """What the connector's form says of settings."""
    unknown = [f"no setting {name}" for name in settings if name not in SPEC["properties"]]
    return unknown + [error.message for error in Draft7Validator(SPEC).iter_errors(settings)]


def _anchor(header: str) -> str:
    return re.sub(r"[^\w\- ]", "", header.lower()).replace(" ", "-")


def _plain(value: Any) -> Any:
    """What the HCL parser gives, without the quotes and marks that it keeps."""
    if isinstance(value, dict):
        return {
            str(_plain(key)): _plain(item)
            for key, item in value.items()
            if not str(key).startswith("__")
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value
