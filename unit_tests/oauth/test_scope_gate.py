"""The scope gate: an OAuth client sees exactly the streams that its scopes open.

A stream is hidden only on an explicit refusal of its scope. If the token endpoint fails in any
other way, `discover` fails: a stream that vanished for a moment would be dropped from connections.
A scope that was taken away fails the streams that need it, and no other, when they are read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import (
    ALL_STREAMS,
    CliFiles,
    CliRun,
    check,
    configured_catalog,
    discover,
    records_by_stream,
    run_process,
    run_read,
)
from integration_tests.reference.manifest import SCOPES as EVERY_SCOPE
from integration_tests.reference.manifest import STREAMS, StreamRow
from integration_tests.sandbox import Fault, Refusal, Sandbox
from integration_tests.sandbox.resources import ALL_SCOPES
from source_coupa.config import CoupaConfig
from source_coupa.oauth import token_store
from source_coupa.oauth.scope_gate import ScopeGate
from source_coupa.streams import StreamRow as GatedStream
from source_coupa.transport import session as http
from unit_tests.conftest import Waits
from unit_tests.failing import ROWS, START_DATE, failures, small_sandbox, statuses, traces

pytestmark = pytest.mark.usefixtures("no_budget")

SCOPES = ("core.user.read", "core.expense.read", "core.invoice.read")
"""Those of the streams in ALL_STREAMS."""
SOME_SCOPES = [subset for size in (1, 2, 3) for subset in combinations(SCOPES, size)]
MORE_SCOPES = [
    ("core.item.read",),
    ("core.catalog.read", "core.sourcing.pending_supplier.read"),
    ("core.sourcing.read", "core.sourcing.pending_supplier.read"),
    ("core.uom.read", "core.object_translations.read"),
    ("core.pay.virtual_cards.read", "core.contracts_template.read", "core.supplier_sites.read"),
    EVERY_SCOPE[1:],
]
ALL_AT_ONCE = " ".join(EVERY_SCOPE)
REFUSALS = [
    Refusal(400),
    Refusal(401),
    Refusal(403),
    Refusal(400, "empty"),
    Refusal(401, "empty"),
    Refusal(400, "object"),
    Refusal(401, "object"),
]


def hold_only(sandbox: Sandbox, scopes: Iterable[str]) -> None:
    sandbox.revoke(*ALL_SCOPES)
    sandbox.grant(*scopes)


def streams_of(scopes: Iterable[str]) -> list[str]:
    held = set(scopes)
    return [
        stream.name
        for stream in STREAMS
        if held.intersection(stream.scopes)
        and (not stream.parent_scopes or held.intersection(stream.parent_scopes))
    ]


def lacking(stream: StreamRow) -> str:
    needs = [" or ".join(scopes) for scopes in (stream.scopes, stream.parent_scopes) if scopes]
    return " and ".join(needs)


def discovered(run: CliRun) -> list[str]:
    assert (run.exit_code, run.errors) == (0, [])
    (message,) = run.of_type("CATALOG")
    return [stream["name"] for stream in message["catalog"]["streams"]]


def logged(run: CliRun) -> list[str]:
    return [message["log"]["message"] for message in run.of_type("LOG")]


def asked_scopes(sandbox: Sandbox) -> Counter[str | None]:
    return Counter(request.form.get("scope") for request in sandbox.requests_for("oauth"))


@pytest.mark.parametrize("scopes", [*SOME_SCOPES, *MORE_SCOPES], ids=lambda s: " ".join(s[:3]))
def test_a_client_sees_the_streams_of_its_scopes(scopes: tuple[str, ...]) -> None:
    with small_sandbox() as sandbox:
        hold_only(sandbox, scopes)
        run = discover(sandbox.config())
        assert discovered(run) == streams_of(scopes)
        held = " ".join(scope for scope in EVERY_SCOPE if scope in scopes)
        asked = dict.fromkeys([ALL_AT_ONCE, *EVERY_SCOPE, held], 1)
        assert asked_scopes(sandbox) == asked
        for stream in STREAMS:
            line = (
                f"Stream {stream.name} is not available: the OAuth client lacks the scope "
                f"{lacking(stream)}."
            )
            assert (line in logged(run)) == (stream.name not in streams_of(scopes))
        assert check(sandbox.config()).connection_status == {"status": "SUCCEEDED"}


def test_a_client_with_every_scope_is_known_after_one_request() -> None:
    with small_sandbox() as sandbox:
        assert discovered(discover(sandbox.config())) == [stream.name for stream in STREAMS]
        assert asked_scopes(sandbox) == {ALL_AT_ONCE: 1}


@pytest.mark.parametrize("scopes", SOME_SCOPES[:2], ids=" ".join)
def test_a_response_that_states_the_scopes_is_believed(scopes: tuple[str, ...]) -> None:
    """An endpoint may grant less than was asked for, and then has to say so (RFC 6749)."""
    with small_sandbox() as sandbox:
        response = {"access_token": "t", "expires_in": 86_399, "scope": " ".join(scopes)}
        sandbox.faults.add(
            for_scope(ALL_AT_ONCE, Fault("status", status=200, body=json.dumps(response)))
        )
        assert discovered(discover(sandbox.config())) == streams_of(scopes)
        assert asked_scopes(sandbox) == {ALL_AT_ONCE: 1}


@pytest.mark.parametrize("name", ["503", "401 html", "web page", "dropped"])
def test_a_request_for_all_scopes_that_fails_hides_no_stream(name: str, waits: Waits) -> None:
    with small_sandbox() as sandbox:
        sandbox.faults.add(for_scope(ALL_AT_ONCE, NO_REFUSALS[name]))
        run = discover(sandbox.config())
        assert (run.exit_code, run.of_type("CATALOG")) == (1, [])


@pytest.mark.parametrize("status", [400, 413, 414, 431])
def test_a_proxy_that_refuses_so_long_a_request_hides_no_stream(status: int) -> None:
    with small_sandbox() as sandbox:
        sandbox.faults.add(for_scope(ALL_AT_ONCE, Fault("status", status=status, body="html")))
        assert discovered(discover(sandbox.config())) == [stream.name for stream in STREAMS]


@pytest.mark.parametrize(
    "refusal", REFUSALS, ids=lambda refusal: f"{refusal.status} {refusal.body}"
)
def test_a_refused_scope_is_understood_in_any_form(refusal: Refusal) -> None:
    with small_sandbox(bad_scope=refusal) as sandbox:
        hold_only(sandbox, ["core.expense.read"])
        assert discovered(discover(sandbox.config())) == streams_of(["core.expense.read"])


def for_scope(scope: str, fault: Fault) -> Fault:
    return replace(fault, resource="oauth", when=lambda request: request.form.get("scope") == scope)


@pytest.mark.parametrize("status", [400, 401])
def test_a_client_that_is_refused_by_scope_sees_the_others(status: int) -> None:
    """Some servers respond with `invalid_client` whatever the reason."""
    with small_sandbox() as sandbox:
        body = '{"error":"invalid_client"}'
        refused = Fault("status", status=status, body=body, resource="oauth")
        held = "core.expense.read"
        sandbox.faults.add(
            replace(refused, when=lambda request: request.form.get("scope") not in (held, None))
        )
        assert discovered(discover(sandbox.config())) == streams_of([held])


@pytest.mark.parametrize("code", ["access_denied", "invalid_request", ""])
@pytest.mark.parametrize("granted", [0, 20])
def test_a_limit_of_token_requests_hides_no_stream(code: str, granted: int, waits: Waits) -> None:
    with small_sandbox() as sandbox:
        sandbox.revoke(EVERY_SCOPE[0])
        body = json.dumps({"error": code} if code else {})
        denied = Fault("status", status=400, body=body, resource="oauth", after=granted)
        sandbox.faults.add(denied)
        run = discover(sandbox.config())
        assert (run.exit_code, run.of_type("CATALOG")) == (1, [])
        assert len(run.errors) == 1


def test_what_refuses_the_token_for_all_scopes_alone_hides_no_stream(waits: Waits) -> None:
    with small_sandbox() as sandbox:
        denied = Fault("status", status=400, body='{"error":"access_denied"}')
        sandbox.faults.add(for_scope(ALL_AT_ONCE, denied))
        assert discovered(discover(sandbox.config())) == [stream.name for stream in STREAMS]


NO_REFUSALS = {
    "503": Fault("status", status=503, body="html"),
    "500": Fault("status", status=500, body="json"),
    "429": Fault("status", status=429),
    "408": Fault("status", status=408, body="empty"),
    "400 server_error": Fault("status", status=400, body='{"error":"server_error"}'),
    "400 access_denied": Fault("status", status=400, body='{"error":"access_denied"}'),
    "200 access_denied": Fault("status", status=200, body='{"error":"access_denied"}'),
    "400 unknown error": Fault("status", status=400, body='{"error":"quota"}'),
    "400 html": Fault("status", status=400, body="html"),
    "401 html": Fault("status", status=401, body="html"),
    "403 html": Fault("status", status=403, body="html"),
    "404": Fault("status", status=404, body="json"),
    "web page": Fault("html_200"),
    "empty page": Fault("empty_body"),
    "login page": Fault("redirect", location="login"),
    "dropped": Fault("drop"),
    "hanging": Fault("latency", seconds=1.0),
}


@pytest.mark.parametrize("name", NO_REFUSALS)
def test_a_failing_token_endpoint_hides_no_stream(
    name: str, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (0.3, 0.3))
    with small_sandbox() as sandbox:
        sandbox.revoke("core.inventory.asn.read")
        sandbox.faults.add(for_scope("core.expense.read", NO_REFUSALS[name]))
        run = discover(sandbox.config())
        assert run.exit_code == 1
        assert run.of_type("CATALOG") == []
        assert len(run.errors) == 1


def test_a_token_endpoint_that_recovers_hides_no_stream(waits: Waits) -> None:
    with small_sandbox() as sandbox:
        hold_only(sandbox, SCOPES)
        for scope in (ALL_AT_ONCE, *SCOPES):
            sandbox.faults.add(for_scope(scope, Fault("status", status=503, times=2)))
        assert discovered(discover(sandbox.config())) == streams_of(SCOPES)


class TestTokenWithoutScope:
    """Where every scope is refused, a token without scope may carry what the client holds."""

    @pytest.fixture
    def sandbox(self, request: pytest.FixtureRequest) -> Iterable[Sandbox]:
        dialect: dict[str, Any] = request.param
        with small_sandbox(**dialect) as sandbox:
            body = '{"error":"invalid_scope"}'
            any_scope = Fault("status", status=400, body=body, resource="oauth")
            sandbox.faults.add(replace(any_scope, when=lambda request: "scope" in request.form))
            yield sandbox

    every_refusal = pytest.mark.parametrize(
        "sandbox",
        [{"missing_scope": Refusal(403)}, {"missing_scope": Refusal(401, "empty")}],
        indirect=True,
        ids=["403", "401"],
    )

    @pytest.mark.parametrize("scopes", SOME_SCOPES[2:5], ids=" ".join)
    @every_refusal
    def test_opens_the_streams_that_it_can_read(
        self, sandbox: Sandbox, waits: Waits, scopes: tuple[str, ...]
    ) -> None:
        hold_only(sandbox, scopes)
        assert discovered(discover(sandbox.config())) == streams_of(scopes)
        assert asked_scopes(sandbox) == dict.fromkeys([ALL_AT_ONCE, *EVERY_SCOPE, None], 1)
        assert check(sandbox.config()).connection_status == {"status": "SUCCEEDED"}

    @every_refusal
    def test_reads_them(self, sandbox: Sandbox, waits: Waits) -> None:
        hold_only(sandbox, SCOPES)
        output = run_read(sandbox, start_date=START_DATE)
        assert output.errors == []
        assert {stream: len(rows) for stream, rows in records_by_stream(output).items()} == (
            dict.fromkeys(ALL_STREAMS, ROWS)
        )
        asked = [" ".join(SCOPES), *EVERY_SCOPE, None]
        assert asked_scopes(sandbox) == dict.fromkeys(asked, 1)

    @pytest.mark.parametrize(
        "sandbox",
        [{"token_without_scope": "none"}, {"token_without_scope": "refused"}],
        indirect=True,
        ids=["opens nothing", "refused"],
    )
    def test_or_else_check_and_discover_say_which_scopes_there_are(
        self, sandbox: Sandbox, waits: Waits
    ) -> None:
        for run in (check(sandbox.config()), discover(sandbox.config())):
            message = (
                run.connection_status["message"]
                if run.of_type("CONNECTION_STATUS")
                else run.errors[0]["message"]
            )
            assert re.search(
                r"holds none of the scopes that open a list: add at least .*\(Setup >", message
            )
            assert all(scope in message for scope in SCOPES)
        asked = [ALL_AT_ONCE, *EVERY_SCOPE, None]
        assert asked_scopes(sandbox) == dict.fromkeys(asked, 2)

    @every_refusal
    @pytest.mark.parametrize("status", [400, 404, 410])
    def test_hides_no_stream_for_a_list_that_the_instance_lacks(
        self, sandbox: Sandbox, status: int, waits: Waits
    ) -> None:
        hold_only(sandbox, SCOPES)
        sandbox.faults.add(Fault("status", status=status, resource="workers"))
        assert sorted(discovered(discover(sandbox.config()))) == sorted(
            [*streams_of(SCOPES), "workers"]
        )

    @every_refusal
    def test_of_a_scope_that_opens_no_list_is_reported_whatever_the_instance_lacks(
        self, sandbox: Sandbox, waits: Waits
    ) -> None:
        hold_only(sandbox, ["core.opens.nothing"])
        for status, resource in ((400, "workers"), (404, "data_file_sources"), (410, "invoices")):
            sandbox.faults.add(Fault("status", status=status, resource=resource))
        message = check(sandbox.config()).connection_status["message"]
        assert "holds none of the scopes that open a list: add at least one" in message
        assert discover(sandbox.config()).errors[0]["message"] == message

    @pytest.mark.parametrize(
        "sandbox", [{"missing_scope": Refusal(403, "html")}], indirect=True, ids=["firewall"]
    )
    def test_names_what_stands_in_front_of_coupa(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("status", status=403, body="html"))
        message = check(sandbox.config()).connection_status["message"]
        assert "sends a web page (HTTP 403) instead of Coupa's API" in message

    @pytest.mark.parametrize("sandbox", [{}], indirect=True, ids=["one fails"])
    def test_is_no_reason_to_hide_a_stream_that_fails(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("status", status=503, resource="expense_reports"))
        run = discover(sandbox.config())
        assert run.exit_code == 1
        assert run.of_type("CATALOG") == []


def test_a_client_without_any_scope_fails_with_a_message() -> None:
    with small_sandbox(token_without_scope="refused") as sandbox:
        sandbox.revoke(*ALL_SCOPES)
        status = check(sandbox.config()).connection_status
        assert status["status"] == "FAILED"
        assert "holds none of the scopes that open a list: add at least" in status["message"]


def test_either_of_two_scopes_opens_a_stream() -> None:
    with small_sandbox() as sandbox:
        hold_only(sandbox, ["core.invoice.read"])
        streams = [
            GatedStream("items", "invoices", ("core.item.read", "core.invoice.read")),
            GatedStream("suppliers", "users", ("core.supplier.read", "core.user.read")),
        ]
        scopes = [scope for stream in streams for scope in stream.scopes]
        store = token_store(CoupaConfig.parse(sandbox.config()), scopes, retry_waits=())
        gate = ScopeGate(store, streams, None)
        assert gate.open_streams() == streams[:1]
        assert gate.can_read(streams[0])
        with pytest.raises(AirbyteTracedException, match=r"core\.supplier\.read or core\.user"):
            gate.can_read(streams[1])
        assert max(asked_scopes(sandbox).values()) == 1


@pytest.mark.parametrize("taken", SCOPES)
@pytest.mark.parametrize("refusal", [Refusal(400), Refusal(401, "object")], ids=str)
def test_a_scope_that_was_taken_away_fails_its_streams_and_no_other(
    taken: str, refusal: Refusal
) -> None:
    with small_sandbox(bad_scope=refusal) as sandbox:
        sandbox.revoke(taken)
        output = run_read(sandbox, start_date=START_DATE)
        lost = [stream for stream in streams_of([taken]) if stream in ALL_STREAMS]
        assert sorted(failures(output)) == sorted(lost)
        for message, failure_type in failures(output).values():
            assert failure_type == FailureType.config_error
            assert message == (
                f"The OAuth client lacks the scope {taken}: add it to the client in Coupa (Setup > "
                "Oauth2/OpenID Connect Clients), or deselect the streams that need it."
            )
        assert traces(output)[-1].failure_type == FailureType.config_error
        for stream in ALL_STREAMS:
            if stream in lost:
                assert statuses(output, stream) == ["STARTED", "INCOMPLETE"]
            else:
                assert statuses(output, stream) == ["STARTED", "RUNNING", "COMPLETE"]
                assert len(records_by_stream(output)[stream]) == ROWS
        assert not [
            request
            for request in sandbox.requests
            if request.status in (401, 403) and request.resource != "oauth"
        ]
        assert asked_scopes(sandbox)[taken] == 1


def test_a_read_with_a_lost_scope_ends_with_exit_code_1(tmp_path: Path) -> None:
    with small_sandbox() as sandbox:
        sandbox.revoke("core.invoice.read")
        config = sandbox.config(start_date=START_DATE)
        files = CliFiles(tmp_path, "read", config, configured_catalog("users", "invoices"))
        run = run_process(files.arguments())
        assert run.exit_code == 1
        assert {error["failure_type"] for error in run.errors} == {"config_error"}
        assert len(run.of_type("RECORD")) == ROWS


def test_a_scope_whose_tokens_are_refused_by_the_resource_is_reported_as_such(waits: Waits) -> None:
    with small_sandbox() as sandbox:
        sandbox.faults.add(Fault("status", status=401, body="empty", resource="invoices"))
        output = run_read(sandbox, start_date=START_DATE)
        ((stream, (message, failure_type)),) = failures(output).items()
        assert (stream, failure_type) == ("invoices", FailureType.config_error)
        assert "issues access tokens for core.invoice.read but does not accept them" in message
