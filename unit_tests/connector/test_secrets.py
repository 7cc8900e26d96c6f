"""Secrets: client id, client secret and tokens show nowhere in the output.

Not at any log level, not when a page quotes the request with its headers and its form, not in
traces, and not in an encoding of their characters either. The one exception is the CONTROL message,
from which Airbyte stores the settings as it stores those of the form.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalog
from airbyte_cdk.utils import airbyte_secrets_utils
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets, update_secrets

from integration_tests.airbyte_sign_in import REDIRECT_URI, Airbyte
from integration_tests.harness import CliFiles, CliRun, configured_catalog, run_here, run_process
from integration_tests.sandbox import Client, Fault, Sandbox
from source_coupa.config import CoupaConfig
from source_coupa.oauth import token_store
from source_coupa.redaction import hide, quoted
from unit_tests.conftest import Waits
from unit_tests.failing import ROWS, START_DATE, small_sandbox

pytestmark = pytest.mark.usefixtures("no_budget")

CLIENT_ID = 'id "&<5f0c>\\ +/=%20\u00e9'
SECRET = "s'ecret\"&<9b1e>\\ +/=%20;\u00fc\u4e2d\U0001f511"
STRANGE_TOKEN = "strange\"token'&<7c44>\\+/=%20;x"
NOISE = {
    "usual": ([], {}),
    "--debug": (["--debug"], {}),
    "LOG_LEVEL=debug": ([], {"LOG_LEVEL": "debug"}),
}
ECHO = {
    "token 400": Fault("status", status=400, body="echo", resource="oauth"),
    "token 401": Fault("status", status=401, body="echo", resource="oauth"),
    "token 503": Fault("status", status=503, body="echo", resource="oauth"),
    "token 200": Fault("status", status=200, body="echo", resource="oauth"),
    "page 200": Fault("status", status=200, body="echo"),
    "page 400": Fault("status", status=400, body="echo"),
    "page 401": Fault("status", status=401, body="echo"),
    "page 403": Fault("status", status=403, body="echo"),
    "page 404": Fault("status", status=404, body="echo"),
    "page 405": Fault("status", status=405, body="echo"),
    "page 418": Fault("status", status=418, body="echo"),
    "page 429": Fault("status", status=429, body="echo"),
    "page 503": Fault("status", status=503, body="echo"),
}


def forms(secret: str) -> set[str]:
    """How a secret may be spelled in text of one kind or another."""
    spelled = {
        secret,
        html.escape(secret),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    }
    spelled |= {repr(form)[1:-1] for form in spelled}
    for _ in range(2):  # a log line in JSON may quote a page in JSON
        spelled |= {json.dumps(form)[1:-1] for form in spelled}
        spelled |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in spelled}
    return spelled


def texts(value: Any) -> Iterator[str]:
    """All strings of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def leaks(run: CliRun, secrets: Iterable[str]) -> set[str]:
    """The spellings of secrets that a run shows, raw or in its decoded messages."""
    shown = "\n".join([run.stdout, run.stderr, *texts(run.messages)])
    return {form for secret in secrets for form in forms(secret) if form in shown}


def secrets_of(sandbox: Sandbox) -> list[str]:
    ((client_id, client),) = sandbox.clients.items()
    both = base64.b64encode(f"{client_id}:{client.secret}".encode()).decode()
    tokens = [STRANGE_TOKEN, *sandbox.desk.texts(), *sandbox.desk.sign_ins.issued]
    return [client_id, client.secret, both, *tokens]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox whose client has an id and a secret that every encoding changes."""
    with small_sandbox() as running:
        scopes = set().union(*(client.scopes for client in running.clients.values()))
        running.clients.clear()
        running.clients[CLIENT_ID] = Client(SECRET, scopes)
        yield running


@pytest.fixture(autouse=True)
def _usual_noise() -> Iterator[None]:
    names = ("airbyte", "airbyte.SourceCoupa")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    update_secrets([])


def files_for(sandbox: Sandbox, folder: Path, command: str) -> CliFiles:
    ((client_id, client),) = sandbox.clients.items()
    config = sandbox.config(client_id=client_id, client_secret=client.secret, start_date=START_DATE)
    catalog: ConfiguredAirbyteCatalog | None = None
    if command == "read":
        catalog = configured_catalog("users", "invoices")
    return CliFiles(folder, command, config, catalog)


def files_of_a_user(sandbox: Sandbox, folder: Path, command: str) -> CliFiles:
    """The same for a user who signed in so long ago that the access token has to be renewed."""
    files = files_for(sandbox, folder, command)
    client = sandbox.clients[CLIENT_ID]
    client.scopes |= {"offline_access"}
    client.grant, client.redirect_uris = "authorization_code", frozenset({REDIRECT_URI})
    (spec,) = run_here(["spec"]).of_type("SPEC")
    credentials = {"auth_type": "authorization_code", "scopes": "core.user.read core.invoice.read"}
    config = Airbyte(spec["spec"]).authenticate({**files.config, "credentials": credentials})
    config["credentials"]["token_expiry_date"] = "2024-01-01T00:00:00Z"
    return replace(files, config=config)


def without_control(run: CliRun) -> CliRun:
    """What a run printed but for the CONTROL message, which has to be there."""
    kept = [line for line in run.stdout.splitlines() if '"type":"CONTROL"' not in line]
    messages = [message for message in run.messages if message["type"] != "CONTROL"]
    assert len(messages) < len(run.messages)
    return replace(run, stdout="\n".join(kept), messages=messages)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("command", ["check", "discover", "read"])
def test_a_good_run_of_a_user_shows_none(
    sandbox: Sandbox,
    command: str,
    noise: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, environment = NOISE[noise]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
    files = files_of_a_user(sandbox, tmp_path, command)
    run = run_here([*files.arguments(), *arguments])
    assert run.exit_code == 0
    assert len(sandbox.desk.sign_ins.issued) == 3  # the code, its refresh token, the next one
    assert leaks(run, sandbox.desk.sign_ins.issued[2:])
    assert leaks(without_control(run), secrets_of(sandbox)) == set()


@pytest.mark.parametrize("noise", ["usual", "--debug"])
@pytest.mark.parametrize("echo", ECHO)
def test_a_page_that_quotes_the_request_of_a_user_shows_none(
    sandbox: Sandbox, echo: str, noise: str, tmp_path: Path, waits: Waits
) -> None:
    for command in ("check", "read"):
        folder = tmp_path / command
        folder.mkdir()
        sandbox.faults.clear()
        files = files_of_a_user(sandbox, folder, command)
        sandbox.faults.add(ECHO[echo])
        run = run_here([*files.arguments(), *NOISE[noise][0]])
        assert run.exit_code == (command == "read")
        if not echo.startswith("token"):
            run = without_control(run)
        assert leaks(run, secrets_of(sandbox)) == set()


def test_the_console_script_of_a_user_shows_none_on_either_stream(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    files = files_of_a_user(sandbox, tmp_path, "read")
    sandbox.faults.add(replace(ECHO["page 403"], resource="invoices"))
    run = run_process([*files.arguments(), "--debug"])
    assert (run.exit_code, run.stderr) == (1, "")
    assert leaks(without_control(run), secrets_of(sandbox)) == set()


def test_a_token_of_the_settings_does_not_show(sandbox: Sandbox, tmp_path: Path) -> None:
    files = files_for(sandbox, tmp_path, "read")
    credentials = {
        "auth_type": "authorization_code",
        "refresh_token": SECRET[::-1],
        "access_token": STRANGE_TOKEN,
        "token_expiry_date": "2100-01-01T00:00:00Z",
    }
    files = replace(files, config={**files.config, "credentials": credentials})
    sandbox.faults.add(ECHO["page 403"])
    run = run_here([*files.arguments(), "--debug"])
    assert run.exit_code == 1
    assert sandbox.requests_for("users")[0].headers["authorization"] == "Bearer <unknown>"
    assert leaks(run, [*secrets_of(sandbox), SECRET[::-1]]) == set()


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("command", ["check", "discover", "read"])
def test_a_good_run_shows_none(
    sandbox: Sandbox,
    command: str,
    noise: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, environment = NOISE[noise]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    files = files_for(sandbox, tmp_path, command)
    run = run_here([*files.arguments(), *arguments])
    assert run.exit_code == 0
    assert sandbox.desk.texts()
    assert leaks(run, secrets_of(sandbox)) == set()
    assert '"level":"DEBUG"' in run.stdout or not environment


@pytest.mark.parametrize("noise", ["usual", "--debug"])
@pytest.mark.parametrize("echo", ECHO)
def test_a_page_that_quotes_the_request_shows_none(
    sandbox: Sandbox, echo: str, noise: str, tmp_path: Path, waits: Waits
) -> None:
    sandbox.faults.add(ECHO[echo])
    for command in ("check", "read"):
        folder = tmp_path / command
        folder.mkdir()
        run = run_here([*files_for(sandbox, folder, command).arguments(), *NOISE[noise][0]])
        assert run.exit_code == (command == "read")
        assert leaks(run, secrets_of(sandbox)) == set()
        for error in run.errors:
            assert "Authorization" not in error["message"] + error["internal_message"]


@pytest.mark.parametrize("noise", ["usual", "--debug"])
@pytest.mark.parametrize("status", [200, 403, 418, 503])
def test_a_token_of_strange_characters_does_not_show(
    sandbox: Sandbox, status: int, noise: str, tmp_path: Path, waits: Waits
) -> None:
    body = json.dumps({"access_token": STRANGE_TOKEN, "expires_in": 86_399})
    sandbox.faults.add(
        Fault("status", status=200, body=body, resource="oauth"),
        Fault("status", status=status, body="echo"),
    )
    files = files_for(sandbox, tmp_path, "read")
    run = run_here([*files.arguments(), *NOISE[noise][0]])
    assert run.exit_code == 1
    assert sandbox.requests_for("users")
    assert leaks(run, secrets_of(sandbox)) == set()


def test_a_proxy_sees_nothing_of_a_sandbox(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests without TLS, which a proxy could read."""
    password = "proxy-password-3e9a"
    with small_sandbox() as proxy:
        address = proxy.url.replace("http://", f"http://user:{password}@")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, address)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "")
        for command in ("check", "read"):
            folder = tmp_path / command
            folder.mkdir()
            run = run_here([*files_for(sandbox, folder, command).arguments(), "--debug"])
            assert (run.exit_code, run.errors) == (0, [])
            assert leaks(run, [*secrets_of(sandbox), password]) == set()
        assert len(proxy.requests) == 0
    assert not any("proxy-authorization" in request.headers for request in sandbox.requests)


@pytest.mark.parametrize("noise", NOISE)
def test_the_console_script_shows_none_on_either_stream(noise: str, tmp_path: Path) -> None:
    arguments, environment = NOISE[noise]
    with small_sandbox() as sandbox:
        sandbox.faults.add(replace(ECHO["page 403"], resource="invoices"))
        files = files_for(sandbox, tmp_path, "read")
        run = run_process([*files.arguments(), *arguments], environment)
        assert run.exit_code == 1
        assert len(run.of_type("RECORD")) == ROWS
        assert run.stderr == ""
        assert leaks(run, secrets_of(sandbox)) == set()


@pytest.mark.parametrize("target", ["9b1e7c44-d2a8f6e3", "Sandbox-Secret-9b1e"])
def test_a_part_of_a_secret_in_a_redirect_does_not_show(target: str, tmp_path: Path) -> None:
    with small_sandbox() as sandbox:
        location = f"https://{target}.example.com/"
        sandbox.faults.add(Fault("redirect", location=location, resource="oauth"))
        message = run_here(
            CliFiles(tmp_path, "check", sandbox.config()).arguments()
        ).connection_status["message"]
    assert "redirects to another page" in message


def test_a_secret_in_the_wrong_field_is_not_quoted(tmp_path: Path) -> None:
    config = {"instance_url": "https://x", "client_id": "an-id", "client_secret": "a-secret-2b"}
    for field in ("instance_url", "start_date", "requests_per_second", "num_workers"):
        wrong = {**config, "instance_url": "https://acme.coupahost.com", field: "a-secret-2b"}
        run = run_here(CliFiles(tmp_path, "discover", wrong).arguments())
        assert run.exit_code == 1
        lines = [line for line in run.stdout.splitlines() if '"CONTROL"' not in line[:20]]
        assert "a-secret-2b" not in "\n".join(lines)


def test_refresh_tokens_are_redacted_wherever_they_might_be_printed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.dialect = sandbox.dialect.but(refresh_token="rotated")
    config = files_of_a_user(sandbox, tmp_path, "check").config
    update_secrets([])
    token_store(CoupaConfig.parse(config)).token(["core.user.read"])
    _, old, new = sandbox.desk.sign_ins.issued
    for form in (old, quote_plus(old), new, quote_plus(new), json.dumps(new)[1:-1]):
        assert filter_secrets(f"x {form} y") == "x **** y"


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "HTML": html.escape,
    "HTML with a number": lambda secret: html.escape(secret).replace("&#x27;", "&#39;"),
    "form": quote_plus,
    "lower-case percent": lambda secret: re.sub(
        "%..", lambda match: match[0].lower(), quote_plus(secret)
    ),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON of Rails": lambda secret: re.sub(
        "[<>&]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(secret)[1:-1]
    ),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "upper case": str.upper,
    "lower case": str.lower,
    "hex": lambda secret: secret.encode().hex(),
    "hex in upper case": lambda secret: secret.encode().hex().upper(),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "without its last": lambda secret: secret[:-1],
    "without its first": lambda secret: secret[1:],
}


@pytest.mark.parametrize("secret", [CLIENT_ID, SECRET, STRANGE_TOKEN, "eyJhbGciOi.J9-x_y"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_hidden_secrets_are_found_in_their_encodings(secret: str, encoding: str) -> None:
    update_secrets([])
    hide(secret)
    assert filter_secrets(f"x {ENCODINGS[encoding](secret)} y") == "x **** y"


@pytest.mark.parametrize("before", ["", "i", "id", "id:", "id of a client:"])
def test_a_hidden_secret_is_not_left_in_a_longer_base64(before: str) -> None:
    update_secrets([])
    hide("a-secret-of-22-letters")
    encoded = base64.b64encode(f"{before}a-secret-of-22-letters:x".encode()).decode()
    shown = filter_secrets(encoded)
    assert "****" in shown
    assert len(shown) < len(encoded) - 20


def test_hidden_secrets_are_a_set_without_short_ones() -> None:
    update_secrets(["e", "a-secret"])
    for _ in range(3):
        hide("a-secret")
        hide("token")
    hidden = vars(airbyte_secrets_utils)["__SECRETS_FROM_CONFIG"]
    assert len(hidden) == len(set(hidden))
    assert filter_secrets("the token of a-secret") == "the token of ****"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Invoice number is taken", "Invoice number is taken"),
        ("see eyJ%2Bx now", "see … now"),
        ("client_secret=abc", "…"),
        ("a\\u0026b &amp; c", "… … c"),
        (f"token {'x' * 41} is no", "token … is no"),
        ("red \x1b[31mtext \u202eback", "red … …"),
        ("a-hidden-secret, yes", "****, yes"),
        ("word " * 100, "word " * 60 + "…"),
        ("", ""),
    ],
)
def test_what_coupa_says_is_cut_to_words_that_hold_no_secret(said: str, shown: str) -> None:
    update_secrets([])
    hide("a-hidden-secret")
    assert quoted(said) == shown


PARTS: dict[str, Callable[[str], str]] = {
    "cut": lambda secret: secret[:-3],
    "cut in front": lambda secret: secret[3:],
    "half of it": lambda secret: secret[: len(secret) // 2],
    "over lines": lambda secret: "\n".join(secret[at : at + 6] for at in range(0, 22, 6)),
    "letter by letter": " ".join,
    "in groups": lambda secret: "-".join(secret[at : at + 4] for at in range(0, 22, 4)),
    "case changed": lambda secret: secret.swapcase()[1:-2],
    "wide": lambda secret: "".join(chr(ord(letter) + 0xFEE0) for letter in secret),
    "bytes": lambda secret: secret.encode().hex(" "),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_secret_is_not_quoted(part: str) -> None:
    update_secrets([])
    hide("Qx7-9b1eZc44d2a8f6e3Kp")
    shown = quoted(f"This client {PARTS[part]('Qx7-9b1eZc44d2a8f6e3Kp')} is not active")
    assert re.fullmatch("This client …( [-…])* is not active", shown)


def test_what_has_little_in_common_with_a_secret_is_quoted() -> None:
    update_secrets([])
    hide("invoice-9b1eZc44d2a8f6e3")
    assert quoted("invoice 4 is taken") == "invoice 4 is taken"


def test_a_secret_is_redacted_before_the_text_is_cut() -> None:
    update_secrets([])
    hide("a secret with blanks in it")
    for before in range(250, 320):
        assert "secret" not in quoted("w " * (before // 2) + "a secret with blanks in it")
