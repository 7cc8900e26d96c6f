"""The request log and its two peaks."""

from __future__ import annotations

from integration_tests.sandbox.request_log import RequestLog, RequestRecord
from unit_tests.sandbox.conftest import Start


def log(*spans: tuple[float, float | None], resource: str | None = "users") -> RequestLog:
    requests = RequestLog()
    for started, ended in spans:
        requests.append(RequestRecord("GET", "/", resource, {}, {}, started=started, ended=ended))
    return requests


def test_peak_rate_slides_over_any_second() -> None:
    assert log().peak_rate() == 0
    assert log((0.0, 1), (1.0, 2)).peak_rate() == 1
    assert log((0.0, 1), (0.9, 1), (1.0, 2), (1.8, 2), (1.85, 3), (5.0, 6)).peak_rate() == 4
    assert log((0.0, 1), (0.1, 1), resource="oauth").peak_rate() == 0


def test_peak_concurrency_counts_requests_in_work() -> None:
    assert log().peak_concurrency() == 0
    assert log((0, 2), (1, 3), (2, 4), (3, 5)).peak_concurrency() == 2
    assert log((0, None), (1, 2), (1.5, None)).peak_concurrency() == 3


def test_a_request_is_logged_with_what_it_asked_and_got(start: Start) -> None:
    api = start()
    api.sandbox.requests.clear()
    api.get("invoices", "limit=3&updated_at[gt]=2001-01-01T00%3A00%3A00Z")
    api.get("invoices/99999999")
    api.get("nonsense")
    listed, shown, unknown = api.sandbox.requests
    assert (listed.method, listed.path, listed.resource) == ("GET", "/api/invoices", "invoices")
    assert listed.query == {"limit": "3", "updated_at[gt]": "2001-01-01T00:00:00Z"}
    assert (listed.status, listed.rows, listed.fault) == (200, 3, None)
    assert listed.headers["accept"] == "application/json"
    assert listed.ended is not None
    assert listed.started <= listed.ended <= shown.started
    assert (shown.resource, shown.status, shown.rows) == ("invoices", 404, None)
    assert (unknown.resource, unknown.status) == (None, 404)
    assert api.sandbox.requests_for("invoices") == [listed, shown]
    assert api.sandbox.peak_rate() == 2
    assert api.sandbox.peak_concurrency() == 1
