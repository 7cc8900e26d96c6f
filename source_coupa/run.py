"""Console script `source-coupa`."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from airbyte_cdk.entrypoint import AirbyteEntrypoint, launch
from airbyte_cdk.exception_handler import init_uncaught_exception_handler
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.protocol.heartbeat import every
from source_coupa.protocol.state import read_state
from source_coupa.source import NO_STREAMS, SourceCoupa

_NO_COMMAND = (
    "error: no command: use spec, check, discover or read, for example "
    "`source-coupa check --config config.json`."
)

SECONDS_PER_FLUSH = 1.0


def run() -> None:
    """Runs the command that the arguments name and ends the process with its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _write_whole_messages()
    _collect_garbage_rarely()
    try:
        command(sys.argv[1:])
        sys.stdout.flush()
    except Exception as failure:
        _end_at_once(failure)
    logging.shutdown()
    # a plain exit would send what a check that took too long has not sent yet
    os._exit(0)


def command(args: Sequence[str]) -> None:
    """Runs one of Airbyte's commands: `spec`, `check`, `discover` or `read` with its options.

    Raises:
        AirbyteTracedException: if it failed; the process's excepthook prints it as a message.
        SystemExit: if the arguments are wrong, which the error output then says.
    """
    args = list(args)
    if AirbyteEntrypoint.parse_args(args).command is None:
        print(_NO_COMMAND, file=sys.stderr)
        sys.exit(2)
    init_uncaught_exception_handler(logging.getLogger("airbyte"))
    config_path = AirbyteEntrypoint.extract_config(args)
    catalog_path = AirbyteEntrypoint.extract_catalog(args)
    state_path = AirbyteEntrypoint.extract_state(args)
    try:
        source = SourceCoupa(
            # without streams where none is read
            catalog=SourceCoupa.read_catalog(catalog_path) if catalog_path else NO_STREAMS,
            config=SourceCoupa.read_config(config_path) if config_path else None,
            state=read_state(state_path) if state_path else None,
            config_path=config_path,
        )
        with every(SECONDS_PER_FLUSH, _flush):
            launch(source, args)
    except AirbyteTracedException as error:
        # a wrong setting is found before the CDK's check begins, which would say the same
        status = error.as_connection_status_message() if args[0] == "check" else None
        if status is None:
            raise
        print(AirbyteEntrypoint.airbyte_message_to_string(status))


def _flush() -> None:
    """Prints what the CDK keeps back until more is printed."""
    with contextlib.suppress(OSError, ValueError):
        PRINT_BUFFER.flush()


def _end_at_once(failure: Exception) -> NoReturn:
    """Reports a failure and ends the process. A plain exit would wait for the CDK's workers, which
    wait for room in a queue that nobody empties any more: when the reader of the messages is gone,
    or after Ctrl-C (which is left to the system for this reason), it would never end."""
    with contextlib.suppress(OSError):
        sys.excepthook(type(failure), failure, failure.__traceback__)
        logging.shutdown()
        sys.stdout.flush()
    os._exit(1)


def _collect_garbage_rarely() -> None:
    """Records hold no cycles, and to look for some on every few hundred of their objects took about
    two fifths of the CPU time of a sync of large records."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _write_whole_messages() -> None:
    """Buffers the output, also where PYTHONUNBUFFERED or -u ask for none: Python then drops the
    rest of a message whose write is cut short, as when the process is suspended and resumed."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        descriptor = sys.stdout.fileno()
        sys.stdout = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.__stdout__ = sys.stdout  # type: ignore[misc]  # the CDK prints there
