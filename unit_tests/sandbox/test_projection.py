"""Which parts of a record an answer holds: fields, return_object, the response filter."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

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


def test_a_response_filter_trims_answers_in_silence(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(response_filter={"users": frozenset({"id", "login"})}))
    assert [record.keys() for record in api.get("users", "limit=2").json()] == [{"id", "login"}] * 2
    (wanted,) = api.get("users", "limit=1&" + fields("email")).json()
    assert wanted.keys() == {"email"}
    assert len(api.get("invoices", "limit=1").json()[0]) > 20
