"""How much a run reads."""

from __future__ import annotations

from dataclasses import dataclass

PAGE_SIZE = 50
"""Records of a full page: Coupa's documented maximum."""

COUPAS_LIMIT = 25
"""Requests per second that Coupa documents, and the most that the connector can be set to."""


@dataclass(frozen=True)
class Load:
    """Rows of a table of invoices, and the bytes of one."""

    rows: int
    record_bytes: int


@dataclass(frozen=True)
class Scale:
    """The sizes of one run."""

    latency_ms: int
    """What every answer of the sandbox takes where speed and commands are measured."""
    requests_per_second: int
    """The connector's setting where speed is measured: its default."""
    speed: Load
    part_rows: int
    """Rows that readers of one page at a time read of them; their rate is the same all along."""
    costs: tuple[Load, ...]
    """Read without latency, as fast as the connector can be set."""
    empty_runs: int
    """Runs over an empty table: what starting costs."""
    command_runs: int
    company_share: int
    """One of how many rows of `company.tsv` are there."""

    @property
    def ceiling(self) -> int:
        """Rows per second if every allowed request brought a full page."""
        return self.requests_per_second * PAGE_SIZE


FULL = Scale(
    latency_ms=400,
    requests_per_second=20,
    speed=Load(30_000, 8_000),
    part_rows=4_000,
    costs=(Load(20_000, 8_000), Load(200_000, 8_000), Load(10_000, 50_000)),
    empty_runs=3,
    command_runs=5,
    company_share=1,
)

QUICK = Scale(
    latency_ms=50,
    requests_per_second=20,
    speed=Load(1_500, 8_000),
    part_rows=300,
    costs=(Load(1_000, 8_000), Load(2_000, 8_000), Load(300, 50_000)),
    empty_runs=1,
    command_runs=1,
    company_share=100,
)
"""Shows that everything can be measured; the figures mean nothing."""
