"""Runs the Builder edition as Airbyte does a manifest that a user brings: without its trust."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from airbyte_cdk.models import AirbyteStateMessage, SyncMode
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput, read
from airbyte_cdk.test.models.outcome import ExpectedOutcome
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from .harness import CliFiles, CliRun, configured_catalog, json_lines
from .reference.builder import EDITION
from .sandbox import Sandbox

_COMMAND = Path(sysconfig.get_path("scripts")) / "source-declarative-manifest"


@lru_cache(maxsize=1)
def _whole() -> str:
    """As JSON, which is parsed in a hundredth of the time."""
    return json.dumps(safe_load_yaml(EDITION.read_text(encoding="utf-8")))


def pared(streams: Sequence[str]) -> dict[str, Any]:
    """The edition with these streams alone: all of them take the CDK seconds."""
    manifest: dict[str, Any] = json.loads(_whole())
    manifest["streams"] = [
        stream for stream in manifest["streams"] if stream["$parameters"]["name"] in streams
    ]
    used = {_schema_of(stream) for stream in manifest["streams"]}
    manifest["schemas"] = {name: manifest["schemas"][name] for name in used}
    manifest["metadata"]["autoImportSchema"] = dict.fromkeys(streams, False)
    return manifest


def _schema_of(stream: Mapping[str, Any]) -> str:
    reference: str = stream["schema_loader"]["schema"]["$ref"]
    return reference.rpartition("/")[2]


def read_here(
    sandbox: Sandbox,
    streams: Sequence[str],
    state: list[AirbyteStateMessage] | None = None,
    *,
    sync_mode: SyncMode = SyncMode.incremental,
    debug: bool = False,
    **config: Any,
) -> EntrypointOutput:
    """Reads `streams` in this process with the sandbox's config, changed by `config`; a read that
    fails gives its output too."""
    settings = sandbox.config(**config)
    catalog = configured_catalog(*streams, sync_mode=sync_mode)
    source = ConcurrentDeclarativeSource(
        catalog=catalog,
        config=settings,
        state=state or [],
        source_config=pared(streams),
        custom_components_trusted=False,
    )
    return read(
        source, settings, catalog, state, expected_outcome=ExpectedOutcome.ALLOW_ANY, debug=debug
    )


def run_command(files: CliFiles, streams: Sequence[str] = ()) -> CliRun:
    """Runs Airbyte's command for manifests in a process of its own, with all streams or these
    alone."""
    command, *arguments = files.arguments()
    manifest = EDITION
    if streams:
        manifest = files.folder / "manifest.yaml"
        manifest.write_text(json.dumps(pared(streams)))
    done = subprocess.run(
        [_COMMAND, command, "--manifest-path", manifest, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return CliRun(done.returncode, done.stdout, done.stderr, json_lines(done.stdout))
