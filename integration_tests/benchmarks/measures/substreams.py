"""What lists below single records cost, inside of their parents and each by itself."""

from __future__ import annotations

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started_with
from integration_tests.benchmarks.result import Result, SubstreamFigures

from .plan import Plan
from .reading import sync

STREAM = "invoice_comments"
PARENTS = "invoices"
LISTS = "invoices/:invoice_id/comments"

FORMS = {"each by itself": "ignored", "inside of their parents": "honoured"}
"""What the instance does with `fields` that name a list below its records, by the form in which
they can be read then."""


def measure(plan: Plan, result: Result) -> None:
    """Lets the connector read the comments of invoices in both forms, where latency and Coupa's
    limit count."""
    scale = plan.scale
    rows = {PARENTS: scale.parents, LISTS: scale.rows_below}
    for form, play in FORMS.items():
        with started_with(rows, latency_ms=scale.latency_ms, lists_inside=play) as instance:
            done = sync(instance, [STREAM], requests_per_second=scale.requests_per_second)
        came = done.messages.records[STREAM]
        seconds = done.run.ended - figures.first_request(done.log)
        result.substreams.append(
            SubstreamFigures(
                form=form,
                parents=scale.parents,
                rows=came,
                requests=len(done.log),
                seconds=seconds,
                rows_per_second=figures.share(came, seconds),
                cpu_seconds=done.run.cpu_seconds,
                peak_memory_mb=done.run.peak_memory_mb,
                lost=scale.rows_below - came,
            )
        )
        plan.tell(f"{STREAM}, {form}: {len(done.log):,} requests, {seconds:.0f} s")
