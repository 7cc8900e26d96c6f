"""How fast each reader is where Coupa's latency and its limit count."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started
from integration_tests.benchmarks.process import BenchmarkError, run
from integration_tests.benchmarks.readers.reader import Job, Reader
from integration_tests.benchmarks.readers.table import OURS
from integration_tests.benchmarks.result import Result, Skipped, SpeedFigures
from integration_tests.benchmarks.scale import Scale

from .plan import Plan

DATA: Mapping[str, str] = {"even": "even", "mass_update": "mass update"}
"""Spread of update times in the sandbox -> what it is called."""


def measure(plan: Plan, result: Result) -> None:
    """Lets every reader read every data set, each from an instance of its own; the connector also
    where pages take long."""
    scale = plan.scale
    for name, reader in plan.readers.items():
        reason = reader.why_absent()
        if reason is not None:
            result.skipped.append(Skipped(reader.label, reason))
            plan.tell(f"{reader.label}: skipped, {reason}")
            continue
        latencies = [scale.latency_ms, *([scale.slow_latency_ms] if name == OURS else [])]
        for latency_ms, spread in product(latencies, DATA):
            what = f"{reader.label}, {DATA[spread]}, {latency_ms} ms"
            try:
                measured = _measure(name, reader, spread, latency_ms, scale)
            except BenchmarkError as error:
                result.skipped.append(Skipped(what, str(error), is_failure=True))
                plan.tell(f"{what}: failed")
                continue
            result.speed.append(measured)
            plan.tell(
                f"{what}: {measured.rows:,} rows in {measured.seconds:.1f} s, "
                f"{measured.rows_per_second:,.0f} rows/s"
            )


def _measure(name: str, reader: Reader, spread: str, latency_ms: int, scale: Scale) -> SpeedFigures:
    rows = scale.part_rows if reader.is_sequential else scale.speed.rows
    with (
        started(scale.speed, latency_ms=latency_ms, spread=spread) as instance,
        tempfile.TemporaryDirectory() as folder,
    ):
        config = {**instance.config, "requests_per_second": scale.requests_per_second}
        done = run(reader.command(Job(config, rows), Path(folder)), reader.ids_of)
        truth = instance.ids()[:rows]
        asked = instance.requests()
    if not done.ids:
        raise BenchmarkError("It brought no records.")
    requests = figures.count_requests(asked["requests"])
    first = figures.first_request(asked["requests"])
    complete = figures.compare(truth, done.ids)
    seconds = done.times[-1] - first
    speed = figures.rate(len(done.ids), seconds)
    steady = figures.steady_rate(done.times)
    return SpeedFigures(
        reader=name,
        data=spread,
        latency_ms=latency_ms,
        rows=len(done.ids),
        seconds=seconds,
        rows_per_second=speed,
        share_of_ceiling=figures.share(speed, scale.ceiling),
        steady_rows_per_second=steady,
        steady_share_of_ceiling=figures.share(steady, scale.ceiling),
        requests=requests.total,
        share_of_429=figures.share(requests.refused, requests.total),
        cuts=requests.cuts,
        empty_answers=requests.empty,
        peak_requests_per_second=asked["peak_rate"],
        lost=complete.lost,
        duplicated=complete.duplicated,
        unknown=complete.unknown,
        startup_seconds=first - done.started,
        cpu_seconds=done.cpu_seconds,
        peak_memory_mb=done.peak_memory_mb,
    )
