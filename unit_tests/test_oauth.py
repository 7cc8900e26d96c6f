"""Tokens: one for each scope and sync, asked for as Coupa documents, renewed before they expire.

Whatever happens to tokens during a read, no record is lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import ALL_STREAMS, RESOURCE_OF, check, records_by_stream, run_read
from integration_tests.sandbox import Fault, Refusal, RequestRecord, Sandbox
from source_coupa.config import CoupaConfig
from source_coupa.oauth import endpoint, tokens
from source_coupa.oauth.client_credentials import ClientCredentialsTokens
from unit_tests.conftest import Waits
from unit_tests.failing import ROWS, START_DATE, days_ago, small_sandbox

pytestmark = pytest.mark.usefixtures("no_budget")

SCOPES = ("core.user.read", "core.expense.read", "core.invoice.read")
SCOPE_OF = {
    "users": "core.user.read",
    "expense_reports": "core.expense.read",
    "expense_lines": "core.expense.read",
    "invoices": "core.invoice.read",
}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with small_sandbox() as running:
        yield running


def read_all(sandbox: Sandbox, **config: Any) -> dict[str, int]:
    """The number of records of each stream, in a read without errors."""
    output = run_read(sandbox, start_date=START_DATE, **config)
    assert output.errors == []
    return {stream: len(records) for stream, records in records_by_stream(output).items()}


def asked_scopes(sandbox: Sandbox) -> Counter[str | None]:
    return Counter(request.form.get("scope") for request in sandbox.requests_for("oauth"))


def store_for(sandbox: Sandbox, **options: Any) -> ClientCredentialsTokens:
    options.setdefault("retry_waits", ())
    return ClientCredentialsTokens(CoupaConfig.parse(sandbox.config()), SCOPES, **options)


class Clock:
    """A monotonic clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        module = SimpleNamespace(**{**vars(time), "monotonic": lambda: self.now})
        for part in (endpoint, tokens):
            monkeypatch.setattr(part, "time", module)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_streams_with_the_same_scope_share_a_token(sandbox: Sandbox) -> None:
    assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
    assert asked_scopes(sandbox) == dict.fromkeys(SCOPES, 1)


def test_only_scopes_of_selected_streams_are_asked_for(sandbox: Sandbox) -> None:
    output = run_read(sandbox, ["expense_lines"], start_date=START_DATE)
    assert output.errors == []
    assert asked_scopes(sandbox) == {"core.expense.read": 1}


def test_each_request_carries_a_token_for_its_scope_alone(sandbox: Sandbox) -> None:
    read_all(sandbox)
    for resource, scope in SCOPE_OF.items():
        requests = sandbox.requests_for(resource)
        assert requests
        assert {request.scopes for request in requests} == {frozenset({scope})}


def test_a_token_is_asked_for_as_a_form(sandbox: Sandbox) -> None:
    read_all(sandbox)
    for request in sandbox.requests_for("oauth"):
        assert (request.method, request.path, request.query) == ("POST", "/oauth2/token", {})
        assert request.headers["content-type"] == FORM
        assert "authorization" not in request.headers
        assert request.form == {
            "grant_type": "client_credentials",
            "client_id": sandbox.config()["client_id"],
            "client_secret": "<secret>",
            "scope": request.form["scope"],
        }


@pytest.mark.parametrize(
    "secret", ["a+b/c=&d e%20", "\u00fc\u4e2d\U0001f511", "\"quotes'\\", "{{ 1 + 1 }}", "a;b,c#d?e"]
)
def test_a_secret_survives_the_encoding_of_the_form(sandbox: Sandbox, secret: str) -> None:
    (client,) = sandbox.clients.values()
    client.secret = secret
    assert check(sandbox.config(client_secret=secret)).connection_status["status"] == "SUCCEEDED"


def test_credentials_of_a_netrc_file_are_not_sent(
    sandbox: Sandbox, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login other password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)


@pytest.mark.parametrize(
    ("lifetime", "used", "renews"),
    [
        (86_399, 19 * 3600, False),
        (86_399, 20 * 3600 + 1, True),
        (3_600, 2_900, False),
        (3_600, 3_100, True),
        (60, 55, True),
    ],
)
def test_a_token_is_renewed_well_before_it_expires(
    clock: Clock, lifetime: float, used: float, renews: bool
) -> None:
    with small_sandbox(token_lifetime=lifetime) as sandbox:
        store = store_for(sandbox)
        first = store.token(["core.user.read"])
        assert store.token(["core.user.read"]) is first
        clock.now += used
        assert (store.token(["core.user.read"]) is not first) == renews
        assert asked_scopes(sandbox)["core.user.read"] == 1 + renews


def test_a_token_without_a_lifetime_is_renewed_within_the_hour(
    sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.faults.add(
        Fault("status", resource="oauth", status=200, body='{"access_token":"opaque"}', times=1)
    )
    store = store_for(sandbox)
    first = store.token(["core.user.read"])
    clock.now += 3_600
    assert store.token(["core.user.read"]) is not first


def test_threads_that_need_a_token_at_once_ask_for_one(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("latency", resource="oauth", seconds=0.05))
    store = store_for(sandbox)
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: store.token(["core.user.read"]), range(64)))
    assert len(tokens) == 1
    assert asked_scopes(sandbox) == {"core.user.read": 1}


@pytest.mark.parametrize("age", [0, 3_600])
def test_a_token_refused_in_the_middle_is_renewed_once(waits: Waits, age: float) -> None:
    rows = dict.fromkeys(RESOURCE_OF.values(), 120)
    with Sandbox(rows=rows, spread=[days_ago(1)]) as sandbox:
        sandbox.dialect = sandbox.dialect.but(rate_limit=None)
        expired: list[bool] = []

        def expire(sandbox: Sandbox, request: RequestRecord) -> None:
            if request.resource == "invoices" and "id[gt]" in request.query and not expired:
                waits.sleep(age)
                expired.append(True)
                sandbox.expire_tokens()

        sandbox.before_each(expire)
        assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, 120)
        assert expired
        assert max(asked_scopes(sandbox).values()) == 2
        assert asked_scopes(sandbox)["core.invoice.read"] == 2
        refused = [request for request in sandbox.requests if request.status == 401]
        assert 1 <= len(refused) <= 20


def test_a_fresh_token_may_need_seconds_before_it_works() -> None:
    with small_sandbox(token_warmup=1.0) as sandbox:
        assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
        assert asked_scopes(sandbox) == dict.fromkeys(SCOPES, 1)


def test_check_waits_for_a_fresh_token_to_work() -> None:
    with small_sandbox(token_warmup=1.0) as sandbox:
        assert check(sandbox.config()).connection_status["status"] == "SUCCEEDED"
        assert max(asked_scopes(sandbox).values()) == 1


def test_tokens_of_two_seconds_lose_nothing() -> None:
    with Sandbox(
        rows={"users": 400, "invoices": 400}, spread=[days_ago(1)], latency=0.2
    ) as sandbox:
        sandbox.dialect = sandbox.dialect.but(token_lifetime=2.0, rate_limit=None)
        output = run_read(sandbox, ["users", "invoices"], start_date=START_DATE, num_workers=2)
        assert output.errors == []
        for stream in ("users", "invoices"):
            read = [record["id"] for record in records_by_stream(output)[stream]]
            assert sorted(read) == sandbox.tables[stream].ids()
        assert asked_scopes(sandbox)["core.invoice.read"] >= 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, body="html", times=3),
        Fault("status", status=500, body="empty", times=3),
        Fault("status", status=429, times=3),
        Fault("status", status=408, times=3),
        Fault("drop", times=3),
        Fault("truncated", times=3),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_read_asks_again_where_check_does_not(sandbox: Sandbox, waits: Waits, fault: Fault) -> None:
    fault = Fault(**{**vars(fault), "resource": "oauth"})
    sandbox.faults.add(fault)
    assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
    assert sum(asked_scopes(sandbox).values()) == 3 + 3
    assert sorted(set(waits.slept)) in ([1.0], [1.0, 2.0], [1.0, 2.0, 5.0])

    sandbox.faults.clear()
    sandbox.requests.clear()
    waits.slept.clear()
    sandbox.faults.add(fault)
    assert check(sandbox.config()).connection_status["status"] == "FAILED"
    assert max(asked_scopes(sandbox).values()) == 1
    assert waits.slept == []


def test_the_first_of_two_scopes_that_is_granted_is_taken(sandbox: Sandbox) -> None:
    sandbox.revoke("core.item.read")
    either = ["core.item.read", "core.user.read", "core.invoice.read"]
    store = store_for(sandbox)
    token = store.token(either)
    assert store.token(either) is token
    assert list(asked_scopes(sandbox)) == ["core.item.read", "core.user.read"]
    assert token is store.token(["core.user.read"])
    assert asked_scopes(sandbox) == {"core.item.read": 1, "core.user.read": 1}


def test_a_stream_of_which_no_scope_is_granted_names_them_all(sandbox: Sandbox) -> None:
    sandbox.revoke("core.item.read", "core.catalog.read")
    with pytest.raises(AirbyteTracedException) as caught:
        store_for(sandbox).token(["core.item.read", "core.catalog.read"])
    assert "lacks the scope core.item.read or core.catalog.read: add it" in str(caught.value)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(400),
        Refusal(400, "empty"),
        Refusal(400, "object"),
        Refusal(401),
        Refusal(401, "object"),
    ],
    ids=str,
)
def test_a_refused_scope_is_asked_for_once(refusal: Refusal) -> None:
    with small_sandbox(bad_scope=refusal) as sandbox:
        sandbox.revoke("core.item.read")
        store = store_for(sandbox)
        assert [store.holds("core.item.read") for _ in range(3)] == [False] * 3
        assert asked_scopes(sandbox) == {"core.item.read": 1}


def test_no_token_shows_in_the_text_of_its_objects(sandbox: Sandbox) -> None:
    token = store_for(sandbox).token(["core.user.read"])
    assert token.value not in repr(token)
    secret = sandbox.config()["client_secret"]
    assert secret not in repr(CoupaConfig.parse(sandbox.config()))
