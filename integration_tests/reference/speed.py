"""The figures of the last whole run of `bin/benchmark`, for the README and the docs page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from integration_tests.benchmarks.readers.table import READERS

from .manifest import ROOT
from .tables import markdown_table

PUBLISHED = ROOT / "docs" / "benchmark" / "benchmark.json"

Figures = Mapping[str, Any]


def speed_tables() -> str:
    """The plot and the tables, in Markdown."""
    figures: Figures = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    parts = (
        "![Rows per second of each reader](docs/benchmark/benchmark.png)",
        _speed(figures),
        _cost(figures),
        _columns(figures),
        _company(figures),
        _commands(figures),
        _missed(figures),
    )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def sync_times() -> str:
    """What users of the connector can expect, in Markdown."""
    figures: Figures = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    (company,) = figures["company"]
    runs = [run for run in figures["speed"] if run["reader"] == "source-coupa"]
    speed = min(run["rows_per_second"] for run in runs)
    whole, part = figures["columns"]
    minutes = [(rows, rows / speed / 60) for rows in (10_000, 100_000, 1_000_000)]
    small, _, large = figures["cost"]
    rows = [
        (
            f"first sync of a mid-size company: {company['rows']:,} rows of {company['streams']} "
            "streams, all but the lists below records",
            f"{company['seconds'] / 60:.0f} minutes, {company['requests']:,} requests",
        ),
        ("records per second of one long list", f"{speed:,.0f}"),
        *(
            (f"{rows:,} records of one list, at that speed", _span(minutes))
            for rows, minutes in minutes
        ),
        (
            f"memory, with records of {small['record_bytes'] // 1000} KB and of "
            f"{large['record_bytes'] // 1000} KB",
            f"{small['peak_memory_mb']:.0f} MB and {large['peak_memory_mb']:.0f} MB",
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
        f"{scale['latency_ms']} ms for each answer, with {scale['requests_per_second']} requests "
        f"per second, and for a single list invoices of "
        f"{scale['speed']['record_bytes'] // 1000} KB:"
    )
    return f"{conditions}\n\n{markdown_table(('What', 'Measured'), rows)}"


def _span(minutes: float) -> str:
    return f"{minutes * 60:.0f} seconds" if minutes < 1 else f"{minutes:.0f} minutes"


def _speed(figures: Figures) -> str:
    head = (
        "Reader",
        "Even data",
        "Mass update",
        "Most requests in a second",
        "Answers 429",
        "Records lost",
    )
    rows = []
    for name, reader in READERS.items():
        runs = {run["data"]: run for run in figures["speed"] if run["reader"] == name}
        if runs:
            rows.append(
                (
                    reader.label,
                    *(_rate(runs.get(data)) for data in ("even", "mass_update")),
                    str(max(run["peak_requests_per_second"] for run in runs.values())),
                    f"{max(run['share_of_429'] for run in runs.values()):.1%}",
                    f"{sum(run['lost'] for run in runs.values()):,}",
                )
            )
    return markdown_table(head, rows)


def _rate(run: Figures | None) -> str:
    if run is None:
        return "-"
    return f"{run['rows_per_second']:,.0f} rows/s ({run['share_of_ceiling']:.0%})"


def _cost(figures: Figures) -> str:
    head = ("Rows", "Bytes of a record", "Rows per CPU second", "Peak memory")
    return markdown_table(
        head,
        [
            (
                f"{cost['rows']:,}",
                f"{cost['record_bytes']:,}",
                f"{cost['rows_per_cpu_second']:,.0f}",
                f"{cost['peak_memory_mb']:.0f} MB",
            )
            for cost in figures["cost"]
        ],
    )


def _columns(figures: Figures) -> str:
    whole, part = figures["columns"]
    return (
        f"Ten columns of invoices instead of all: {part['answer_bytes'] / 1e6:.0f} MB of answers "
        f"instead of {whole['answer_bytes'] / 1e6:.0f} MB, {part['cpu_seconds']:.0f} CPU seconds "
        f"instead of {whole['cpu_seconds']:.0f}, {part['seconds']:.0f} s instead of "
        f"{whole['seconds']:.0f} s: the request budget decides."
    )


def _company(figures: Figures) -> str:
    (company,) = figures["company"]
    return (
        f"A first sync of {company['streams']} streams of a mid-size company, all but the lists "
        f"below single records: {company['rows']:,} rows with {company['requests']:,} requests in "
        f"{company['seconds'] / 60:.0f} minutes; {company['share_of_empty_answers']:.0%} of the "
        "requests brought nothing."
    )


def _commands(figures: Figures) -> str:
    times = [f"`{c['command']}` {c['median_seconds']:.1f} s" for c in figures["commands"]]
    return f"Start included, {', '.join(times)}."


def _missed(figures: Figures) -> str:
    missed = [
        f"{goal['goal']} {goal['measured']:.3g} (goal {goal['limit']:g})"
        for goal in figures["goals"]
        if not goal["is_met"]
    ]
    return f"Goals that were missed: {'; '.join(missed)}." if missed else "All goals were met."
