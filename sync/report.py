"""What the user sees of a sync: tables of rows per stream, and a small query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

if TYPE_CHECKING:
    from sync.client import SyncResult

QUERIES: Mapping[str, str] = {
    "invoices": """
SELECT status, currency ->> 'code' AS currency, count(*) AS invoices,
       sum(TRY_CAST(gross_total AS DECIMAL(38, 2))) AS gross_total,
       max(updated_at) AS last_update
FROM invoices
GROUP BY ALL ORDER BY invoices DESC, status, currency LIMIT 6""",
    "expenses": """
SELECT status, count(*) AS reports, sum(TRY_CAST(total AS DECIMAL(38, 2))) AS total,
       max(updated_at) AS last_update
FROM expenses
GROUP BY ALL ORDER BY reports DESC, status LIMIT 6""",
    "expense_lines": """
SELECT status, count(*) AS lines, sum(TRY_CAST(amount AS DECIMAL(38, 2))) AS amount
FROM expense_lines
GROUP BY ALL ORDER BY lines DESC, status LIMIT 6""",
    "users": """
SELECT active, count(*) AS users, max(updated_at) AS last_update
FROM users
GROUP BY ALL ORDER BY users DESC""",
}
"""Stream -> a query over its table. The first one whose stream has rows is shown."""


def show_result(console: Console, title: str, result: SyncResult) -> None:
    """A table: a stream, its rows, and how many of them this sync brought."""
    table = _table(title)
    table.add_column("stream")
    for column in ("new", "updated", "read again", "in table"):
        table.add_column(column, justify="right")
    table.add_column("last update (UTC)", no_wrap=True)
    for stream in result.streams:
        latest = f"{stream.latest:%Y-%m-%d %H:%M:%S}" if stream.latest else ""
        counts = (stream.new, stream.updated, stream.again, stream.rows)
        table.add_row(stream.stream, *(f"{count:,}" for count in counts), latest)
    console.print(table)


def query_for(result: SyncResult) -> str | None:
    """The query to show after a sync, None if no table has rows."""
    filled = {stream.stream for stream in result.streams if stream.rows}
    return next((sql.strip() for stream, sql in QUERIES.items() if stream in filled), None)


def show_query(console: Console, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A query and its answer."""
    console.print(Syntax(sql, "sql", background_color="default", word_wrap=True))
    table = _table(None)
    for name, value in rows[0].items():
        numeric = not isinstance(value, (str, bool)) and not hasattr(value, "year")
        table.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, bool)):
        return str(value)
    if hasattr(value, "year"):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}"


def _table(title: str | None) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
