"""What it saves to select some columns: all invoices, whole and with ten of their columns."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import run
from integration_tests.benchmarks.readers.source_coupa import READER, STREAM, command_reading
from integration_tests.benchmarks.result import ColumnFigures, Result

from .plan import Plan

SELECTIONS: Mapping[str, Sequence[str]] = {
    "all": (),
    "ten": (
        *("id", "updated_at", "invoice_number", "invoice_date", "status"),
        *("gross_total", "tax_amount", "paid", "supplier", "currency"),
    ),
}
"""The columns of two connections, by what they are called; none are named where all are meant."""


def measure(plan: Plan, result: Result) -> None:
    """Lets the connector read the same data with each selection, where latency and Coupa's limit
    count."""
    scale = plan.scale
    for name, columns in SELECTIONS.items():
        with (
            started(scale.speed, latency_ms=scale.latency_ms) as instance,
            tempfile.TemporaryDirectory() as folder,
        ):
            config = {**instance.config, "requests_per_second": scale.requests_per_second}
            done = run(command_reading({STREAM: columns}, config, Path(folder)), READER.ids_of)
            truth = instance.ids()
            log = instance.requests()["requests"]
        complete = figures.compare(truth, done.ids)
        responses = [request for request in log if request["resource"] == "invoices"]
        result.columns.append(
            ColumnFigures(
                columns=name,
                rows=len(done.ids),
                requests=len(responses),
                answer_bytes=sum(request["bytes"] or 0 for request in responses),
                output_bytes=done.output_bytes,
                seconds=figures.seconds(log, done.times),
                cpu_seconds=done.cpu_seconds,
                lost=complete.lost,
                duplicated=complete.duplicated,
                unknown=complete.unknown,
            )
        )
        plan.tell(
            f"{name} columns: {result.columns[-1].answer_bytes / 1e6:,.1f} MB in "
            f"{result.columns[-1].seconds:.1f} s"
        )
