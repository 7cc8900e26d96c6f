"""What happens to a sync whose process, or whose reader, is stopped, suspended or gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.harness import CliFiles, configured_catalog
from integration_tests.sandbox import Dialect, Fault, Sandbox

PATIENCE = 20
"""Seconds for a process to end."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox({"invoices": 1_000}, dialect=Dialect(rate_limit=None)) as sandbox:
        yield sandbox


def start_read(
    sandbox: Sandbox, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    config = sandbox.config(requests_per_second=25)
    arguments = CliFiles(folder, "read", config, configured_catalog("invoices")).arguments()
    return subprocess.Popen(
        [sys.executable, "-c", "from source_coupa.run import run; run()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_suspending_and_resuming_a_sync_loses_no_message(
    tmp_path: Path, sandbox: Sandbox, unbuffered: str
) -> None:
    """As Ctrl-Z and fg do."""
    with start_read(sandbox, tmp_path, {"PYTHONUNBUFFERED": unbuffered}) as process:
        assert process.stdout is not None
        threading.Thread(target=_suspend_often, args=(process,), daemon=True).start()
        lines = process.stdout.readlines()
        assert process.wait() == 0
    messages = [json.loads(line) for line in lines]
    read = [m["record"]["data"]["id"] for m in messages if m["type"] == "RECORD"]
    assert sorted(read) == sandbox.tables["invoices"].ids()


def test_a_sync_ends_when_nobody_reads_its_messages(tmp_path: Path, sandbox: Sandbox) -> None:
    """As when the destination dies. The CDK's workers would wait for room in their queue."""
    with start_read(sandbox, tmp_path) as process:
        assert process.stdout is not None
        _read_until_record(process)
        process.stdout.close()
        assert process.wait(PATIENCE) == 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_sync_that_is_stopped_ends(
    tmp_path: Path, sandbox: Sandbox, stop: signal.Signals
) -> None:
    with start_read(sandbox, tmp_path) as process:
        _read_until_record(process)
        process.send_signal(stop)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == -stop
    assert err == b""


def test_a_check_that_gives_up_ends(tmp_path: Path, sandbox: Sandbox) -> None:
    """It does not wait for the requests for tokens that are under way, nor send the others."""
    sandbox.revoke("core.user.read")
    sandbox.faults.add(Fault("latency", seconds=3 * PATIENCE, resource="oauth", after=1))
    program = "from source_coupa import run, source; source.CHECK_SECONDS = 3.0; run.run()"
    arguments = CliFiles(tmp_path, "check", sandbox.config()).arguments()
    process = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        timeout=2 * PATIENCE,
        check=True,
    )
    assert b"is slow and did not finish its responses" in process.stdout
    assert process.stderr == b""


def _read_until_record(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b'{"type":"RECORD"'):
            return


def _suspend_often(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.003)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.003)
