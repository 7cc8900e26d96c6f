"""Syncs as processes of their own, which are stopped by signals or find nobody who reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from .destination import Message
from .scenario import Scenario, SyncPlan

PATIENCE = 120
"""Seconds after which a sync counts as hanging."""

STALL_AT = 40
"""Lines after which a destination that stalls takes no more for a while."""

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        messages: that it printed, those included that were on their way when it was stopped.
        code: its exit code, None if a signal ended it.
        peak: the most memory that it had, in bytes.
    """

    messages: list[Message]
    code: int | None
    peak: int


def run_until(scenario: Scenario, plan: SyncPlan, arguments: Sequence[str]) -> Ended:
    """Runs a sync, stalls as its plan wants it, and stops it once it printed so many lines.

    Raises:
        TimeoutError: if it hangs.
    """
    command = [sys.executable, "-m", "integration_tests.simulation.child"]
    command += [str(int(scenario.divides_early)), str(int(scenario.marks_often))]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, cwd=_ROOT) as process:
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        peak = 0
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                peak = max(peak, _peak_of(process.pid))
                if len(lines) == STALL_AT:
                    time.sleep(plan.stall)
                if plan.stop is not None and len(lines) == plan.stop.lines:
                    process.send_signal(signal.Signals[plan.stop.kind])
            _, status = os.waitpid(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if not timer.is_alive():
                raise TimeoutError(f"a sync took more than {PATIENCE} seconds")
        finally:
            timer.cancel()
    messages = [orjson.loads(line) for line in lines if line.endswith(b"\n")]
    code = process.returncode
    return Ended(messages, None if code < 0 else code, peak)


def _peak_of(pid: int) -> int:
    """The most memory that a process has had since it began to run its own program, in bytes; 0
    where the system does not say. What `wait4` reports counts the memory of the parent too, which
    a process has until then."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    [kilobytes] = [line.split()[1] for line in status.splitlines() if "VmHWM" in line] or ["0"]
    return int(kilobytes) * 1024
