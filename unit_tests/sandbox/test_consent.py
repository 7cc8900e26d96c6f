"""Users who sign in: what a code and a refresh token are good for, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from integration_tests.airbyte_sign_in import REDIRECT_URI, challenge
from integration_tests.sandbox import Sandbox
from unit_tests.sandbox.conftest import ROWS, UNLIMITED, Api

READ = "core.invoice.read"
VERIFIER = "v" * 43
CHALLENGE = challenge(VERIFIER)


@pytest.fixture
def api() -> Iterator[Api]:
    with Sandbox(rows=ROWS, dialect=UNLIMITED) as sandbox:
        sandbox.add_sign_in_client(READ, "core.user.read")
        client = Api(sandbox)
        yield client
        client.session.close()


def consent(api: Api, **changes: str) -> requests.Response:
    query = {
        "client_id": api.sandbox.add_sign_in_client(READ, "core.user.read")["client_id"],
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": f"offline_access {READ}",
        "state": "s",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    url = f"{api.sandbox.url}/oauth2/authorizations/new"
    return api.session.get(url, params={**query, **changes}, allow_redirects=False)


def redirected(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302
    target = urlsplit(response.headers["Location"])
    assert target._replace(query="").geturl() == REDIRECT_URI
    return dict(parse_qsl(target.query))


def tokens(api: Api, grant: str, **form: str) -> requests.Response:
    client = api.sandbox.add_sign_in_client(READ, "core.user.read")
    names = {key: client[key] for key in ("client_id", "client_secret")}
    return api.token(grant_type=grant, **{**names, **form})


def exchange(api: Api, **changes: str) -> requests.Response:
    form = {"code": redirected(consent(api))["code"], "redirect_uri": REDIRECT_URI}
    return tokens(api, "authorization_code", **{**form, "code_verifier": VERIFIER, **changes})


def test_a_code_brings_a_token_for_what_the_user_consented_to(api: Api) -> None:
    response = exchange(api)
    assert response.status_code == 200
    api.session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
    assert api.get("invoices").status_code == 200
    assert api.get("users").status_code == 403


def test_a_refresh_token_comes_with_offline_access_alone(api: Api) -> None:
    assert "refresh_token" in exchange(api).json()
    code = redirected(consent(api, scope=READ))["code"]
    assert "refresh_token" not in exchange(api, code=code).json()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "core.supplier.read"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_what_may_not_be_asked_for_is_reported_to_the_redirect_uri(
    api: Api, changes: dict[str, str], error: str
) -> None:
    assert redirected(consent(api, **changes)) == {"error": error, "state": "s"}


@pytest.mark.parametrize(
    "changes", [{"client_id": "nobody"}, {"redirect_uri": "https://evil.example.com"}]
)
def test_an_unknown_client_or_redirect_uri_gets_a_page(api: Api, changes: dict[str, str]) -> None:
    response = consent(api, **changes)
    assert (response.status_code, "Location" in response.headers) == (400, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example.com"},
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"code": "guessed"},
    ],
)
def test_a_code_is_for_its_client_its_redirect_uri_and_its_verifier(
    api: Api, changes: dict[str, str]
) -> None:
    response = exchange(api, **changes)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_a_code_works_once(api: Api) -> None:
    code = redirected(consent(api))["code"]
    assert exchange(api, code=code).status_code == 200
    assert exchange(api, code=code).status_code == 400


@pytest.mark.parametrize("response", ["kept", "repeated", "rotated"])
def test_a_refresh_token_follows_the_dialect(api: Api, response: Any) -> None:
    api.sandbox.dialect = UNLIMITED.but(refresh_token=response)
    first = exchange(api).json()["refresh_token"]
    second = tokens(api, "refresh_token", refresh_token=first).json().get("refresh_token")
    assert (second is None, second == first) == (response == "kept", response == "repeated")
    again = tokens(api, "refresh_token", refresh_token=first)
    assert again.status_code == (400 if response == "rotated" else 200)


def test_a_narrower_scope_narrows_the_token_that_replaces_another(api: Api) -> None:
    api.sandbox.dialect = UNLIMITED.but(refresh_token="rotated", token_shows_scope=True)
    first = exchange(api).json()["refresh_token"]
    response = tokens(api, "refresh_token", refresh_token=first, scope=READ).json()
    assert response["scope"] == READ
    response = tokens(api, "refresh_token", refresh_token=response["refresh_token"]).json()
    assert response["scope"] == READ


def test_refresh_tokens_can_end(api: Api) -> None:
    token = exchange(api).json()["refresh_token"]
    api.sandbox.end_sign_ins()
    response = tokens(api, "refresh_token", refresh_token=token)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_a_client_has_one_grant_type(api: Api) -> None:
    assert tokens(api, "client_credentials").json()["error"] == "unauthorized_client"
    assert api.token(grant_type="refresh_token").json()["error"] == "unauthorized_client"


def test_the_log_keeps_no_secret(api: Api) -> None:
    token = exchange(api).json()["refresh_token"]
    tokens(api, "refresh_token", refresh_token=token)
    kept = str([request.as_json()["form"] for request in api.sandbox.requests])
    for secret in (*api.sandbox.desk.sign_ins.issued, VERIFIER):
        assert secret not in kept
