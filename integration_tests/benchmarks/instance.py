"""The Coupa that is read: a sandbox in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .process import BenchmarkError
from .scale import Load

ROOT = Path(__file__).resolve().parents[2]
SEED = 7


@dataclass(frozen=True)
class Instance:
    """A running sandbox: its address, and the settings of a connector that reads it."""

    url: str
    config: dict[str, Any]

    def requests(self, *, clear: bool = False) -> dict[str, Any]:
        """What it was asked so far: {requests, peak_rate, peak_concurrency}; `clear` forgets it."""
        response: dict[str, Any] = self._call("requests", {"clear": clear})
        return response

    def ids(self) -> list[int]:
        """The ids of all invoices, ascending: the ground truth."""
        return sorted(map(int, self._call("stamps", {"resource": "invoices"})))

    def newest(self) -> str:
        """When an invoice was changed last."""
        stamps = self._call("stamps", {"resource": "invoices"}).values()
        return datetime.fromtimestamp(max(stamps), timezone.utc).isoformat()

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{name}", data=json.dumps(arguments).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


@contextmanager
def started(
    load: Load, *, latency_ms: int = 0, spread: str = "even", rate_limit: bool = True
) -> Iterator[Instance]:
    """An instance with a table of invoices that ends with the block.

    Args:
        load: rows of the table and the bytes of one.
        latency_ms: what every response takes.
        spread: "even", or "mass_update" for a table of which 80 % carries one update time.
        rate_limit: whether Coupa's limit holds (25 requests/s, burst 20).

    Raises:
        BenchmarkError: if it does not start.
    """
    options = ["--rows", f"invoices={load.rows}", "--size", f"invoices={load.record_bytes}"]
    options += ["--spread", spread, "--rate-limit" if rate_limit else "--no-rate-limit"]
    with _served(*options, "--latency-ms", str(latency_ms)) as instance:
        yield instance


@contextmanager
def started_with(
    rows: Mapping[str, int],
    *,
    latency_ms: int = 0,
    rate_limit: bool = True,
    lists_inside: str = "honoured",
) -> Iterator[Instance]:
    """An instance with tables of many resources, given by their rows, that ends with the block;
    `lists_inside` is a switch of the sandbox's dialect.

    Raises:
        BenchmarkError: if it does not start.
    """
    options = [part for path, number in rows.items() for part in ("--rows", f"{path}={number}")]
    options.append("--rate-limit" if rate_limit else "--no-rate-limit")
    options += ["--lists-inside", lists_inside]
    with _served(*options, "--latency-ms", str(latency_ms)) as instance:
        yield instance


@contextmanager
def _served(*options: str) -> Iterator[Instance]:
    command = [sys.executable, "-m", "integration_tests.sandbox", "--control", "--seed", str(SEED)]
    command += options
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise BenchmarkError("The sandbox did not start; what it said stands above.")
            yield Instance(**json.loads(line))
        finally:
            process.terminate()
