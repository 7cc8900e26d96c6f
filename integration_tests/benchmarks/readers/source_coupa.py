"""The connector, as Airbyte runs it: `source-coupa read`, all messages printed."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from integration_tests.benchmarks.process import ROOT
from source_coupa.protocol.catalog import schema_of
from source_coupa.streams import StreamRow, stream_rows
from source_coupa.tables.columns import DELETED_AT, DELETED_AT_SCHEMA

from .reader import Job, Reader

PROGRAM = (sys.executable, "-c", "from source_coupa.run import run; run()")
"""The console script, without the need to install it."""

STREAM = "invoices"
_RECORD = re.compile(
    rb'\{"type":"RECORD","record":\{"stream":"(?P<stream>[^"]+)","data":\{(?:"id":(?P<id>\d+),)?'
)
_STATE = b'{"type":"STATE"'


class Messages:
    """What a sync prints: to be called with each line, gives the ids of the invoices in it.

    Records are not parsed: that would take time from the readers.

    Attributes:
        records: how many came, by stream.
        state_messages: likewise.
        states: the last state message of each stream.
    """

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.state_messages: Counter[str] = Counter()
        self.states: dict[str, Any] = {}

    def __call__(self, line: bytes) -> Sequence[int]:
        record = _RECORD.match(line)
        if record is None:
            if line.startswith(_STATE):
                state = json.loads(line)["state"]
                stream = state["stream"]["stream_descriptor"]["name"]
                self.state_messages[stream] += 1
                self.states[stream] = state
            return ()
        stream = record["stream"].decode()
        self.records[stream] += 1
        if stream != STREAM:
            return ()
        return [int(record["id"] or json.loads(line)["record"]["data"]["id"])]


@cache
def streams() -> Mapping[str, StreamRow]:
    """The streams of the connector by name."""
    text = (ROOT / "source_coupa" / "manifest.yaml").read_text(encoding="utf-8")
    manifest = yaml.load(text, Loader=yaml.CSafeLoader)
    return {row.name: row for row in stream_rows(manifest)}


def tables_of(resource: str) -> list[str]:
    """The streams that are made of a list, without those below its single records."""
    return [row.name for row in streams().values() if row.resource == resource and not row.nested]


def _configured(row: StreamRow, columns: Sequence[str], *, marks_deleted: bool) -> dict[str, Any]:
    schema = schema_of(row)
    if marks_deleted and row.can_be_swept:
        schema["properties"][DELETED_AT] = dict(DELETED_AT_SCHEMA)
    if columns:
        schema["properties"] = {name: schema["properties"][name] for name in columns}
    modes = ["full_refresh", *(["incremental"] if row.cursor_field else [])]
    return {
        "stream": {"name": row.name, "json_schema": schema, "supported_sync_modes": modes},
        "sync_mode": modes[-1],
        "destination_sync_mode": "append",
    }


def _command(job: Job, folder: Path) -> list[str]:
    return command_reading({STREAM: ()}, job.config, folder)


def command_reading(
    selected: Mapping[str, Sequence[str]],
    settings: Mapping[str, Any],
    folder: Path,
    states: Mapping[str, Any] | None = None,
) -> list[str]:
    """The command that reads the given columns of each stream, or all where none are given, and
    goes on from the states of an earlier sync."""
    config, catalog, state = (folder / f"{name}.json" for name in ("config", "catalog", "state"))
    config.write_text(json.dumps(settings))
    marks_deleted = bool(settings.get("deleted_records_every_days"))
    configured = [
        _configured(streams()[name], columns, marks_deleted=marks_deleted)
        for name, columns in selected.items()
    ]
    catalog.write_text(json.dumps({"streams": configured}))
    command = [*PROGRAM, "read", "--config", str(config), "--catalog", str(catalog)]
    if states:
        state.write_text(json.dumps(list(states.values())))
        command += ["--state", str(state)]
    return command


READER = Reader("source-coupa", _command, lambda line: Messages()(line))
