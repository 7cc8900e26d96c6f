"""How long `spec`, `check` and `discover` take, from the start of the process to its end."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import run
from integration_tests.benchmarks.readers.source_coupa import PROGRAM
from integration_tests.benchmarks.result import CommandFigures, Result
from integration_tests.benchmarks.scale import Load

from .plan import Plan

COMMANDS = ("spec", "check", "discover")


def measure(plan: Plan, result: Result) -> None:
    """Takes the median of some runs of each command."""
    load = Load(100, plan.scale.speed.record_bytes)
    with (
        started(load, latency_ms=plan.scale.latency_ms) as instance,
        tempfile.TemporaryDirectory() as folder,
    ):
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(instance.config))
        for command in COMMANDS:
            options = [] if command == "spec" else ["--config", str(config)]
            seconds = []
            for _ in range(plan.scale.command_runs):
                done = run([*PROGRAM, command, *options])
                seconds.append(done.ended - done.started)
            median = statistics.median(seconds)
            plan.tell(f"{command}: {median:.1f} s")
            result.commands.append(CommandFigures(command, median, tuple(seconds)))
