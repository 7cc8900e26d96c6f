"""The console script in a hurry: `python -m integration_tests.simulation.child 0|1 read ...`."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from source_coupa.run import run

from . import pace

if __name__ == "__main__":
    divides_early = sys.argv.pop(1) == "1"
    with ExitStack() as stack:
        stack.enter_context(pace.quick())
        if divides_early:
            stack.enter_context(pace.dividing_early())
        run()
