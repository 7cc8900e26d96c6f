"""The query language: every operator against a plain evaluation over the ground truth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest

from integration_tests.sandbox import Record, Sandbox
from unit_tests.sandbox.conftest import UNLIMITED, Api, Start

Wanted = Callable[[Record], bool]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def truth(api: Api, resource: str, wanted: Wanted) -> list[int]:
    return [record["id"] for record in api.sandbox.tables[resource].records() if wanted(record)][
        :50
    ]


def lines(record: Record) -> list[Record]:
    found: list[Record] = record["invoice-lines"]
    return found


FILTERS: list[tuple[str, Wanted]] = [
    ("status=approved", lambda r: r["status"] == "approved"),
    ("status[not_eq]=approved", lambda r: r["status"] != "approved"),
    ("status[in]=approved,voided", lambda r: r["status"] in ("approved", "voided")),
    ("status[not_in]=approved,voided", lambda r: r["status"] not in ("approved", "voided")),
    ("status[contains]=prov", lambda r: "prov" in r["status"]),
    ("status[starts_with]=app", lambda r: r["status"].startswith("app")),
    ("status[ends_with]=d", lambda r: r["status"].endswith("d")),
    ("document-type=Credit%20Note", lambda r: r["document-type"] == "Credit Note"),
    ("document_type=Credit+Note", lambda r: r["document-type"] == "Credit Note"),
    ("paid=true", lambda r: r["paid"] is True),
    ("paid=0", lambda r: r["paid"] is False),
    ("paid=false&status=approved", lambda r: not r["paid"] and r["status"] == "approved"),
    ("tax-rate=8.25", lambda r: r["tax-rate"] == 8.25),
    ("tax_rate[gt]=8", lambda r: r["tax-rate"] is not None and r["tax-rate"] > 8),
    ("tax_rate[blank]=true", lambda r: r["tax-rate"] is None),
    ("comments[blank]=false", lambda r: r["comments"] not in (None, "")),
    ("gross-total[gt]=9000", lambda r: float(r["gross-total"]) > 9000),
    ("gross_total[lt_or_eq]=10000.00", lambda r: float(r["gross-total"]) <= 10000),
    ("shipping-amount=0", lambda r: True),
    ("currency[code]=EUR", lambda r: r["currency"]["code"] == "EUR"),
    ("currency[id][in]=1,2", lambda r: r["currency"]["id"] in (1, 2)),
    ("account_type[currency][code]=EUR", lambda r: r["account-type"]["currency"]["code"] == "EUR"),
    (
        "invoice-lines[type]=InvoiceAmountLine",
        lambda r: any(line["type"] == "InvoiceAmountLine" for line in lines(r)),
    ),
    (
        "invoice_lines[account][code][starts_with]=SF-1",
        lambda r: any(
            line["account"]["code"][:4] == "SF-1" for line in lines(r) if line["account"]
        ),
    ),
    ("contract[blank]=true", lambda r: r.get("contract") is None),
]


def has_new_line(record: Record) -> bool:
    return any(instant(line["updated-at"]) >= A_DAY for line in lines(record))


A_DAY = datetime(2025, 6, 1, tzinfo=timezone.utc)
SINCE_A_DAY = "[updated-at][gt_or_eq]=2025-06-01T00:00:00Z"


@pytest.mark.parametrize("name", ["invoice-lines", "invoice_lines"])
def test_a_filter_on_the_times_of_rows(api: Api, name: str) -> None:
    table = api.sandbox.tables["invoices"]
    table.edit_row(next(r["id"] for r in table.records() if lines(r)), "invoice-lines")
    expected = [r["id"] for r in table.records() if has_new_line(r)][:50]
    assert 0 < len(expected) < len(table)
    assert api.ids("invoices", name + SINCE_A_DAY) == expected


def test_a_filter_on_the_times_of_rows_in_rows(api: Api) -> None:
    table = api.sandbox.tables["invoices"]
    id = next(r["id"] for r in table.records() if any(line["tax-lines"] for line in lines(r)))
    table.edit_row(id, "invoice-lines.tax-lines")
    assert id in api.ids("invoices", "invoice-lines[tax-lines]" + SINCE_A_DAY)


def test_a_filter_on_the_times_of_rows_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(association_times="ignored"))
    assert (
        api.ids("invoices", "invoice-lines" + SINCE_A_DAY)
        == api.sandbox.tables["invoices"].ids()[:50]
    )
    api = start(dialect=UNLIMITED.but(association_times="refused"))
    assert api.get("invoices", "invoice-lines" + SINCE_A_DAY).status_code == 400


def test_a_filter_on_the_times_of_rows_may_hide_the_others(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(association_rows="matching"))
    table = api.sandbox.tables["invoices"]
    id = next(r["id"] for r in table.records() if len(lines(r)) > 1 and not has_new_line(r))
    table.edit_row(id, "invoice-lines", 1)
    (found,) = api.get("invoices", f"id={id}&invoice-lines" + SINCE_A_DAY).json()
    assert found == {**table.get(id), "invoice-lines": [lines(table.get(id))[1]]}
    assert api.get("invoices", f"id={id}").json() == [table.get(id)]


@pytest.mark.parametrize(("raw", "wanted"), FILTERS, ids=[raw for raw, _ in FILTERS])
def test_filter(api: Api, raw: str, wanted: Wanted) -> None:
    expected = truth(api, "invoices", wanted)
    assert expected, "the filter must find something in the data"
    assert api.ids("invoices", raw) == expected


@pytest.mark.parametrize(
    ("operator", "wanted"),
    [
        ("gt", lambda a, b: a > b),
        ("gt_or_eq", lambda a, b: a >= b),
        ("lt", lambda a, b: a < b),
        ("lt_or_eq", lambda a, b: a <= b),
        ("not_eq", lambda a, b: a != b),
    ],
)
@pytest.mark.parametrize("attribute", ["id", "updated-at", "created_at"])
def test_comparison_at_the_boundary(
    api: Api, attribute: str, operator: str, wanted: Callable[[Any, Any], bool]
) -> None:
    record = api.sandbox.tables["users"].records()[23]
    if attribute == "id":
        text = str(record["id"])
        expected = truth(api, "users", lambda r: wanted(r["id"], record["id"]))
    else:
        key = attribute.replace("_", "-")
        text = record[key]
        expected = truth(api, "users", lambda r: wanted(instant(r[key]), instant(text)))
    raw = f"{attribute}[{operator}]={quote(text, safe='')}"
    assert api.ids("users", raw) == expected


def test_ids_above_and_up_to(api: Api) -> None:
    ids = api.sandbox.tables["users"].ids()
    assert api.ids("users", f"id[gt]={ids[9]}&id[lt_or_eq]={ids[20]}") == ids[10:21]
    assert api.ids("users", f"id[gt_or_eq]={ids[9]}&id[lt]={ids[20]}") == ids[9:20]
    assert api.ids("users", f"id={ids[3]}") == [ids[3]]
    assert api.ids("users", f"id[in]={ids[3]},{ids[5]},99999999") == [ids[3], ids[5]]


@pytest.mark.parametrize(
    "text",
    ["2024-05-10T10:00:00Z", "2024-05-10T12:00:00%2B02:00", "2024-05-10T06:30:00.0-03:30"],
)
def test_one_instant_in_any_offset(start: Start, text: str) -> None:
    api = start(rows={})
    table = api.sandbox.tables["users"]
    table.add({"id": 1, "updated-at": "2024-05-10T15:29:59+05:30"})
    table.add({"id": 2, "updated-at": "2024-05-10T15:30:00+05:30"})
    assert api.ids("users", f"updated_at[gt_or_eq]={text}") == [2]
    assert api.ids("users", f"updated-at={text}") == [2]


def test_a_date_is_midnight_utc(start: Start) -> None:
    api = start(rows={})
    table = api.sandbox.tables["users"]
    table.add({"id": 1, "updated-at": "2024-05-09T23:59:59Z"})
    table.add({"id": 2, "updated-at": "2024-05-10T02:00:00+02:00"})
    assert api.ids("users", "updated_at[lt]=2024-05-10") == [1]
    assert api.ids("users", "updated_at=2024-05-10") == [2]


def test_null_matches_only_blank(start: Start) -> None:
    api = start(rows={"users": 1})
    api.sandbox.tables["users"].add({"id": 7, "updated-at": None, "login": None})
    assert 7 not in api.ids("users", "updated_at[gt]=1970-01-01")
    assert 7 not in api.ids("users", "login[not_eq]=x")
    assert api.ids("users", "login[blank]=true") == [7]


def test_a_raw_plus_makes_a_date_invalid_or_is_repaired(start: Start) -> None:
    raw = "updated_at[gt]=2001-01-01T00:00:00+02:00"
    api = start()
    assert api.get("users", raw).status_code == 400
    api.sandbox.dialect = UNLIMITED.but(bad_datetime="best_effort")
    assert len(api.ids("users", raw)) == 50


@pytest.mark.parametrize(
    "raw",
    [
        "limit=0",
        "limit=-1",
        "limit=abc",
        "limit=",
        "offset=-1",
        "offset=1.5",
        "dir=up",
        "id[gt]=x",
        "id=",
        "updated_at[gt]=yesterday",
        "updated_at[gt]=2024-13-01",
        "paid=maybe",
        "tax_rate[gt]=high",
        "comments[blank]=1",
        "a[b][c][d]=1",
        "fields=id",
        "fields=%7B%7D",
        "return_object=deep",
    ],
)
def test_bad_queries_are_refused_with_coupas_error_body(api: Api, raw: str) -> None:
    response = api.get("invoices", raw)
    assert response.status_code == 400
    assert list(response.json()) == ["errors"]
    assert response.json()["errors"]["invoice_header"]


def test_unknown_parameters_are_ignored_or_refused(start: Start) -> None:
    api = start()
    for raw in ("no_such_attribute[gt]=1", "foo=1", "supplier[no_such]=x"):
        assert len(api.ids("invoices", raw)) == 50
    api.sandbox.dialect = UNLIMITED.but(unknown_parameter="refused")
    for raw in ("no_such_attribute[gt]=1", "foo=1", "supplier[no_such]=x"):
        assert api.get("invoices", raw).status_code == 400
    assert len(api.ids("invoices", "limit=50&exported[in]=true,false")) == 50


def test_filters_on_some_attributes_may_be_ignored(start: Start) -> None:
    api = start()
    assert api.ids("invoices", "status=nonsense") == []
    api.sandbox.dialect = UNLIMITED.but(ignored_filters=frozenset({"status"}))
    assert len(api.ids("invoices", "status=nonsense")) == 50
    assert api.ids("invoices", "currency[code]=nonsense") == []


def test_an_api_response_filter_is_asked_for_by_name(start: Start) -> None:
    api = start()
    default, named = frozenset({"id"}), frozenset({"id", "status"})
    api.sandbox.dialect = UNLIMITED.but(
        response_filter={"invoices": default}, response_filters={"invoices": {"named": named}}
    )
    for raw, keys in (("", default), ("filter=named", named), ('fields=["paid"]', {"paid"})):
        for record in api.get("invoices", raw).json():
            assert record.keys() == keys
    assert api.get("invoices", "filter=unheard_of").status_code == 400
    assert api.get("users", "filter=named").status_code == 400


def test_no_match_is_an_empty_array(api: Api) -> None:
    response = api.get("invoices", "status=nonsense")
    assert (response.status_code, response.text) == (200, "[]")


def test_a_closed_sandbox_has_no_url() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        _ = Sandbox(rows={}).url
