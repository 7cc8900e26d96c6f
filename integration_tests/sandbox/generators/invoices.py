"""Invoices, after the payload printed in doc 0209 and the field tables of docs 0205 to 0216."""

from __future__ import annotations

from random import Random

from integration_tests.sandbox.blueprint import (
    Record,
    amount,
    child_id,
    created,
    id_text,
    row_id,
    updated,
)

from . import parts

STATUSES = ("new", "draft", "pending_approval", "approved", "on_hold", "voided", "disputed")


def invoice(random: Random, size: int) -> Record:
    """An invoice of about `size` bytes: header, charges, payments, tax lines, and its lines."""
    paid = random.random() < 0.4
    record: Record = {
        "id": row_id(),
        "created-at": created(),
        "updated-at": updated(),
        "invoice-number": "INV-" + id_text(),
        "invoice-date": "2019-04-01T00:00:00+03:00",
        "date-received": random.choice((None, created())),
        "delivery-date": None,
        "document-type": random.choice(("Invoice", "Invoice", "Credit Note")),
        "status": random.choice(STATUSES),
        "canceled": False,
        "compliant": random.choice((None, True, False)),
        "paid": paid,
        "payment-date": updated() if paid else None,
        "payment-notes": "",
        "comments": parts.text(random),
        "internal-note": parts.text(random),
        "supplier-note": "",
        "line-level-taxation": random.random() < 0.5,
        "line-count": 0,
        "tax-rate": random.choice((None, 8.25, 19.0, 0.0)),
        "tax-amount": amount(1),
        "shipping-amount": "0.0",
        "handling-amount": "0.0",
        "misc-amount": "0.0",
        "discount-amount": None,
        "discount-percent": random.choice((None, 2.5)),
        "gross-total": amount(),
        "total-with-taxes": amount(2),
        "amount-of-advance-payment": "98765432109876543210987654.32109876543210987654",
        "exchange-rate": "0.123456789",
        "exported": random.random() < 0.5,
        "last-exported-at": None,
        "lock-version-key": random.randint(0, 9),
        "original-invoice-number": "",
        "original-invoice-date": None,
        "tolerance-failures": None,
        **parts.legacy_custom_fields(random),
        "account-type": parts.account_type(random),
        "bill-to-address": parts.address(random),
        "ship-to-address": None,
        "currency": parts.currency(random),
        "payment-term": {"id": 3, "code": "Net 30", "days-for-net-payment": 30},
        "supplier": parts.supplier(random),
        "requested-by": parts.person_or_none(random),
        "created-by": parts.person(random),
        "updated-by": parts.person(random),
        "contract": None,
        "attachments": [],
        "approvals": [parts.approval(random, 901, "InvoiceHeader")],
        "invoice-lines": [],
        "invoice-charges": [_charge(random)] if random.random() < 0.3 else [],
        "payments": [_payment(random)] if paid else [],
        "tax-lines": [_tax_line(903)] if random.random() < 0.5 else [],
        "withholding-tax-lines": [],
        "failed-tolerances": [],
        "dispute-reasons": [],
        "taggings": [],
        "custom-fields": parts.custom_fields(random),
    }
    if random.random() < 0.2:
        del record["contract"]
    parts.fill(record, "invoice-lines", size, lambda number: _line(random, number))
    record["line-count"] = len(record["invoice-lines"])
    return record


def _line(random: Random, number: int) -> Record:
    po_number = random.choice((None, "17"))
    line: Record = {
        "id": child_id(number),
        "created-at": created(),
        "updated-at": updated(),
        "line-num": number,
        "type": random.choice(("InvoiceQuantityLine", "InvoiceAmountLine")),
        "status": "matched",
        "description": parts.text(random),
        "price": "425.99",
        "quantity": random.choice((None, "1.0", "20.0")),
        "total": amount(number),
        "accounting-total": amount(number),
        "tax-rate": None,
        "tax-amount": "0.00",
        "po-number": po_number,
        "order-header-num": po_number,
        "order-line-id": None,
        "net-weight": None,
        "currency": parts.currency(random),
        "accounting-total-currency": parts.currency(random),
        "account": parts.account(random) if number % 2 else None,
        "account-allocations": [] if number % 2 else [parts.allocation(random, 300 + number)],
        "commodity": {"id": 8, "name": "Software", "active": True},
        "item": None,
        "uom": parts.uom(random),
        "tax-lines": [_tax_line(600 + number)] if number % 3 == 0 else [],
        "custom-fields": parts.custom_fields(random),
    }
    if random.random() < 0.1:
        line["po_number"] = "the same name spelt with an underscore"
    return line


def _charge(random: Random) -> Record:
    return {
        "id": child_id(904),
        "created-at": created(),
        "updated-at": updated(),
        "type": "InvoiceShippingCharge",
        "line-num": 1,
        "description": parts.text(random),
        "total": amount(4),
        "pct": "0.0",
        "currency": parts.currency(random),
        "account-allocations": [],
        "tax-lines": [],
    }


def _payment(random: Random) -> Record:
    return {
        "id": child_id(905),
        "created-at": created(86_400),
        "updated-at": updated(),
        "amount-paid": amount(5),
        "payable-type": "InvoiceHeader",
        "payable-id": row_id(),
        "payment-date": updated(),
        "check-number": random.choice((None, "000017")),
        "notes": None,
    }


def _tax_line(number: int) -> Record:
    return {
        "id": child_id(number),
        "created-at": created(),
        "updated-at": updated(),
        "amount": amount(number),
        "base": "1000.0000",
        "code": "CA",
        "rate": 8.25,
        "type": "TaxLine",
        "tax-code": {"id": 1, "code": "CA", "percentage": 8.25},
    }
