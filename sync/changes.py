"""What a sync changed in one table, found by comparing it with how it was before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class StreamResult:
    """One stream after a sync.

    `rows` are in its table. This sync brought `new` ones, `updated` ones, whose cursor moved, and
    `again` those of which that cannot be said. `latest` is the last value of the cursor, None where
    the table is empty or the stream has no cursor.
    """

    stream: str
    rows: int
    new: int
    updated: int
    again: int
    latest: datetime | None


class Table:
    """The table of one stream, in the schema that `connection` has entered.

    Args:
        connection: an SQLAlchemy connection.
        stream: the name of the stream and of its table.
        keys: the columns of its primary key.
        cursor: the column by which changes are found, "" without one.
    """

    def __init__(self, connection: Any, stream: str, keys: Sequence[str], cursor: str) -> None:
        self._connection = connection
        self._stream = stream
        self._keys = list(keys)
        self._was_there = False
        columns = [f'"{name}"' for name in (*keys, "_airbyte_extracted_at", cursor) if name]
        self._kept = ", ".join(columns)
        same = " AND ".join(f'now."{key}" = before."{key}"' for key in keys)
        self._joined = f'"{stream}" AS now LEFT JOIN "before_{stream}" AS before ON {same}'
        self._new = f'before."{keys[0]}" IS NULL'
        self._came = "now._airbyte_extracted_at > before._airbyte_extracted_at"
        self._updated = "false"
        self._latest = "NULL"
        if cursor:
            self._updated = f'NOT {self._new} AND now."{cursor}" IS DISTINCT FROM before."{cursor}"'
            self._latest = f'max(now."{cursor}")'

    def remember(self) -> None:
        """Keeps aside how the table is, to compare with after the sync."""
        self._forget()
        self._was_there = self.is_there()
        if self._was_there:
            self._keep("")

    def result(self) -> StreamResult:
        """The table now, beside how it was."""
        if not self.is_there():
            return StreamResult(self._stream, 0, 0, 0, 0, None)
        if not self._was_there:
            self._keep("WHERE false")
            self._was_there = True
        [row] = rows(
            self._connection,
            f"SELECT count(*) AS rows, count(*) FILTER (WHERE {self._new}) AS new, "
            f"count(*) FILTER (WHERE {self._updated}) AS updated, "
            f"count(*) FILTER (WHERE NOT {self._new} AND NOT ({self._updated}) AND {self._came}) "
            f"AS again, {self._latest} AS latest FROM {self._joined}",
        )
        return StreamResult(stream=self._stream, **row)

    def changed_ids(self) -> frozenset[int]:
        """The ids of the records that were new or updated, after `result`."""
        ids = rows(
            self._connection,
            f"SELECT now.id FROM {self._joined} WHERE {self._new} OR {self._updated}",
        )
        return frozenset(row["id"] for row in ids)

    def telling_columns(self) -> list[str]:
        """The columns that hold something in most rows, as SQL writes them: first those of the key,
        then those that people know a record by, then the others in the order of the table, ids at
        the end. Objects and lists are left out."""
        named = [
            name
            for name, type in columns_of(self._connection, self._stream).items()
            if not type.startswith("json") and not name.startswith("_airbyte_")
        ]
        counted = ", ".join(
            f"""count(nullif(CAST("{name}" AS varchar), '')) AS "{name}\"""" for name in named
        )
        [counts] = rows(
            self._connection, f'SELECT {counted}, count(*) AS "*" FROM "{self._stream}"'
        )
        filled = [name for name in named if 2 * counts[name] > counts["*"]]
        found = [
            *self._keys,
            *(name for name in sorted(filled, key=rank) if name not in self._keys),
        ]
        return [self._connection.dialect.identifier_preparer.quote(name) for name in found]

    def is_there(self) -> bool:
        """Whether the table has been made."""
        tables = rows(
            self._connection,
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = current_schema()",
        )
        return self._stream in {row["table_name"] for row in tables}

    def _keep(self, condition: str) -> None:
        self._execute(
            f'CREATE TEMP TABLE "before_{self._stream}" AS SELECT {self._kept} '
            f'FROM "{self._stream}" {condition}'
        )

    def _forget(self) -> None:
        self._execute(f'DROP TABLE IF EXISTS "before_{self._stream}"')

    def _execute(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)
        self._connection.commit()


_TELLING = (
    r"(.*_)?(number|name|fullname|title)",
    r"status",
    r"(gross_|net_)?total|amount|price",
    r"(.*_)?date",
    r"(?!.*_id$)(?!(created|updated)_at$).*",
    r".*_at",
)
"""Forms of names of columns, from those that tell most of a record to those that tell least."""


def rank(column: str) -> int:
    """How soon a column is shown, by its name."""
    return next(
        (rank for rank, name in enumerate(_TELLING) if re.fullmatch(name, column)), len(_TELLING)
    )


def columns_of(connection: Any, table: str) -> dict[str, str]:
    """Column -> its type in lower case, of a table or a view in the schema that is entered."""
    found = rows(
        connection,
        "SELECT column_name, data_type FROM information_schema.columns "
        f"WHERE table_schema = current_schema() AND table_name = '{table}' "
        "ORDER BY ordinal_position",
    )
    return {row["column_name"]: row["data_type"].lower() for row in found}


def rows(connection: Any, sql: str) -> list[dict[str, Any]]:
    """The rows of a query, in which tables are named as the streams are."""
    found = [dict(row) for row in connection.exec_driver_sql(sql).mappings()]
    # not to hold back what PyAirbyte writes next
    connection.commit()
    return found
