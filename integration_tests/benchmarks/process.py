"""Runs a reader and takes note of when its records come and what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 1_800.0
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1_024
_TOLD = 600


class BenchmarkError(Exception):
    """Something cannot be measured; the text says why."""


@dataclass(frozen=True)
class Trouble:
    """What happens to a reader when so many of its records have come."""

    after: int
    seconds: float = 0.0
    """For which nothing is taken from it."""
    is_killed: bool = False


@dataclass
class Run:
    """One run of a reader. Times are `time.monotonic()` seconds, the clock of the sandbox's log."""

    started: float
    ended: float = 0.0
    ids: list[int] = field(default_factory=list)
    """The ids of the records in the order of their arrival."""
    times: list[float] = field(default_factory=list)
    """When each of them came."""
    output_bytes: int = 0
    """Of all lines."""
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


def run(
    command: Sequence[str],
    ids_of: Callable[[bytes], Sequence[int]] = lambda line: (),
    *,
    trouble: Trouble | None = None,
    longest_seconds: float = LONGEST_SECONDS,
) -> Run:
    """Runs `command` to its end.

    Args:
        command: program and arguments; it is run in the project's root.
        ids_of: the ids of the records in one line of its output.
        trouble: what happens to it meanwhile.
        longest_seconds: after which it is ended.

    Raises:
        BenchmarkError: if it does not end with exit code 0, or is not killed where it should be.
    """
    expected = -signal.SIGKILL if trouble is not None and trouble.is_killed else 0
    last_words: deque[bytes] = deque(maxlen=3)
    with tempfile.TemporaryFile() as errors:
        result = Run(started=time.monotonic())
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        watchdog = threading.Timer(longest_seconds, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.endswith(b"\n"):
                    break
                result.output_bytes += len(line)
                ids = ids_of(line)
                if not ids:
                    last_words.append(line)
                    continue
                now = time.monotonic()
                result.ids.extend(ids)
                result.times.extend([now] * len(ids))
                if trouble is not None and len(result.ids) >= trouble.after:
                    time.sleep(trouble.seconds)
                    if trouble.is_killed:
                        process.kill()
                    trouble = None
        except BaseException:
            process.kill()
            raise
        finally:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            watchdog.cancel()
            if process.stdout is not None:
                process.stdout.close()
        result.ended = time.monotonic()
        result.cpu_seconds = usage.ru_utime + usage.ru_stime
        result.peak_memory_mb = usage.ru_maxrss * _MAXRSS_BYTES / 1e6
        if process.returncode != expected:
            errors.seek(0)
            said = b"".join([*last_words, errors.read()]).decode(errors="replace").strip()
            raise BenchmarkError(f"It ended with exit code {process.returncode}: {said[-_TOLD:]}")
    return result
