"""Signing in as a user: the grant type authorization code, from Airbyte's button to the next sync.

A refresh token stands for a person who has to come back if it is lost: it is used as rarely as can
be, kept before anything else happens, and when it is refused, one sentence says so.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.airbyte_sign_in import (
    Airbyte,
    Challenge,
    SignInError,
    challenge,
    older_challenge,
)
from integration_tests.harness import (
    ALL_STREAMS,
    RESOURCE_OF,
    CliFiles,
    CliRun,
    check,
    configured_catalog,
    discover,
    run_here,
    run_process,
)
from integration_tests.reference import page
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import Fault, Refusal, RequestRecord, Sandbox
from source_coupa.config import CoupaConfig
from source_coupa.oauth import TokenStore, token_store
from source_coupa.protocol import settings_file
from unit_tests.conftest import Waits
from unit_tests.conventions.pages import section
from unit_tests.failing import ROWS, START_DATE, days_ago, small_sandbox
from unit_tests.oauth.test_scope_gate import discovered, streams_of

pytestmark = pytest.mark.usefixtures("no_budget")

Config = dict[str, Any]

SCOPES = ("core.user.read", "core.expense.read", "core.invoice.read")
AGAIN = "no longer accepts the refresh token: authenticate again in the settings of the source"


@pytest.fixture(scope="module")
def spec() -> Mapping[str, Any]:
    (message,) = run_here(["spec"]).of_type("SPEC")
    reported: Mapping[str, Any] = message["spec"]
    return reported


@pytest.fixture
def airbyte(spec: Mapping[str, Any]) -> Airbyte:
    return Airbyte(spec)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with small_sandbox() as running:
        yield running


@pytest.fixture
def signed_in(sandbox: Sandbox, airbyte: Airbyte) -> Config:
    """The settings of a user who has just signed in."""
    return sign_in(sandbox, airbyte)


def sign_in(sandbox: Sandbox, airbyte: Airbyte, *scopes: str) -> Config:
    form = sandbox.add_sign_in_client(*(scopes or SCOPES))
    config = airbyte.authenticate({**form, "start_date": START_DATE})
    sandbox.requests.clear()
    return config


def run_sync(config: Config, folder: Path, *streams: str) -> CliRun:
    files = CliFiles(folder, "read", config, configured_catalog(*(streams or ALL_STREAMS)))
    return run_here(files.arguments())


def with_old_token(config: Config, **credentials: str) -> Config:
    """The settings a day later: their access token has expired."""
    past = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    changed = {**config["credentials"], "token_expiry_date": past, **credentials}
    return {**config, "credentials": changed}


def told_config(run: CliRun) -> Config:
    """The settings that Airbyte has after a run."""
    reported: Config = run.of_type("CONTROL")[-1]["control"]["connectorConfig"]["config"]
    return reported


def read_ids(run: CliRun) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {stream: [] for stream in ALL_STREAMS}
    for message in run.of_type("RECORD"):
        ids[message["record"]["stream"]].append(message["record"]["data"]["id"])
    return ids


def grants(sandbox: Sandbox) -> list[str]:
    """The grant types of all token requests."""
    return [request.form["grant_type"] for request in sandbox.requests_for("oauth")]


def lists_of(scopes: Iterable[str]) -> set[str]:
    """The lists that scopes open."""
    names = streams_of(scopes)
    return {stream.resource for stream in STREAMS if stream.name in names}


def store_for(config: Config) -> TokenStore:
    return token_store(CoupaConfig.parse(config), SCOPES, retry_waits=())


def failure_of(run: CliRun) -> str:
    """The one message of a command that failed."""
    if run.of_type("CONNECTION_STATUS"):
        message: str = run.connection_status["message"]
        return message
    (error, *_) = run.errors
    assert error["failure_type"] == "config_error"
    sentence: str = error["message"]
    return sentence


def test_a_user_signs_in_and_syncs_and_the_next_sync_goes_on(
    sandbox: Sandbox, airbyte: Airbyte, tmp_path: Path
) -> None:
    """In processes of their own, as Airbyte runs them."""
    sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
    form = {**sandbox.add_sign_in_client(*SCOPES), "start_date": START_DATE}
    config = airbyte.authenticate(form)
    assert grants(sandbox) == ["authorization_code"]

    for command in ("check", "discover"):
        run = run_process(CliFiles(tmp_path, command, config).arguments())
        assert (run.exit_code, run.errors) == (0, [])
    catalog = configured_catalog(*ALL_STREAMS)
    run = run_process(CliFiles(tmp_path, "read", config, catalog).arguments())
    assert (run.exit_code, run.errors, run.of_type("CONTROL")) == (0, [], [])
    assert read_ids(run) == {
        stream: sandbox.tables[RESOURCE_OF[stream]].ids() for stream in ALL_STREAMS
    }
    assert grants(sandbox) == ["authorization_code"]

    sandbox.expire_tokens()
    run = run_process(CliFiles(tmp_path, "read", with_old_token(config), catalog).arguments())
    assert (run.exit_code, run.errors) == (0, [])
    assert len(run.of_type("RECORD")) == ROWS * len(ALL_STREAMS)
    assert len(run.of_type("CONTROL")) == 1
    assert grants(sandbox) == ["authorization_code", "refresh_token"]

    run = run_process(CliFiles(tmp_path, "read", told_config(run), catalog).arguments())
    assert (run.exit_code, run.errors, run.of_type("CONTROL")) == (0, [], [])
    assert grants(sandbox) == ["authorization_code", "refresh_token"]


class TestTheForm:
    @pytest.mark.parametrize("filter", [challenge, older_challenge])
    def test_proves_that_who_brings_the_code_asked_for_it(
        self, sandbox: Sandbox, spec: Mapping[str, Any], filter: Challenge
    ) -> None:
        form = sandbox.add_sign_in_client(*SCOPES)
        Airbyte(spec, filter).authenticate(form)
        consent, _ = sandbox.requests
        assert consent.query["code_challenge_method"] == "S256"
        with pytest.raises(SignInError, match="invalid_grant"):
            Airbyte(spec, lambda state: challenge(state[1:])).authenticate(form)

    def test_shows_the_button_for_this_grant_type_alone(
        self, sandbox: Sandbox, airbyte: Airbyte
    ) -> None:
        for credentials in ({}, None, {"auth_type": "client_credentials"}):
            assert not airbyte.shows_button(sandbox.config(credentials=credentials))
        assert not airbyte.shows_button(sandbox.config())
        assert airbyte.shows_button(sandbox.add_sign_in_client())

    @pytest.mark.parametrize(
        ("entered", "normal"),
        {
            "acme.coupahost.com": "https://acme.coupahost.com",
            "https://acme.coupahost.com": "https://acme.coupahost.com",
            " https://acme.coupahost.com// ": "https://acme.coupahost.com",
            "acme.coupahost.com:8443/": "https://acme.coupahost.com:8443",
            "https://localhost.evil.example": "https://localhost.evil.example",
            "http://localhost:8080/": "http://localhost:8080",
        }.items(),
    )
    def test_sends_the_user_to_the_instance_as_it_was_entered(
        self, sandbox: Sandbox, airbyte: Airbyte, entered: str, normal: str
    ) -> None:
        form = {**sandbox.add_sign_in_client(), "instance_url": entered}
        url = airbyte.consent_url(airbyte.values_for(form))
        assert url.startswith(f"{normal}/oauth2/authorizations/new?response_type=code&")

    @pytest.mark.parametrize(
        "entered",
        [
            "http://acme.coupahost.com",
            "https://user:password@acme.coupahost.com",
            "acme.coupahost.com/api",
            "https://acme.coupahost.com@evil.example",
            "https://localhost:1@evil.example",
            "",
        ],
    )
    def test_sends_no_user_to_an_address_that_is_more_than_a_host(
        self, sandbox: Sandbox, airbyte: Airbyte, entered: str
    ) -> None:
        with pytest.raises(SignInError, match="does not match"):
            airbyte.authenticate({**sandbox.add_sign_in_client(), "instance_url": entered})
        assert len(sandbox.requests) == 0

    @pytest.mark.parametrize(
        "entered",
        [
            "core.user.read core.invoice.read",
            "core.user.read,core.invoice.read",
            "core.user.read, core.invoice.read, offline_access",
            "offline_access,core.user.read,core.invoice.read",
        ],
    )
    def test_asks_for_the_scopes_as_coupa_shows_them_and_for_offline_access(
        self, sandbox: Sandbox, airbyte: Airbyte, entered: str
    ) -> None:
        form = sandbox.add_sign_in_client(*SCOPES)
        form["credentials"]["scopes"] = entered
        url = airbyte.consent_url(airbyte.values_for(form))
        scope = dict(parse_qsl(urlsplit(url).query))["scope"]
        assert scope.strip() == "offline_access core.user.read core.invoice.read"
        config = airbyte.authenticate(form)
        assert CoupaConfig.parse(config).credentials is not None

    def test_sends_the_secret_to_the_token_endpoint_alone(
        self, sandbox: Sandbox, airbyte: Airbyte
    ) -> None:
        form = sandbox.add_sign_in_client(*SCOPES)
        values = airbyte.values_for(form)
        assert form["client_secret"] not in airbyte.consent_url(values)
        assert values["state_value"] in airbyte.consent_url(values)
        airbyte.authenticate(form)
        consent, exchange = sandbox.requests
        assert (consent.method, exchange.method) == ("GET", "POST")
        assert (exchange.path, exchange.query) == ("/oauth2/token", {})

    def test_names_a_scope_that_the_client_does_not_hold(
        self, sandbox: Sandbox, airbyte: Airbyte
    ) -> None:
        form = sandbox.add_sign_in_client(*SCOPES)
        form["credentials"]["scopes"] = "core.supplier.read"
        with pytest.raises(SignInError, match="invalid_scope"):
            airbyte.authenticate(form)

    def test_says_if_no_refresh_token_came(self, sandbox: Sandbox, airbyte: Airbyte) -> None:
        form = sandbox.add_sign_in_client(*SCOPES)
        body = '{"access_token":"x","expires_in":9}'
        sandbox.faults.add(Fault("status", status=200, body=body, resource="oauth"))
        with pytest.raises(SignInError, match="refresh_token"):
            airbyte.authenticate(form)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_the_recipe_of_the_docs_page_brings_a_refresh_token(sandbox: Sandbox) -> None:
    text = section(
        (page.BESIDE / "signing-in.md").read_text(encoding="utf-8"), "Without the button"
    )
    form = sandbox.add_sign_in_client("core.user.read", "core.invoice.read")
    for example, value in (
        ("https://acme.coupahost.com", sandbox.url),
        ("3f9d2c5be0a14f7c8c1d", form["client_id"]),
        ("9a1c0de7f4b2c35d8e61", form["client_secret"]),
    ):
        assert example in text
        text = text.replace(example, value)
    (address,) = re.findall(r"```text\n(.+?)```", text, re.S)
    (command,) = re.findall(r"```bash\n(.+?)```", text, re.S)
    (settings,) = re.findall(r"```json\n(.+?)```", text, re.S)

    back = requests.get(address.strip(), allow_redirects=False, timeout=10).headers["Location"]
    code = back.partition("code=")[2].partition("&")[0]
    response = subprocess.run(
        ["bash", "-c", command.replace("curl ", "curl --silent ").replace("THE_CODE", code)],
        capture_output=True,
        check=True,
        timeout=20,
    )
    for name in ("refresh_token", "access_token"):
        settings = settings.replace(f"THE_{name.upper()}", json.loads(response.stdout)[name])
    assert check(json.loads(settings)).connection_status == {"status": "SUCCEEDED"}
    assert grants(sandbox) == ["authorization_code"]


class TestRenewal:
    @pytest.mark.parametrize("response", ["kept", "repeated", "rotated"])
    @pytest.mark.parametrize("ends", [False, True], ids=["", "ends tokens"])
    def test_goes_on_for_sync_after_sync_whatever_comes_with_a_token(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, response: Any, ends: bool
    ) -> None:
        sandbox.dialect = sandbox.dialect.but(refresh_token=response, renewal_ends_tokens=ends)
        config, used = signed_in, set()
        for _ in range(3):
            used.add(config["credentials"]["refresh_token"])
            run = run_sync(with_old_token(config), tmp_path)
            assert run.errors == []
            assert len(run.of_type("RECORD")) == ROWS * len(ALL_STREAMS)
            config = told_config(run)
            assert {**config, "credentials": None} == {**signed_in, "credentials": None}
        assert grants(sandbox) == ["refresh_token"] * 3
        assert len(used) == (3 if response == "rotated" else 1)

    def test_asks_as_oauth_wants_it_and_for_no_narrower_scope(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path
    ) -> None:
        run_sync(with_old_token(signed_in), tmp_path)
        (request,) = sandbox.requests_for("oauth")
        assert (request.method, request.path, request.query) == ("POST", "/oauth2/token", {})
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.form == {
            "grant_type": "refresh_token",
            "client_id": signed_in["client_id"],
            "client_secret": "<secret>",
            "refresh_token": "<secret>",
        }

    def test_is_reported_before_the_new_token_is_used(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, waits: Waits
    ) -> None:
        """A process may end at any moment after it; the old refresh token may be worthless."""
        sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
        sandbox.faults.add(Fault("status", status=403, resource="users"))
        run = run_sync(with_old_token(signed_in), tmp_path, "users")
        assert run.exit_code == 1
        kinds = [message["type"] for message in run.messages]
        assert kinds.index("CONTROL") < kinds.index("TRACE", kinds.index("CONTROL"))
        sandbox.faults.clear()
        again = run_sync(with_old_token(told_config(run)), tmp_path, "users")
        assert again.errors == []

    @pytest.mark.parametrize("command", ["check", "discover", "read"])
    def test_is_written_into_the_file_of_the_settings_too(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, command: str
    ) -> None:
        """For those who run the connector without Airbyte."""
        sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
        catalog = configured_catalog("users") if command == "read" else None
        files = CliFiles(tmp_path, command, with_old_token(signed_in), catalog)
        arguments = files.arguments()
        run = run_here(arguments)
        assert json.loads(files.config_path.read_text()) == told_config(run)
        again = run_here(arguments)
        assert (again.exit_code, again.of_type("CONTROL")) == (0, [])
        assert grants(sandbox) == ["refresh_token"]

    def test_says_if_the_file_cannot_be_written(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError("no")

        files = CliFiles(tmp_path, "read", with_old_token(signed_in), configured_catalog("users"))
        arguments = files.arguments()
        monkeypatch.setattr(settings_file, "replace", refuse)
        run = run_here(arguments)
        assert run.errors == []
        assert len(run.of_type("CONTROL")) == 1
        assert "could not be written into" in run.stdout

    def test_is_asked_for_once_by_all_threads(self, sandbox: Sandbox, signed_in: Config) -> None:
        sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
        sandbox.faults.add(Fault("latency", resource="oauth", seconds=0.05))
        store = store_for(with_old_token(signed_in))
        with ThreadPoolExecutor(16) as pool:
            tokens = set(pool.map(lambda _: store.token(SCOPES[:1]), range(64)))
        assert len(tokens) == 1
        assert grants(sandbox) == ["refresh_token"]

    @pytest.mark.parametrize(
        ("left", "asks"),
        [(-3_600, True), (30, True), (600, False), (80_000, False)],
    )
    def test_waits_until_the_token_of_the_settings_is_used_up(
        self, sandbox: Sandbox, signed_in: Config, left: float, asks: bool
    ) -> None:
        expiry = (datetime.now(timezone.utc) + timedelta(seconds=left)).isoformat()
        credentials = {**signed_in["credentials"], "token_expiry_date": expiry}
        store_for({**signed_in, "credentials": credentials}).token(SCOPES[:1])
        assert grants(sandbox) == ["refresh_token"] * asks

    def test_comes_first_where_the_refresh_token_alone_was_entered(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path
    ) -> None:
        del signed_in["credentials"]["access_token"]
        assert run_sync(signed_in, tmp_path).errors == []
        assert grants(sandbox) == ["refresh_token"]

    def test_waits_for_the_refusal_of_a_token_that_was_entered_without_its_end(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, waits: Waits
    ) -> None:
        del signed_in["credentials"]["token_expiry_date"]
        assert check(signed_in).connection_status == {"status": "SUCCEEDED"}
        assert run_sync(signed_in, tmp_path).errors == []
        assert grants(sandbox) == []
        sandbox.expire_tokens()
        run = run_sync(signed_in, tmp_path)
        assert run.errors == []
        assert len(run.of_type("RECORD")) == ROWS * len(ALL_STREAMS)
        assert grants(sandbox) == ["refresh_token"]

    @pytest.mark.parametrize("response", ["kept", "rotated"])
    def test_follows_a_token_that_is_refused_in_the_middle(
        self, airbyte: Airbyte, tmp_path: Path, waits: Waits, response: Any
    ) -> None:
        rows = dict.fromkeys(RESOURCE_OF.values(), 120)
        with Sandbox(rows=rows, spread=[days_ago(1)]) as sandbox:
            sandbox.dialect = sandbox.dialect.but(rate_limit=None, refresh_token=response)
            config = sign_in(sandbox, airbyte)
            expired: list[bool] = []

            def expire(sandbox: Sandbox, request: RequestRecord) -> None:
                if "id[gt]" in request.query and not expired:
                    expired.append(True)
                    sandbox.expire_tokens()

            sandbox.before_each(expire)
            run = run_sync(config, tmp_path)
            assert (run.errors, expired) == ([], [True])
            assert {stream: len(ids) for stream, ids in read_ids(run).items()} == (
                dict.fromkeys(ALL_STREAMS, 120)
            )
            assert grants(sandbox) == ["refresh_token"]


class TestRefusal:
    """What no attempt can fix is said once, in one message, and asked for once."""

    @pytest.mark.parametrize(
        ("command", "refusal"),
        [
            ("check", Refusal(400)),
            ("discover", Refusal(400)),
            ("read", Refusal(400)),
            ("read", Refusal(401)),
            ("read", Refusal(400, "object")),
            ("read", Refusal(401, "empty")),
        ],
        ids=str,
    )
    def test_of_the_refresh_token(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, command: str, refusal: Refusal
    ) -> None:
        sandbox.dialect = sandbox.dialect.but(bad_refresh_token=refusal)
        sandbox.end_sign_ins()
        catalog = configured_catalog(*ALL_STREAMS) if command == "read" else None
        run = run_here(CliFiles(tmp_path, command, with_old_token(signed_in), catalog).arguments())
        assert AGAIN in failure_of(run)
        assert run.of_type("CONTROL") == []
        assert grants(sandbox) == ["refresh_token"]

    def test_of_one_that_was_replaced(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path
    ) -> None:
        sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
        assert run_sync(with_old_token(signed_in), tmp_path).errors == []
        assert AGAIN in failure_of(run_sync(with_old_token(signed_in), tmp_path))

    @pytest.mark.parametrize("response", ["kept", "repeated", "rotated"])
    def test_of_one_whose_response_was_lost_is_reported_and_not_taken_for_an_outage(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, waits: Waits, response: Any
    ) -> None:
        sandbox.dialect = sandbox.dialect.but(refresh_token=response)
        sandbox.faults.add(Fault("drop", resource="oauth", times=1))
        run = run_sync(with_old_token(signed_in), tmp_path)
        assert grants(sandbox) == ["refresh_token"] * 2
        if response == "rotated":
            assert AGAIN in failure_of(run)
        else:
            assert run.errors == []

    def test_of_the_secret(self, sandbox: Sandbox, signed_in: Config) -> None:
        config = with_old_token({**signed_in, "client_secret": "wrong"})
        assert "refused the client ID or the client secret" in failure_of(check(config))

    def test_of_a_client_that_is_made_for_the_other_grant_type(
        self, sandbox: Sandbox, signed_in: Config
    ) -> None:
        client = {key: sandbox.config()[key] for key in ("client_id", "client_secret")}
        message = failure_of(check(with_old_token({**signed_in, **client})))
        assert "does not let this OAuth client renew a sign-in" in message
        del signed_in["credentials"]
        assert "use the grant type client credentials" in failure_of(check(signed_in))

    def test_of_an_unknown_kind(self, sandbox: Sandbox, signed_in: Config) -> None:
        sandbox.faults.add(Fault("status", status=400, body='{"error":"quota"}', resource="oauth"))
        message = failure_of(check(with_old_token(signed_in)))
        assert "refused to issue an access token (error quota)" in message

    @pytest.mark.parametrize("status", [429, 503])
    def test_for_a_moment_ends_no_sign_in(
        self, sandbox: Sandbox, signed_in: Config, tmp_path: Path, waits: Waits, status: int
    ) -> None:
        sandbox.faults.add(Fault("status", status=status, resource="oauth", times=3))
        assert run_sync(with_old_token(signed_in), tmp_path).errors == []
        assert grants(sandbox) == ["refresh_token"] * 4


class TestScopes:
    """Which streams there are: what the endpoint says, or else what can be read."""

    def test_that_are_stated_are_believed(self, sandbox: Sandbox, signed_in: Config) -> None:
        sandbox.dialect = sandbox.dialect.but(token_shows_scope=True)
        assert discovered(discover(with_old_token(signed_in))) == streams_of(SCOPES)
        # one look at the columns of each list, none to find out whether it opens
        assert sorted(str(request.resource) for request in sandbox.requests) == sorted(
            {"oauth", *lists_of(SCOPES)}
        )

    def test_that_are_not_stated_are_found_out_among_those_that_were_asked_for(
        self, sandbox: Sandbox, signed_in: Config
    ) -> None:
        assert discovered(discover(signed_in)) == streams_of(SCOPES)
        assert {request.resource for request in sandbox.requests} == lists_of(SCOPES)
        assert grants(sandbox) == []

    def test_are_all_tried_if_the_settings_name_none(
        self, sandbox: Sandbox, signed_in: Config
    ) -> None:
        del signed_in["credentials"]["scopes"]
        assert discovered(discover(signed_in)) == streams_of(SCOPES)

    @pytest.mark.parametrize("refusal", [Refusal(403), Refusal(401, "empty")], ids=str)
    def test_do_not_open_what_the_user_may_not_read(
        self, sandbox: Sandbox, signed_in: Config, refusal: Refusal
    ) -> None:
        sandbox.faults.add(Fault("status", status=refusal.status, resource="invoices"))
        run = discover(signed_in)
        open_ones = [name for name in discovered(run) if not name.startswith("invoice")]
        assert discovered(run) == open_ones != []
        assert "Stream invoices is not available: the sign-in lacks the scope" in run.stdout
        # the other lists prove that the token is good
        assert grants(sandbox) == []

    def test_are_looked_for_with_a_renewed_token_if_that_of_the_settings_opens_nothing(
        self, sandbox: Sandbox, signed_in: Config
    ) -> None:
        sandbox.expire_tokens()
        run = check(signed_in)
        assert run.connection_status == {"status": "SUCCEEDED"}
        assert grants(sandbox) == ["refresh_token"]
        assert len(run.of_type("CONTROL")) == 1

    def test_that_open_nothing_are_reported(
        self, sandbox: Sandbox, signed_in: Config, waits: Waits
    ) -> None:
        sandbox.faults.add(Fault("status", status=403))
        message = failure_of(check(signed_in))
        assert "accepts the sign-in, but nothing can be read with it: add at least one" in message
        assert all(scope in message for scope in SCOPES)

    def test_that_were_reported_missing_fail_their_streams_and_no_other(
        self, sandbox: Sandbox, airbyte: Airbyte, tmp_path: Path
    ) -> None:
        sandbox.dialect = sandbox.dialect.but(token_shows_scope=True)
        config = sign_in(sandbox, airbyte, *SCOPES[:2])
        run = run_sync(with_old_token(config), tmp_path)
        assert {stream for stream, ids in read_ids(run).items() if ids} == (
            {"users", "expenses", "expense_lines"}
        )
        assert "The sign-in does not cover the scope core.invoice.read: add it" in failure_of(run)
        assert sandbox.requests_for("invoices") == []


@pytest.mark.parametrize("credentials", [None, {}, {"auth_type": None}, "client_credentials"])
def test_settings_without_a_grant_type_mean_client_credentials(
    sandbox: Sandbox, tmp_path: Path, credentials: Any
) -> None:
    """Those of earlier versions among them: the same requests, and nothing to hand back."""
    if credentials == "client_credentials":
        credentials = {"auth_type": credentials}
    asked = []
    for config in (sandbox.config(), sandbox.config(credentials=credentials)):
        sandbox.requests.clear()
        assert check(config).connection_status == {"status": "SUCCEEDED"}
        run = run_sync({**config, "start_date": START_DATE}, tmp_path, "users")
        assert (run.errors, run.of_type("CONTROL")) == ([], [])
        tokens = [(r.path, list(r.form.items())) for r in sandbox.requests if r.method == "POST"]
        # how many pages a list takes depends on which response comes first
        pages = {r.path for r in sandbox.requests if r.method == "GET"}
        asked.append((tokens, pages))
    assert asked[0] == asked[1] != ([], set())


def test_no_secret_shows_in_the_text_of_its_objects(signed_in: Config) -> None:
    settings = CoupaConfig.parse(signed_in)
    store = token_store(settings, SCOPES)
    text = f"{settings!r} {settings.credentials!r} {store.token(SCOPES)!r} {vars(store)!r}"
    for name in ("refresh_token", "access_token"):
        assert signed_in["credentials"][name] not in text
    with pytest.raises(AirbyteTracedException) as caught:
        CoupaConfig.parse({**signed_in, "credentials": {**signed_in["credentials"], "scopes": 1}})
    assert signed_in["credentials"]["refresh_token"] not in str(caught.value)
