"""What the connector shall reach, and whether it did.

Goals are data (`GOALS`): each takes a result and gives the measured value, or None where it was
not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from . import figures
from .readers.table import ONE_PAGE, OURS
from .result import ColumnFigures, CostFigures, Result, SpeedFigures


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
    reads: list[SpeedFigures | CostFigures | ColumnFigures] = [*_ours(result), *result.cost]
    reads += result.columns
    return _worst((read.lost + read.duplicated + read.unknown for read in reads), max)


def _times_one_page(result: Result) -> float | None:
    slow = {s.data: s.rows_per_second for s in result.speed if s.reader == ONE_PAGE}
    ratios = [s.rows_per_second / slow[s.data] for s in _ours(result) if s.data in slow]
    return _worst(ratios, min)


def _rows_per_cpu_second(record_bytes: int) -> Callable[[Result], float | None]:
    return lambda result: _worst(
        (c.rows_per_cpu_second for c in result.cost if c.record_bytes == record_bytes), min
    )


def _memory(result: Result) -> list[float]:
    """Peak memory of the runs with records of the usual size, by rows."""
    usual = result.scale.speed.record_bytes
    runs = sorted((c.rows, c.peak_memory_mb) for c in result.cost if c.record_bytes == usual)
    return [memory for _, memory in runs]


def _growth(result: Result) -> float | None:
    memory = _memory(result)
    return figures.share(memory[-1] - memory[0], memory[0]) if memory else None


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
        "share of answers 429",
        0.01,
        False,
        lambda result: _worst((s.share_of_429 for s in _ours(result)), max),
    ),
    Goal("records of 8 KB per CPU second", 2_500, True, _rows_per_cpu_second(8_000)),
    Goal("records of 50 KB per CPU second", 600, True, _rows_per_cpu_second(50_000)),
    Goal("peak memory, MB", 400, False, lambda result: _worst(_memory(result), max)),
    Goal("growth of memory with ten times the rows", 0.10, False, _growth),
    Goal("spec, seconds", 2.5, False, _seconds("spec")),
    Goal("check, seconds", 4, False, _seconds("check")),
    Goal("discover, seconds", 4, False, _seconds("discover")),
    Goal(
        "share of requests that bring nothing, all streams",
        0.10,
        False,
        lambda result: _worst((c.share_of_empty_answers for c in result.company), max),
    ),
    Goal("records lost, duplicated or unknown", 0, False, _wrong_records),
)
"""A goal holds for the worse of all data sets and runs."""
