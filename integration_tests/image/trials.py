"""Runs Airbyte's commands in an image, as Airbyte does: its entrypoint, its user, files."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airbyte_cdk.models import ConfiguredAirbyteCatalog

from integration_tests.harness import ALL_STREAMS, CliFiles, CliRun, configured_catalog, json_lines
from integration_tests.sandbox import Fault, Sandbox

from .engines import Engine

ROWS = {"users": 60, "expense_reports": 60, "expense_lines": 120, "invoices": 130}
"""Rows of the sandbox by resource: some pages of each."""


@dataclass(frozen=True)
class Trial:
    """One command in the image: what it was, and what came of it."""

    title: str
    exit_code: int
    """The one that Airbyte expects."""
    run: CliRun
    seconds: float


def run_command(engine: Engine, image: str, arguments: Sequence[str], folder: Path) -> CliRun:
    """Starts the image with `arguments`, which name files in `folder`."""
    entrypoint = engine.config(image).entrypoint
    done = engine.run(image, [*entrypoint, *arguments], folder=folder)
    return CliRun(done.returncode, done.stdout, done.stderr, json_lines(done.stdout))


def trials(engine: Engine, image: str, sandbox: Sandbox) -> Iterator[Trial]:
    """Runs each command, where it succeeds and where it fails, and reports one after another.

    For the last one the sandbox refuses invoices.
    """
    right, wrong = sandbox.config(), sandbox.config(client_secret="another-secret-71c0e5")
    catalog = configured_catalog(*ALL_STREAMS)

    def tried(
        title: str,
        command: str,
        config: Mapping[str, Any] | None,
        catalog: ConfiguredAirbyteCatalog | None = None,
        exit_code: int = 0,
    ) -> Trial:
        with _readable_folder() as folder:
            arguments = [command]
            if config is not None:
                arguments = CliFiles(folder, command, config, catalog).arguments()
            for path in folder.iterdir():
                path.chmod(0o644)
            began = time.monotonic()
            run = run_command(engine, image, arguments, folder)
            return Trial(title, exit_code, run, time.monotonic() - began)

    yield tried("spec", "spec", None)
    yield tried("check", "check", right)
    # blanks and a slash, which the connector would take out of a file that it can write
    untidy = sandbox.config(instance_url=f" {sandbox.url}/ ")
    yield tried("check with untidy settings", "check", untidy)
    # a failed check is a response
    yield tried("check with a wrong secret", "check", wrong)
    yield tried("discover", "discover", right)
    yield tried("read", "read", right, catalog)
    sandbox.faults.add(Fault("status", resource="invoices", status=403))
    yield tried("read where invoices are refused", "read", right, catalog, exit_code=1)


@contextmanager
def _readable_folder() -> Iterator[Path]:
    """A folder that the user of the image may enter and not write to, as people mount theirs."""
    with tempfile.TemporaryDirectory(prefix="coupa-trial-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
