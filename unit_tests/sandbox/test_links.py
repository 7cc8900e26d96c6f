"""References between tables of the sandbox, and custom fields with hostile names."""

from __future__ import annotations

import re

import pytest

from integration_tests.sandbox import RESOURCES, Sandbox
from integration_tests.sandbox.generators.custom_fields import NAMES, OLDER_NAMES

ROWS = {
    "users": 30,
    "suppliers": 20,
    "purchase_orders": 25,
    "purchase_order_lines": 40,
    "expense_reports": 20,
    "expense_lines": 60,
    "invoices": 80,
}


@pytest.fixture(scope="module")
def linked() -> Sandbox:
    return Sandbox(ROWS, linked=True)


def test_references_lead_to_rows(linked: Sandbox) -> None:
    tables = linked.tables
    users, suppliers = set(tables["users"].ids()), set(tables["suppliers"].ids())
    reports, lines = set(tables["expense_reports"].ids()), tables["expense_lines"].records()
    assert {line["expense-report-id"] for line in lines} <= reports
    assert {line["expensed-by"]["id"] for line in lines} <= users
    invoices = tables["invoices"].records()
    assert {invoice["supplier"]["id"] for invoice in invoices} <= suppliers
    assert len({invoice["supplier"]["id"] for invoice in invoices}) > 5


def test_invoice_lines_lead_to_order_lines_and_these_to_orders(linked: Sandbox) -> None:
    orders = set(linked.tables["purchase_orders"].ids())
    order_lines = {row["id"]: row for row in linked.tables["purchase_order_lines"].records()}
    lines = [
        line
        for invoice in linked.tables["invoices"].records()
        for line in invoice["invoice-lines"]
        if line.get("po-number")
    ]
    assert lines
    assert {line["order-line-id"] for line in lines} <= order_lines.keys()
    headers = {
        line["order-header-id"] for line in order_lines.values() if "order-header-id" in line
    }
    assert headers - {None} <= orders
    assert headers - {None}


def test_a_reference_has_the_names_of_its_row(linked: Sandbox) -> None:
    suppliers = {row["id"]: row for row in linked.tables["suppliers"].records()}
    for invoice in linked.tables["invoices"].records():
        named = suppliers[invoice["supplier"]["id"]]
        if named.get("name") is not None:
            assert invoice["supplier"]["name"] == named["name"]


def test_own_ids_and_times_stay(linked: Sandbox) -> None:
    plain = Sandbox(ROWS, clock=lambda: linked.clock())
    assert linked.tables["invoices"].ids() == plain.tables["invoices"].ids()
    [first, *_] = linked.tables["invoices"].records()
    assert first["invoice-number"] == f"INV-{first['id']}"
    assert first["created-at"]
    assert first["invoice-lines"][0]["id"] == first["id"] * 1000 + 1


def test_every_resource_has_custom_fields_with_hostile_names() -> None:
    with_fields = Sandbox(dict.fromkeys(RESOURCES, 3), custom_fields=True)
    for path, table in with_fields.tables.items():
        for record in table.records():
            assert record.keys() >= set(OLDER_NAMES), path
            assert record["custom-fields"].keys() >= set(NAMES), path


def test_the_names_are_hostile() -> None:
    assert any(" " in name for name in NAMES)
    assert any(len(name) == 80 for name in NAMES)
    assert any(not name.isascii() for name in NAMES)
    assert len({re.sub("[ -]", "_", name).lower() for name in NAMES}) < len(NAMES) - 2
    assert {"select", "order", "from"} <= set(NAMES)


def test_custom_fields_are_the_same_each_time() -> None:
    one, other = (Sandbox({"users": 5}, custom_fields=True) for _ in range(2))
    for record, again in zip(
        one.tables["users"].records(), other.tables["users"].records(), strict=True
    ):
        assert record["custom-fields"] == again["custom-fields"]
        assert {name: record[name] for name in OLDER_NAMES} == {
            name: again[name] for name in OLDER_NAMES
        }


def test_without_the_switch_records_have_none() -> None:
    for record in Sandbox({"suppliers": 5}).tables["suppliers"].records():
        assert "予算コード" not in record
