"""Which parts of a record a response holds: fields, return_object, the response filter."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from integration_tests.sandbox.blueprint import padding
from unit_tests.sandbox.conftest import UNLIMITED, Api, Start


def fields(*names: Any) -> str:
    return "fields=" + quote(json.dumps(names))


def test_fields_with_nested_objects_in_either_spelling(api: Api) -> None:
    raw = fields("id", "invoice_number", {"invoice-lines": ["id", "line_num"]}, {"supplier": []})
    truth = api.sandbox.tables["invoices"].records()[0]
    (record,) = api.get("invoices", f"limit=1&{raw}").json()
    assert record == {
        "id": truth["id"],
        "invoice-number": truth["invoice-number"],
        "supplier": truth["supplier"],
        "invoice-lines": [
            {"id": line["id"], "line-num": line["line-num"]} for line in truth["invoice-lines"]
        ],
    }


def test_all_or_some_custom_fields(api: Api) -> None:
    truth = next(r for r in api.sandbox.tables["users"].records() if r["custom-fields"])
    path = f"users/{truth['id']}"
    every = api.get(path, fields("id", {"custom_fields": {}})).json()
    assert every == {"id": truth["id"], "custom-fields": truth["custom-fields"]}
    some = api.get(path, fields({"custom-fields": ["is_capex"]})).json()
    assert some == {"custom-fields": {"is-capex": truth["custom-fields"]["is-capex"]}}


def test_fields_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(fields="ignored"))
    assert api.get("users", fields("id")).json() == api.sandbox.tables["users"].records()[:50]
    api.sandbox.dialect = UNLIMITED.but(fields="refused")
    assert api.get("users", fields("id")).status_code == 400


def test_nested_objects_that_are_named_may_be_cut_to_ids_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(nested_fields="ids"))
    truth = api.sandbox.tables["invoices"].records()[0]
    raw = "limit=1&" + fields("status", "supplier", "invoice_lines", {"custom_fields": {}})
    (record,) = api.get("invoices", raw).json()
    assert record == {
        "status": truth["status"],
        "supplier": {"id": truth["supplier"]["id"]},
        "invoice-lines": [{"id": line["id"]} for line in truth["invoice-lines"]],
        "custom-fields": truth["custom-fields"],
    }
    api.sandbox.dialect = UNLIMITED.but(nested_fields="refused")
    assert api.get("invoices", raw).status_code == 400
    assert api.get("invoices", "limit=1&" + fields("status")).json() == [
        {"status": truth["status"]}
    ]


def test_return_object(api: Api) -> None:
    truth = api.sandbox.tables["expense_reports"].records()[0]
    (limited,) = api.get("expense_reports", "return_object=limited&limit=1").json()
    assert limited == {"id": truth["id"]}
    (shallow,) = api.get("expense_reports", "return_object=shallow&limit=1").json()
    assert shallow["total"] == truth["total"]
    assert shallow["currency"] == {key: truth["currency"][key] for key in ("id", "code")}
    assert [line.keys() for line in shallow["expense-lines"]] == [{"id", "external-src-ref"}] * len(
        truth["expense-lines"]
    )
    assert api.get("expense_reports", "return_object=none").content == b""


def test_return_object_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(return_object="ignored"))
    (record,) = api.get("users", "return_object=limited&limit=1").json()
    assert record == api.sandbox.tables["users"].records()[0]
    api.sandbox.dialect = UNLIMITED.but(return_object="refused")
    assert api.get("users", "return_object=limited").status_code == 400


def test_a_response_filter_trims_responses_silently(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(response_filter={"users": frozenset({"id", "login"})}))
    assert [record.keys() for record in api.get("users", "limit=2").json()] == [{"id", "login"}] * 2
    (wanted,) = api.get("users", "limit=1&" + fields("email")).json()
    assert wanted.keys() == {"email"}
    assert len(api.get("invoices", "limit=1").json()[0]) > 20


def test_a_misspelt_name_is_passed_over(api: Api) -> None:
    truth = api.sandbox.tables["users"].records()[0]
    raw = "limit=1&" + fields("id", "logon", {"no_such": ["id"]})
    assert api.get("users", raw).json() == [{"id": truth["id"]}]


def test_fields_may_cut_what_lies_two_levels_deep(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(fields_depth=1))
    truth = api.sandbox.tables["invoices"].records()[0]
    raw = "limit=1&" + fields("id", "supplier", {"invoice_lines": ["id", {"account": ["code"]}]})
    (record,) = api.get("invoices", raw).json()
    assert record["invoice-lines"] == [{"id": line["id"]} for line in truth["invoice-lines"]]
    assert record["supplier"]["id"] == truth["supplier"]["id"]
    assert not any(isinstance(value, dict) for value in record["supplier"].values())
    assert api.get("invoices", "limit=1").json() == [truth], "full records stay whole"


def test_fields_may_hide_records_without_a_named_association(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(fields_join="inner"))
    table = api.sandbox.tables["invoices"]
    first, second, third, *rest = table.ids()
    table.edit(first, {"supplier": None})
    table.edit(second, {"invoice-lines": []})
    assert api.ids("invoices", fields("id", "supplier"))[0] == second
    assert api.ids("invoices", fields("id", {"invoice_lines": ["id"]}))[:2] == [first, third]
    assert api.ids("invoices", "limit=2&" + fields("id", "comments")) == [first, second]
    assert api.ids("invoices", "limit=2&id[gt]=0&dir=desc&" + fields("id", "supplier")) == [
        rest[-1],
        rest[-2],
    ]


@pytest.mark.parametrize("play", ["flag", "status", "ignored"])
def test_deleted_order_lines_come_if_asked_for(start: Start, play: str) -> None:
    api = start(rows={"purchase_orders": 2}, dialect=UNLIMITED.but(deleted_lines=play))
    table = api.sandbox.tables["purchase_orders"]
    order = table.records()[0]
    gone, *kept = order["order-lines"] or [{"id": 1}]
    table.edit(order["id"], {"order-lines": [{**gone, "deleted": True}, *kept]}, touch=False)

    def lines(raw: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get("purchase_orders", raw).json()[0]["order-lines"]
        assert api.get(f"purchase_orders/{order['id']}", raw).json()["order-lines"] == found
        return found

    marked: dict[str, dict[str, Any]] = {"flag": {"deleted": True}, "status": {"status": "deleted"}}
    shown = [{**gone, **marked[play]}, *kept] if play in marked else kept
    assert lines("") == kept
    assert lines("show_deleted_lines=true") == shown
    assert lines("show_deleted_lines=false") == kept


@pytest.mark.parametrize("play", ["flag", "status", "ignored"])
def test_a_list_of_order_lines_shows_deleted_ones_if_asked_for(start: Start, play: str) -> None:
    api = start(rows={"purchase_order_lines": 3}, dialect=UNLIMITED.but(deleted_lines=play))
    table = api.sandbox.tables["purchase_order_lines"]
    first, gone, last = table.ids()
    table.edit(gone, {"deleted": True}, touch=False)
    marked = {"flag": ("deleted", True), "status": ("status", "deleted")}
    for order in ("", "&order_by=updated_at"):
        assert set(api.ids("purchase_order_lines", f"limit=50{order}")) == {first, last}
        asked = f"show_deleted_lines=true{order}"
        found = {row["id"]: row for row in api.get("purchase_order_lines", asked).json()}
        assert found.keys() == ({first, last} if play == "ignored" else {first, gone, last})
        if play in marked:
            key, value = marked[play]
            assert [id for id, row in found.items() if row.get(key) == value] == [gone]
            assert play == "flag" or "deleted" not in found[gone]


def test_deleted_order_lines_may_be_refused(start: Start) -> None:
    api = start(rows={"purchase_orders": 1}, dialect=UNLIMITED.but(deleted_lines="refused"))
    assert api.get("purchase_orders", "show_deleted_lines=true").status_code == 400
    assert api.get("purchase_orders").status_code == 200


def test_records_may_be_huge_and_cost_no_memory_at_rest(start: Start) -> None:
    api = start(rows={"invoices": 3}, size={"invoices": 500_000})
    assert len(api.get("invoices").content) == pytest.approx(1_500_000, rel=0.2)
    table = api.sandbox.tables["invoices"]
    table.edit(table.ids()[1], {"internal-note": padding(5_000_000)}, touch=False)
    response = api.get("invoices", f"limit=1&id[gt]={table.ids()[0]}")
    assert len(response.json()[0]["internal-note"]) == 5_000_000
