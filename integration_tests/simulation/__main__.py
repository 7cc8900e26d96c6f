"""Plays random chains of syncs and prints a report: `bin/soak --scenarios 1000 --seed 1`."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from collections.abc import Sequence

from . import pace
from .player import play
from .report import Report
from .scenario import draw

_LONGEST = 600
"""Seconds after which a scenario counts as hanging; the stacks of all threads are printed then."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="bin/soak",
        description="Plays random chains of syncs against the sandbox, with faults, edits and "
        "kills, and prints a report. Ends with exit code 1 if a promise was broken.",
    )
    parser.add_argument("--scenarios", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the first; each next is one more"
    )
    parser.add_argument(
        "--processes",
        type=float,
        default=0.05,
        help="share of scenarios whose syncs are processes that get killed (default 0.05)",
    )
    parser.add_argument("--show", action="store_true", help="print the plan of each scenario")
    options = parser.parse_args(arguments)
    report = Report()
    began = time.monotonic()
    with pace.quick():
        for number in range(options.scenarios):
            scenario = draw(options.seed + number, process_share=options.processes)
            if options.show:
                print(scenario.as_json(), flush=True)
            faulthandler.dump_traceback_later(_LONGEST, exit=True)
            outcome = play(scenario)
            faulthandler.cancel_dump_traceback_later()
            report.add(outcome)
            if outcome.broken:
                print(f"BROKEN {scenario.as_json()}\n  {outcome.broken}", flush=True)
            if (number + 1) % 100 == 0:
                seconds = time.monotonic() - began
                print(
                    f"{number + 1} scenarios, {len(report.broken)} broken, {seconds:.0f} s, "
                    f"last seed {scenario.seed}",
                    flush=True,
                )
    print(f"\nseeds {options.seed} to {options.seed + options.scenarios - 1}\n{report.text()}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
