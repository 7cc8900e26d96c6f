"""Custom fields with hostile names, in `custom-fields` and, the older ones, beside Coupa's own."""

from __future__ import annotations

from random import Random
from typing import Any

from integration_tests.sandbox.blueprint import Record

NAMES = (
    "Cost Center",
    "cost-center",
    "cost_center",
    "COST-CENTER",
    "予算コード",
    "مركز التكلفة",
    "Kostenträger",
    "🧾",
    "select",
    "order",
    "Group",
    "from",
    "1st-choice",
    "50%",
    "a.b",
    "quote\"'",
    "custom-" + "x" * 73,
)
"""Blanks, twins in case and spelling, other scripts, reserved words, signs, 80 characters."""

OLDER_NAMES = (*NAMES, "ID", "Updated-At", "Status")
"""Beside Coupa's own fields, of which some are twins."""


def add_custom_fields(body: Record, number: int, *, path: str, seed: int) -> Record:
    """The record with each custom field, some empty; the same for a list, a number and a seed."""
    random = Random(f"{seed}/{path}/custom fields/{number}")
    standard = {name: _value(name, path, random) for name in NAMES}
    older = {name: _value(name, path, random) for name in OLDER_NAMES if name not in body}
    return {
        **body,
        **older,
        "custom-fields": {**(body.get("custom-fields") or {}), **standard},
    }


def _value(name: str, path: str, random: Random) -> Any:
    """A value of the one kind that a custom field has in all records of a list."""
    kind = Random(f"{path}/{name}").randrange(4)
    if random.random() < 0.2:
        return "" if kind == 0 else None
    if kind == 1:
        return random.random() < 0.5
    if kind == 2:
        return {"id": random.randint(1, 99), "name": f"{name} {random.randint(1, 9)}"}
    return f"{name} {random.randint(1, 9)}"
