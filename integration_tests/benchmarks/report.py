"""The tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .goals import Verdict
from .measures.speed import DATA
from .readers.table import READERS
from .result import Result
from .scale import COUPAS_LIMIT, PAGE_SIZE, Scale

Row = Sequence[str]

_MOST_LISTS = 8


def report(result: Result, verdicts: Sequence[Verdict]) -> str:
    """All tables of a result, ready to be printed."""
    parts = []
    if result.speed:
        parts.append(_titled(_speed_title(result.scale), _speed(result)))
    latency = f"{result.scale.latency_ms} ms per response"
    if result.tables:
        title = f"Invoices as one table and as all tables ({latency})"
        parts.append(_titled(title, _tables(result)))
    if result.company or result.unchanged:
        parts.append(_titled(f"Syncs of a company ({latency})", _company(result)))
    if result.substreams:
        title = f"The lists below the records of a list ({latency})"
        parts.append(_titled(title, _substreams(result)))
    if result.cost:
        title = f"What a read of the connector costs (no latency, {COUPAS_LIMIT} requests/s)"
        parts.append(_titled(title, _cost(result)))
    if result.stalled:
        title = "Memory where the destination takes nothing for a while"
        parts.append(_titled(title, _stalled(result)))
    if result.killed:
        parts.append(_titled("Syncs that are killed, and the next ones", _killed(result)))
    if result.sweep:
        title = f"Deleted records are looked for ({latency}, {COUPAS_LIMIT} requests/s)"
        parts.append(_titled(title, _sweep(result)))
    if result.columns:
        title = "The same invoices with all columns and with ten of them"
        parts.append(_titled(title, _columns(result)))
    if result.commands:
        title = f"Commands of the connector ({latency})"
        rows = [(c.command, f"{c.median_seconds:.2f}") for c in result.commands]
        parts.append(_titled(title, table(("command", "seconds"), rows)))
    if verdicts:
        parts.append(_titled("Goals", _goals(verdicts)))
    if result.skipped:
        reasons = [f"{skipped.what}: {skipped.reason}" for skipped in result.skipped]
        parts.append(_titled("Not measured", "\n".join(reasons)))
    parts.append(_machine(result))
    return "\n\n".join(parts)


def _machine(result: Result) -> str:
    facts = result.machine
    return (
        f"{result.date}, {facts['cores']} cores, load {facts['load_average']} at the start, "
        f"{facts['system']}, Python {facts['python']}"
    )


def table(head: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell: the first to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(_line(cells, widths, rows) for cells in lines)


def _line(cells: Row, widths: Sequence[int], rows: Sequence[Row]) -> str:
    return "  ".join(
        cell.rjust(width) if all(_is_number(row[index]) for row in rows) else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _is_number(cell: str) -> bool:
    return cell.strip("%").replace(",", "").replace(".", "").isdigit()


def _titled(title: str, text: str) -> str:
    return f"{title}\n\n{text}"


def _speed_title(scale: Scale) -> str:
    return (
        f"{scale.speed.rows:,} invoices of {scale.speed.record_bytes:,} bytes; "
        f"the ceiling is {scale.requests_per_second} requests/s "
        f"x {PAGE_SIZE} = {scale.ceiling:,} rows/s"
    )


def _speed(result: Result) -> str:
    head = (
        *("reader", "data", "ms", "rows", "seconds", "rows/s", "of ceiling", "steady"),
        *("requests", "cuts", "empty", "429", "peak/s", "lost", "twice"),
    )
    rows = [
        (
            READERS[s.reader].label if s.reader in READERS else s.reader,
            DATA[s.data],
            f"{s.latency_ms:,}",
            f"{s.rows:,}",
            f"{s.seconds:.1f}",
            f"{s.rows_per_second:,.0f}",
            f"{s.share_of_ceiling:.1%}",
            f"{s.steady_share_of_ceiling:.1%}",
            f"{s.requests:,}",
            f"{s.cuts:,}",
            f"{s.empty_answers:,}",
            f"{s.share_of_429:.1%}",
            f"{s.peak_requests_per_second}",
            f"{s.lost:,}",
            f"{s.duplicated:,}",
        )
        for s in result.speed
    ]
    return table(head, rows)


def _tables(result: Result) -> str:
    head = ("tables", "invoices", "requests", "MB", "seconds", "CPU seconds", "state messages")
    rows = [
        (
            f"{t.tables}",
            f"{t.rows:,}",
            f"{t.requests:,}",
            f"{t.answer_bytes / 1e6:.1f}",
            f"{t.seconds:.1f}",
            f"{t.cpu_seconds:.1f}",
            f"{t.state_messages:,} of {t.most_state_messages:,}",
        )
        for t in result.tables
    ]
    return table(head, rows)


def _cost(result: Result) -> str:
    head = (
        *("tables", "rows", "bytes", "seconds", "CPU seconds", "to start"),
        *("rows/CPU second", "peak MB"),
    )
    rows = [
        (
            f"{c.tables}",
            f"{c.rows:,}",
            f"{c.record_bytes:,}",
            f"{c.seconds:.1f}",
            f"{c.cpu_seconds:.1f}",
            f"{c.startup_cpu_seconds:.1f}",
            f"{c.rows_per_cpu_second:,.0f}",
            f"{c.peak_memory_mb:.0f}",
        )
        for c in result.cost
    ]
    return table(head, rows)


def _stalled(result: Result) -> str:
    head = ("rows", "bytes", "seconds without a reader", "seconds", "peak MB")
    rows = [
        (
            f"{s.rows:,}",
            f"{s.record_bytes:,}",
            f"{s.stall_seconds:.0f}",
            f"{s.seconds:.1f}",
            f"{s.peak_memory_mb:.0f}",
        )
        for s in result.stalled
    ]
    return table(head, rows)


def _killed(result: Result) -> str:
    head = ("rows", "before", "came again", "may come again", "lost")
    rows = [
        (
            f"{k.rows:,}",
            f"{k.before:,}",
            f"{k.repeated:,}",
            f"{k.most_repeated:,}",
            f"{k.lost:,}",
        )
        for k in result.killed
    ]
    return table(head, rows)


def _sweep(result: Result) -> str:
    head = (
        *("rows", "gone", "found", "wrong", "requests", "MB", "bytes in the state"),
        *("seconds", "CPU seconds", "peak MB"),
    )
    rows = [
        (
            f"{s.rows:,}",
            f"{s.gone:,}",
            f"{s.found:,}",
            f"{s.lost:,}",
            f"{s.requests:,}",
            f"{s.answer_bytes / 1e6:.1f}",
            f"{s.state_bytes:,}",
            f"{s.seconds:.0f}",
            f"{s.cpu_seconds:.1f}",
            f"{s.peak_memory_mb:.0f}",
        )
        for s in result.sweep
    ]
    return table(head, rows)


def _company(result: Result) -> str:
    head = (
        *("sync", "streams", "lists", "rows", "requests", "at least", "tokens", "empty"),
        *("states", "seconds", "CPU seconds", "peak MB"),
    )
    syncs = [*result.company, *result.unchanged]
    rows = [
        (
            c.what,
            f"{c.streams}",
            f"{len(c.lists)}",
            f"{c.rows:,}",
            f"{c.requests:,}",
            f"{c.least_requests:,}",
            f"{c.tokens}",
            f"{c.share_of_empty_answers:.1%}",
            f"{c.state_messages:,}",
            f"{c.seconds:.0f}",
            f"{c.cpu_seconds:.1f}",
            f"{c.peak_memory_mb:.0f}",
        )
        for c in syncs
    ]
    wasteful = [
        (
            c.what,
            f.resource,
            f"{f.streams}",
            f"{f.rows:,}",
            f"{f.requests:,}",
            f"{f.least_requests:,}",
        )
        for c in syncs
        for f in sorted(c.lists, key=lambda f: f.least_requests - f.requests)[:_MOST_LISTS]
    ]
    lists = table(("sync", "list", "streams", "rows", "requests", "at least"), wasteful)
    title = "The lists that took the most requests beyond the least"
    return f"{table(head, rows)}\n\n{title}\n\n{lists}"


def _substreams(result: Result) -> str:
    head = (
        *("form", "parents", "rows", "requests", "seconds", "rows/s", "CPU seconds"),
        *("peak MB", "lost"),
    )
    rows = [
        (
            s.form,
            f"{s.parents:,}",
            f"{s.rows:,}",
            f"{s.requests:,}",
            f"{s.seconds:.1f}",
            f"{s.rows_per_second:,.0f}",
            f"{s.cpu_seconds:.1f}",
            f"{s.peak_memory_mb:.0f}",
            f"{s.lost:,}",
        )
        for s in result.substreams
    ]
    return table(head, rows)


def _columns(result: Result) -> str:
    head = (
        "columns",
        "rows",
        "requests",
        "MB of responses",
        "MB of output",
        "seconds",
        "CPU seconds",
    )
    rows = [
        (
            c.columns,
            f"{c.rows:,}",
            f"{c.requests:,}",
            f"{c.answer_bytes / 1e6:,.1f}",
            f"{c.output_bytes / 1e6:,.1f}",
            f"{c.seconds:.1f}",
            f"{c.cpu_seconds:.1f}",
        )
        for c in result.columns
    ]
    return table(head, rows)


def _goals(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (
            v.goal,
            f"{'at least' if v.is_minimum else 'at most'} {v.limit:,g}",
            f"{v.measured:,.3g}" if v.measured < 1_000 else f"{v.measured:,.0f}",
            "met" if v.is_met else "NOT MET",
        )
        for v in verdicts
    ]
    return table(("goal", "wanted", "measured", ""), rows)
