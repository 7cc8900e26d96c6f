"""What a sync repeats after one that was killed."""

from __future__ import annotations

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import Trouble
from integration_tests.benchmarks.readers.source_coupa import STREAM
from integration_tests.benchmarks.result import KilledFigures, Result

from .plan import Plan
from .reading import sync

REPEATED = 2_000
REPEATED_SHARE = 0.05
"""As many records may come again, or that part of those that came, whichever is more."""


def measure(plan: Plan, result: Result) -> None:
    """Kills first syncs at some places, where latency and Coupa's limit count."""
    scale = plan.scale
    for rows in scale.killed_after:
        trouble = Trouble(rows, is_killed=True)
        budget = scale.requests_per_second
        with started(scale.killed, latency_ms=scale.latency_ms) as instance:
            first = sync(instance, [STREAM], requests_per_second=budget, trouble=trouble)
            states = first.messages.states
            then = sync(instance, [STREAM], requests_per_second=budget, states=states)
            truth = instance.ids()
        before, after = set(first.run.ids), set(then.run.ids)
        complete = figures.compare(truth, [*before, *(after - before)])
        result.killed.append(
            KilledFigures(
                rows=len(truth),
                before=len(before),
                repeated=len(before & after),
                most_repeated=max(REPEATED, int(REPEATED_SHARE * len(before))),
                lost=complete.lost,
                unknown=complete.unknown,
            )
        )
        last = result.killed[-1]
        plan.tell(f"killed after {last.before:,} rows: {last.repeated:,} came again")
