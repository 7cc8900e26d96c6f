"""What the connector shall reach, and whether it did.

Goals are data (`GOALS`): each takes a result and gives the measured value, or None where it was
not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from . import figures
from .measures.company import WITHOUT_SUBSTREAMS
from .readers.table import ONE_PAGE, OURS
from .result import (
    ColumnFigures,
    CostFigures,
    Result,
    SpeedFigures,
    StalledFigures,
    TableFigures,
)


@dataclass(frozen=True)
class Goal:
    """A limit for a value that a result holds."""

    text: str
    limit: float
    is_minimum: bool
    measured: Callable[[Result], float | None]


@dataclass(frozen=True)
class Verdict:
    """Whether a goal was reached."""

    goal: str
    limit: float
    is_minimum: bool
    measured: float
    is_met: bool


def verdicts(result: Result) -> list[Verdict]:
    """One for each goal whose value was measured."""
    return [
        Verdict(
            goal.text,
            goal.limit,
            goal.is_minimum,
            measured,
            measured >= goal.limit if goal.is_minimum else measured <= goal.limit,
        )
        for goal in GOALS
        if (measured := goal.measured(result)) is not None
    ]


def _ours(result: Result) -> list[SpeedFigures]:
    return [speed for speed in result.speed if speed.reader == OURS]


def _worst(values: Iterable[float], worst: Callable[[Sequence[float]], float]) -> float | None:
    found = list(values)
    return worst(found) if found else None


def _wrong_records(result: Result) -> float | None:
    whole: list[SpeedFigures | CostFigures | ColumnFigures | TableFigures | StalledFigures] = []
    for reads in (_ours(result), result.cost, result.columns, result.tables, result.stalled):
        whole += reads
    wrong = [read.lost + read.duplicated + read.unknown for read in whole]
    return _worst([*wrong, *(read.lost + read.unknown for read in result.killed)], max)


def _peak_memory(result: Result) -> float | None:
    reads: list[CostFigures | StalledFigures] = [*result.cost, *result.stalled]
    return _worst((read.peak_memory_mb for read in reads), max)


def _times_one_page(result: Result) -> float | None:
    slow = {(s.data, s.latency_ms): s.rows_per_second for s in result.speed if s.reader == ONE_PAGE}
    return _worst(
        (
            s.rows_per_second / slow[s.data, s.latency_ms]
            for s in _ours(result)
            if (s.data, s.latency_ms) in slow
        ),
        min,
    )


def _tables_to_one(value: Callable[[TableFigures], float]) -> Callable[[Result], float | None]:
    """What all tables of a list cost, in times of the list alone."""

    def measured(result: Result) -> float | None:
        reads = sorted(result.tables, key=lambda read: read.tables)
        if len(reads) < 2:
            return None
        one, most = reads[0], reads[-1]
        return figures.share(value(most), value(one))

    return measured


def company(result: Result, what: str = WITHOUT_SUBSTREAMS) -> float | None:
    """The requests of a company's first sync, in times of its full pages."""
    return _worst(
        (
            figures.share(measured.requests + measured.tokens, measured.least_requests)
            for measured in result.company
            if measured.what == what
        ),
        max,
    )


def unchanged(result: Result) -> float | None:
    """Requests for each list in which nothing has changed, with those for tokens, and without the
    one that asks for changed rows of each child table."""
    return _worst(
        (
            figures.share(
                read.requests + read.tokens - sum(list_.streams - 1 for list_ in read.lists),
                len(read.lists),
            )
            for read in result.unchanged
        ),
        max,
    )


def tables_requests(result: Result) -> float | None:
    """The requests for all tables of a list, in times of those for the list alone."""
    return _tables_to_one(lambda read: read.requests)(result)


def _rows_per_cpu_second(
    record_bytes: int, *, is_one_table: bool
) -> Callable[[Result], float | None]:
    return lambda result: _worst(
        (
            c.rows_per_cpu_second
            for c in result.cost
            if c.record_bytes == record_bytes and (c.tables == 1) == is_one_table
        ),
        min,
    )


def _growth(result: Result) -> float | None:
    """Of memory, from the fewest to the most rows of the usual size."""
    usual = result.scale.speed.record_bytes
    runs = sorted(
        (c.rows, c.peak_memory_mb) for c in result.cost if c.record_bytes == usual and c.tables == 1
    )
    return figures.share(runs[-1][1] - runs[0][1], runs[0][1]) if runs else None


def _seconds(command: str) -> Callable[[Result], float | None]:
    return lambda result: next(
        (c.median_seconds for c in result.commands if c.command == command), None
    )


GOALS: tuple[Goal, ...] = (
    Goal(
        "share of the ceiling, steady state",
        0.95,
        True,
        lambda result: _worst((s.steady_share_of_ceiling for s in _ours(result)), min),
    ),
    Goal(
        "share of the ceiling, whole sync",
        0.90,
        True,
        lambda result: _worst((s.share_of_ceiling for s in _ours(result)), min),
    ),
    Goal("times as fast as one page at a time", 7, True, _times_one_page),
    Goal(
        "share of responses 429",
        0.01,
        False,
        lambda result: _worst((s.share_of_429 for s in _ours(result)), max),
    ),
    Goal("all tables of a list: times the requests of the list", 1.1, False, tables_requests),
    Goal(
        "all tables of a list: times the time of the list",
        1.3,
        False,
        _tables_to_one(lambda read: read.seconds),
    ),
    Goal(
        "state messages, of one for each table and 20 pages and the last one",
        1.0,
        False,
        lambda result: _worst(
            (figures.share(t.state_messages, t.most_state_messages) for t in result.tables), max
        ),
    ),
    Goal("first sync of a company: times its full pages", 1.15, False, company),
    Goal("nothing changed: requests for each list, but for child tables", 1.3, False, unchanged),
    *(
        Goal(
            f"records of {record_bytes // 1_000} KB per CPU second, {tables}",
            limit,
            True,
            _rows_per_cpu_second(record_bytes, is_one_table=is_one_table),
        )
        for record_bytes, limit in ((8_000, 2_500), (50_000, 600))
        for tables, is_one_table in (("one table", True), ("all tables", False))
    ),
    Goal("peak memory, MB", 400, False, _peak_memory),
    Goal("growth of memory with ten times the rows", 0.10, False, _growth),
    Goal(
        "repeated after a killed sync, of what may be",
        1.0,
        False,
        lambda result: _worst(
            (figures.share(k.repeated, k.most_repeated) for k in result.killed), max
        ),
    ),
    Goal("spec, seconds", 2.5, False, _seconds("spec")),
    Goal("check, seconds", 4, False, _seconds("check")),
    Goal("discover, seconds", 8, False, _seconds("discover")),
    Goal("records lost, duplicated or unknown", 0, False, _wrong_records),
)
"""A goal holds for the worse of all data sets and runs."""
