"""What it costs to read all tables of a list beside the list itself."""

from __future__ import annotations

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.readers.source_coupa import STREAM, tables_of
from integration_tests.benchmarks.result import Result, TableFigures

from .plan import Plan
from .reading import sync

PAGES_PER_STATE = 20
"""Pages for which a table may print one state message."""


def measure(plan: Plan, result: Result) -> None:
    """Lets the connector read the invoices, and with them all tables that are made of them, where
    latency and Coupa's limit count."""
    scale = plan.scale
    for streams in ([STREAM], tables_of(STREAM)):
        with started(scale.tables, latency_ms=scale.latency_ms) as instance:
            done = sync(instance, streams, requests_per_second=scale.requests_per_second)
            truth = instance.ids()
        complete = figures.compare(truth, done.run.ids)
        pages = figures.full_pages(len(truth))
        result.tables.append(
            TableFigures(
                tables=len(streams),
                rows=len(done.run.ids),
                requests=len(done.log),
                answer_bytes=sum(request["bytes"] or 0 for request in done.log),
                seconds=figures.seconds(done.log, done.run.times),
                cpu_seconds=done.run.cpu_seconds,
                state_messages=done.messages.state_messages.total(),
                most_state_messages=len(streams) * (pages // PAGES_PER_STATE + 1),
                lost=complete.lost,
                duplicated=complete.duplicated,
                unknown=complete.unknown,
            )
        )
        last = result.tables[-1]
        plan.tell(f"{last.tables} tables: {last.requests} requests, {last.seconds:.1f} s")
