"""What the user sees of a sync: tables of rows per stream, and a small query."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.syntax import Syntax
from rich.table import Table

from sync.plain import plain

if TYPE_CHECKING:
    from sync.client import SyncResult

QUERIES: Mapping[tuple[str, ...], str] = {
    ("invoices", "suppliers"): """
SELECT suppliers.name AS supplier,
       CAST(date_trunc('month', invoices.created_at) AS date) AS month,
       invoices.currency ->> 'code' AS currency,
       count(*) AS invoices, sum(gross_total) AS gross_total
FROM invoices_typed AS invoices
JOIN suppliers_typed AS suppliers ON suppliers.id = invoices.supplier_id
GROUP BY 1, 2, 3 ORDER BY month DESC, gross_total DESC NULLS LAST LIMIT 6""",
    ("expenses", "users"): """
SELECT users.fullname AS employee, expenses.currency ->> 'code' AS currency,
       count(*) AS reports, sum(total) AS total
FROM expenses_typed AS expenses
JOIN users_typed AS users ON users.id = expenses.expensed_by_id
GROUP BY 1, 2 ORDER BY total DESC NULLS LAST, 1, 2 LIMIT 6""",
    ("invoices",): """
SELECT status, currency ->> 'code' AS currency, count(*) AS invoices,
       sum(gross_total) AS gross_total,
       max(updated_at) AS last_update
FROM invoices_typed
GROUP BY 1, 2 ORDER BY invoices DESC, status, currency LIMIT 6""",
    ("expenses",): """
SELECT status, count(*) AS reports, sum(total) AS total,
       max(updated_at) AS last_update
FROM expenses_typed
GROUP BY 1 ORDER BY reports DESC, status LIMIT 6""",
    ("expense_lines",): """
SELECT status, count(*) AS lines, sum(amount) AS amount
FROM expense_lines_typed
GROUP BY 1 ORDER BY lines DESC, status LIMIT 6""",
    ("users",): """
SELECT active, count(*) AS users, max(updated_at) AS last_update
FROM users_typed
GROUP BY 1 ORDER BY users DESC""",
}
"""Streams -> a query over their views. The first one whose streams all have rows is shown."""

_WITHOUT_TERMINAL = 120
"""Columns of a log file: room for the longest names of streams."""

_LEAST = 80
"""Columns of a log file at least, whatever COLUMNS says."""


def console(*, stderr: bool = False) -> Console:
    """Prints texts as they are; a file gets lines that do not depend on a terminal."""
    # bound to its file now: PyAirbyte runs while sys.stderr is another one
    file = sys.stderr if stderr else sys.stdout
    made = Console(file=file, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = max(made.width, _LEAST) if "COLUMNS" in os.environ else _WITHOUT_TERMINAL
    return made


def show_result(console: Console, title: str, result: SyncResult) -> None:
    """A table: a stream, its rows, and how many of them this sync brought. The name of a stream is
    never cut: where a line is too short for all, the time of the last update is left out."""
    for time_format in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", None):
        table = _result(title, result, time_format)
        width = Measurement.get(console, console.options.update(width=1_000), table).maximum
        if width <= console.width:
            break
    console.print(table, width=max(width, console.width), crop=False)
    for note in result.notes:
        console.print(f"Note: {plain(note)}", soft_wrap=not console.is_terminal)


def _result(title: str, result: SyncResult, time_format: str | None) -> Table:
    table = _table(title)
    table.add_column("stream", no_wrap=True)
    for column in ("new", "updated", "read again", "in table"):
        table.add_column(column, justify="right", no_wrap=True)
    if time_format:
        table.add_column("last update (UTC)" if " " in time_format else "updated", no_wrap=True)
    for stream in result.streams:
        counts = (stream.new, stream.updated, stream.again, stream.rows)
        cells = [plain(stream.stream), *(f"{count:,}" for count in counts)]
        if time_format:
            cells.append(f"{stream.latest:{time_format}}" if stream.latest else "")
        table.add_row(*cells)
    return table


def query_for(result: SyncResult) -> str | None:
    """The query to show after a sync, None if no table has rows."""
    filled = {stream.stream for stream in result.streams if stream.rows}
    return next(
        (sql.strip() for streams, sql in QUERIES.items() if filled.issuperset(streams)), None
    )


def show_query(console: Console, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A query and its result."""
    if console.is_terminal:
        console.print(Syntax(sql, "sql", background_color="default", word_wrap=True))
    else:
        console.print(sql, soft_wrap=True)
    if not rows:
        console.print("No rows.")
        return
    table = _table(None)
    for name, value in rows[0].items():
        numeric = not isinstance(value, (str, bool)) and not hasattr(value, "year")
        table.add_column(plain(name), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, bool)):
        return plain(value)
    if hasattr(value, "year"):
        return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "hour") else f"{value}"
    if isinstance(value, Decimal):
        return f"{value:,.2f}" if value == round(value, 2) else f"{value.normalize():,f}"
    return f"{value:,}"


def _table(title: str | None) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
