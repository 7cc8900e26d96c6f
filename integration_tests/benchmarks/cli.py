"""The command line of `bin/benchmark`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from . import plot
from .goals import verdicts
from .instance import ROOT
from .measures.plan import Plan
from .measures.table import MEASURES
from .process import BenchmarkError
from .readers.table import READERS
from .report import report
from .result import Result, Skipped
from .scale import FULL, QUICK

_DESCRIPTION = """\
Measures how fast the connector reads invoices from a sandbox on this machine, beside other readers
of Coupa, on even data and on data of which 80 % carries one update time; how many requests it takes
to read all tables of a list, all lists of a mid-size company, lists in which nothing has changed,
and lists below single records; what CPU and memory it needs, also while the destination takes
nothing; what it repeats after a sync that was killed; what it takes to look for deleted records;
what it saves to select ten columns; and how long its commands take.
Takes about three quarters of an hour, in which the machine should have nothing else to do."""

_PUBLISHED = ROOT / "docs" / "benchmark"
_ELSEWHERE = ROOT / "build" / "benchmark"


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments ask for; the exit code."""
    options = _parse(arguments)
    scale = QUICK if options.quick else FULL
    result = Result.begun(scale)
    readers = {name: READERS[name] for name in READERS if name in options.readers}
    plan = Plan(scale, readers, lambda text: print(text, file=sys.stderr, flush=True))
    try:
        for name, measure in MEASURES.items():
            if name in options.only:
                measure(plan, result)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    is_whole = set(options.only) == set(MEASURES) and set(options.readers) == set(READERS)
    default = _PUBLISHED if is_whole and not options.quick else _ELSEWHERE
    _publish(result, options.output or default, is_judged=not options.quick)
    return 1 if result.has_failures else 0


def _publish(result: Result, folder: Path, *, is_judged: bool) -> None:
    """Prints the tables and writes the files."""
    judged = verdicts(result) if is_judged else []
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "benchmark.json"]
    if result.speed:
        reason = plot.why_absent()
        if reason is None:
            files.append(folder / "benchmark.png")
            plot.draw(result, files[-1])
        else:
            result.skipped.append(Skipped("plot", reason))
    files[0].write_text(result.as_json(goals=[asdict(verdict) for verdict in judged]))
    print(f"\n{report(result, judged)}\n\nWritten: {', '.join(map(str, files))}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/benchmark", description=_DESCRIPTION)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="read a few rows in about a minute, to see that all can be measured",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(MEASURES),
        default=list(MEASURES),
        metavar="MEASURE",
        help="what to measure: %(choices)s",
    )
    parser.add_argument(
        "--readers",
        nargs="+",
        choices=list(READERS),
        default=list(READERS),
        metavar="READER",
        help="whose speed to measure: %(choices)s",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where benchmark.json and benchmark.png go (docs/benchmark for a whole run, "
        "build/benchmark for any other)",
    )
    return parser.parse_args(arguments)
