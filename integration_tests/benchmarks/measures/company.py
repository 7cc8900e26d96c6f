"""What a first sync of all streams costs a mid-size company, and how much of it is in vain."""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import ROOT, started_with
from integration_tests.benchmarks.process import run
from integration_tests.benchmarks.readers.source_coupa import command_reading
from integration_tests.benchmarks.result import CompanyFigures, ListFigures, Result

from .plan import Plan

COMPANY = Path(__file__).parents[1] / "company.tsv"
"""Rows of each list. The lists within records come with them; those below single records are left
out: they cost one request for each, whether there is anything or not."""


def measure(plan: Plan, result: Result) -> None:
    """Lets the connector read all streams, where latency and Coupa's limit count."""
    scale = plan.scale
    with COMPANY.open(encoding="utf-8") as file:
        rows = {
            row["resource"]: int(row["rows"]) // scale.company_share
            for row in csv.DictReader(file, delimiter="\t")
        }
    manifest = yaml.safe_load((ROOT / "source_coupa" / "manifest.yaml").read_text("utf-8"))
    streams = {
        stream["$parameters"]["name"]: stream["$parameters"]["resource"]
        for stream in manifest["streams"]
        if "nested" not in stream["$parameters"]
    }
    arrived: Counter[str] = Counter()

    def count(line: bytes) -> Sequence[int]:
        if not line.startswith(b'{"type":"RECORD"'):
            return ()
        arrived[streams[json.loads(line)["record"]["stream"]]] += 1
        return (0,)

    with (
        started_with(rows, latency_ms=scale.latency_ms) as instance,
        tempfile.TemporaryDirectory() as folder,
    ):
        config = {**instance.config, "requests_per_second": scale.requests_per_second}
        done = run(command_reading(dict.fromkeys(streams, ()), config, Path(folder)), count)
        log = instance.requests()["requests"]
    answers = [request for request in log if request["resource"] in rows]
    result.company.append(
        CompanyFigures(
            streams=len(streams),
            rows=arrived.total(),
            requests=len(answers),
            share_of_empty_answers=figures.share(sum(not r["rows"] for r in answers), len(answers)),
            seconds=figures.seconds(log, done.times),
            cpu_seconds=done.cpu_seconds,
            peak_memory_mb=done.peak_memory_mb,
            lists=tuple(
                ListFigures(
                    resource=resource,
                    streams=list(streams.values()).count(resource),
                    rows=arrived[resource],
                    requests=sum(r["resource"] == resource for r in answers),
                    empty_answers=sum(r["resource"] == resource and not r["rows"] for r in answers),
                )
                for resource in rows
            ),
        )
    )
    plan.tell(f"{len(streams)} streams: {arrived.total():,} rows")
