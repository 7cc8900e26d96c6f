"""Faults: each kind as a client meets it, and how requests are chosen."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from integration_tests.sandbox import Fault, RequestRecord
from unit_tests.sandbox.conftest import UNLIMITED, Start

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504, 599])
def test_status(start: Start, status: int) -> None:
    api = start()
    api.sandbox.faults.add(Fault("status", status=status, retry_after=3, times=1))
    response = api.get("users")
    assert response.status_code == status
    assert response.headers["Retry-After"] == "3"
    assert "error" in response.json()
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
    response = api.get("users")
    assert response.headers.get("Content-Type") == content_type
    assert response.headers["X-Via"] == "proxy"
    assert response.content == content if content is not None else b"<h1>" in response.content


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
    response = api.get("users", "limit=3")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == content_type
    assert response.content.startswith(start_of_body)
    if kind == "invalid_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(response.content)


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
def test_a_slow_response_is_whole_in_the_end(start: Start, kind: str) -> None:
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


IDS_ALONE = "fields=%5B%22id%22%5D"


@pytest.mark.parametrize("limit", [50, 25, 11])
def test_heavy_records_fail_a_page_that_holds_too_many(start: Start, limit: int) -> None:
    api = start()
    ids = api.sandbox.tables["invoices"].ids()
    api.sandbox.faults.add(Fault("status", status=504, ids=ids[20:60], bearable=10))
    assert api.get("invoices", f"limit={limit}&id[gt]={ids[25]}").status_code == 504
    assert api.ids("invoices", f"limit=10&id[gt]={ids[25]}") == ids[26:36]
    assert api.ids("invoices", f"limit={limit}&id[gt]={ids[59]}") == ids[60 : 60 + limit]
    assert api.ids("invoices", f"limit={limit}&id[gt]={ids[25]}&{IDS_ALONE}")
    assert api.get(f"invoices/{ids[30]}").status_code == 200


@pytest.mark.parametrize("kind", ["status", "invalid_json", "drop", "truncated"])
def test_a_poison_record_fails_whatever_holds_it(start: Start, kind: str) -> None:
    api = start()
    ids = api.sandbox.tables["invoices"].ids()
    api.sandbox.faults.add(Fault(kind, resource="invoices", ids=[ids[7]]))

    def fails(path: str, raw: str) -> bool:
        try:
            response = api.get(path, raw)
            response.json()
        except (requests.ConnectionError, requests.exceptions.RequestException):
            return True
        return response.status_code != 200

    assert fails("invoices", "")
    assert fails("invoices", f"limit=1&id[gt]={ids[6]}")
    assert fails(f"invoices/{ids[7]}", "")
    assert not fails("invoices", f"limit=7&id[lt]={ids[7]}")
    assert not fails("invoices", f"id[gt]={ids[7]}")
    assert api.ids("invoices", IDS_ALONE) == ids[:50]
    assert api.ids("invoices", "return_object=limited") == ids[:50]
    assert not fails("users", "")


def test_a_call_that_is_refused_holds_no_records(start: Start) -> None:
    api = start(log_in=False)
    ids = api.sandbox.tables["invoices"].ids()
    api.sandbox.faults.add(Fault("status", ids=ids))
    assert api.get("invoices").status_code == 401
    assert api.log_in().get("invoices", "limit=0").status_code == 400
    assert api.get("invoices").status_code == 500


def test_the_list_below_one_record_fails_alone(start: Start) -> None:
    api = start(rows={"users": 5, "users/:user_id/addresses": 20})
    bad, *good = api.sandbox.tables["users"].ids()
    api.sandbox.faults.add(Fault("status", resource="users/:user_id/addresses", owners=[bad]))
    assert api.get(f"users/{bad}/addresses").status_code == 500
    assert {api.get(f"users/{id}/addresses").status_code for id in good} == {200}
    assert api.sandbox.requests_for("users/:user_id/addresses")[0].owner == bad


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_oversized_response_says_the_same(start: Start, compression: str) -> None:
    api = start(dialect=UNLIMITED.but(compression=compression))
    api.sandbox.faults.add(Fault("oversized", size=3_000_000))
    response = api.get("users", "limit=2")
    assert response.json() == api.sandbox.tables["users"].records()[:2]
    assert len(response.content) > 3_000_000
    sent = api.sandbox.requests[-1].bytes
    assert sent is not None
    assert (sent < 100_000) == (compression == "gzip")
    api.sandbox.faults.add(Fault("oversized", resource="oauth", size=3_000_000))
    assert api.token(scope="core.user.read").json()["access_token"]


def test_a_date_to_come_back_is_by_the_clock_of_the_sandbox(start: Start) -> None:
    moment = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
    api = start(clock=lambda: moment)
    api.sandbox.faults.add(Fault("status", status=503, retry_after="date"))
    response = api.get("users")
    assert response.headers["Date"] == "Tue, 06 May 2031 07:08:09 GMT"
    assert response.headers["Retry-After"] == "Tue, 06 May 2031 07:08:11 GMT"
