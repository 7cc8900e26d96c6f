"""Syncs as processes of their own, which are stopped by signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson

from .destination import Message
from .scenario import Stop

PATIENCE = 120
"""Seconds after which a sync counts as hanging."""

_ROOT = Path(__file__).parents[2]


def run_until(
    arguments: Sequence[str], stop: Stop | None, *, early: bool
) -> tuple[list[Message], int | None]:
    """Runs a sync, and stops it once it printed `stop.lines` lines.

    Returns:
        The messages that it printed, those included that were on their way when it was stopped,
        and its exit code, None if the signal ended it.

    Raises:
        TimeoutError: if it hangs.
    """
    command = [sys.executable, "-m", "integration_tests.simulation.child", str(int(early))]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, cwd=_ROOT) as process:
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if stop is not None and len(lines) == stop.lines:
                    process.send_signal(signal.Signals[stop.kind])
            code = process.wait()
            if not timer.is_alive():
                raise TimeoutError(f"a sync took more than {PATIENCE} seconds")
        finally:
            timer.cancel()
    whole = [line for line in lines if line.endswith(b"\n")]
    messages = [orjson.loads(line) for line in whole]
    return messages, None if code < 0 else code
