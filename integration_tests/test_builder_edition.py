"""The Builder edition in what runs it: Airbyte's command for manifests, the Connector Builder's
backend, and PyAirbyte. Each is a process of its own that does not trust Python of a manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from integration_tests.truth import in_order, truth_of

from .builder_edition import pared, run_command
from .full_records import add_full_records
from .harness import CliFiles, CliRun, configured_catalog, discover, stream_state
from .reference.builder import BUILDER_STREAMS, EDITION, LEFT_OUT, sent
from .reference.manifest import columns_of
from .sandbox import RESOURCES, Dialect, Record, RequestRecord, Sandbox

ROOT = EDITION.parents[1]
NAMES = [stream.name for stream in BUILDER_STREAMS]

PER_SECOND = 25

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A few rows of every resource, changed in the last days."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    days = [now - timedelta(days=day) for day in range(1, 9)]
    rows = dict.fromkeys(RESOURCES, 6)
    with Sandbox(rows, dialect=Dialect(rate_limit=None), spread=days) as sandbox:
        add_full_records(sandbox, now - timedelta(days=1))
        yield sandbox


@pytest.fixture(scope="module")
def config(sandbox: Sandbox) -> dict[str, Any]:
    start = datetime.now(timezone.utc) - timedelta(days=9)
    return sandbox.config(
        start_date=start.strftime("%Y-%m-%dT%H:%M:%SZ"), requests_per_second=PER_SECOND
    )


@pytest.fixture(scope="module")
def first(
    sandbox: Sandbox, config: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[CliRun, list[RequestRecord]]:
    """A sync of all streams in one process, and its requests."""
    sandbox.requests.clear()
    folder = tmp_path_factory.mktemp("first")
    run = run_command(CliFiles(folder, "read", config, configured_catalog(*NAMES)))
    return run, list(sandbox.requests)


def records_of(run: CliRun) -> dict[str, list[Record]]:
    """The records of each stream."""
    records: dict[str, list[Record]] = {name: [] for name in NAMES}
    for message in run.of_type("RECORD"):
        records[message["record"]["stream"]].append(message["record"]["data"])
    return records


def states_of(run: CliRun) -> dict[str, dict[str, Any]]:
    """The last state of each stream."""
    return {
        message["state"]["stream"]["stream_descriptor"]["name"]: message["state"]["stream"][
            "stream_state"
        ]
        for message in run.of_type("STATE")
    }


def test_all_streams_bring_what_the_image_brings(
    sandbox: Sandbox, first: tuple[CliRun, list[RequestRecord]]
) -> None:
    """Letter for letter: the same truth is that of `test_all_streams`."""
    run, _ = first
    assert run.errors == []
    assert run.exit_code == 0, run.stderr
    for name, brought in records_of(run).items():
        expected = truth_of(sandbox, name, adds_ids=False)
        assert len(expected) >= 1
        assert sorted(brought, key=in_order) == sorted(expected, key=in_order), name


def most_within(seconds: float, requests: list[RequestRecord]) -> int:
    """The most requests that arrived within any such span."""
    times = sorted(request.started for request in requests)
    return max(sum(0 <= later - time < seconds for later in times) for time in times)


def test_requests_keep_to_their_rate_and_tokens_come_one_by_one(
    first: tuple[CliRun, list[RequestRecord]],
) -> None:
    _, requests = first
    tokens = [request for request in requests if request.resource == "oauth"]
    lists = [request for request in requests if request.resource != "oauth"]
    assert len(lists) > 8 * PER_SECOND, "too few to tell"
    # what arrives late on its way meets what was sent after it: half a second's worth at most
    assert most_within(4, lists) <= PER_SECOND * 4.5
    assert len(tokens) == len(NAMES) + sum(bool(stream.nested) for stream in BUILDER_STREAMS)
    # a response may have arrived before the sandbox notes its end, but not two of them
    for earlier, later in zip(tokens, tokens[2:], strict=False):
        assert earlier.ended is not None
        assert earlier.ended <= later.started


def test_a_second_sync_brings_what_changed(
    sandbox: Sandbox,
    config: Mapping[str, Any],
    first: tuple[CliRun, list[RequestRecord]],
    tmp_path: Path,
) -> None:
    streams = ("users", "user_roles", "invoices", "invoice_lines")
    states = {name: state for name, state in states_of(first[0]).items() if name in streams}
    assert states.keys() == set(streams)
    a_minute_ago = (datetime.now(timezone.utc) - timedelta(minutes=1)).isoformat()
    edited = {
        name: set(sandbox.tables[name].edit_many(2, {"updated-at": a_minute_ago}))
        for name in ("users", "invoices")
    }
    catalog = configured_catalog(*streams)
    files = CliFiles(tmp_path, "read", config, catalog, stream_state(states))
    run = run_command(files, streams)
    assert run.errors == []
    records = records_of(run)
    for name, ids in edited.items():
        brought = {record["id"] for record in records[name]}
        assert ids <= brought
        assert len(brought) < len(sandbox.tables[name])
    lines = {line["invoice_id"] for line in records["invoice_lines"]}
    having_lines = {
        id for id in edited["invoices"] if sandbox.tables["invoices"].get(id)["invoice-lines"]
    }
    assert having_lines <= lines


def test_it_describes_its_streams_as_the_image_does(
    config: Mapping[str, Any], tmp_path: Path
) -> None:
    run = run_command(CliFiles(tmp_path, "discover", config))
    [made] = run.of_type("CATALOG")
    [image] = discover(config).of_type("CATALOG")
    streams = {stream["name"]: stream for stream in made["catalog"]["streams"]}
    wanted = {stream["name"]: stream for stream in image["catalog"]["streams"]}
    assert streams.keys() == wanted.keys() - LEFT_OUT.keys()
    for row in BUILDER_STREAMS:
        # the image adds columns: ids of referenced records, and what no schema declares
        schema = wanted[row.name]["json_schema"]
        declared = sent(columns_of(row))
        schema["properties"] = {
            name: field for name, field in schema["properties"].items() if name in declared
        }
        # and it goes on with a full refresh of a list without cursor
        resumable = "incremental" in streams[row.name]["supported_sync_modes"]
        assert streams[row.name] == {**wanted[row.name], "is_resumable": resumable}


def test_check_shows_whether_users_can_be_read(config: Mapping[str, Any], tmp_path: Path) -> None:
    run = run_command(CliFiles(tmp_path, "check", config), ["users"])
    assert run.connection_status["status"] == "SUCCEEDED"

    wrong = {**config, "client_secret": "not-the-secret-4b7d10c2"}
    run = run_command(CliFiles(tmp_path, "check", wrong), ["users"])
    assert run.connection_status["status"] == "FAILED"
    assert "401" in run.connection_status["message"]
    assert "not-the-secret" not in run.stdout + run.stderr


def in_the_builder(folder: Path, command: str, config: Mapping[str, Any], stream: str = "") -> Any:
    """The response of the Connector Builder's backend, which migrates and normalizes a manifest
    first, as the Builder asks it to."""
    path = folder / "builder.json"
    catalog = folder / "catalog.json"
    manifest = pared([stream] if stream else NAMES)
    path.write_text(
        json.dumps(
            {
                **config,
                "__injected_declarative_manifest": manifest,
                "__command": command,
                "__should_migrate": True,
                "__should_normalize": True,
            }
        )
    )
    dumped = ConfiguredAirbyteCatalogSerializer.dump(configured_catalog(stream or "users"))
    catalog.write_text(json.dumps(dumped, default=lambda value: value.value))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "airbyte_cdk.connector_builder.main", "read"),
            *("--config", path, "--catalog", catalog),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    message = json.loads(done.stdout.strip().split("\n")[-1])
    assert message["type"] == "RECORD", message
    return message["record"]["data"]


def test_the_builder_takes_the_manifest(config: Mapping[str, Any], tmp_path: Path) -> None:
    manifest = in_the_builder(tmp_path, "resolve_manifest", config)["manifest"]
    assert [stream["name"] for stream in manifest["streams"]] == NAMES
    assert len(json.dumps(manifest)) < 10_000_000, "more than Airbyte's server takes"


@pytest.mark.parametrize("stream", ["invoices", "invoice_lines"])
def test_the_builder_reads_a_stream(
    sandbox: Sandbox, config: Mapping[str, Any], tmp_path: Path, stream: str
) -> None:
    read = in_the_builder(tmp_path, "test_read", config, stream)
    assert [log for log in read["logs"] if log["level"] == "ERROR"] == []
    records = [
        record for piece in read["slices"] for page in piece["pages"] for record in page["records"]
    ]
    assert {record["id"] for record in records} == {
        record["id"] for record in truth_of(sandbox, stream)
    }
    text = json.dumps(read)
    assert config["client_secret"] not in text


PYAIRBYTE = """
import json, sys
from pathlib import Path
import airbyte
from airbyte.caches import DuckDBCache
manifest, config, database = sys.argv[1:]
source = airbyte.get_source(
    "source-coupa", config=json.loads(config), source_manifest=Path(manifest), streams=["users"]
)
source.check()
read = source.read(cache=DuckDBCache(db_path=database), force_full_refresh=False)
print("IDS", json.dumps(sorted(record["id"] for record in read["users"])))
"""


def test_pyairbyte_reads_it(sandbox: Sandbox, config: Mapping[str, Any], tmp_path: Path) -> None:
    made = subprocess.run(
        ["bash", "-c", "source bin/_common.sh && make_venv_sync"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    if "no Python from 3.10 to 3.12" in made.stderr:
        pytest.skip("PyAirbyte needs a Python from 3.10 to 3.12")
    assert made.returncode == 0, made.stderr
    run = subprocess.run(
        [
            *(ROOT / ".venv-sync" / "bin" / "python", "-c", PYAIRBYTE),
            *(EDITION, json.dumps(config), tmp_path / "coupa.duckdb"),
        ],
        cwd=tmp_path,
        env={**os.environ, "AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-2_000:]
    [line] = [line for line in run.stdout.splitlines() if line.startswith("IDS ")]
    assert json.loads(line.removeprefix("IDS ")) == sandbox.tables["users"].ids()
