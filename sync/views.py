"""Views beside the tables: amounts as decimals, days as dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy

from sync.caches.columns import DELETED_AT, column_of, is_amount, is_day, view_of
from sync.changes import columns_of
from sync.destinations import Destination


def make_view(
    connection: Any, destination: Destination, stream: str, properties: Mapping[str, Any]
) -> str | None:
    """Makes the view of a stream whose table is there, or makes it fit to the table again.

    Args:
        connection: as of `sync.changes.Table`.
        properties: those of the stream's schema.

    Returns:
        A note if it cannot be made, None else.
    """
    amounts = {column_of(field) for field, each in properties.items() if is_amount(each)}
    shown = []
    for column, type in columns_of(connection, stream).items():
        if column.startswith("_airbyte_") or column == DELETED_AT:
            continue
        if column in amounts and type in ("text", "varchar"):
            shown.append(f'{destination.decimal(column)} AS "{column}"')
        elif is_day(column) and type == "timestamp with time zone":
            shown.append(f'{destination.day(column)} AS "{column}"')
        else:
            shown.append(f'"{column}"')
    view = f'VIEW "{view_of(stream)}"'
    query = f'AS SELECT {", ".join(shown)} FROM "{stream}"'
    # a view that others are made of cannot be dropped, but takes new columns at its end
    for statements in (
        [f'DROP VIEW IF EXISTS "{view_of(stream)}"', f"CREATE {view} {query}"],
        [f"CREATE OR REPLACE {view} {query}"],
    ):
        try:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()
        except sqlalchemy.exc.DBAPIError:
            connection.rollback()
        else:
            return None
    return (
        f"The view {view_of(stream)} could not be made again, as others depend on it: drop them "
        "if it lacks columns."
    )
