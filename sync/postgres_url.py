"""The address of a PostgreSQL database."""

from __future__ import annotations

import os

import sqlalchemy

from sync.errors import SyncError

_SECONDS_TO_CONNECT = "10"


def parsed(address: str) -> sqlalchemy.URL:
    """An address such as `postgresql://user@host:5432/database?sslmode=require`.

    Raises:
        SyncError: if it is none; the message does not repeat it, as it may hold a password.
    """
    scheme, _, rest = address.partition("://")
    try:
        url = sqlalchemy.make_url(f"postgresql+psycopg://{rest}")
    except (sqlalchemy.exc.ArgumentError, ValueError):
        url = None
    if scheme not in ("postgresql", "postgres") or url is None or not url.database:
        raise SyncError(
            "The database must be a DuckDB file or an address such as "
            "postgresql://user@host:5432/database, in which the characters @ : / ? # % of a user "
            "name or password are written %40 %3A %2F %3F %23 %25."
        )
    if "connect_timeout" not in url.query and "PGCONNECT_TIMEOUT" not in os.environ:
        url = url.update_query_dict({"connect_timeout": _SECONDS_TO_CONNECT})
    return url


def without_password(url: sqlalchemy.URL) -> str:
    """The address as it may be shown: options can hold secrets too and are left out."""
    shown = sqlalchemy.URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    )
    return str(shown.render_as_string())


def secrets_of(url: sqlalchemy.URL) -> tuple[str, ...]:
    """What must never be shown."""
    options = [url.query.get(name) for name in ("password", "sslpassword")]
    return tuple(text for text in (url.password, *options) if isinstance(text, str) and text)
