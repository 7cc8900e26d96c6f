"""What the connector needs of a machine: CPU and memory, by rows and by size of a record."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import Run, run
from integration_tests.benchmarks.readers.reader import Job
from integration_tests.benchmarks.readers.source_coupa import READER
from integration_tests.benchmarks.result import CostFigures, Result
from integration_tests.benchmarks.scale import COUPAS_LIMIT, Load

from .plan import Plan


def measure(plan: Plan, result: Result) -> None:
    """Reads without latency and without Coupa's limit, so that the connector has no pauses."""
    empty = Load(0, plan.scale.costs[0].record_bytes)
    startups = [_read(empty)[0].cpu_seconds for _ in range(plan.scale.empty_runs)]
    startup = statistics.median(startups)
    plan.tell(f"no rows: {startup:.1f} CPU seconds")
    for load in plan.scale.costs:
        done, truth = _read(load)
        complete = figures.compare(truth, done.ids)
        result.cost.append(
            CostFigures(
                rows=len(done.ids),
                record_bytes=load.record_bytes,
                output_bytes_per_row=figures.share(done.output_bytes, len(done.ids)),
                seconds=done.ended - done.started,
                cpu_seconds=done.cpu_seconds,
                startup_cpu_seconds=startup,
                rows_per_cpu_second=figures.per_cpu_second(
                    len(done.ids), done.cpu_seconds, startup
                ),
                peak_memory_mb=done.peak_memory_mb,
                lost=complete.lost,
                duplicated=complete.duplicated,
                unknown=complete.unknown,
            )
        )
        plan.tell(
            f"{load.rows:,} rows of {load.record_bytes:,} bytes: {done.cpu_seconds:.1f} CPU "
            f"seconds, {done.peak_memory_mb:.0f} MB"
        )


def _read(load: Load) -> tuple[Run, list[int]]:
    """One read of the connector, and the ids that are there."""
    with (
        started(load, rate_limit=False) as instance,
        tempfile.TemporaryDirectory() as folder,
    ):
        config = {**instance.config, "requests_per_second": COUPAS_LIMIT}
        done = run(READER.command(Job(config, load.rows), Path(folder)), READER.ids_of)
        return done, instance.ids()
