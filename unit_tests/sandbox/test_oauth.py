"""Tokens: how they are asked for, what they open, when they stop."""

from __future__ import annotations

import pytest
import requests

from integration_tests.sandbox import Client, Refusal, payload
from unit_tests.sandbox.conftest import UNLIMITED, Api, Start

READ = "core.invoice.read"


def test_the_response_has_the_documented_shape(api: Api) -> None:
    response = api.token(scope=READ)
    assert response.status_code == 200
    assert response.json().keys() == payload("oauth_token-response.json").keys()
    assert response.json()["expires_in"] == 86399
    assert response.json()["token_type"] == "bearer"


def test_the_token_grows_with_its_scopes(api: Api) -> None:
    few = api.token(scope=READ).json()["access_token"]
    more = api.token(scope=f"{READ} core.user.read").json()["access_token"]
    assert 400 < len(few) < len(more)


def test_basic_authorization_works_too(api: Api) -> None:
    config = api.sandbox.config()
    response = requests.post(
        f"{api.sandbox.url}/oauth2/token",
        data={"grant_type": "client_credentials", "scope": READ},
        auth=(config["client_id"], config["client_secret"]),
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"scope": "core.nonsense.read"}, 400, "invalid_scope"),
        ({"scope": f"{READ},core.user.read"}, 400, "invalid_scope"),
        ({"scope": f"{READ} core.nonsense.read"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_refusals(api: Api, form: dict[str, str], status: int, code: str) -> None:
    response = api.token(**form)
    assert (response.status_code, response.json()["error"]) == (status, code)


def test_a_json_body_is_not_a_form(api: Api) -> None:
    response = requests.post(f"{api.sandbox.url}/oauth2/token", json=api.sandbox.config())
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_refusals_follow_the_dialect(start: Start) -> None:
    api = start(log_in=False)
    for bad_client, content in ((Refusal(400, "object"), b"{}"), (Refusal(401, "empty"), b"")):
        api.sandbox.dialect = UNLIMITED.but(bad_client=bad_client)
        response = api.token(client_secret="wrong")
        assert (response.status_code, response.content) == (bad_client.status, content)
    api.sandbox.dialect = UNLIMITED.but(bad_scope=Refusal(403, "html"))
    response = api.token(scope="core.nonsense.read")
    assert response.status_code == 403
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_token_without_scope(start: Start) -> None:
    api = start(log_in=False)
    assert api.log_in(scope="").get("invoices").status_code == 200
    api.sandbox.dialect = UNLIMITED.but(token_without_scope="none")
    assert api.log_in(scope="").get("invoices").status_code == 403
    api.sandbox.dialect = UNLIMITED.but(token_without_scope="refused")
    assert api.token().status_code == 400


def test_a_token_opens_only_its_scopes(start: Start) -> None:
    api = start(log_in=False).log_in(scope=READ)
    assert api.get("invoices").status_code == 200
    assert api.get("users").status_code == 403
    for refusal in (Refusal(401, "empty"), Refusal(403, "html")):
        api.sandbox.dialect = UNLIMITED.but(missing_scope=refusal)
        assert api.get("users").status_code == refusal.status


def test_granting_and_revoking(start: Start) -> None:
    api = start()
    api.sandbox.revoke(READ)
    assert api.get("invoices").status_code == 200, "a token keeps what it was issued with"
    assert api.token(scope=READ).status_code == 400
    api.sandbox.grant(READ)
    assert api.token(scope=READ).status_code == 200


def test_more_clients(start: Start) -> None:
    api = start()
    api.sandbox.clients["second"] = Client("secret of the second", {"core.user.read"})
    second = {"client_id": "second", "client_secret": "secret of the second"}
    assert api.token(scope="core.user.read", **second).status_code == 200
    assert api.token(scope=READ, **second).status_code == 400


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic abc"])
def test_no_call_without_a_token(start: Start, header: str) -> None:
    api = start(log_in=False)
    response = api.get("users", headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize(
    "dialect",
    [UNLIMITED.but(token_lifetime=0.0), UNLIMITED.but(token_warmup=600.0)],
    ids=["expired", "too new"],
)
def test_tokens_have_a_beginning_and_an_end(start: Start, dialect: object) -> None:
    assert start(dialect=dialect).get("users").status_code == 401


def test_expiring_all_tokens(start: Start) -> None:
    api = start()
    assert api.get("users").status_code == 200
    api.sandbox.expire_tokens()
    assert api.get("users").status_code == 401
    assert api.log_in().get("users").status_code == 200


def test_scope_in_the_response_by_dialect(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(token_shows_scope=True, token_lifetime=60.5))
    response = api.token(scope=READ).json()
    assert (response["scope"], response["expires_in"]) == (READ, 60)


def test_the_log_names_tokens_and_keeps_no_secret(start: Start) -> None:
    api = start(log_in=False)
    secret = api.sandbox.config()["client_secret"]
    api.log_in(scope=READ).get("invoices", "limit=1")
    token = str(api.session.headers["Authorization"]).removeprefix("Bearer ")
    mint, read = api.sandbox.requests
    assert (mint.resource, mint.form["scope"], mint.status) == ("oauth", READ, 200)
    assert read.token == mint.token == 1
    assert read.scopes == {READ}
    assert read.headers["authorization"] == f"Bearer <token 1: {READ}>"
    text = str([record.as_json() for record in api.sandbox.requests])
    assert secret not in text
    assert token not in text
