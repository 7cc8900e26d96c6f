"""What the connector needs of a machine: CPU and memory, by rows and by size of a record."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import Run
from integration_tests.benchmarks.readers.source_coupa import STREAM, tables_of
from integration_tests.benchmarks.result import CostFigures, Result
from integration_tests.benchmarks.scale import COUPAS_LIMIT, Load

from .plan import Plan
from .reading import sync


def measure(plan: Plan, result: Result) -> None:
    """Reads without latency and without Coupa's limit, so that the connector has no pauses; as one
    table and as all tables of the invoices."""
    scale = plan.scale
    for streams, loads in (
        ([STREAM], scale.costs),
        (tables_of(STREAM), scale.costs_of_all_tables),
    ):
        empty = Load(0, loads[0].record_bytes)
        startups = [_read(empty, streams)[0].cpu_seconds for _ in range(scale.empty_runs)]
        startup = statistics.median(startups)
        plan.tell(f"no rows, {len(streams)} tables: {startup:.1f} CPU seconds")
        for load in loads:
            done, truth = _read(load, streams)
            result.cost.append(_figures(load, len(streams), done, truth, startup))
            plan.tell(
                f"{load.rows:,} rows of {load.record_bytes:,} bytes, {len(streams)} tables: "
                f"{done.cpu_seconds:.1f} CPU seconds, {done.peak_memory_mb:.0f} MB"
            )


def _figures(
    load: Load, tables: int, done: Run, truth: Sequence[int], startup: float
) -> CostFigures:
    complete = figures.compare(truth, done.ids)
    return CostFigures(
        tables=tables,
        rows=len(done.ids),
        record_bytes=load.record_bytes,
        output_bytes_per_row=figures.share(done.output_bytes, len(done.ids)),
        seconds=done.ended - done.started,
        cpu_seconds=done.cpu_seconds,
        startup_cpu_seconds=startup,
        rows_per_cpu_second=figures.per_cpu_second(len(done.ids), done.cpu_seconds, startup),
        peak_memory_mb=done.peak_memory_mb,
        lost=complete.lost,
        duplicated=complete.duplicated,
        unknown=complete.unknown,
    )


def _read(load: Load, streams: Sequence[str]) -> tuple[Run, list[int]]:
    """One read of the connector, and the ids that are there."""
    with started(load, rate_limit=False) as instance:
        done = sync(instance, streams, requests_per_second=COUPAS_LIMIT)
        return done.run, instance.ids()
