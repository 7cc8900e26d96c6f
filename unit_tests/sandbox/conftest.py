"""A sandbox, and a small client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from integration_tests.sandbox import RESOURCES, Dialect, Record, Sandbox

ROWS = {"users": 60, "expense_reports": 30, "expense_lines": 40, "invoices": 120}
UNLIMITED = Dialect(rate_limit=None)


class Api:
    """Calls a sandbox as a client would; asks for one token that holds every scope."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Accept"] = "application/json"

    def token(self, **form: str) -> requests.Response:
        """Ask for a token; `form` replaces or (with "") empties fields of a good request."""
        config = self.sandbox.config()
        good = {
            "client_id": config["client_id"],
            "client_secret": config["client_secret"],
            "grant_type": "client_credentials",
        }
        return self.session.post(f"{self.sandbox.url}/oauth2/token", data={**good, **form})

    def log_in(self, scope: str | None = None) -> Api:
        """Take a token for these scopes, or for all."""
        scopes = sorted({name for resource in RESOURCES.values() for name in resource.scopes})
        response = self.token(scope=" ".join(scopes) if scope is None else scope)
        response.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        return self

    def get(self, path: str, raw: str = "", **options: Any) -> requests.Response:
        """GET `/api/<path>`; `raw` is the query string as it goes over the wire."""
        url = f"{self.sandbox.url}/api/{path}" + (f"?{raw}" if raw else "")
        return self.session.get(url, timeout=10, **options)

    def ids(self, path: str, raw: str = "") -> list[int]:
        """The ids of a page."""
        response = self.get(path, raw)
        assert response.status_code == 200, response.text
        return [record["id"] for record in response.json()]

    def walk(self, path: str, raw: str = "", limit: int = 50) -> list[Record]:
        """Every record, by keyset on id."""
        records: list[Record] = []
        while True:
            last = records[-1]["id"] if records else 0
            page = self.get(path, f"order_by=id&dir=asc&limit={limit}&id[gt]={last}&{raw}").json()
            if not page:
                return records
            records += page


Start = Callable[..., Api]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts sandboxes (arguments of Sandbox) and hands out logged-in clients; stops them after."""
    running: list[Api] = []

    def begin(*, log_in: bool = True, **options: Any) -> Api:
        options.setdefault("rows", ROWS)
        options.setdefault("dialect", UNLIMITED)
        api = Api(Sandbox(**options).start())
        running.append(api)
        return api.log_in() if log_in else api

    yield begin
    for api in running:
        api.session.close()
        api.sandbox.close()


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A logged-in client of a sandbox that its tests only read."""
    with Sandbox(rows=ROWS, dialect=UNLIMITED) as sandbox:
        client = Api(sandbox).log_in()
        yield client
        client.session.close()
