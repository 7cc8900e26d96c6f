"""Each failure gets one message that says what to do, and the failure type that fits.

`check` responds FAILED within a minute and ends well as a command; `discover` and `read` end with
exit code 1. A stream that cannot be read keeps no other from completing.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from airbyte_cdk.models import FailureType
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration_tests.harness import (
    ALL_STREAMS,
    CliRun,
    check,
    discover,
    records_by_stream,
    run_read,
)
from integration_tests.reference.manifest import SCOPES
from integration_tests.sandbox import Fault, Refusal, Sandbox
from source_coupa import errors, source
from source_coupa.transport import session as http
from unit_tests.conftest import Waits
from unit_tests.failing import ROWS, START_DATE, failures, small_sandbox, statuses, traces

pytestmark = pytest.mark.usefixtures("no_budget")

CONFIG = FailureType.config_error
TRANSIENT = FailureType.transient_error
SYSTEM = FailureType.system_error

CLIENT_PAGE = r"\(Setup > Oauth2/OpenID Connect Clients\)"
WRONG_CREDENTIALS = "refused the client ID or the client secret: copy both again from Coupa"
WRONG_GRANT = "does not let this OAuth client use the grant type client credentials: choose"
NO_SCOPE = "holds none of the scopes that open a list: add at least one of .* core.user.read"
NOT_COUPA = "does not respond like a Coupa instance"
REDIRECT = "redirects to .+, where the connector does not follow: enter the address"
LIMITED = r"request limit .*used up \(HTTP 429\).*lower the requests per second"
UNAVAILABLE = "is not available .*, perhaps for maintenance: "
UNREACHABLE = "could not be reached: check the instance URL and that a firewall or IP allow list"
TIMED_OUT = "is slow and did not respond in time: try again later"
IN_FRONT = "Something in front of .* sends a web page .*: let .* pass the firewall or the IP allow"
NO_CERTIFICATE = "The TLS certificate of .+ could not be verified: check the instance URL"
NO_HOST = "The host .+ does not exist: check the instance URL"


def response(status: int, body: str, **options: Any) -> Fault:
    return Fault("status", status=status, body=body, **options)


TOKEN_FAULTS: dict[str, tuple[Fault, str, FailureType]] = {
    "401 json": (response(401, '{"error":"invalid_client"}'), WRONG_CREDENTIALS, CONFIG),
    "400 json": (response(400, '{"error":"invalid_client"}'), WRONG_CREDENTIALS, CONFIG),
    "401 {}": (response(401, "{}"), WRONG_CREDENTIALS, CONFIG),
    "400 {}": (response(400, "{}"), WRONG_CREDENTIALS, CONFIG),
    "400 empty": (response(400, "empty"), WRONG_CREDENTIALS, CONFIG),
    "401 html": (response(401, "html"), IN_FRONT, CONFIG),
    "403 html": (response(403, "html"), IN_FRONT, CONFIG),
    "400 other error": (
        response(400, '{"error":"invalid_grant"}'),
        r"refused to issue an access token \(error invalid_grant\): check in Coupa",
        CONFIG,
    ),
    "400 text for an error": (
        response(400, '{"error":"Sorry, no. Ask <a>us</a>"}'),
        r"refused to issue an access token \(error unknown\): check in Coupa",
        CONFIG,
    ),
    "wrong grant": (response(400, '{"error":"unsupported_grant_type"}'), WRONG_GRANT, CONFIG),
    "grant refused": (response(401, '{"error":"unauthorized_client"}'), WRONG_GRANT, CONFIG),
    "no scope": (response(400, '{"error":"invalid_scope"}'), NO_SCOPE, CONFIG),
    "web page": (Fault("html_200"), NOT_COUPA, CONFIG),
    "404": (response(404, "html"), NOT_COUPA, CONFIG),
    "405": (response(405, "empty"), NOT_COUPA, CONFIG),
    "no token": (Fault("object"), NOT_COUPA, CONFIG),
    "empty": (Fault("empty_body"), NOT_COUPA, CONFIG),
    "cut JSON": (Fault("invalid_json"), NOT_COUPA, CONFIG),
    "login page": (Fault("redirect", location="login"), REDIRECT, CONFIG),
    "other host": (Fault("redirect", location="https://sso.example/login"), REDIRECT, CONFIG),
    "no URL": (Fault("redirect", location="https://[bad"), REDIRECT, CONFIG),
    "429": (response(429, "json"), LIMITED, TRANSIENT),
    "429 for a day": (response(429, "empty", retry_after=86_400), LIMITED, TRANSIENT),
    "503": (response(503, "html"), UNAVAILABLE, TRANSIENT),
    "500": (response(500, "empty"), UNAVAILABLE, TRANSIENT),
    "server error as 400": (response(400, '{"error":"server_error"}'), UNAVAILABLE, TRANSIENT),
    "dropped": (Fault("drop"), UNREACHABLE, TRANSIENT),
    "truncated": (Fault("truncated"), UNREACHABLE, TRANSIENT),
    "hanging": (Fault("latency", seconds=1.5), TIMED_OUT, TRANSIENT),
}
PAGE_FAULTS: dict[str, tuple[Fault, str, FailureType]] = {
    "403 json": (response(403, "json"), rf"HTTP 403.*{CLIENT_PAGE}.*core.invoice.read", CONFIG),
    "403 html": (response(403, "html"), IN_FRONT, CONFIG),
    "401": (response(401, "{}"), r"does not accept them \(HTTP 401\): check in Coupa", CONFIG),
    "404": (response(404, "html"), "does not offer /api/invoices .*deselect its streams", CONFIG),
    "405": (response(405, "html"), "HTTP 405.*: the stream was stopped, try again", SYSTEM),
    "418": (response(418, "html"), "HTTP 418.*: the stream was stopped, try again", SYSTEM),
    "204": (response(204, "empty"), "HTTP 204.*: the stream was stopped, try again", SYSTEM),
    "206": (response(206, "[]"), "HTTP 206.*: the stream was stopped, try again", SYSTEM),
    "login page": (Fault("redirect", location="login"), REDIRECT, CONFIG),
    "other host": (Fault("redirect", location="other"), REDIRECT, CONFIG),
    "429": (response(429, "json"), LIMITED, TRANSIENT),
    "429, wait a second": (response(429, "html", retry_after=1), LIMITED, TRANSIENT),
    "429, wait until": (response(429, "empty", retry_after="date"), LIMITED, TRANSIENT),
    "429, wait a day": (
        response(429, "json", retry_after=86_400),
        "asks to wait 1440 min",
        TRANSIENT,
    ),
    "429, wait nonsense": (response(429, "json", retry_after="soon"), LIMITED, TRANSIENT),
    "503": (response(503, "html"), UNAVAILABLE, TRANSIENT),
    "503, wait": (response(503, "html", retry_after=60), UNAVAILABLE, TRANSIENT),
    "599": (response(599, "empty"), UNAVAILABLE, TRANSIENT),
    "dropped": (Fault("drop"), UNREACHABLE, TRANSIENT),
    "truncated": (Fault("truncated"), UNREACHABLE, TRANSIENT),
}
CHECK_PAGE_FAULTS: dict[str, tuple[Fault, str]] = {
    "403": (response(403, "json"), f"refuses access to users, expenses.*: check.*{CLIENT_PAGE}"),
    "403 html": (response(403, "html"), IN_FRONT),
    "401": (response(401, "{}"), f"refuses access to users, expenses.*: check.*{CLIENT_PAGE}"),
    "404": (response(404, "html"), NOT_COUPA),
    "400": (response(400, "json"), NOT_COUPA),
    "web page": (Fault("html_200"), NOT_COUPA),
    "XML": (Fault("xml_200"), NOT_COUPA),
    "object": (Fault("object"), NOT_COUPA),
    "login page": (Fault("redirect", location="login"), REDIRECT),
    "429": (response(429, "json"), LIMITED),
    "503": (response(503, "html"), UNAVAILABLE),
    "dropped": (Fault("drop"), UNREACHABLE),
    "hanging": (Fault("latency", seconds=1.5), TIMED_OUT),
}


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with small_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Lent to one test after the other: faults are lifted, the log is empty."""
    shared_sandbox.requests.clear()
    yield shared_sandbox
    shared_sandbox.faults.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that hangs is given up after a moment instead of after seconds."""
    monkeypatch.setattr(http, "TIMEOUT", (0.5, 0.5))


def is_one_sentence(text: str) -> bool:
    """Whether a text says what is wrong, then after a colon what to do, and no more."""
    return re.fullmatch(r"[^\n]+: [^\n]+[^.\n]\.", text) is not None and "Traceback" not in text


def failed_check(config: dict[str, Any]) -> str:
    run = check(config)
    assert (run.exit_code, run.errors) == (0, [])
    assert run.connection_status["status"] == "FAILED"
    message: str = run.connection_status["message"]
    assert is_one_sentence(message), message
    return message


def failed_run(run: CliRun) -> dict[str, Any]:
    assert run.exit_code == 1
    (error,) = run.errors
    assert is_one_sentence(error["message"]), error["message"]
    return error


@pytest.mark.parametrize("name", TOKEN_FAULTS)
@pytest.mark.usefixtures("impatient")
def test_check_says_what_is_wrong_with_tokens_without_asking_again(
    sandbox: Sandbox, name: str
) -> None:
    fault, sentence, _ = TOKEN_FAULTS[name]
    sandbox.faults.add(replace(fault, resource="oauth"))
    assert re.search(sentence, failed_check(sandbox.config()))
    # once for all scopes, once for each and, where all are refused, without a scope
    asked = [request.form.get("scope") for request in sandbox.requests_for("oauth")]
    assert len(asked) == len(set(asked)) <= 1 + len(SCOPES) + 1
    assert len(sandbox.requests) == len(asked)


@pytest.mark.parametrize(
    "name",
    [
        "401 {}",
        "400 other error",
        "wrong grant",
        "no scope",
        "web page",
        "login page",
        "other host",
        "429",
        "503",
        "server error as 400",
        "dropped",
    ],
)
def test_discover_and_read_tell_what_is_wrong_with_tokens(
    sandbox: Sandbox, waits: Waits, name: str
) -> None:
    fault, sentence, kind = TOKEN_FAULTS[name]
    sandbox.faults.add(replace(fault, resource="oauth"))
    error = failed_run(discover(sandbox.config()))
    assert re.search(sentence, error["message"])
    assert error["failure_type"] == kind.value

    sandbox.requests.clear()
    output = run_read(sandbox, start_date=START_DATE)
    reported = failures(output)
    assert set(reported) == set(ALL_STREAMS)
    for message, failure_type in reported.values():
        assert re.search(sentence, message)
        assert is_one_sentence(message)
        assert failure_type == kind
    assert traces(output)[-1].failure_type == kind
    assert output.records == []
    assert len(sandbox.requests) == len(sandbox.requests_for("oauth"))
    if kind == CONFIG:
        assert len(sandbox.requests) <= 1 + len(SCOPES) + 1
    else:
        assert len(sandbox.requests) > len(ALL_STREAMS)


@pytest.mark.parametrize(("fault", "sentence"), CHECK_PAGE_FAULTS.values(), ids=CHECK_PAGE_FAULTS)
@pytest.mark.usefixtures("impatient", "waits")
def test_check_fails_if_no_stream_can_be_read(
    sandbox: Sandbox, fault: Fault, sentence: str
) -> None:
    sandbox.faults.add(fault)
    assert re.search(sentence, failed_check(sandbox.config()))


@pytest.mark.parametrize("fault", [response(403, "json"), response(404, "html"), Fault("html_200")])
def test_check_succeeds_if_one_stream_can_be_read(sandbox: Sandbox, fault: Fault) -> None:
    for resource in ("users", "expense_reports", "expense_lines"):
        sandbox.faults.add(replace(fault, resource=resource))
    run = check(sandbox.config())
    assert run.connection_status == {"status": "SUCCEEDED"}
    logged = [message["log"]["message"] for message in run.of_type("LOG")]
    for stream in ("users", "expenses", "expense_lines"):
        assert any(line.startswith(f"Stream {stream} cannot be read: ") for line in logged)


@pytest.mark.parametrize(("fault", "sentence", "kind"), PAGE_FAULTS.values(), ids=PAGE_FAULTS)
def test_read_reports_a_failed_stream_once_and_completes_all_others(
    sandbox: Sandbox, waits: Waits, fault: Fault, sentence: str, kind: FailureType
) -> None:
    sandbox.faults.add(replace(fault, resource="invoices"))
    output = run_read(sandbox, start_date=START_DATE)
    ((stream, (message, failure_type)),) = failures(output).items()
    assert stream == "invoices"
    assert re.search(sentence, message)
    assert is_one_sentence(message)
    assert failure_type == kind
    summary = traces(output)[-1]
    assert summary.failure_type == kind
    assert summary.message == f"Some streams could not be synced. invoices: {message}"
    assert statuses(output, "invoices") == ["STARTED", "INCOMPLETE"]
    for other in ("users", "expenses", "expense_lines"):
        assert statuses(output, other) == ["STARTED", "RUNNING", "COMPLETE"]
        assert len(records_by_stream(output)[other]) == ROWS


@pytest.mark.parametrize("name", ["429", "429, wait a second", "429, wait until", "503", "dropped"])
def test_read_survives_what_passes_by(sandbox: Sandbox, waits: Waits, name: str) -> None:
    fault = PAGE_FAULTS[name][0]
    sandbox.faults.add(replace(fault, times=4), replace(fault, resource="oauth", times=4))
    output = run_read(sandbox, start_date=START_DATE)
    assert output.errors == []
    assert {stream: len(rows) for stream, rows in records_by_stream(output).items()} == (
        dict.fromkeys(ALL_STREAMS, ROWS)
    )
    assert waits.slept


def test_read_waits_as_long_as_retry_after_says(sandbox: Sandbox, waits: Waits) -> None:
    sandbox.faults.add(response(503, "html", retry_after=77, times=1, resource="users"))
    # alone, as small requests beside the pages may fail without harm
    assert run_read(sandbox, ["users"], start_date=START_DATE, num_workers=2).errors == []
    assert any(77 <= seconds <= 79 for seconds in waits.slept)


def test_a_token_is_waited_for_as_long_as_retry_after_says(sandbox: Sandbox, waits: Waits) -> None:
    sandbox.faults.add(response(429, "json", retry_after=77, times=1, resource="oauth"))
    assert run_read(sandbox, ["users"], start_date=START_DATE).errors == []
    assert any(76 <= seconds <= 77 for seconds in waits.slept)


def test_a_token_is_not_waited_for_all_day(sandbox: Sandbox, waits: Waits) -> None:
    sandbox.faults.add(response(429, "json", retry_after=86_400, resource="oauth"))
    output = run_read(sandbox, ["users"], start_date=START_DATE)
    ((message, kind),) = failures(output).values()
    assert message.startswith("Coupa asks to wait 1440 minutes before the next request: ")
    assert kind == TRANSIENT
    # of the list's first three requests, those that do not meet ask by themselves
    assert 1 <= len(sandbox.requests_for("oauth")) <= 3
    assert sandbox.requests_for("users") == []
    assert not waits.slept


def test_what_the_user_has_to_fix_costs_no_request_per_window(
    sandbox: Sandbox,
) -> None:
    sandbox.faults.add(response(403, "html", resource="users"))
    output = run_read(sandbox, ["users"], start_date="2006-01-01T00:00:00Z", num_workers=2)
    assert set(failures(output)) == {"users"}
    assert len(sandbox.requests_for("users")) < 10


@pytest.mark.parametrize(
    "override", [{"client_id": "of-another-instance"}, {"client_secret": "outdated-secret"}]
)
@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(401),
        Refusal(400),
        Refusal(401, "object"),
        Refusal(400, "object"),
        Refusal(401, "empty"),
    ],
    ids=str,
)
def test_a_wrong_id_or_secret_is_not_taken_for_missing_scopes(
    override: dict[str, Any], refusal: Refusal
) -> None:
    with small_sandbox(bad_client=refusal) as sandbox:
        assert re.search(WRONG_CREDENTIALS, failed_check(sandbox.config(**override)))


def test_check_gives_up_before_airbyte_does(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.CHECK_SECONDS < 60
    monkeypatch.setattr(source, "CHECK_SECONDS", 1.0)
    sandbox.faults.add(Fault("slow_drip", seconds=20, resource="oauth"))
    started = time.monotonic()
    message = failed_check(sandbox.config())
    assert time.monotonic() - started < 10
    assert "is slow and did not finish its responses within 1 seconds: try again" in message


def test_a_slow_first_response_is_no_wrong_setting(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token and a list that take twelve seconds each, with a tenth of all limits and times."""
    for patched, name in ((http, "LONGEST_RESPONSE"), (source, "CHECK_SECONDS")):
        monkeypatch.setattr(patched, name, getattr(patched, name) / 10)
    monkeypatch.setattr(http, "TIMEOUT", tuple(seconds / 10 for seconds in http.TIMEOUT))
    for resource in ("oauth", None):
        sandbox.faults.add(Fault("latency", seconds=1.2, times=1, resource=resource))
    assert check(sandbox.config()).connection_status == {"status": "SUCCEEDED"}


@pytest.mark.parametrize(
    "body",
    [b'[{"id": ' + b"9" * 5_000 + b"}]", b"[" * 100_000, b'["\xff"]', b"[NaN]"],
    ids=["digits", "depth", "no UTF-8", "NaN"],
)
@pytest.mark.parametrize("resource", ["oauth", None], ids=["token", "list"])
def test_check_has_a_result_whatever_the_body(
    sandbox: Sandbox, resource: str | None, body: bytes
) -> None:
    sandbox.faults.add(Fault("status", status=200, body=body, resource=resource))
    assert re.search(NOT_COUPA, failed_check(sandbox.config()))


def test_check_passes_over_one_list_that_is_ill(sandbox: Sandbox) -> None:
    sandbox.faults.add(response(500, "html", resource="users"))
    assert check(sandbox.config()).connection_status == {"status": "SUCCEEDED"}


def settings(url: str) -> dict[str, Any]:
    return {
        "instance_url": url,
        "client_id": "an-id-for-failures",
        "client_secret": "a-secret-for-failures",
    }


@pytest.mark.parametrize(
    ("code", "sentence", "kind"),
    [
        (socket.EAI_NONAME, NO_HOST, TRANSIENT),
        (socket.EAI_AGAIN, UNREACHABLE, TRANSIENT),
    ],
    ids=["no such name", "name server is down"],
)
def test_a_host_that_cannot_be_looked_up(
    code: int,
    sentence: str,
    kind: FailureType,
    monkeypatch: pytest.MonkeyPatch,
    waits: Waits,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(code, "cannot be looked up")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    config = settings("https://no-such-host.invalid")
    assert re.search(sentence, failed_check(config))
    error = failed_run(discover(config))
    assert re.search(sentence, error["message"])
    assert error["failure_type"] == kind.value


def test_a_host_that_the_cdk_may_not_reach_on_airbyte_cloud() -> None:
    error = errors.unreachable("acme.coupahost.com", requests.exceptions.InvalidURL("x"))
    assert re.search(NO_HOST, str(error))


def test_a_port_at_which_nobody_listens(waits: Waits) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = settings(f"http://localhost:{closed.getsockname()[1]}")
        assert re.search(UNREACHABLE, failed_check(config))
        assert failed_run(discover(config))["failure_type"] == "transient_error"


class _Silent(HTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A failed handshake is what the test wants."""


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """A server with a certificate that nobody signed; gives its URL."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = _Silent(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def responding(reply: bytes) -> Iterator[int]:
    """A server that sends these bytes whatever comes, or ends the connection without any; gives its
    port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.recv(4_096)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


OLD_TLS = b"\x15\x03\x02\x00\x02\x02\x46"
"""An alert: protocol version."""


@pytest.mark.parametrize(
    ("reply", "sentence", "kind"),
    [
        (b"", UNREACHABLE, TRANSIENT),
        (OLD_TLS, "offers no version of TLS that is safe: have TLS 1.2 or newer", CONFIG),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS: check .* port", CONFIG),
    ],
    ids=["dropped handshake", "TLS 1.1", "no TLS"],
)
def test_a_handshake_that_fails(
    reply: bytes, sentence: str, kind: FailureType, waits: Waits
) -> None:
    with responding(reply) as port:
        error = failed_run(discover(settings(f"https://127.0.0.1:{port}")))
    assert re.search(sentence, error["message"])
    assert error["failure_type"] == kind.value


@pytest.mark.parametrize(
    ("status", "sentence", "kind"),
    [
        ("503 Service Unavailable", "The proxy on the way to .* did not connect: try", TRANSIENT),
        ("407 Proxy Authentication Required", "proxy .* refused .* user and password", CONFIG),
        ("403 Forbidden", "proxy on the way to .* refused the connection: let it pass", CONFIG),
    ],
)
def test_a_proxy_that_does_not_connect(
    status: str,
    sentence: str,
    kind: FailureType,
    waits: Waits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with responding(f"HTTP/1.1 {status}\r\n\r\n".encode()) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        error = failed_run(discover(settings("https://acme.invalid")))
    assert re.search(sentence, error["message"])
    assert error["failure_type"] == kind.value


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"HTTPS_PROXY": "ftp://proxy:1"}, "address of the proxy is not valid: write it into"),
        ({"HTTPS_PROXY": "http://"}, "address of the proxy is not valid: write it into"),
        ({"HTTPS_PROXY": "http://a:b#c@proxy:1"}, "address of the proxy is not valid: write it"),
        ({"HTTPS_PROXY": "http://user:password@"}, "address of the proxy is not valid: write it"),
        ({"HTTPS_PROXY": "http://a:p%E4@proxy:1"}, "address of the proxy is not valid: write it"),
        ({"HTTPS_PROXY": "http://a..b:1"}, "address of the proxy is not valid: write it"),
        ({"HTTPS_PROXY": "socks5://127.0.0.1:9"}, "cannot use a SOCKS proxy: name an HTTP proxy"),
        ({"REQUESTS_CA_BUNDLE": "/no/such/file"}, "REQUESTS_CA_BUNDLE .* cannot be read: correct"),
        ({"CURL_CA_BUNDLE": "/no/such/file"}, "CURL_CA_BUNDLE names cannot be read: correct"),
        ({"REQUESTS_CA_BUNDLE": __file__}, "REQUESTS_CA_BUNDLE .* cannot be read: correct the"),
    ],
    ids=str,
)
def test_an_environment_variable_that_is_wrong_is_named(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with responding(b"") as port:
        assert re.search(sentence, failed_check(settings(f"https://127.0.0.1:{port}")))


def test_requests_name_the_connector_and_carry_no_cookies(sandbox: Sandbox) -> None:
    sandbox.faults.add(
        Fault("wrong_content_type", headers={"Set-Cookie": "session=1; Path=/"}, resource="users")
    )
    assert check(sandbox.config()).connection_status == {"status": "SUCCEEDED"}
    assert run_read(sandbox, start_date=START_DATE).errors == []
    for request in sandbox.requests:
        assert re.fullmatch(r"source-coupa/\d+\.\d+\.\d+", request.headers["user-agent"])
        assert "cookie" not in request.headers


def test_a_token_in_a_response_without_end_is_refused(sandbox: Sandbox) -> None:
    body = b'{"access_token": "t", "x": "' + b"x" * http.LARGEST_TOKEN + b'"}'
    sandbox.faults.add(
        Fault(
            "status",
            status=200,
            body=gzip.compress(body),
            resource="oauth",
            headers={"Content-Encoding": "gzip"},
        )
    )
    assert "a response of more than 1,000,000 bytes" in failed_check(sandbox.config())


def test_a_certificate_that_cannot_be_verified(tmp_path: Path) -> None:
    with tls_server(tmp_path) as url:
        assert re.search(NO_CERTIFICATE, failed_check(settings(url)))
        error = failed_run(discover(settings(url)))
        assert re.search(NO_CERTIFICATE, error["message"])
        assert error["failure_type"] == "config_error"
