"""The figures of the last whole run of `bin/benchmark`, for the README and the docs page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from integration_tests.benchmarks.readers.table import OURS, READERS

from .manifest import ROOT
from .tables import markdown_table

PUBLISHED = ROOT / "docs" / "benchmark" / "benchmark.json"

Figures = Mapping[str, Any]


def speed_tables() -> str:
    """The plot and the tables, in Markdown."""
    figures: Figures = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    parts = (
        "![Records per second of each reader, and requests of syncs](docs/benchmark/benchmark.png)",
        _speed(figures),
        _requests(figures),
        _cost(figures),
        _memory(figures),
        _killed(figures),
        _columns(figures),
        _commands(figures),
        _missed(figures),
    )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def sync_times() -> str:
    """What users of the connector can expect, in Markdown."""
    figures: Figures = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    company = figures["company"][0]
    (unchanged,) = figures["unchanged"]
    runs = [run for run in figures["speed"] if run["reader"] == OURS]
    speed = min(run["rows_per_second"] for run in runs)
    _, tables = figures["tables"]
    whole, part = figures["columns"]
    minutes = [(rows, rows / speed / 60) for rows in (10_000, 100_000, 1_000_000)]
    rows = [
        (
            f"first sync of a mid-size company: {company['rows']:,} rows of {company['streams']} "
            "streams, all but the lists below records",
            f"{company['seconds'] / 60:.0f} minutes, {_all_requests(company):,} requests",
        ),
        *(
            (
                f"the lists below {read['parents']:,} records, {read['form']}",
                f"{_span(read['seconds'] / 60)}, {read['requests']:,} requests",
            )
            for read in figures.get("substreams", ())
        ),
        (
            f"sync of {unchanged['streams']} streams of {len(unchanged['lists'])} lists in which "
            "nothing has changed",
            f"{unchanged['seconds']:.0f} seconds, {_all_requests(unchanged):,} requests",
        ),
        (
            f"{tables['rows']:,} invoices with all of their {tables['tables']} tables",
            f"{tables['seconds']:.0f} seconds, {tables['requests']:,} requests",
        ),
        ("records per second of one long list", f"{speed:,.0f}"),
        *(
            (f"{rows:,} records of one list, at that speed", _span(minutes))
            for rows, minutes in minutes
        ),
        *(
            (f"memory, records of {_size(bytes_)}", f"{memory:.0f} MB")
            for bytes_, memory in sorted(_peaks(figures).items())
        ),
        (
            "ten columns of invoices instead of all",
            f"{part['answer_bytes'] / whole['answer_bytes']:.0%} of the bytes, "
            f"{part['cpu_seconds'] / whole['cpu_seconds']:.0%} of the CPU time, "
            f"{part['seconds'] / whole['seconds']:.0%} of the time",
        ),
        (
            "connection test; list of streams",
            " and ".join(
                f"{command['median_seconds']:.0f} seconds"
                for command in figures["commands"]
                if command["command"] in ("check", "discover")
            ),
        ),
    ]
    scale, machine = figures["scale"], figures["machine"]
    conditions = (
        f"Measured on {figures['date'][:10]} with {machine['cores']} cores, the stand-in taking "
        f"{scale['latency_ms']} ms per response, with {scale['requests_per_second']} requests "
        f"per second, and for a single list invoices of {_size(scale['speed']['record_bytes'])}:"
    )
    return f"{conditions}\n\n{markdown_table(('What', 'Measured'), rows)}"


def _size(bytes_: int) -> str:
    return f"{bytes_ // 1_000} KB" if bytes_ < 1_000_000 else f"{bytes_ // 1_000_000} MB"


def _peaks(figures: Figures) -> dict[int, float]:
    """The most memory that was needed, by bytes of a record, stalled destinations included."""
    peaks: dict[int, float] = {}
    for run in (*figures["cost"], *figures["stalled"]):
        bytes_ = run["record_bytes"]
        peaks[bytes_] = max(peaks.get(bytes_, 0.0), run["peak_memory_mb"])
    return peaks


def _all_requests(sync: Figures) -> int:
    return int(sync["requests"] + sync["tokens"])


def _span(minutes: float) -> str:
    return f"{minutes * 60:.0f} seconds" if minutes < 1 else f"{minutes:.0f} minutes"


def _speed(figures: Figures) -> str:
    head = (
        *("Reader", "Per page", "Even data", "Mass update"),
        *("Most requests in a second", "Responses 429", "Records lost"),
    )
    rows = []
    for name, latency_ms in _runs(figures):
        runs = {
            run["data"]: run
            for run in figures["speed"]
            if (run["reader"], run["latency_ms"]) == (name, latency_ms)
        }
        rows.append(
            (
                READERS[name].label,
                f"{latency_ms:,} ms",
                *(_rate(runs.get(data)) for data in ("even", "mass_update")),
                str(max(run["peak_requests_per_second"] for run in runs.values())),
                f"{max(run['share_of_429'] for run in runs.values()):.1%}",
                f"{sum(run['lost'] for run in runs.values()):,}",
            )
        )
    return markdown_table(head, rows)


def _runs(figures: Figures) -> list[tuple[str, int]]:
    found = {(run["reader"], run["latency_ms"]) for run in figures["speed"]}
    return sorted(found, key=lambda run: (list(READERS).index(run[0]), run[1]))


def _rate(run: Figures | None) -> str:
    if run is None:
        return "-"
    return f"{run['rows_per_second']:,.0f} rows/s ({run['share_of_ceiling']:.0%})"


def _requests(figures: Figures) -> str:
    head = ("Sync", "Requests", "Fewest possible", "Ratio", "Rows", "State messages", "Time")
    one, tables = figures["tables"]
    company = figures["company"][0]
    (unchanged,) = figures["unchanged"]
    rows = [
        (
            f"{tables['tables']} tables of {tables['rows']:,} invoices; fewest: the invoices alone",
            *_ratio(tables["requests"], one["requests"]),
            f"{tables['rows']:,} invoices",
            f"{tables['state_messages']:,}",
            f"{tables['seconds']:.0f} s ({one['seconds']:.0f} s alone)",
        ),
        (
            f"First sync of {company['streams']} streams of a company's {len(company['lists'])} "
            "lists; fewest: full pages",
            *_ratio(_all_requests(company), company["least_requests"]),
            f"{company['rows']:,}",
            f"{company['state_messages']:,}",
            f"{company['seconds']:.0f} s",
        ),
        *(
            (
                f"The lists below {read['parents']:,} records, {read['form']}; fewest: pages of 50 "
                "records",
                *_ratio(read["requests"], -(-read["parents"] // 50)),
                f"{read['rows']:,}",
                "-",
                f"{read['seconds']:.0f} s",
            )
            for read in figures.get("substreams", ())
        ),
        (
            f"{unchanged['streams']} streams of {len(unchanged['lists'])} lists in which nothing "
            "has changed; fewest: one for each list",
            *_ratio(_all_requests(unchanged), len(unchanged["lists"])),
            f"{unchanged['rows']:,}",
            f"{unchanged['state_messages']:,}",
            f"{unchanged['seconds']:.0f} s",
        ),
    ]
    return markdown_table(head, rows)


def _ratio(requests: int, fewest: int) -> tuple[str, str, str]:
    return f"{requests:,}", f"{fewest:,}", f"{requests / max(fewest, 1):.2f}"


def _cost(figures: Figures) -> str:
    head = ("Tables", "Records", "Bytes of a record", "Records per CPU second", "Peak memory")
    return markdown_table(
        head,
        [
            (
                str(cost["tables"]),
                f"{cost['rows']:,}",
                f"{cost['record_bytes']:,}",
                f"{cost['rows_per_cpu_second']:,.0f}",
                f"{cost['peak_memory_mb']:.0f} MB",
            )
            for cost in figures["cost"]
        ],
    )


def _memory(figures: Figures) -> str:
    peaks = [
        f"{run['peak_memory_mb']:.0f} MB with records of {_size(run['record_bytes'])}"
        for run in figures["stalled"]
    ]
    seconds = figures["stalled"][0]["stall_seconds"]
    return f"A destination that takes nothing for {seconds:.0f} seconds: {', '.join(peaks)}."


def _killed(figures: Figures) -> str:
    runs = [f"{run['repeated']:,} after {run['before']:,}" for run in figures["killed"]]
    return (
        f"Of {figures['killed'][0]['rows']:,} records, a sync that was killed lets the next one "
        f"repeat {', '.join(runs)}."
    )


def _columns(figures: Figures) -> str:
    whole, part = figures["columns"]
    return (
        f"Ten columns of invoices instead of all: {part['answer_bytes'] / 1e6:.0f} MB of responses "
        f"instead of {whole['answer_bytes'] / 1e6:.0f} MB, {part['cpu_seconds']:.0f} CPU seconds "
        f"instead of {whole['cpu_seconds']:.0f}, {part['seconds']:.0f} s instead of "
        f"{whole['seconds']:.0f} s."
    )


def _commands(figures: Figures) -> str:
    times = [f"`{c['command']}` {c['median_seconds']:.1f} s" for c in figures["commands"]]
    return f"Start included, {', '.join(times)}."


def _missed(figures: Figures) -> str:
    missed = [
        (goal["goal"], _number(goal["measured"]), _number(goal["limit"]))
        for goal in figures["goals"]
        if not goal["is_met"]
    ]
    return (
        markdown_table(("Missed goal", "Measured", "Goal"), missed)
        if missed
        else "All goals were met."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
