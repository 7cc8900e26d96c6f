"""The console script in a hurry; two arguments, 0 or 1, come before those of the script."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from source_coupa.run import run

from . import pace

if __name__ == "__main__":
    divides_early, marks_often = sys.argv.pop(1) == "1", sys.argv.pop(1) == "1"
    with ExitStack() as stack:
        stack.enter_context(pace.quick())
        if divides_early:
            stack.enter_context(pace.dividing_early())
        if marks_often:
            stack.enter_context(pace.marking_often())
        run()
