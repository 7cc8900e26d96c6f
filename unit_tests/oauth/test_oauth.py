"""Tokens: one for all scopes of a sync, asked for as Coupa documents, renewed before they expire.

Whatever happens to tokens during a read, no record is lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import ALL_STREAMS, RESOURCE_OF, check, records_by_stream, run_read
from integration_tests.sandbox import Fault, Refusal, RequestRecord, Sandbox
from source_coupa.config import CoupaConfig
from source_coupa.oauth import endpoint, shared_store, tokens
from source_coupa.oauth.client_credentials import ClientCredentialsTokens
from unit_tests.conftest import Waits
from unit_tests.failing import ROWS, START_DATE, days_ago, small_sandbox

pytestmark = pytest.mark.usefixtures("no_budget")

SCOPES = ("core.user.read", "core.expense.read", "core.invoice.read")
TOGETHER = " ".join(SCOPES)
REFUSED = '{"error":"%s"}'
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


def store_for(
    sandbox: Sandbox, *, needs: Sequence[Sequence[str]] = (), retry_waits: Sequence[float] = ()
) -> ClientCredentialsTokens:
    config = CoupaConfig.parse(sandbox.config())
    store = ClientCredentialsTokens(config, SCOPES, retry_waits=retry_waits)
    store.needs = needs
    return store


def failure(store: ClientCredentialsTokens, *scopes: str) -> AirbyteTracedException:
    with pytest.raises(AirbyteTracedException) as caught:
        store.token(scopes)
    return caught.value


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


def refuse(sandbox: Sandbox, code: str, *scopes: str, status: int = 400, **options: Any) -> None:
    """Refuses tokens that carry one of `scopes`, or all without any."""
    sandbox.faults.add(
        Fault(
            "status",
            status=status,
            body=REFUSED % code,
            resource="oauth",
            when=lambda request: (
                not scopes or bool(set(request.form.get("scope", "").split()) & set(scopes))
            ),
            **options,
        )
    )


def test_one_token_serves_all_selected_streams(sandbox: Sandbox) -> None:
    assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
    assert asked_scopes(sandbox) == {TOGETHER: 1}


def test_where_coupa_refuses_that_there_is_one_for_each_scope(sandbox: Sandbox) -> None:
    refuse(sandbox, "invalid_scope", times=1)
    assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
    assert asked_scopes(sandbox) == dict.fromkeys([TOGETHER, *SCOPES], 1)


def test_a_token_that_carries_less_than_was_asked_for_serves_no_other_scope(
    sandbox: Sandbox,
) -> None:
    """An endpoint that grants less has to say so (RFC 6749)."""
    store = store_for(sandbox, needs=[[scope] for scope in SCOPES])
    body = '{"access_token": "narrow", "scope": "core.user.read, core.expense.read"}'
    sandbox.faults.add(Fault("status", status=200, body=body, resource="oauth", times=1))
    assert store.token(["core.user.read"]).value == "narrow"
    assert store.token(["core.invoice.read"]).value != "narrow"
    assert asked_scopes(sandbox) == {TOGETHER: 1, "core.invoice.read": 1}


@pytest.mark.parametrize(
    ("needs", "asked"),
    [
        ([["a"], ["b"]], "a b"),
        ([["a"], ["a"]], "a"),
        ([["a", "b"], ["c"]], "c a"),
        ([["a", "b"], ["b"]], "b"),
    ],
)
def test_of_two_scopes_that_open_a_list_one_is_asked_for(
    sandbox: Sandbox, needs: list[list[str]], asked: str
) -> None:
    sandbox.grant("a", "b", "c")
    store = store_for(sandbox, needs=needs)
    tokens = {store.token(scopes) for scopes in needs}
    assert (len(tokens), asked_scopes(sandbox)) == (1, {asked: 1})


def test_where_one_of_two_scopes_is_refused_the_other_is_tried(sandbox: Sandbox) -> None:
    sandbox.revoke("core.catalog.read")
    output = run_read(sandbox, ["users", "items"], start_date=START_DATE)
    assert output.errors == []
    assert set(asked_scopes(sandbox)) == {
        "core.user.read core.catalog.read",
        "core.user.read",
        "core.catalog.read",
        "core.item.read",
    }
    assert {request.status for request in sandbox.requests_for("items")} == {200}


def test_only_scopes_of_selected_streams_are_asked_for(sandbox: Sandbox) -> None:
    output = run_read(sandbox, ["expense_lines"], start_date=START_DATE)
    assert output.errors == []
    assert asked_scopes(sandbox) == {"core.expense.read": 1}


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
        assert asked_scopes(sandbox) == {TOGETHER: 2}
        refused = [request for request in sandbox.requests if request.status == 401]
        assert 1 <= len(refused) <= 20


def test_a_fresh_token_may_need_seconds_before_it_works() -> None:
    with small_sandbox(token_warmup=1.0) as sandbox:
        assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
        assert asked_scopes(sandbox) == {TOGETHER: 1}


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
        assert asked_scopes(sandbox)["core.user.read core.invoice.read"] >= 2


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
    assert sum(asked_scopes(sandbox).values()) == 3 + 1

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


class TestTrouble:
    """What the settings are to blame for is judged by what came before."""

    @pytest.fixture(params=["invalid_scope", "access_denied", "invalid_client", "quota"])
    def code(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_that_passes_is_no_setting_once_a_token_was_granted(
        self, sandbox: Sandbox, clock: Clock, code: str
    ) -> None:
        store = store_for(sandbox)
        store.token(["core.user.read"])
        clock.now += 100_000
        refuse(sandbox, code, times=1)
        assert failure(store, "core.user.read").failure_type == FailureType.transient_error
        assert store.token(["core.user.read"])

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("status", status=404, body="html"),
            Fault("status", status=403, body="html"),
            Fault("html_200"),
            Fault("redirect", location="login"),
        ],
        ids=lambda fault: f"{fault.kind} {fault.status}",
    )
    def test_on_the_way_neither(self, sandbox: Sandbox, fault: Fault) -> None:
        store = store_for(sandbox)
        store.token(["core.user.read"])
        sandbox.faults.add(replace(fault, resource="oauth", times=1))
        assert failure(store, "core.invoice.read").failure_type == FailureType.transient_error
        assert store.token(["core.invoice.read"])

        sandbox.faults.add(replace(fault, resource="oauth", times=1))
        assert failure(store_for(sandbox), *SCOPES).failure_type == FailureType.config_error

    def test_of_a_read_is_left_to_the_read(self, sandbox: Sandbox, waits: Waits) -> None:
        store = shared_store(CoupaConfig.parse(sandbox.config()))
        sandbox.faults.add(Fault("status", status=503, resource="oauth", times=1))
        with pytest.raises(AirbyteTracedException) as caught:
            store.token(["core.user.read"])
        assert caught.value.failure_type == FailureType.transient_error
        assert (waits.slept, len(sandbox.requests)) == ([], 1)
        assert store.token(["core.user.read"])

    @pytest.mark.parametrize("status", [400, 401])
    def test_a_client_is_not_wrong_that_was_given_a_token(
        self, sandbox: Sandbox, status: int
    ) -> None:
        refuse(sandbox, "invalid_client", "core.invoice.read", "core.expense.read", status=status)
        store = store_for(sandbox, needs=[[scope] for scope in SCOPES])
        assert "lacks the scope core.invoice.read" in str(failure(store, "core.invoice.read"))
        assert store.token(["core.user.read"])

    @pytest.mark.parametrize("status", [400, 401])
    def test_a_client_is_wrong_that_was_given_none(self, sandbox: Sandbox, status: int) -> None:
        refuse(sandbox, "invalid_client", status=status)
        store = store_for(sandbox, needs=[[scope] for scope in SCOPES])
        for scope in SCOPES:
            assert "refused the client ID or the client secret" in str(failure(store, scope))
        asked = asked_scopes(sandbox)
        assert max(asked.values()) == 1
        assert sum(asked.values()) == (2 if status == 401 else 2 + len(SCOPES))

    def test_that_comes_with_status_200_is_read(self, sandbox: Sandbox) -> None:
        refuse(sandbox, "invalid_client", status=200)
        message = check(sandbox.config()).connection_status["message"]
        assert "refused the client ID or the client secret" in message

    def test_a_firewall_is_called_that_and_asked_once(self, sandbox: Sandbox) -> None:
        for resource in ("oauth", None):
            sandbox.faults.add(Fault("status", status=403, body="html", resource=resource))
        message = check(sandbox.config()).connection_status["message"]
        assert "sends a web page (HTTP 403) instead of Coupa's API" in message
        assert "allow list" in message
        assert len(sandbox.requests) == 1

    @pytest.mark.parametrize("together", [True, False])
    def test_the_newest_token_alone_may_be_valid(self, together: bool) -> None:
        with small_sandbox(newest_token_only=True) as sandbox:
            if not together:
                refuse(sandbox, "invalid_scope", times=1)
            assert read_all(sandbox) == dict.fromkeys(ALL_STREAMS, ROWS)
            # each refusal of a token may ask for one more, until one serves all
            assert sum(asked_scopes(sandbox).values()) <= (1 if together else 16)

    def test_a_token_that_worked_and_is_refused_is_renewed_at_once(self, sandbox: Sandbox) -> None:
        store = store_for(sandbox)
        token = store.token(["core.user.read"])
        store.reject(token)
        assert store.token(["core.user.read"]) is token
        token.accepted()
        store.reject(token)
        assert store.token(["core.user.read"]) is not token

    def test_tokens_that_end_one_another_are_replaced_by_one_for_all(
        self, sandbox: Sandbox
    ) -> None:
        refuse(sandbox, "invalid_scope", times=1)
        store = store_for(sandbox, needs=[[scope] for scope in SCOPES])
        first = store.token(["core.user.read"])
        first.accepted()
        store.token(["core.invoice.read"])
        store.reject(first)
        both = store.token(["core.user.read"])
        assert store.token(["core.invoice.read"]) is both
        assert asked_scopes(sandbox)["core.user.read core.invoice.read"] == 1
