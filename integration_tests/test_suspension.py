"""A sync that is suspended and resumed, as by Ctrl-Z and fg, loses nothing that it had read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from integration_tests.harness import configured_catalog
from integration_tests.sandbox import Dialect, Sandbox

ROWS = 1_000


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_suspending_a_sync_loses_no_message(tmp_path: Path, unbuffered: str) -> None:
    with Sandbox({"invoices": ROWS}, dialect=Dialect(rate_limit=None)) as sandbox:
        config = tmp_path / "config.json"
        config.write_text(json.dumps(sandbox.config(requests_per_second=25)))
        catalog = tmp_path / "catalog.json"
        streams = ConfiguredAirbyteCatalogSerializer.dump(configured_catalog("invoices"))
        catalog.write_text(json.dumps(streams))
        command = [sys.executable, "-c", "from source_coupa.run import run; run()", "read"]
        arguments = ["--config", str(config), "--catalog", str(catalog)]
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        with subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, env=environment
        ) as process:
            assert process.stdout is not None
            threading.Thread(target=_suspend_often, args=(process,), daemon=True).start()
            lines = process.stdout.readlines()
            assert process.wait() == 0
        messages = [json.loads(line) for line in lines]
        read = [m["record"]["data"]["id"] for m in messages if m["type"] == "RECORD"]
        assert sorted(read) == sandbox.tables["invoices"].ids()


def _suspend_often(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.003)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.003)
