"""Builds the image, tries it and prints what came out: `bin/image --help`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from integration_tests.sandbox import Dialect, Sandbox

from . import listing
from .built import STAND_IN, TAG, build
from .engines import ImageError, open_engine
from .trials import ROWS, Trial, trials


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if the image could not be built or a command ended otherwise than
    it should."""
    options = _parser().parse_args(arguments)
    try:
        with open_engine() as engine:
            built = build(engine, options.base, options.tag)
            base = listing.entries(engine, built.base)
            added = listing.added(base, listing.entries(engine, built.image))
            size = sum(entry.size for entry in added.values())
            print(f"{built.image} on {built.base}")
            print(f"adds {len(added):,} files and folders, {size / 1e6:.0f} MB, to its base")
            with Sandbox(ROWS, dialect=Dialect(rate_limit=None)) as sandbox:
                failed = [
                    trial.title
                    for trial in trials(engine, built.image, sandbox)
                    if not _print_outcome(trial)
                ]
            if options.save:
                engine.save(built.image, options.save)
                print(f"saved in {options.save}")
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if failed:
        print(f"error: not as it should be: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/image",
        description="Builds the container image with Docker, or with buildah where no Docker "
        "daemon responds, runs spec, check, discover and read in it against a sandbox, and prints "
        "what came out and how much the image adds to its base.",
        epilog="Docker keeps the image. With buildah it is gone afterwards, unless --save names a "
        "file for it.",
    )
    parser.add_argument(
        "--base",
        default=os.environ.get("BASE_IMAGE"),
        help="the base image (default: $BASE_IMAGE, or else the one that Dockerfile names); "
        f"{STAND_IN!r} makes one of this machine's Debian or Ubuntu, with debootstrap, as root",
    )
    parser.add_argument("--tag", default=TAG, help="the name of the image (default %(default)s)")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write it to a file for `docker load`"
    )
    return parser


def _print_outcome(trial: Trial) -> bool:
    """Prints a line for the command, and says whether it ended as it should."""
    run = trial.run
    kinds = [str(message["type"]) for message in run.messages]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    print(f"{trial.title}: exit code {run.exit_code} in {trial.seconds:.1f} s; {counted}")
    for error in run.errors:
        print(f"  {error['message']}")
    if run.exit_code != trial.exit_code:
        print(run.stderr, file=sys.stderr)
    return run.exit_code == trial.exit_code


if __name__ == "__main__":
    sys.exit(main())
