"""Order, limit and offset."""

from __future__ import annotations

from typing import Any

import pytest

from integration_tests.sandbox import Record
from unit_tests.sandbox.conftest import UNLIMITED, Api, Start
from unit_tests.sandbox.test_query import instant


@pytest.mark.parametrize("resource", ["users", "expense_reports", "expense_lines", "invoices"])
def test_a_keyset_walk_returns_the_ground_truth(api: Api, resource: str) -> None:
    assert api.walk(resource) == api.sandbox.tables[resource].records()


@pytest.mark.parametrize("raw", ["", "order_by=updated_at&", "order_by=status&dir=desc&"])
def test_an_offset_walk_returns_every_row_once(api: Api, raw: str) -> None:
    pages = [api.ids("invoices", f"{raw}limit=50&offset={offset}") for offset in (0, 50, 100, 150)]
    assert [len(page) for page in pages] == [50, 50, 20, 0]
    assert sorted(id for page in pages for id in page) == api.sandbox.tables["invoices"].ids()


def test_fifty_rows_by_default_from_the_lowest_id(api: Api) -> None:
    assert api.ids("invoices") == api.sandbox.tables["invoices"].ids()[:50]


def test_a_smaller_limit_is_honoured(api: Api) -> None:
    assert len(api.ids("invoices", "limit=7")) == 7


def test_a_larger_limit_is_cut_or_refused(start: Start) -> None:
    api = start()
    assert len(api.ids("invoices", "limit=51")) == 50
    api.sandbox.dialect = UNLIMITED.but(over_cap="refused")
    assert api.get("invoices", "limit=51").status_code == 400
    assert len(api.ids("invoices", "limit=50")) == 50


def test_an_instance_may_serve_smaller_pages(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(page_cap=20))
    assert len(api.ids("invoices", "limit=50")) == 20
    assert len(api.ids("invoices")) == 20


def _by_updated(record: Record) -> Any:
    return instant(record["updated-at"]), record["id"]


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("order_by=updated_at", _by_updated),
        ("order_by=updated-at", _by_updated),
        ("order_by=created-at", lambda r: (instant(r["created-at"]), r["id"])),
        ("order_by=status", lambda r: (r["status"], r["id"])),
        ("order_by=lock-version-key", lambda r: (r["lock-version-key"], r["id"])),
        ("order_by=id", lambda r: r["id"]),
    ],
)
@pytest.mark.parametrize("descending", [False, True])
def test_order(api: Api, raw: str, key: Any, descending: bool) -> None:
    records = sorted(api.sandbox.tables["invoices"].records(), key=key, reverse=descending)
    direction = "&dir=desc" if descending else "&dir=asc"
    assert api.ids("invoices", raw + direction) == [record["id"] for record in records[:50]]


def test_dir_alone_turns_the_default_order(api: Api) -> None:
    assert api.ids("users", "dir=desc&limit=3") == api.sandbox.tables["users"].ids()[:-4:-1]


def test_show_call(api: Api) -> None:
    record = api.sandbox.tables["invoices"].records()[3]
    assert api.get(f"invoices/{record['id']}").json() == record
    missing = api.get("invoices/99999999")
    assert missing.status_code == 404
    assert "errors" in missing.json()


def test_unknown_paths_and_other_methods(api: Api) -> None:
    assert api.get("no_such_resource").status_code == 404
    before = api.sandbox.tables["users"].ids()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        url = f"{api.sandbox.url}/api/users/{before[0]}"
        assert api.session.request(method, url, json={"active": False}).status_code == 405
        assert api.sandbox.requests[-1].method == method
    assert api.sandbox.tables["users"].ids() == before
