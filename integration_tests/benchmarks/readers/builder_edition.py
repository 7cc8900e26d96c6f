"""The Builder edition, as Airbyte runs a manifest that a user brings."""

from __future__ import annotations

import sys
from pathlib import Path

from integration_tests.benchmarks.process import ROOT

from .reader import Job, Reader
from .source_coupa import PROGRAM as IMAGE_PROGRAM
from .source_coupa import READER as IMAGE
from .source_coupa import STREAM, command_reading

PROGRAM = (
    *(sys.executable, "-c"),
    "from airbyte_cdk.cli.source_declarative_manifest import run; run()",
)
"""Airbyte's command `source-declarative-manifest`."""


_MANIFEST = ROOT / "builder" / "manifest.yaml"


def _command(job: Job, folder: Path) -> list[str]:
    read, *arguments = command_reading({STREAM: ()}, job.config, folder)[len(IMAGE_PROGRAM) :]
    return [*PROGRAM, read, "--manifest-path", str(_MANIFEST), *arguments]


READER = Reader("Builder edition", _command, IMAGE.ids_of)
