"""Redirects are never followed: the host they lead to gets no request and so no secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from airbyte_cdk.models import FailureType

from integration_tests.harness import ALL_STREAMS, check, discover, run_read
from integration_tests.sandbox import Fault
from source_coupa.errors import redirected
from source_coupa.redaction import hide
from unit_tests.failing import START_DATE, failures, small_sandbox

STATUSES = (301, 302, 303, 307, 308)


class OtherHost(ThreadingHTTPServer):
    """Responds as Coupa would, with a token and a list, and remembers what it was asked.

    It listens on 127.0.0.1, which is another host than the sandbox's `localhost`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def same_name(self) -> str:
        """The sandbox's name, at another port."""
        return f"http://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: OtherHost

    def _respond(self) -> None:
        self.server.asked.append(f"{self.requestline}\n{self.headers}")
        body = b"[]" if self.path.startswith("/api/") else b'{"access_token":"taken"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _respond

    def log_message(self, format: str, *args: object) -> None:
        """Keeps standard error quiet."""


@pytest.fixture(scope="module")
def running_other_host() -> Iterator[OtherHost]:
    server = OtherHost()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def other_host(running_other_host: OtherHost) -> OtherHost:
    running_other_host.asked.clear()
    return running_other_host


def redirect(status: int, resource: str | None, target: str) -> Fault:
    return Fault(
        "status", status=status, resource=resource, body="html", headers={"Location": target}
    )


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("resource", ["oauth", None], ids=["token", "record"])
def test_check_and_discover_do_not_follow(
    other_host: OtherHost, status: int, resource: str | None
) -> None:
    path = "/oauth2/token" if resource else "/api/users"
    with small_sandbox() as sandbox:
        sandbox.faults.add(redirect(status, resource, f"{other_host.url}{path}?secret=1"))
        run = check(sandbox.config())
        message = run.connection_status["message"]
        assert run.connection_status["status"] == "FAILED"
        assert "redirects to 127.0.0.1, where the connector does not follow" in message
        assert "secret=1" not in run.stdout
        if resource:
            run = discover(sandbox.config())
            assert run.exit_code == 1
            assert "redirects to 127.0.0.1" in run.errors[0]["message"]
        assert other_host.asked == []


@pytest.mark.parametrize("status", STATUSES)
def test_a_refresh_token_is_not_taken_along(
    other_host: OtherHost, status: int, no_budget: None
) -> None:
    with small_sandbox() as sandbox:
        config = sandbox.add_sign_in_client("core.user.read")
        config["credentials"]["refresh_token"] = "a-refresh-token"
        sandbox.faults.add(redirect(status, "oauth", f"{other_host.url}/oauth2/token"))
        message = check(config).connection_status["message"]
        assert "redirects to 127.0.0.1, where the connector does not follow" in message
        assert other_host.asked == []


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("resource", ["oauth", "invoices"])
def test_read_does_not_follow(
    other_host: OtherHost, status: int, resource: str, no_budget: None
) -> None:
    with small_sandbox() as sandbox:
        path = "/oauth2/token" if resource == "oauth" else "/api/invoices"
        sandbox.faults.add(redirect(status, resource, other_host.url + path))
        output = run_read(sandbox, start_date=START_DATE)
        failed = ALL_STREAMS if resource == "oauth" else ("invoices",)
        assert sorted(failures(output)) == sorted(failed)
        for message, failure_type in failures(output).values():
            assert "redirects to 127.0.0.1, where the connector does not follow" in message
            assert failure_type == FailureType.config_error
        assert other_host.asked == []


@pytest.mark.parametrize("resource", ["oauth", "invoices"])
def test_another_port_of_the_same_name_is_another_host(
    other_host: OtherHost, resource: str, no_budget: None
) -> None:
    with small_sandbox() as sandbox:
        sandbox.faults.add(redirect(307, resource, f"{other_host.same_name}/api/invoices"))
        output = run_read(sandbox, ["invoices"], start_date=START_DATE)
        assert set(failures(output)) == {"invoices"}
        assert other_host.asked == []


@pytest.mark.parametrize("resource", ["oauth", "invoices"])
def test_a_redirect_on_the_same_host_is_not_followed_either(resource: str, no_budget: None) -> None:
    with small_sandbox() as sandbox:
        sandbox.faults.add(redirect(302, resource, "/sessions/new"))
        output = run_read(sandbox, ["invoices"], start_date=START_DATE)
        assert set(failures(output)) == {"invoices"}
        assert "/sessions/new" not in {request.path for request in sandbox.requests}


@pytest.mark.parametrize(
    "target",
    ["https://[bad", "//127.0.0.1:{port}/x", "http:\\\\127.0.0.1:{port}", "ftp://127.0.0.1", ""],
)
@pytest.mark.parametrize("resource", ["oauth", "invoices"])
def test_a_target_in_a_strange_form_changes_nothing(
    other_host: OtherHost, resource: str, target: str, no_budget: None
) -> None:
    with small_sandbox() as sandbox:
        location = target.replace("{port}", str(other_host.server_port))
        sandbox.faults.add(redirect(302, resource, location))
        output = run_read(sandbox, ["invoices"], start_date=START_DATE)
        ((message, _),) = failures(output).values()
        assert "redirects to " in message
        assert other_host.asked == []


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("https://login.acme.com/x?y=1", "login.acme.com"),
        ("https://login.acme.com:8443", "login.acme.com"),
        ("https://user:password@login.acme.com/", "login.acme.com"),
        ("https://A-Hidden-Secret.evil.example/", "another page"),
        (f"https://{b'a-hidden-secret'.hex()}.evil.example/", "another page"),
        (f"https://{'x' * 50}.evil.example/", "another page"),
        ("https://a%2Bb.evil.example/", "another page"),
        ("https://\u202eevil.example/", "another page"),
        ("https://[::1]/", "another page"),
        ("https://[bad/", "another page"),
        ("/sessions/new", "another page"),
    ],
)
def test_a_target_is_shown_if_it_is_a_plain_host_without_a_secret(target: str, shown: str) -> None:
    hide("a-hidden-secret")
    response = requests.Response()
    response.headers["Location"] = target
    assert f"redirects to {shown}, where" in str(redirected("acme.coupahost.com", response))
