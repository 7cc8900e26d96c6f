"""Serve a sandbox until SIGTERM or SIGINT: `python -m integration_tests.sandbox --port 8080`."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Sequence

from .dialect import Dialect
from .instance import DEFAULT_ROWS
from .resources import ALL_SCOPES
from .sandbox import Sandbox


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.sandbox", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rows", type=_number, action="append", metavar="RESOURCE=N")
    parser.add_argument("--size", type=_number, action="append", metavar="RESOURCE=BYTES")
    parser.add_argument("--spread", choices=("even", "mass_update"), default="even")
    parser.add_argument("--documented", action="store_true", help="begin with documented records")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--rate-limit", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--sign-in", action="store_true", help="print settings of a client for users who sign in"
    )
    parser.add_argument("--control", action="store_true", help="serve POST /_sandbox/... too")
    parser.add_argument(
        "--custom-fields", action="store_true", help="give records custom fields with hostile names"
    )
    return parser.parse_args(arguments)


def _number(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, int(number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line with `url` and `config`, then serve."""
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(
        rows=dict(options.rows) if options.rows else DEFAULT_ROWS,
        seed=options.seed,
        size=dict(options.size or ()),
        spread=options.spread,
        documented=options.documented,
        dialect=Dialect() if options.rate_limit else Dialect(rate_limit=None),
        latency=options.latency_ms / 1000,
        port=options.port,
        control=options.control,
        linked=True,
        custom_fields=options.custom_fields,
    )
    with sandbox:
        config = sandbox.add_sign_in_client(*ALL_SCOPES) if options.sign_in else sandbox.config()
        print(json.dumps({"url": sandbox.url, "config": config}), flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
