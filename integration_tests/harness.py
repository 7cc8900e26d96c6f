"""Runs the connector against a sandbox, as Airbyte would, and sorts what it prints."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.models import (
    AirbyteStateMessage,
    AirbyteStateMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    SyncMode,
)
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput, read
from airbyte_cdk.test.models.outcome import ExpectedOutcome
from airbyte_cdk.test.state_builder import StateBuilder

from source_coupa import SourceCoupa
from source_coupa.config import SANDBOX_VARIABLE
from source_coupa.oauth import shared_store
from source_coupa.run import command
from source_coupa.transport.instance import instance_of

from .sandbox import Record, Sandbox

# also where bin/ does not say so
os.environ[SANDBOX_VARIABLE] = "1"

# the tests of behaviour read these; test_all_streams reads every stream
ALL_STREAMS = ("users", "expenses", "expense_lines", "invoices")
RESOURCE_OF = {
    "users": "users",
    "expenses": "expense_reports",
    "expense_lines": "expense_lines",
    "invoices": "invoices",
}


def forget_shared_parts() -> None:
    """Makes the next command in this process begin as a new process would."""
    shared_store.cache_clear()
    instance_of.cache_clear()


def configured_catalog(
    *streams: str, sync_mode: SyncMode = SyncMode.incremental
) -> ConfiguredAirbyteCatalog:
    """A catalog that selects `streams`, all in one mode."""
    builder = CatalogBuilder()
    for stream in streams:
        builder = builder.with_stream(stream, sync_mode)
    return builder.build()


def stream_state(states: Mapping[str, Mapping[str, Any]]) -> list[AirbyteStateMessage]:
    """State messages from stream -> state, for example `{"users": {"updated_at": "..."}}`."""
    builder = StateBuilder()
    for stream, state in states.items():
        builder = builder.with_stream_state(stream, dict(state))
    built: list[AirbyteStateMessage] = builder.build()
    return built


def run_read(
    sandbox: Sandbox,
    streams: Sequence[str] = ALL_STREAMS,
    state: list[AirbyteStateMessage] | None = None,
    *,
    sync_mode: SyncMode = SyncMode.incremental,
    columns: Mapping[str, Collection[str]] | None = None,
    debug: bool = False,
    **config: Any,
) -> EntrypointOutput:
    """Reads `streams` in this process with the sandbox's config, changed by `config`.

    `columns` are those that a connection selects, by stream; all of a stream that is left out.

    A read that fails gives its output too; tests assert on `errors`.
    """
    forget_shared_parts()
    settings = sandbox.config(**config)
    catalog = configured_catalog(*streams, sync_mode=sync_mode)
    for configured in catalog.streams:
        selected = (columns or {}).get(configured.stream.name, ())
        configured.stream.json_schema = {"properties": {name: {} for name in selected}}
    source = SourceCoupa(catalog=catalog, config=settings, state=state or [])
    return read(
        source, settings, catalog, state, expected_outcome=ExpectedOutcome.ALLOW_ANY, debug=debug
    )


def records_by_stream(output: EntrypointOutput) -> dict[str, list[Record]]:
    """The data of all record messages in their order; a stream without records is left out."""
    records: dict[str, list[Record]] = {}
    for message in output.records:
        if message.record is not None:
            records.setdefault(message.record.stream, []).append(message.record.data)
    return records


def final_states(output: EntrypointOutput) -> list[AirbyteStateMessage]:
    """The last state message of each stream, fit to be passed to the next `run_read`."""
    latest: dict[str, AirbyteStateMessage] = {}
    for message in output.state_messages:
        if message.state is not None and message.state.stream is not None:
            latest[message.state.stream.stream_descriptor.name] = message.state
    return list(latest.values())


@dataclass(frozen=True)
class CliRun:
    """One run of the console script."""

    exit_code: int
    stdout: str
    stderr: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """The lines of stdout that are JSON objects."""

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type, such as RECORD or CONTROL."""
        return [message for message in self.messages if message.get("type") == kind]

    @property
    def connection_status(self) -> dict[str, Any]:
        """The one response of `check`."""
        (message,) = self.of_type("CONNECTION_STATUS")
        status: dict[str, Any] = message["connectionStatus"]
        return status

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The bodies of all error traces."""
        traces = [message["trace"] for message in self.of_type("TRACE")]
        return [trace["error"] for trace in traces if trace["type"] == "ERROR"]


@dataclass(frozen=True)
class CliFiles:
    """The files of one command in a folder of their own, and the arguments that name them."""

    folder: Path
    command: str
    config: Mapping[str, Any]
    catalog: ConfiguredAirbyteCatalog | None = None
    state: list[AirbyteStateMessage] | None = None

    @property
    def config_path(self) -> Path:
        """The file that the connector may rewrite."""
        return self.folder / "config.json"

    def arguments(self) -> list[str]:
        """Writes the files; the result goes behind the name of the script."""
        self.config_path.write_text(json.dumps(self.config))
        arguments = [self.command, "--config", str(self.config_path)]
        if self.catalog is not None:
            path = self.folder / "catalog.json"
            path.write_bytes(orjson.dumps(ConfiguredAirbyteCatalogSerializer.dump(self.catalog)))
            arguments += ["--catalog", str(path)]
        if self.state is not None:
            path = self.folder / "state.json"
            dumped = [AirbyteStateMessageSerializer.dump(message) for message in self.state]
            path.write_bytes(orjson.dumps(dumped))
            arguments += ["--state", str(path)]
        return arguments


def run_process(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> CliRun:
    """Runs the console script in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from source_coupa.run import run; run()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return CliRun(done.returncode, done.stdout, done.stderr, json_lines(done.stdout))


def run_here(arguments: Sequence[str]) -> CliRun:
    """Runs the console script in this process: the same output, without the start of a Python."""
    forget_shared_parts()
    out = io.StringIO()
    with _redirected(out, ["source-coupa", *arguments]):
        try:
            command(arguments)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)
            code = 1
        PRINT_BUFFER.flush()
    return CliRun(code, out.getvalue(), "", json_lines(out.getvalue()))


def check(config: Mapping[str, Any]) -> CliRun:
    """`check` in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return run_here(CliFiles(Path(folder), "check", config).arguments())


def discover(config: Mapping[str, Any]) -> CliRun:
    """`discover` in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return run_here(CliFiles(Path(folder), "discover", config).arguments())


@contextlib.contextmanager
def _redirected(out: io.StringIO, argv: list[str]) -> Iterator[None]:
    """Puts `out` where the CDK writes: some messages are printed, others bypass `sys.stdout`."""
    bypass = SimpleNamespace(write=out.write, flush=out.flush)
    values = {"stdout": out, "__stdout__": bypass, "argv": argv, "excepthook": sys.excepthook}
    before = {name: getattr(sys, name) for name in values}
    try:
        for name, value in values.items():
            setattr(sys, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(sys, name, value)


def json_lines(text: str) -> list[dict[str, Any]]:
    """The lines of `text` that are JSON objects, as Airbyte's messages are."""
    messages = []
    for line in text.split("\n"):  # not splitlines: records hold other separators
        with contextlib.suppress(json.JSONDecodeError):
            message = json.loads(line)
            if isinstance(message, dict):
                messages.append(message)
    return messages
