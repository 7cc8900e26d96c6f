"""Ids of the things that a record refers to, as columns that tables can be joined on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from source_coupa.records.fields import JsonRecord

Reference = tuple[str, str]
"""An object's name in a record, and the name of the column for its id."""


def references_of(properties: Mapping[str, Mapping[str, Any]]) -> tuple[Reference, ...]:
    """The references of a stream: objects with an `id`, and `<name>_id` declared beside them.

    Args:
        properties: of the stream's schema.
    """
    return tuple(
        (name, f"{name}_id")
        for name, field in properties.items()
        if "id" in field.get("properties", {}) and f"{name}_id" in properties
    )


def add_ids(record: JsonRecord, references: Iterable[Reference]) -> None:
    """Adds `supplier_id` beside `supplier`, and the like, to a record with underscored keys.

    Nothing is changed where the record has a value of that name, or the object no whole number as
    its id.
    """
    for name, id_name in references:
        value = record.get(name)
        if type(value) is dict and record.get(id_name) is None:
            id_ = value.get("id")
            if type(id_) is int:
                record[id_name] = id_
