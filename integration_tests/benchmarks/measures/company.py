"""What a company's first sync of all streams costs, and a sync in which nothing has changed."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import started_with
from integration_tests.benchmarks.readers.source_coupa import streams, tables_of
from integration_tests.benchmarks.result import CompanyFigures, ListFigures, Result
from integration_tests.benchmarks.scale import Scale
from source_coupa.streams import StreamRow

from .plan import Plan
from .reading import Sync, sync

COMPANY = Path(__file__).parents[1] / "company.tsv"
"""Rows of each list."""

WITHOUT_SUBSTREAMS = "all lists"
WITH_SUBSTREAMS = "with those below single records"

UNCHANGED_LISTS = 20


def measure(plan: Plan, result: Result) -> None:
    """Lets the connector read all lists, where latency and Coupa's limit count; and smaller ones
    with the lists below their records."""
    for what, share in (
        (WITHOUT_SUBSTREAMS, plan.scale.company_share),
        (WITH_SUBSTREAMS, plan.scale.substreams_share),
    ):
        rows = _rows(plan.scale, share)
        selected = [
            name
            for name, row in streams().items()
            if _path(row) in rows and (what == WITH_SUBSTREAMS or not row.nested)
        ]
        with started_with(rows, latency_ms=plan.scale.latency_ms) as instance:
            done = sync(instance, selected, requests_per_second=plan.scale.requests_per_second)
        result.company.append(company_figures(what, selected, rows, done))
        _tell(plan, result.company[-1])


def measure_unchanged(plan: Plan, result: Result) -> None:
    """Lets the connector read the lists that most tables are made of, and again where nothing has
    changed since."""
    rows = _rows(plan.scale, plan.scale.unchanged_share)
    tables = {
        path: names
        for path in rows
        if (names := tables_of(path)) and all(streams()[name].cursor_field for name in names)
    }
    largest = sorted(tables, key=lambda path: -len(tables[path]))[:UNCHANGED_LISTS]
    selected = [name for path in largest for name in tables[path]]
    budget = plan.scale.requests_per_second
    with started_with(rows, latency_ms=plan.scale.latency_ms) as instance:
        first = sync(instance, selected, requests_per_second=budget)
        again = sync(instance, selected, requests_per_second=budget, states=first.messages.states)
    result.unchanged.append(company_figures("nothing changed", selected, {}, again))
    _tell(plan, result.unchanged[-1])


def _rows(scale: Scale, share: int) -> dict[str, int]:
    """Rows of each list; where the company has some, at least a few."""
    with COMPANY.open(encoding="utf-8") as file:
        table = csv.DictReader(file, delimiter="\t")
        rows = {row["resource"]: int(row["rows"]) for row in table}
    lists = [path for path in rows if "/:" not in path][: scale.company_lists]
    return {
        path: min(number, max(number // share, 5))
        for path, number in rows.items()
        if path.partition("/:")[0] in lists
    }


def _path(row: StreamRow) -> str:
    """The list of a stream, as the sandbox names it."""
    return f"{row.resource}/:{row.parent}_id/{row.nested}" if row.nested else row.resource


def company_figures(
    what: str, selected: Sequence[str], rows: Mapping[str, int], done: Sync
) -> CompanyFigures:
    """The figures of a sync of the `selected` streams where so many `rows` of each list are new."""
    tables = Counter(_path(streams()[name]) for name in selected)
    asked: Counter[str] = Counter(request["resource"] for request in done.log)
    empty = Counter(r["resource"] for r in done.log if r["status"] == 200 and not r["rows"])
    arrived: Counter[str] = Counter()
    for name, number in done.messages.records.items():
        arrived[_path(streams()[name])] += number
    lists = [
        ListFigures(
            resource=path,
            streams=number,
            rows=arrived[path],
            requests=asked[path],
            least_requests=(
                rows.get(path.partition("/:")[0], 0)
                if "/:" in path
                else max(figures.full_pages(rows.get(path, 0)), 1)
            ),
            empty_answers=empty[path],
        )
        for path, number in tables.items()
    ]
    requests = sum(asked[path] for path in tables)
    return CompanyFigures(
        what=what,
        streams=len(selected),
        rows=arrived.total(),
        requests=requests,
        tokens=asked["oauth"],
        least_requests=sum(figure.least_requests for figure in lists),
        share_of_empty_answers=figures.share(sum(f.empty_answers for f in lists), requests),
        state_messages=done.messages.state_messages.total(),
        seconds=done.run.ended - figures.first_request(done.log),
        cpu_seconds=done.run.cpu_seconds,
        peak_memory_mb=done.run.peak_memory_mb,
        lists=tuple(lists),
    )


def _tell(plan: Plan, measured: CompanyFigures) -> None:
    plan.tell(
        f"{measured.what}: {measured.streams} streams, {measured.requests:,} requests for "
        f"{measured.least_requests:,}, {measured.seconds:.0f} s"
    )
