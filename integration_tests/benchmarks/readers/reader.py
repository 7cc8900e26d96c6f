"""What all readers have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SCOPE = "core.invoice.read"
"""What Coupa's OAuth asks for where invoices are read."""


@dataclass(frozen=True)
class Job:
    """What is to be read: the invoices of an instance."""

    config: Mapping[str, Any]
    """`instance_url`, `client_id` and `client_secret`, and the connector's other settings."""
    rows: int
    """How many, by ascending id; the connector reads all in any case."""

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return f"{self.config['instance_url']}/api"

    @property
    def token_url(self) -> str:
        """Where tokens are issued."""
        return f"{self.config['instance_url']}/oauth2/token"


@dataclass(frozen=True)
class Reader:
    """A reader, as a process of its own."""

    label: str
    command: Callable[[Job, Path], list[str]]
    """The command that does a job; what it reads is put into the given folder."""
    ids_of: Callable[[bytes], Sequence[int]]
    """The ids of the records in one line of its output."""
    package: str | None = None
    """The package that must be there, as it is imported."""
    is_sequential: bool = False
    """Reads one page after another, so that a part of the rows shows its rate."""

    def why_absent(self) -> str | None:
        """Why this reader cannot run here, None if it can."""
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"the package {self.package} is not installed; bin/benchmark installs it"


def program(
    module: str, label: str, *, package: str | None = None, is_sequential: bool = False
) -> Reader:
    """A reader whose `module` calls `run_program` when it is run.

    It prints one line for each page, the JSON list of its ids, and so it is spared printing the
    records, which the connector does.
    """

    def command(job: Job, folder: Path) -> list[str]:
        path = folder / "job.json"
        path.write_text(json.dumps(asdict(job)))
        return [sys.executable, "-m", module, str(path)]

    return Reader(label, command, json.loads, package, is_sequential)


PageCame = Callable[[list[int]], None]
"""Gets the ids of each page as it comes."""


def run_program(read: Callable[[Job, PageCame], None]) -> None:
    """Does the job that the arguments name."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    read(job, lambda ids: print(json.dumps(ids), flush=True))
