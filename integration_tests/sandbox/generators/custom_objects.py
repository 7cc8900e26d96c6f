"""Instances of a custom object, with the fields of doc 0163 and two of its own."""

from __future__ import annotations

from random import Random

from integration_tests.sandbox.blueprint import Record, amount, created, id_text, row_id, updated

from . import parts


def object_instance(random: Random, size: int) -> Record:
    """A spaceship."""
    return {
        "id": row_id(),
        "created-at": created(),
        "updated-at": updated(),
        "custom-object-code": "spaceship",
        "custom-object-name": "Spaceship",
        "form-response-id": random.randint(1, 900),
        "created-by": parts.person(random),
        "updated-by": parts.person(random),
        "spaceship-name": f"Ship {id_text()}",
        "top-speed": amount(),
        "is-docked": random.random() < 0.5,
        "note": "x" * max(size - 900, 0),
    }
