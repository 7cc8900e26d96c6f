"""Runs a reader and takes note of when its records come and what it costs."""

from __future__ import annotations

import os
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
    """Of the lines that hold records."""
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


def run(
    command: Sequence[str],
    ids_of: Callable[[bytes], Sequence[int]] = lambda line: (),
    *,
    longest_seconds: float = LONGEST_SECONDS,
) -> Run:
    """Runs `command` to its end.

    Args:
        command: program and arguments; it is run in the project's root.
        ids_of: the ids of the records in one line of its output.
        longest_seconds: after which it is ended.

    Raises:
        BenchmarkError: if it does not end with exit code 0.
    """
    last_words: deque[bytes] = deque(maxlen=3)
    with tempfile.TemporaryFile() as errors:
        result = Run(started=time.monotonic())
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        watchdog = threading.Timer(longest_seconds, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                ids = ids_of(line)
                if ids:
                    now = time.monotonic()
                    result.ids.extend(ids)
                    result.times.extend([now] * len(ids))
                    result.output_bytes += len(line)
                else:
                    last_words.append(line)
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
        if process.returncode != 0:
            errors.seek(0)
            said = b"".join([*last_words, errors.read()]).decode(errors="replace").strip()
            raise BenchmarkError(f"It ended with exit code {process.returncode}: {said[-_TOLD:]}")
    return result
