"""Revisions of purchase orders, after the payload printed in doc 0242.

Coupa filters and orders them by the id and time in their `revision-record`. So the sandbox keeps
these where other records have theirs, and `printed` moves them where Coupa prints them.
"""

from __future__ import annotations

from random import Random
from typing import Any

from integration_tests.sandbox.blueprint import Record, amount, child_id, created, row_id

from . import parts

ORDER_ID = "purchase-order-id"


def revision(random: Random, size: int) -> Record:
    """A revision of about `size` bytes, with the lines that changed."""
    record: Record = {
        "id": row_id(),
        "created-at": created(),
        ORDER_ID: random.randint(1, 500),
        "revision-record": {
            "revision": random.randint(1, 9),
            "id": row_id(),
            "created-at": created(),
            "created-by": random.randint(1, 500),
        },
        "comments": "",
        "test-text-field": _pair(parts.text(random), parts.text(random)),
        "ship-to-user": _pair(parts.person_or_none(random), parts.person(random)),
        "updated-at": _pair(parts.timestamp(random), created()),
        "version": _pair(1, 2),
        "order-lines": [],
    }
    return parts.fill(record, "order-lines", size, lambda number: _line(random, number))


def printed(record: Record) -> Record:
    """A record of the sandbox's table in Coupa's form."""
    kept = {key: value for key, value in record.items() if key not in ("created-at", ORDER_ID)}
    return {**kept, "id": record[ORDER_ID]}


def _line(random: Random, number: int) -> Record:
    return {
        "id": child_id(number),
        "line-num": number,
        "need-by-date": _pair(None, parts.timestamp(random)),
        "price": _pair(amount(number), amount(number + 1)),
        "updated-by": _pair(parts.person(random), parts.person(random)),
    }


def _pair(before: Any, after: Any) -> Record:
    return {"from": before, "to": after}
