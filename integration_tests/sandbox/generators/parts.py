"""Objects that Coupa embeds in many records: people, currencies, addresses, accounts, texts.

Key sets follow the payloads printed in docs 0008, 0015, 0159 and 0209 and the field tables of the
components. Everything is plainly fake.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from integration_tests.sandbox.blueprint import Record, amount, child_id, created, encode, updated

CURRENCIES = ("USD", "EUR", "JPY", "INR", "CAD", "AED")

TEXTS = (
    "",
    None,
    "Plain text",
    "Zażółć gęślą jaźń, Ærøskøbing, Düsseldorf",
    "日本語の説明文、東京都千代田区",
    "نص باللغة العربية",
    "Emoji \U0001f9fe\U0001f600 and a flag \U0001f1eb\U0001f1f7",
    "He said \"yes\", then 'no'; C:\\temp\\file <b>&amp;</b>",
    "Line one\nline two\r\nline three\twith a tab",
    "Non\u00a0breaking\u2028separator\u200band zero width",
    "=SUM(A1:A9),semi;colon|pipe",
    "A long text. " * 40,
)
"""Values of free text: empty, null, scripts, quotes, control characters, formulas, length."""


def text(random: Random) -> str | None:
    """A free text, often an awkward one."""
    return random.choice(TEXTS)


def timestamp(random: Random) -> str:
    """A date-time of the years 2008 to 2019, with one of several offsets."""
    day = f"{random.randint(2008, 2019)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"
    clock = f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}"
    return f"{day}T{clock}{random.choice(('+02:00', '-07:00', '+05:30', '-03:30', 'Z'))}"


def person(random: Random) -> Record:
    """A user as other records embed it: a cut-down form, at times with `custom-fields: null`."""
    number = random.randint(1, 500)
    record: Record = {
        "id": number,
        "login": f"user{number}",
        "employee-number": random.choice(("", None, f"E{number:05d}")),
        "firstname": "User",
        "lastname": str(number),
        "fullname": f"User {number}",
        "email": f"user{number}@example.com",
        "salesforce-id": None,
        "avatar-thumb-url": None,
    }
    if number % 3:
        record["created-at"] = timestamp(random)
        record["updated-at"] = timestamp(random)
    if number % 2:
        record["custom-fields"] = None
    return record


def person_or_none(random: Random) -> Record | None:
    """A user, or null as one association in five."""
    return None if random.random() < 0.2 else person(random)


def currency(random: Random) -> Record:
    """A currency: id, code, decimals."""
    number = random.randrange(len(CURRENCIES))
    code = CURRENCIES[number]
    return {"id": number + 1, "code": code, "decimals": 0 if code == "JPY" else 2}


def country(random: Random) -> Record:
    """A country."""
    countries = (("US", "United States"), ("FI", "Finland"), ("CI", "Côte d'Ivoire"))
    code, name = random.choice(countries)
    return {"id": 1 + ord(code[0]), "code": code, "name": name}


def address(random: Random) -> Record:
    """An address, as on invoices and users."""
    number = random.randint(1, 900)
    return {
        "id": number,
        "created-at": timestamp(random),
        "updated-at": timestamp(random),
        "name": f"Address {number}",
        "location-code": None,
        "street1": f"{number} Example Street",
        "street2": random.choice(("", None, "2ème étage")),
        "city": random.choice(("Sample City", "Česká Lípa")),
        "state": random.choice((None, "NV")),
        "postal-code": f"{number:05d}",
        "attention": None,
        "active": True,
        "business-group-name": "Everyone",
        "vat-number": None,
        "local-tax-number": None,
        "country": country(random),
        "vat-country": None,
        "content-groups": [],
    }


def account_type(random: Random) -> Record:
    """A chart of accounts."""
    number = random.randint(1, 4)
    return {
        "id": number,
        "name": f"Chart {number}",
        "active": True,
        "currency": currency(random),
    }


def account(random: Random) -> Record:
    """An account with its segments; unused segments are printed as null."""
    number = random.randint(1, 300)
    record: Record = {
        "id": number,
        "created-at": timestamp(random),
        "updated-at": timestamp(random),
        "name": f"Account {number}",
        "code": f"SF-{number:03d}-Assets",
        "active": True,
        "segment-1": "SF",
        "segment-2": f"{number:03d}",
        "segment-3": "Assets",
    }
    record.update({f"segment-{index}": None for index in range(4, 21)})
    record["account-type"] = {k: v for k, v in account_type(random).items() if k != "currency"}
    return record


def supplier(random: Random) -> Record:
    """A supplier as documents embed it."""
    number = random.randint(1, 200)
    return {
        "id": number,
        "name": f"Supplier {number} GmbH & Co. KG" if number % 2 else f"Supplier {number}",
        "display-name": f"Supplier {number}",
        "number": random.choice((None, f"{number:06d}")),
        "status": "active",
        "custom-fields": {"region": random.choice((None, "EMEA"))},
    }


def uom(random: Random) -> Record:
    """A unit of measure."""
    return {"id": 1, "code": random.choice(("EA", "HUR")), "name": "Each", "active": True}


def allocation(random: Random, number: int) -> Record:
    """One share of a line's amount on an account."""
    return {
        "id": child_id(number),
        "created-at": created(),
        "updated-at": updated(),
        "amount": amount(number),
        "pct": "33.3333333333",
        "period": None,
        "account": account(random),
    }


def approval(random: Random, number: int, approvable_type: str) -> Record:
    """One step of an approval chain."""
    done = random.random() < 0.7
    return {
        "id": child_id(number),
        "created-at": created(),
        "updated-at": updated(),
        "position": number,
        "approval-chain-id": None,
        "status": "approved" if done else "pending_approval",
        "approval-date": updated() if done else None,
        "note": text(random),
        "type": "UserApproval",
        "approvable-type": approvable_type,
        "approver-type": "User",
        "approver": person(random),
        "approved-by": person(random) if done else None,
        "reasons": [],
    }


def comment(random: Random, number: int, commentable_type: str) -> Record:
    """One comment on a document."""
    return {
        "id": child_id(number),
        "created-at": created(3600),
        "updated-at": updated(),
        "comments": text(random),
        "commentable-type": commentable_type,
        "comment-type": None,
        "to-supplier": False,
        "created-by": person(random),
        "attachments": [],
    }


def custom_fields(random: Random) -> Record | None:
    """`custom-fields` with every kind of value: null, "", text, boolean, lookup object.

    A few hold one name in both spellings, `cost-center` and `cost_center`.
    """
    if random.random() < 0.1:
        return None
    twin = {"cost-center": "CC-18"} if random.random() < 0.1 else {}
    return {
        **twin,
        "custom-field-1": "Name of first custom field",
        "cost_center": random.choice(("", None, "CC-17")),
        "is-capex": random.random() < 0.5,
        "Reviewer Note": text(random),
        "budget-owner": random.choice((None, {"id": 7, "login": "user7", "fullname": "User 7"})),
        "project-code": {
            "id": random.randint(1, 99),
            "active": True,
            "name": "Ünïcode project",
            "external-ref-num": "P-17",
            "external-ref-code": None,
        },
    }


def legacy_custom_fields(random: Random) -> Record:
    """Custom fields of the "API global namespace" option: they sit at the top level (doc 0010).

    A few records hold one name in both spellings, `custom-field-7` and `custom_field_7`.
    """
    twin = {"custom_field_7": "with underscores"} if random.random() < 0.1 else {}
    return {
        **twin,
        "gpo-entity": random.choice(("", None, "Entity 3")),
        "custom-field-7": text(random),
        "radio-button-test": random.choice((None, True)),
    }


def fill(record: Record, key: str, size: int, make: Callable[[int], Record]) -> Record:
    """Add the objects that `make(number)` builds to the list `record[key]`.

    Adds as many as bring the record nearest to `size` bytes of JSON; none if it is there already.
    """
    room = size - len(encode(record))
    for number in range(1, 900):
        child = make(number)
        length = len(encode(child)) + 1
        if room < length / 2:
            break
        record[key].append(child)
        room -= length
    return record
