"""Runs `bin/sync` as users do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from .reference.manifest import ROOT


def run_sync(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `bin/sync` in `folder`; makes its environment first where that is not there yet."""
    run = subprocess.run(
        [ROOT / "bin" / "sync", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=900,
    )
    if "no Python from 3.10 to 3.12" in run.stderr:
        pytest.skip("PyAirbyte needs a Python from 3.10 to 3.12")
    return run
