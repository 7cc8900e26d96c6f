"""A PostgreSQL database."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from sync.destinations.destination import causes
from sync.errors import SyncError
from sync.postgres_url import parsed, secrets_of, without_password

_LONGEST_NAME = 63

_DEMO = "made by the demo of bin/sync, which drops it"
"""The comment on the demo's schema: no other is dropped."""


class PostgreSQLDatabase:
    """The database at an address; see Destination.

    Raises:
        SyncError: if it is no address.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._url = parsed(address)
        self.title = without_password(self._url)
        self.secrets: Sequence[str] = secrets_of(self._url)

    @contextmanager
    def claimed(self, schema: str, *, demo: bool) -> Iterator[None]:
        if len(schema) > _LONGEST_NAME or schema.startswith("pg_"):
            raise SyncError(
                f"PostgreSQL takes no schema {schema}: choose another name with --schema, of at "
                f"most {_LONGEST_NAME} letters and not with pg_ at its beginning."
            )
        with self._connected() as connection:
            self._lock(connection, schema)
            self._make_schema(connection, schema, demo=demo)
            yield

    def cache(self, schema: str, folder: Path) -> Any:
        from sync.caches.postgres import PostgreSQL

        return PostgreSQL(url=self._address, schema_name=schema, cache_dir=folder)

    def enter(self, connection: Any, schema: str) -> None:
        connection.exec_driver_sql(f'SET search_path TO "{schema}"')
        connection.exec_driver_sql("SET TIME ZONE 'UTC'")
        connection.commit()

    def message(self, error: BaseException) -> str | None:
        for cause in causes(error):
            if isinstance(cause, psycopg.Error):
                reason = cause.diag.message_primary or _reason(cause)
                return f"{self.title} could not be written: {reason}"
        return None

    def decimal(self, column: str) -> str:
        number = "'^-?[0-9]+([.][0-9]+)?$'"
        return f'CASE WHEN "{column}" ~ {number} THEN CAST("{column}" AS numeric) END'

    def day(self, column: str) -> str:
        printed = f"CAST(_airbyte_meta -> 'days' ->> '{column}' AS date)"
        return f"coalesce({printed}, CAST(\"{column}\" AT TIME ZONE 'UTC' AS date))"

    def how_to_open(self, query: str) -> Sequence[str]:
        return (f"psql {shlex.quote(self.title)} -c {shlex.quote(query)}",)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        """A connection of which each statement is stored at once, and held until the end."""
        options = self._url.translate_connect_args(username="user", database="dbname")
        try:
            connection = psycopg.connect(autocommit=True, **options, **self._url.query)
        except psycopg.Error as error:
            raise SyncError(self._why_not_opened(error)) from None
        with connection:
            yield connection

    def _why_not_opened(self, error: psycopg.Error) -> str:
        # a connection that fails has no SQLSTATE, only libpq's text; what a server says in
        # another language than English is shown as it is
        text = str(error)
        user, host = self._url.username or "this user", self._url.host or "this machine"
        if "password authentication failed" in text or "no password supplied" in text:
            return (
                f"{self.title} refused the password of {user}: correct it in the address, in "
                "PGPASSWORD or in ~/.pgpass."
            )
        if re.search(r'database ".*" does not exist', text):
            return (
                f"There is no database {self._url.database} on {host}: create it with "
                f"createdb {self._url.database}, or correct the address."
            )
        if re.search(r'role ".*" does not exist', text):
            return f"There is no user {user} on {host}: correct the address, or create the user."
        if any(sign in text for sign in _UNREACHABLE):
            return (
                f"{self.title} cannot be reached ({_reason(error)}): check its host and port, "
                "and that the server runs and lets this machine connect."
            )
        return f"{self.title} cannot be opened: {_reason(error)}"

    def _lock(self, connection: psycopg.Connection, schema: str) -> None:
        """Keeps other syncs out of the schema as long as the connection lasts."""
        [is_free] = _row(
            connection,
            "SELECT pg_try_advisory_lock(hashtext('source-coupa'), hashtext(%s))",
            schema,
        )
        if not is_free:
            raise SyncError(
                f"Another sync is writing into schema {schema} of {self.title}: wait until it has "
                "ended, or choose another one with --schema."
            )

    def _make_schema(self, connection: psycopg.Connection, schema: str, *, demo: bool) -> None:
        user, database, encoding = _row(
            connection,
            "SELECT current_user, current_database(), current_setting('server_encoding')",
        )
        if encoding != "UTF8":
            raise SyncError(
                f"{self.title} stores text as {encoding}, which lacks characters: create a "
                "database with the encoding UTF8."
            )
        comment = _row(
            connection,
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s",
            schema,
        )
        name = sql.Identifier(schema)
        if comment and demo:
            if comment[0] != _DEMO:
                raise SyncError(
                    f"{self.title} has a schema {schema} that is not the demo's: rename it, or use "
                    "another database."
                )
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))
        if not comment or demo:
            try:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            except psycopg.errors.InsufficientPrivilege:
                raise SyncError(
                    f"User {user} may not create the schema {schema}: let an administrator run "
                    f"GRANT CREATE ON DATABASE {database} TO {user}, or name a schema with "
                    "--schema in which this user may create tables."
                ) from None
        if demo:
            connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(name, _DEMO))
        [is_writable] = _row(
            connection,
            "SELECT has_schema_privilege(%s, 'USAGE') AND has_schema_privilege(%s, 'CREATE')",
            schema,
            schema,
        )
        if not is_writable:
            raise SyncError(
                f"User {user} may not create tables in schema {schema}: let its owner run "
                f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}."
            )


_UNREACHABLE = (
    "refused",
    "timeout expired",
    "timed out",
    "could not translate host name",
    "failed to resolve host",
    "No route to host",
    "Network is unreachable",
    "No such file or directory",
)


def _row(connection: psycopg.Connection, query: str, *values: object) -> tuple[Any, ...]:
    """The one row of a query, () without one."""
    return connection.execute(query, values).fetchone() or ()


def _reason(error: BaseException) -> str:
    """What libpq says of the last address that it tried, without its advice in the next line."""
    text = str(error).strip()
    tried = re.findall(r"(?:connection is bad|connection failed|.* failed): (.+)", text)
    reason = (tried[-1] if tried else text).partition("\n")[0]
    return reason.rpartition(" failed: ")[2].strip().rstrip(".")
