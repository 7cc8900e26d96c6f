"""Console script `source-coupa`."""

from __future__ import annotations

import logging
import sys

from airbyte_cdk.entrypoint import AirbyteEntrypoint, launch
from airbyte_cdk.exception_handler import init_uncaught_exception_handler
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.source import SourceCoupa


def run() -> None:
    """Runs the command that the arguments name; a failure is told as a message and exit code 1."""
    _write_whole_messages()
    init_uncaught_exception_handler(logging.getLogger("airbyte"))
    args = sys.argv[1:]
    config_path = AirbyteEntrypoint.extract_config(args)
    catalog_path = AirbyteEntrypoint.extract_catalog(args)
    state_path = AirbyteEntrypoint.extract_state(args)
    try:
        source = SourceCoupa(
            catalog=SourceCoupa.read_catalog(catalog_path) if catalog_path else None,
            config=SourceCoupa.read_config(config_path) if config_path else None,
            state=SourceCoupa.read_state(state_path) if state_path else None,
            config_path=config_path,
        )
        launch(source, args)
    except AirbyteTracedException as error:
        # a wrong setting is found before the CDK's check begins, which would answer like this
        status = error.as_connection_status_message() if args[0] == "check" else None
        if status is None:
            raise
        print(AirbyteEntrypoint.airbyte_message_to_string(status))


def _write_whole_messages() -> None:
    """Buffers the output, also where PYTHONUNBUFFERED or -u ask for none: Python then drops the
    rest of a message whose write is cut short, as when the process is suspended and resumed."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        descriptor = sys.stdout.fileno()
        sys.stdout = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.__stdout__ = sys.stdout  # type: ignore[misc]  # the CDK prints there
