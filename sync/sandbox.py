"""The sandbox of the demo: a Coupa on this machine, in a process of its own, and edits in it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.errors import SyncError

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"

ROWS: Mapping[str, int] = {
    "users": 400,
    "suppliers": 60,
    "expense_reports": 800,
    "expense_lines": 2_000,
    "invoices": 3_000,
}
"""Resource -> rows. At Coupa's 50 rows a page and 20 requests a second, some seconds of reading."""

LATENCY_MS = 100

RESOURCE_OF_STREAM: Mapping[str, str] = {
    "users": "users",
    "suppliers": "suppliers",
    "expenses": "expense_reports",
    "expense_lines": "expense_lines",
    "invoices": "invoices",
}

EDITS: Mapping[str, tuple[int, int]] = {
    "users": (3, 1),
    "suppliers": (2, 1),
    "expenses": (5, 2),
    "expense_lines": (8, 4),
    "invoices": (12, 5),
}
"""Stream -> how many records are edited and how many added between the two syncs."""


@dataclass(frozen=True)
class Edited:
    """The ids of one stream's records that were edited and added."""

    edited: frozenset[int]
    added: frozenset[int]


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: its address and a configuration that opens it."""

    url: str
    config: dict[str, Any]

    def edit(self) -> dict[str, Edited]:
        """Makes the changes of EDITS; stream -> what was changed."""
        return {
            stream: Edited(
                edited=self._ids("edit", RESOURCE_OF_STREAM[stream], edited),
                added=self._ids("add", RESOURCE_OF_STREAM[stream], added),
            )
            for stream, (edited, added) in EDITS.items()
        }

    def records(self, stream: str) -> list[dict[str, Any]]:
        """The records of a stream as they are now."""
        found: list[dict[str, Any]] = self._call(
            "records", {"resource": RESOURCE_OF_STREAM[stream]}
        )
        return found

    def _ids(self, call: str, resource: str, count: int) -> frozenset[int]:
        return frozenset(self._call(call, {"resource": resource, "count": count})["ids"])

    def _call(self, call: str, arguments: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{call}", data=json.dumps(arguments).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)


@contextmanager
def started() -> Iterator[Sandbox]:
    """A sandbox with ROWS that ends with the block.

    Raises:
        SyncError: if it does not start.
    """
    rows = [argument for item in ROWS.items() for argument in ("--rows", "{}={}".format(*item))]
    command = [str(PYTHON), "-m", "integration_tests.sandbox", "--control"]
    process = subprocess.Popen(
        [*command, "--latency-ms", str(LATENCY_MS), *rows],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SyncError("The sandbox did not start; what it said stands above.")
        yield Sandbox(**json.loads(line))
    finally:
        process.terminate()
        process.wait()
