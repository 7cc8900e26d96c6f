"""Faults: each kind as a client meets it, and how requests are chosen."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from integration_tests.sandbox import Fault, RequestRecord
from unit_tests.sandbox.conftest import Start

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504, 599])
def test_status(start: Start, status: int) -> None:
    api = start()
    api.sandbox.faults.add(Fault("status", status=status, retry_after=3, times=1))
    answer = api.get("users")
    assert answer.status_code == status
    assert answer.headers["Retry-After"] == "3"
    assert "error" in answer.json()
    assert (api.sandbox.requests[-1].fault, api.sandbox.requests[-1].rows) == ("status", None)
    assert api.get("users").status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        ("json", "application/json; charset=utf-8", b'{"error":"Bad Gateway"}'),
        ("empty", None, b""),
        ('{"error":"own"}', "application/json; charset=utf-8", b'{"error":"own"}'),
        ("html", HTML, None),
    ],
)
def test_bodies_of_a_status(
    start: Start, body: str, content_type: str | None, content: bytes | None
) -> None:
    api = start()
    api.sandbox.faults.add(Fault("status", status=502, body=body, headers={"X-Via": "proxy"}))
    answer = api.get("users")
    assert answer.headers.get("Content-Type") == content_type
    assert answer.headers["X-Via"] == "proxy"
    assert answer.content == content if content is not None else b"<h1>" in answer.content


def test_an_echo_page_holds_the_secrets_of_the_request(start: Start) -> None:
    api = start()
    api.sandbox.faults.add(Fault("status", body="echo"))
    api.sandbox.faults.add(Fault("status", body="echo", resource="oauth"))
    assert str(api.session.headers["Authorization"]) in api.get("users").text
    assert api.sandbox.config()["client_secret"] in api.token().text


@pytest.mark.parametrize(
    ("kind", "content_type", "start_of_body"),
    [
        ("html_200", HTML, b"<!DOCTYPE html>"),
        ("xml_200", "application/xml; charset=utf-8", b"<?xml"),
        ("empty_body", "application/json; charset=utf-8", b""),
        ("null", "application/json; charset=utf-8", b"null"),
        ("object", "application/json; charset=utf-8", b'{"results":['),
        ("wrong_content_type", HTML, b"[{"),
        ("invalid_json", "application/json; charset=utf-8", b"[{"),
    ],
)
def test_wrong_bodies_with_status_200(
    start: Start, kind: str, content_type: str, start_of_body: bytes
) -> None:
    api = start()
    api.sandbox.faults.add(Fault(kind))
    answer = api.get("users", "limit=3")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == content_type
    assert answer.content.startswith(start_of_body)
    if kind == "invalid_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.content)


@pytest.mark.parametrize("kind", ["drop", "truncated", "drop_midway"])
def test_broken_connections(start: Start, kind: str) -> None:
    api = start()
    api.sandbox.faults.add(Fault(kind, times=1))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        api.get("users")
    assert api.sandbox.requests[-1].fault == kind
    assert (api.sandbox.requests[-1].status is None) == (kind == "drop")
    assert len(api.get("users").json()) == 50


@pytest.mark.parametrize("kind", ["slow_head", "slow_drip"])
def test_a_slow_answer_is_whole_in_the_end(start: Start, kind: str) -> None:
    api = start()
    api.sandbox.faults.add(Fault(kind, seconds=0.1))
    assert api.get("users").json() == api.sandbox.tables["users"].records()[:50]


def test_redirects(start: Start) -> None:
    api = start()
    api.sandbox.faults.add(Fault("redirect", location="login", times=1))
    assert "Sign in" in api.get("users").text
    api.sandbox.faults.add(Fault("redirect", times=1))
    assert len(api.get("users").json()) == 50
    api.sandbox.faults.add(Fault("redirect", location="other", times=1))
    away = api.get("users", allow_redirects=False).headers["Location"]
    assert away == api.sandbox.url.replace("localhost", "127.0.0.1") + "/api/users"
    api.sandbox.faults.add(Fault("redirect", location="https://elsewhere.invalid/", times=1))
    far = api.get("users", allow_redirects=False)
    assert (far.status_code, far.headers["Location"]) == (302, "https://elsewhere.invalid/")


def test_wrong_pages(start: Start) -> None:
    api = start()
    records = api.sandbox.tables["invoices"].records()

    def page(kind: str) -> list[dict[str, Any]]:
        api.sandbox.faults.clear()
        api.sandbox.faults.add(Fault(kind))
        found: list[dict[str, Any]] = api.get("invoices", "limit=10").json()
        return found

    assert page("over_page") == records[:35]
    assert page("unordered") == records[9::-1]
    assert page("duplicated") == [records[0], *records[:9]]
    assert [index for index, record in enumerate(page("missing_id")) if "id" not in record] == [5]
    trimmed = page("missing_cursor")
    assert [index for index, record in enumerate(trimmed) if "updated-at" not in record] == [5]
    assert api.sandbox.requests[-1].rows == 10


def test_latency_adds_to_other_faults(start: Start) -> None:
    api = start(latency=0.01)
    api.sandbox.faults.add(Fault("latency", seconds=0.02), Fault("latency", seconds=0.02))
    api.sandbox.faults.add(Fault("status", status=503))
    assert api.get("users").status_code == 503
    request = api.sandbox.requests[-1]
    assert request.fault == "status"
    assert request.ended is not None
    assert request.ended - request.started >= 0.05


def played(start: Start, fault: Fault, calls: int = 10) -> list[bool]:
    api = start(rows={"users": 1, "invoices": 1})
    api.sandbox.faults.add(fault)
    return [api.get("users", f"limit={n + 1}").status_code == 500 for n in range(calls)]


def test_how_often_a_fault_is_played(start: Start) -> None:
    assert played(start, Fault("status", times=2)) == [True] * 2 + [False] * 8
    assert played(start, Fault("status", after=3, times=1)).index(True) == 3
    third = Fault("status", when=lambda request: request.query["limit"] == "3")
    assert played(start, third).index(True) == 2
    some = played(start, Fault("status", rate=0.5), 40)
    assert 5 < sum(some) < 35
    assert some == played(start, Fault("status", rate=0.5), 40), "drawn from the seed"


def test_which_resource_a_fault_is_played_on(start: Start) -> None:
    api = start()
    api.sandbox.faults.add(Fault("status", resource="invoices"))
    assert [api.get(path).status_code for path in ("users", "invoices")] == [200, 500]
    api.sandbox.faults.clear()
    api.sandbox.faults.add(Fault("status"))
    assert api.token(scope="core.user.read").status_code == 200
    api.sandbox.faults.add(Fault("drop", resource="oauth"))
    with pytest.raises(requests.ConnectionError):
        api.token(scope="core.user.read")


def test_a_predicate_sees_the_request(start: Start) -> None:
    api = start()
    seen: list[RequestRecord] = []

    def look(request: RequestRecord) -> bool:
        seen.append(request)
        return False

    api.sandbox.faults.add(Fault("status", when=look))
    api.get("users", "id[gt]=5")
    assert seen[0].query == {"id[gt]": "5"}
    assert seen[0].scopes >= {"core.user.read"}


def test_an_unknown_kind_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nonsense is none of drop"):
        Fault("nonsense")
