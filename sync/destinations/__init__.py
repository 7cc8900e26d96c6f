"""Where `bin/sync` can write: a DuckDB file or a PostgreSQL database."""

from __future__ import annotations

from sync.destinations.destination import Destination

__all__ = ["Destination", "destination_of"]


def destination_of(text: str) -> Destination:
    """The destination that `--database` names: the path of a file, or a PostgreSQL address.

    Raises:
        SyncError: if it is neither.
    """
    # each brings its driver with it, which takes a while
    if "://" in text:
        from sync.destinations.postgres import PostgreSQLDatabase

        return PostgreSQLDatabase(text)
    from sync.destinations.duckdb import DuckDBFile

    return DuckDBFile(text)
