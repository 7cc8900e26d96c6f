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
    """What every response of the sandbox takes, where it counts."""
    slow_latency_ms: int
    """What wide records take; the connector's speed is measured at both."""
    requests_per_second: int
    """The connector's setting, where it counts: its default."""
    speed: Load
    part_rows: int
    """Rows that readers of one page at a time read of them; their rate is the same all along."""
    tables: Load
    """Read as one table and as all tables."""
    costs: tuple[Load, ...]
    """Read without latency, as fast as the connector can be set."""
    costs_of_all_tables: tuple[Load, ...]
    """The same with all tables."""
    empty_runs: int
    """Runs over an empty list: what starting costs."""
    stalled: tuple[Load, ...]
    """Read by a destination that takes nothing for a while."""
    stall_seconds: float
    killed: Load
    """Read by a sync that is killed."""
    killed_after: tuple[int, ...]
    """Rows after which that happens: shortly before a state is due."""
    swept: Load
    """Compared with the ids in a state."""
    command_runs: int
    company_lists: int
    """How many lists of `company.tsv` are there, those below their records besides."""
    company_share: int
    """One of how many rows of `company.tsv` are there."""
    substreams_share: int
    """The same where the lists below single records are read too."""
    unchanged_share: int
    """The same where nothing changed."""
    parents: int
    """Invoices whose comments are read."""
    rows_below: int
    """Comments of all of them."""

    @property
    def ceiling(self) -> int:
        """Rows per second if every allowed request brought a full page."""
        return self.requests_per_second * PAGE_SIZE


FULL = Scale(
    latency_ms=400,
    slow_latency_ms=1_200,
    requests_per_second=20,
    speed=Load(30_000, 8_000),
    part_rows=4_000,
    tables=Load(4_000, 8_000),
    costs=(Load(20_000, 8_000), Load(200_000, 8_000), Load(10_000, 50_000)),
    costs_of_all_tables=(Load(20_000, 8_000), Load(10_000, 50_000)),
    empty_runs=3,
    stalled=(Load(4_000, 50_000), Load(300, 1_000_000)),
    stall_seconds=60.0,
    killed=Load(30_000, 2_000),
    killed_after=(3_950, 15_950, 27_950),
    swept=Load(1_000_000, 300),
    command_runs=5,
    company_lists=1_000,
    company_share=1,
    substreams_share=10,
    unchanged_share=10,
    parents=5_000,
    rows_below=7_500,
)

QUICK = Scale(
    latency_ms=50,
    slow_latency_ms=100,
    requests_per_second=20,
    speed=Load(1_500, 8_000),
    part_rows=300,
    tables=Load(500, 8_000),
    costs=(Load(1_000, 8_000), Load(2_000, 8_000), Load(300, 50_000)),
    costs_of_all_tables=(Load(1_000, 8_000), Load(300, 50_000)),
    empty_runs=1,
    stalled=(Load(300, 50_000), Load(30, 1_000_000)),
    stall_seconds=1.0,
    killed=Load(3_000, 2_000),
    killed_after=(1_450,),
    swept=Load(3_000, 300),
    command_runs=1,
    company_lists=21,
    company_share=100,
    substreams_share=1_000,
    unchanged_share=1_000,
    parents=300,
    rows_below=450,
)
"""Shows that everything can be measured; the figures mean nothing."""
