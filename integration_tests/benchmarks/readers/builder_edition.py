"""The Builder edition, as Airbyte runs a manifest that a user brings."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from integration_tests.reference.builder import EDITION

from .reader import Job, Reader
from .source_coupa import READER as IMAGE
from .source_coupa import STREAM, command_reading

_COMMAND = Path(sysconfig.get_path("scripts")) / "source-declarative-manifest"


def _command(job: Job, folder: Path) -> list[str]:
    arguments = command_reading({STREAM: ()}, job.config, folder)
    read = arguments.index("read")
    return [str(_COMMAND), "read", "--manifest-path", str(EDITION), *arguments[read + 1 :]]


READER = Reader("Builder edition", _command, IMAGE.ids_of)
