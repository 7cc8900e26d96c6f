"""The sandbox: tables, OAuth clients, dialect, faults and the request log behind one server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import lru_cache, partial
from typing import Any

from .clients import Client
from .consent import OFFLINE_ACCESS
from .dialect import Dialect
from .factory import Plan, Spread, make_table
from .faults import Faults
from .generators.custom_fields import add_custom_fields
from .generators.links import FIRST, Links
from .oauth import TokenDesk
from .rate_limit import Bucket
from .request_log import RequestLog, RequestRecord
from .resources import ALL_SCOPES, RESOURCES, UNKNOWN
from .table import Table

CLIENT_ID = "sandbox-client-5f0c2a9d"
CLIENT_SECRET = "sandbox-secret-9b1e7c44d2a8f6e3"
SIGN_IN_CLIENT_ID = "sandbox-sign-in-7d31f0b6"
SIGN_IN_CLIENT_SECRET = "sandbox-sign-in-secret-04c8e95b1a7f"
REDIRECT_URI = "https://airbyte.example.com/auth_flow"
DEFAULT_ROWS: Mapping[str, int] = {
    "users": 120,
    "expense_reports": 300,
    "expense_lines": 700,
    "invoices": 1_000,
}


class Instance:
    """What a Coupa instance holds and how it behaves. All of it may be changed while it is served.

    `port` is where it is to be served, 0 for a free one, and then where it is. With `has_control`,
    `/_sandbox/` is served too.
    """

    def __init__(
        self,
        rows: Mapping[str, int] = DEFAULT_ROWS,
        *,
        seed: int = 7,
        dialect: Dialect | None = None,
        latency: float = 0.0,
        size: Mapping[str, int] | None = None,
        spread: Spread | Mapping[str, Spread] = "even",
        documented: bool = False,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
        control: bool = False,
        linked: bool = False,
        custom_fields: bool = False,
    ) -> None:
        """Build the tables.

        rows: resource -> number of rows (a resource that is left out is empty). latency: seconds
        that every response takes. size: resource -> bytes of a record. spread: see factory.Spread,
        for all resources or for each. documented: begin with the records Coupa documents.
        clock: returns the present as an aware UTC datetime. linked: references
        in generated records lead to rows that exist. custom_fields: give them
        custom fields with hostile names.
        """
        unknown = rows.keys() - RESOURCES.keys() - UNKNOWN.keys()
        if unknown:
            raise ValueError(f"no such resources: {', '.join(sorted(unknown))}")
        self.seed = seed
        self.latency = latency
        self.clock = clock or (lambda: datetime.now(timezone.utc))
        self.clients = {CLIENT_ID: Client(CLIENT_SECRET, set(ALL_SCOPES))}
        self.desk = TokenDesk(self.clients, seed=seed)
        self.faults = Faults(seed)
        self.requests = RequestLog()
        self.bucket = Bucket()
        self.token_bucket = Bucket()
        self.callbacks: list[Callable[[RequestRecord], None]] = []
        self.port = port
        self.has_control = control
        self.tables: dict[str, Table] = {}
        for path, resource in {**RESOURCES, **UNKNOWN}.items():
            plan = Plan(
                rows=rows.get(path, 0),
                size=(size or {}).get(path),
                spread=spread.get(path, "even") if isinstance(spread, Mapping) else spread,
                documented=documented,
            )
            self.tables[path] = make_table(
                resource,
                plan,
                clock=lambda: self.clock(),
                seed=seed,
                parents=self.tables[resource.parent] if resource.parent else None,
            )
        if linked:
            self._link()
        if custom_fields:
            self._add_custom_fields()
        self.dialect = dialect or Dialect()

    def _link(self) -> None:
        filled = {path: table.ids() for path, table in self.tables.items() if len(table)}
        record = lru_cache(maxsize=None)(lambda path, id: self.tables[path].get(id))
        links = Links(filled, record)
        for path in sorted(filled, key=lambda path: path not in FIRST):
            self.tables[path].rework(links.link)
            if path in FIRST:
                record.cache_clear()

    def _add_custom_fields(self) -> None:
        for path, table in self.tables.items():
            if len(table):
                table.rework(partial(add_custom_fields, path=path, seed=self.seed))

    @property
    def dialect(self) -> Dialect:
        """The instance's behaviour where Coupa leaves it open."""
        return self._dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self._dialect = dialect
        for table in self.tables.values():
            table.utc = dialect.offsets == "utc"

    @property
    def url(self) -> str:
        """`http://localhost:PORT`."""
        if not self.port:
            raise RuntimeError("the sandbox is not started")
        return f"http://localhost:{self.port}"

    def config(self, **overrides: Any) -> dict[str, Any]:
        """A valid connector configuration for the default client."""
        return {
            "instance_url": self.url,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            **overrides,
        }

    def add_sign_in_client(self, *scopes: str) -> dict[str, Any]:
        """Set up an OAuth client through which users sign in, with `offline_access` and `scopes`.

        Returns the connector configuration as it is before the user has signed in.
        """
        held = {OFFLINE_ACCESS, *scopes}
        self.clients[SIGN_IN_CLIENT_ID] = Client(
            SIGN_IN_CLIENT_SECRET, held, "authorization_code", frozenset({REDIRECT_URI})
        )
        return {
            "instance_url": self.url,
            "client_id": SIGN_IN_CLIENT_ID,
            "client_secret": SIGN_IN_CLIENT_SECRET,
            "credentials": {"auth_type": "authorization_code", "scopes": " ".join(scopes)},
        }

    def grant(self, *scopes: str) -> None:
        """Give scopes to the default client; tokens already issued stay as they are."""
        self.clients[CLIENT_ID].scopes.update(scopes)

    def revoke(self, *scopes: str) -> None:
        """Take scopes from the default client; tokens already issued stay as they are."""
        self.clients[CLIENT_ID].scopes.difference_update(scopes)

    def expire_tokens(self) -> None:
        """Have every token issued so far refused with 401."""
        self.desk.expire_all()

    def end_sign_ins(self) -> None:
        """Make every refresh token issued so far invalid."""
        self.desk.sign_ins.end_all()

    def call_back(self, request: RequestRecord) -> None:
        """Run the callbacks."""
        for callback in self.callbacks:
            callback(request)

    def requests_for(self, resource: str) -> list[RequestRecord]:
        """The logged requests of one resource, or of "oauth"."""
        return [request for request in self.requests if request.resource == resource]

    def peak_rate(self) -> int:
        """See RequestLog.peak_rate."""
        return self.requests.peak_rate()

    def peak_concurrency(self) -> int:
        """See RequestLog.peak_concurrency."""
        return self.requests.peak_concurrency()
