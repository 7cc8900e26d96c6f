"""The command line of `bin/sync`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sync import report, sandbox
from sync.caches.columns import view_of
from sync.comparison import differences
from sync.destinations import Destination, destination_of
from sync.errors import SyncError
from sync.plain import plain
from sync.private import private_files
from sync.progress import Progress
from sync.settings import (
    chosen_schema,
    keep_sign_in,
    load_config,
    schema_name,
    secrets_of,
    without_secrets,
)
from sync.streams import named_streams

if TYPE_CHECKING:
    from sync import client

_DESCRIPTION = """\
Syncs streams from Coupa into a DuckDB file or a PostgreSQL database, then syncs again to show that
only changes come. Without --config, from a sandbox that is started for it and in which records are
edited in between."""


_READ_AGAIN = (
    "Read again: the records at the point in time where the first sync ended, and those of the "
    "look-back window (lookback_window_hours), for changes that Coupa shows late."
)


_COLUMNS = 6
"""How many columns the query at the end shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments ask for; the exit code."""
    options = _parse(arguments)
    console = report.console()
    config: dict[str, Any] = {}
    secrets: list[str] = []
    try:
        if options.config:
            config = load_config(options.config)
            secrets += secrets_of(config)
        elif options.schema or options.once:
            raise SyncError("--schema and --once need --config: they are for real instances.")
        destination = destination_of(options.database)
        secrets += destination.secrets
        with (
            private_files(),
            nullcontext() if options.config else sandbox.started() as demo,
        ):
            if demo:
                # nothing is read twice, so that the second sync shows exactly what was edited
                config = {**demo.config, "lookback_window_hours": 0}
            _run(console, options, config, destination, demo, secrets)
    except SyncError as error:
        lines = without_secrets(str(error), secrets).splitlines()
        print("error: " + "\n".join(map(plain, lines)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Streams that were complete are stored.", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/sync", description=_DESCRIPTION)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="JSON file with instance_url, client_id and client_secret of a Coupa instance",
    )
    parser.add_argument(
        "--streams",
        nargs="+",
        default=[],
        metavar="NAME",
        help="the streams to sync; all that the client may read if left out, of the sandbox those "
        "that have rows",
    )
    parser.add_argument(
        "--database",
        default="coupa.duckdb",
        metavar="FILE|ADDRESS",
        help="where to write: a DuckDB file (%(default)s in this folder), or a PostgreSQL "
        "database such as postgresql://user@host:5432/database, whose password can also stand in "
        "PGPASSWORD or ~/.pgpass",
    )
    parser.add_argument(
        "--schema",
        metavar="NAME",
        help="the schema for the tables; named after the instance if left out",
    )
    parser.add_argument("--once", action="store_true", help="sync once, as a scheduled job does")
    return parser.parse_args(arguments)


def _run(
    console: Console,
    options: argparse.Namespace,
    config: dict[str, Any],
    destination: Destination,
    demo: sandbox.Sandbox | None,
    secrets: list[str],
) -> None:
    schema = "sandbox" if demo else schema_name(config)
    if options.schema:
        schema = chosen_schema(options.schema)
    instance = "the sandbox" if demo else str(config.get("instance_url"))
    console.print(f"Syncing {plain(instance)} into {plain(destination.title)}, schema {schema}.")
    try:
        with destination.claimed(schema, demo=bool(demo)):
            query = _sync_into(console, options, config, destination, schema, demo, secrets)
    except SyncError:
        raise
    except Exception as error:
        message = destination.message(error)
        if message is None:
            raise
        raise SyncError(message) from None
    console.print(f"\nThe data is in {plain(destination.title)}, schema {schema}.")
    if query:
        console.print("Look at it with:")
        for command in destination.how_to_open(query):
            console.print(f"  {command}", soft_wrap=True)


def _sync_into(
    console: Console,
    options: argparse.Namespace,
    config: dict[str, Any],
    destination: Destination,
    schema: str,
    demo: sandbox.Sandbox | None,
    secrets: list[str],
) -> str | None:
    """Syncs; a query for rows of a table that has some, None if none has."""
    # PyAirbyte takes seconds to import, which a wrong file name should not
    from sync import client

    def keep(changed: dict[str, Any]) -> None:
        secrets.extend(secrets_of(changed))
        if options.config:
            keep_sign_in(options.config, config, changed)

    progress = Progress(report.console(stderr=True))
    with client.opened(
        config, destination=destination, schema=schema, keep=keep, progress=progress
    ) as coupa:
        coupa.check()
        named = named_streams(options.streams)
        coupa.select(named or (list(sandbox.RESOURCE_OF_STREAM) if demo else []))
        result = _sync(console, coupa, "Sync" if options.once else "First sync")
        if not options.once:
            result = _sync_again(console, coupa, demo, result)
        return _query(coupa, schema, result)


def _sync_again(
    console: Console,
    coupa: client.Client,
    demo: sandbox.Sandbox | None,
    first: client.SyncResult,
) -> client.SyncResult:
    sql = report.query_for(first)
    if sql:
        report.show_query(console, sql, coupa.query(sql))
    edits = demo.edit() if demo else {}
    _show_edits(console, {name: edits[name] for name in coupa.streams if name in edits})
    second = _sync(console, coupa, "Second sync")
    if demo:
        _compare(console, coupa, demo, edits)
    console.print(_READ_AGAIN)
    return second


def _sync(console: Console, coupa: client.Client, title: str) -> client.SyncResult:
    result = coupa.sync()
    console.print()
    report.show_result(console, title, result)
    if result.failures:
        raise SyncError("\n       ".join(result.failures))
    return result


def _show_edits(console: Console, edits: dict[str, sandbox.Edited]) -> None:
    if edits:
        changes = [f"{len(e.edited)} {s} edited and {len(e.added)} added" for s, e in edits.items()]
        console.print(f"Now changed in the sandbox: {', '.join(changes)}.")


def _compare(
    console: Console, coupa: client.Client, demo: sandbox.Sandbox, edits: dict[str, sandbox.Edited]
) -> None:
    """Says that the sync brought the edited and added records and no other change, and that the
    tables hold every value of the sandbox.

    Raises:
        SyncError: if it did not.
    """
    total = changed = 0
    for stream in coupa.streams:
        expected = edits[stream].edited | edits[stream].added
        came = coupa.changed_ids(stream)
        if came != expected:
            raise SyncError(
                f"The second sync of {stream} brought {len(came)} changes where there were "
                f"{len(expected)}: {len(expected - came)} of them are missing and "
                f"{len(came - expected)} are others."
            )
        records = demo.records(stream)
        found = list(differences(records, coupa.query(f'SELECT * FROM "{stream}"')))
        if found:
            raise SyncError(
                f"The table {stream} differs from the sandbox in {len(found)} records: {found[0]}."
            )
        changed += len(came)
        total += len(records)
    console.print(
        f"All {changed} records that were edited or added came, and the tables hold every value "
        f"of the {total:,} records in the sandbox.",
        style="green",
    )


def _query(coupa: client.Client, schema: str, result: client.SyncResult) -> str | None:
    filled = {stream.stream for stream in result.streams if stream.rows}
    main = (streams[0] for streams in report.QUERIES)
    stream = next((name for name in (*main, *sorted(filled)) if name in filled), None)
    if stream is None:
        return None
    columns = ", ".join(coupa.telling_columns(stream)[:_COLUMNS])
    return f"SELECT {columns} FROM {schema}.{view_of(stream)} LIMIT 10"
