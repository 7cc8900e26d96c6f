"""The figures of a run, and the JSON file that keeps them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from .scale import Scale

_PACKAGES = ("airbyte-cdk", "coupa-async-client", "dlt")


@dataclass(frozen=True)
class CommandFigures:
    """How long a command of the connector takes, its start included."""

    command: str
    median_seconds: float
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class SpeedFigures:
    """How fast one reader read one data set. Shares are fractions.

    Seconds go from the first request, the one for a token included, to the last record.
    """

    reader: str
    data: str
    latency_ms: int
    rows: int
    seconds: float
    rows_per_second: float
    share_of_ceiling: float
    steady_rows_per_second: float
    steady_share_of_ceiling: float
    requests: int
    share_of_429: float
    cuts: int
    empty_answers: int
    peak_requests_per_second: int
    lost: int
    duplicated: int
    unknown: int
    startup_seconds: float
    """From the start of the process to its first request."""
    cpu_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class CostFigures:
    """What one read of the connector cost. MB are 10^6 bytes."""

    tables: int
    """Made of the invoices that were read."""
    rows: int
    record_bytes: int
    output_bytes_per_row: float
    seconds: float
    cpu_seconds: float
    startup_cpu_seconds: float
    """Of a read without rows."""
    rows_per_cpu_second: float
    """After start-up."""
    peak_memory_mb: float
    lost: int
    duplicated: int
    unknown: int


@dataclass(frozen=True)
class ColumnFigures:
    """What one read of the connector moved with a selection of columns (see measures/columns.py).

    Seconds go from the first request to the last record.
    """

    columns: str
    rows: int
    requests: int
    answer_bytes: int
    """Of the bodies of all responses."""
    output_bytes: int
    """Of all messages."""
    seconds: float
    cpu_seconds: float
    lost: int
    duplicated: int
    unknown: int


@dataclass(frozen=True)
class TableFigures:
    """What a first sync of some tables of the invoices cost.

    Seconds go from the first request to the last invoice.
    """

    tables: int
    rows: int
    """Invoices."""
    requests: int
    """With those for tokens."""
    answer_bytes: int
    seconds: float
    cpu_seconds: float
    state_messages: int
    most_state_messages: int
    """As many as each table may print: one for 20 pages, and the last one."""
    lost: int
    duplicated: int
    unknown: int


@dataclass(frozen=True)
class ListFigures:
    """What one list of Coupa cost a sync."""

    resource: str
    streams: int
    """How many are made of it."""
    rows: int
    """Of all of them."""
    requests: int
    least_requests: int
    """What it would take to fetch what is new: full pages, at least one; for lists below single
    records, one for each of these."""
    empty_answers: int


@dataclass(frozen=True)
class CompanyFigures:
    """A sync of many streams of a mid-size company.

    Seconds go from the first request to the end of the process.
    """

    what: str
    """See measures/company.py."""
    streams: int
    rows: int
    requests: int
    """To lists; those for tokens are left out."""
    tokens: int
    least_requests: int
    share_of_empty_answers: float
    state_messages: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    lists: tuple[ListFigures, ...]


@dataclass(frozen=True)
class SubstreamFigures:
    """What the lists below the records of a list cost.

    Seconds go from the first request to the end of the process.
    """

    form: str
    """See measures/substreams.py."""
    parents: int
    rows: int
    requests: int
    """With those for parents and tokens."""
    seconds: float
    rows_per_second: float
    cpu_seconds: float
    peak_memory_mb: float
    lost: int


@dataclass(frozen=True)
class StalledFigures:
    """A read whose destination takes nothing for a while after the first tenth of the rows."""

    rows: int
    record_bytes: int
    stall_seconds: float
    seconds: float
    peak_memory_mb: float
    lost: int
    duplicated: int
    unknown: int


@dataclass(frozen=True)
class KilledFigures:
    """A sync that is killed, and the next one."""

    rows: int
    """There are."""
    before: int
    """Came before the end."""
    repeated: int
    """Came again."""
    most_repeated: int
    """As many as may."""
    lost: int
    """Came neither before nor afterwards."""
    unknown: int


@dataclass(frozen=True)
class SweepFigures:
    """A sync that looks for deleted records, and in which nothing else has changed."""

    rows: int
    """There are."""
    gone: int
    """Are not there any more."""
    found: int
    """Of these."""
    lost: int
    """Are there, and were taken for gone."""
    requests: int
    answer_bytes: int
    state_bytes: int
    """Of the ids in the state."""
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Skipped:
    """What was not measured, and why."""

    what: str
    reason: str
    is_failure: bool = False
    """Whether it was tried."""


@dataclass
class Result:
    """All figures of one run; measures add theirs."""

    scale: Scale
    date: str
    machine: Mapping[str, Any]
    commands: list[CommandFigures] = field(default_factory=list)
    speed: list[SpeedFigures] = field(default_factory=list)
    cost: list[CostFigures] = field(default_factory=list)
    columns: list[ColumnFigures] = field(default_factory=list)
    tables: list[TableFigures] = field(default_factory=list)
    unchanged: list[CompanyFigures] = field(default_factory=list)
    substreams: list[SubstreamFigures] = field(default_factory=list)
    stalled: list[StalledFigures] = field(default_factory=list)
    killed: list[KilledFigures] = field(default_factory=list)
    company: list[CompanyFigures] = field(default_factory=list)
    sweep: list[SweepFigures] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @classmethod
    def begun(cls, scale: Scale) -> Result:
        """A result of this machine and moment, without figures yet."""
        now = datetime.now(timezone.utc)
        return cls(scale, now.isoformat(timespec="seconds"), machine_facts())

    @property
    def has_failures(self) -> bool:
        """Whether something was tried and could not be measured."""
        return any(skipped.is_failure for skipped in self.skipped)

    def as_json(self, **more: Any) -> str:
        """The figures as JSON, to four decimals, followed by `more`."""
        return json.dumps(_rounded({**asdict(self), **more}), indent=2) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def machine_facts() -> dict[str, Any]:
    """What figures depend on: cores, what else runs on them, Python, and the packages there."""
    return {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
