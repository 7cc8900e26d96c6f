"""Users, after the payload printed in doc 0015 and the field table of doc 0100."""

from __future__ import annotations

from random import Random

from integration_tests.sandbox.blueprint import Record, created, id_text, row_id, updated

from . import parts


def user(random: Random, size: int) -> Record:
    """A user of about `size` bytes."""
    login = "user" + id_text()
    record: Record = {
        "id": row_id(),
        "created-at": created(),
        "updated-at": updated(),
        "login": login,
        "email": login + "@example.com",
        "purchasing-user": True,
        "expense-user": random.random() < 0.5,
        "sourcing-user": False,
        "inventory-user": False,
        "contracts-user": False,
        "analytics-user": False,
        "treasury-user": False,
        "invoicing-user": random.random() < 0.5,
        "employee-number": random.choice(("", None, "E" + id_text())),
        "firstname": "User",
        "lastname": id_text(),
        "fullname": "User " + id_text(),
        "middlename": random.choice((None, "Ø", "O'Neutral")),
        "api-user": random.random() < 0.05,
        "active": random.random() < 0.9,
        "salesforce-id": None,
        "account-security-type": 0,
        "authentication-method": random.choice(("coupa_credentials", "saml")),
        "sso-identifier": login,
        "default-locale": random.choice(("en", "fi", None)),
        "business-group-security-type": 1,
        "edit-invoice-on-quick-entry": False,
        "avatar-thumb-url": None,
        "mention-name": login,
        "seniority-level": None,
        "business-function": parts.text(random),
        "employee-payment-channel": "ERP",
        **parts.legacy_custom_fields(random),
        "phone-work": random.choice((None, _phone(random))),
        "phone-mobile": None,
        "roles": [],
        "manager": parts.person_or_none(random),
        "default-address": None,
        "default-account": None,
        "default-account-type": random.choice((None, parts.account_type(random))),
        "default-currency": parts.currency(random),
        "department": random.choice((None, {"id": 2, "name": "Sales", "active": True})),
        "invoice-approval-limit": _limit(random),
        "expenses-delegated-to": [],
        "can-expense-for": [],
        "content-groups": [],
        "account-groups": [],
        "approval-groups": [],
        "working-warehouses": [],
        "inventory-organizations": [],
        "created-by": parts.person_or_none(random),
        "updated-by": parts.person_or_none(random),
        "custom-fields": parts.custom_fields(random),
    }
    if random.random() < 0.3:
        del record["created-by"]
    return parts.fill(record, "roles", size, lambda number: _role(random, number))


def _role(random: Random, number: int) -> Record:
    return {
        "id": number + 1,
        "created-at": parts.timestamp(random),
        "updated-at": parts.timestamp(random),
        "name": f"Role {number}",
        "description": "Creates and approves requisitions",
        "omnipotent": number == 1 and random.random() < 0.1,
        "system-role": True,
        "updated-by": parts.person(random),
        "created-by": None,
    }


def _phone(random: Random) -> Record:
    return {
        "id": random.randint(1, 99),
        "country-code": "1",
        "area-code": "555",
        "number": "5555555",
        "extension": None,
    }


def _limit(random: Random) -> Record:
    code = random.choice(parts.CURRENCIES)
    return {
        "id": random.randint(1, 60),
        "name": f"0.00 {code}",
        "amount": "0.00",
        "subject": "invoice_header",
        "currency": {"id": 1, "code": code, "decimals": 2, "updated-by": None},
    }
