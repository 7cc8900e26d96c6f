"""What the integration tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from . import postgres
from .postgres import PostgresServer
from .reference.manifest import ROOT
from .sandbox import Sandbox


@pytest.fixture(scope="session")
def small_sandbox() -> Iterator[Sandbox]:
    """A sandbox with a few pages of every resource, for tests that change nothing in it."""
    rows = {"users": 60, "expense_reports": 60, "expense_lines": 120, "invoices": 120}
    with Sandbox(rows=rows) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server; skips where none is installed, but not in CI where one could be."""
    programs = postgres.programs()
    if programs is None:
        could_be_installed = os.geteuid() == 0 and shutil.which("apt-get") is not None
        if os.environ.get("CI") == "true" and could_be_installed:
            pytest.fail(postgres.MISSING)
        pytest.skip(postgres.MISSING)
    with postgres.started(programs) as server:
        yield server


@pytest.fixture(scope="session")
def venv_sync() -> None:
    """The environment of `bin/sync`; makes it where it is not there yet."""
    run = subprocess.run([ROOT / "bin" / "sync", "--help"], capture_output=True, text=True)
    if "no Python from 3.10 to 3.12" in run.stderr:
        pytest.skip("PyAirbyte needs a Python from 3.10 to 3.12")
    assert run.returncode == 0, run.stderr
