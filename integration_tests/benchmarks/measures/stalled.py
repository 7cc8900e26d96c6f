"""What memory it takes when the destination takes nothing for a while."""

from __future__ import annotations

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import Trouble
from integration_tests.benchmarks.readers.source_coupa import STREAM
from integration_tests.benchmarks.result import Result, StalledFigures
from integration_tests.benchmarks.scale import COUPAS_LIMIT

from .plan import Plan
from .reading import sync


def measure(plan: Plan, result: Result) -> None:
    """Reads without latency and without Coupa's limit: what can pile up does so at once."""
    for load in plan.scale.stalled:
        trouble = Trouble(load.rows // 10, plan.scale.stall_seconds)
        with started(load, rate_limit=False) as instance:
            done = sync(instance, [STREAM], requests_per_second=COUPAS_LIMIT, trouble=trouble)
            complete = figures.compare(instance.ids(), done.run.ids)
        result.stalled.append(
            StalledFigures(
                rows=len(done.run.ids),
                record_bytes=load.record_bytes,
                stall_seconds=trouble.seconds,
                seconds=done.run.ended - done.run.started,
                peak_memory_mb=done.run.peak_memory_mb,
                lost=complete.lost,
                duplicated=complete.duplicated,
                unknown=complete.unknown,
            )
        )
        plan.tell(
            f"stalled, {load.record_bytes:,} bytes: {result.stalled[-1].peak_memory_mb:.0f} MB"
        )
