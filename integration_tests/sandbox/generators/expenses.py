"""Expense reports and expense lines (docs 0008, 0180 and 0192)."""

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

STATUSES = ("draft", "pending_approval", "approved_for_payment", "rejected")


def expense_report(random: Random, size: int) -> Record:
    """An expense report of about `size` bytes with its lines, approvals and comments."""
    report: Record = {
        "id": row_id(),
        "created-at": created(),
        "updated-at": updated(),
        "title": parts.text(random),
        "status": random.choice(STATUSES),
        "submitted-at": random.choice((None, created(7200))),
        "start-date": random.choice((None, "2019-07-01")),
        "end-date": random.choice((None, "2019-07-05")),
        "auditor-note": None,
        "reject-reason": None,
        "paid": random.random() < 0.4,
        "past-due": False,
        "is-trip": False,
        "total": amount(),
        "reimbursable-total-amount": amount(),
        "audit-score": random.randint(0, 100),
        "exported": random.random() < 0.5,
        "last-exported-at": None,
        "payment-channel": random.choice((None, "ERP")),
        "external-src-ref": random.choice((None, "T-" + id_text())),
        "external-src-name": None,
        "currency": parts.currency(random),
        "reimbursable-total-currency": parts.currency(random),
        "expensed-by": parts.person(random),
        "submitted-by": parts.person_or_none(random),
        "created-by": parts.person(random),
        "updated-by": parts.person(random),
        "payment": None,
        "expense-lines": [],
        "approvals": [parts.approval(random, 901, "ExpenseReport")],
        "comments": [parts.comment(random, 902, "ExpenseReport")] if random.random() < 0.5 else [],
        "events": [{"id": child_id(903), "created-at": created(), "status": "submitted"}],
        "expense-policy-violations": [],
        "expense-violations": [],
        "reconciliation-lines": [],
        "custom-fields": parts.custom_fields(random),
    }
    if random.random() < 0.2:
        del report["payment"]
    return parts.fill(
        report, "expense-lines", size, lambda n: _line(random, child_id(n), n, row_id())
    )


def expense_line(random: Random, size: int) -> Record:
    """An expense line of its own call, of about `size` bytes."""
    line = _line(random, row_id(), random.randint(1, 9), random.randint(1, 5000))
    line["account-allocations"] = []
    return parts.fill(line, "account-allocations", size, lambda n: parts.allocation(random, n))


def _line(random: Random, line_id: str, number: int, report_id: str | int) -> Record:
    line: Record = {
        "id": line_id,
        "created-at": created(),
        "updated-at": updated(),
        "expense-report-id": report_id,
        "line-number": number,
        "type": "ExpenseLine",
        "status": random.choice(STATUSES),
        "description": parts.text(random),
        "merchant": random.choice((None, "Café Exämple", "Sample Airlines")),
        "reason": None,
        "expense-date": random.choice((None, created())),
        "start-date": None,
        "end-date": None,
        "amount": amount(number),
        "approved-amount": random.choice((None, amount(number))),
        "accounting-total": amount(number),
        "reporting-total": amount(number),
        "receipt-total-amount": amount(number),
        "exchange-rate": random.choice(("1.0", "0.123456789")),
        "foreign-currency-amount": "12345678901234567890123456.7891",
        "divisor": "1.00",
        "requires-receipt": True,
        "over-limit": False,
        "employee-reimbursable": True,
        "frugality": random.choice((None, "praise", "shame")),
        "order-line-id": None,
        "parent-expense-line-id": None,
        "external-src-ref": None,
        "currency": parts.currency(random),
        "accounting-total-currency": parts.currency(random),
        "foreign-currency": None,
        "expense-category": {"id": 4, "name": "Meals & Entertainment"},
        "expensed-by": parts.person(random),
        "account": parts.account(random),
        "expense-artifacts": [],
        "expense-attendees": [],
        "expense-line-taxes": [],
        "audit-status": None,
        "custom-fields": parts.custom_fields(random),
    }
    line.update({f"custom-field-{slot}": None for slot in range(1, 21)})
    line["custom-field-3"] = parts.text(random)
    line.update({f"expense-category-custom-field-{slot}": None for slot in range(1, 11)})
    return line
