"""The connector, as Airbyte runs it: `source-coupa read`, all messages printed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .reader import Job, Reader

PROGRAM = (sys.executable, "-c", "from source_coupa.run import run; run()")
"""The console script, without the need to install it."""

STREAM = "invoices"
_ID = re.compile(rb'"data":\{"id":(\d+),')


def _configured(stream: str, columns: Sequence[str]) -> dict[str, Any]:
    selected: dict[str, Any] = {column: {} for column in columns}
    return {
        "stream": {
            "name": stream,
            "json_schema": {"properties": selected} if columns else {},
            "supported_sync_modes": ["full_refresh", "incremental"],
        },
        "sync_mode": "incremental",
        "destination_sync_mode": "append",
    }


def _command(job: Job, folder: Path) -> list[str]:
    return command_reading({STREAM: ()}, job.config, folder)


def command_reading(
    streams: Mapping[str, Sequence[str]], settings: Mapping[str, Any], folder: Path
) -> list[str]:
    """The command that reads the given columns of each stream, or all where none are given."""
    config, catalog = folder / "config.json", folder / "catalog.json"
    config.write_text(json.dumps(settings))
    configured = [_configured(stream, columns) for stream, columns in streams.items()]
    catalog.write_text(json.dumps({"streams": configured}))
    return [*PROGRAM, "read", "--config", str(config), "--catalog", str(catalog)]


def _ids_of(line: bytes) -> Sequence[int]:
    """Parsing records of many kilobytes would take time from the readers."""
    if not line.startswith(b'{"type":"RECORD"'):
        return ()
    found = _ID.search(line, 0, 200)
    return [int(found[1]) if found else json.loads(line)["record"]["data"]["id"]]


READER = Reader("source-coupa", _command, _ids_of)
