"""JSON types of values, for columns that no schema declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from source_coupa.records.fields import JsonRecord

_TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
}


def columns_of(rows: Iterable[JsonRecord], known: Iterable[str]) -> dict[str, dict[str, Any]]:
    """JSON schemas for the fields of `rows` that are not `known`, in alphabetical order.

    Each takes all values that were seen, and null. A field that holds nothing yet may become
    anything: it is left out until it holds something.
    """
    declared = frozenset(known)
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in declared and value is not None:
                seen.setdefault(name, set()).add(_TYPES[type(value)])
    return {name: _schema(seen[name]) for name in sorted(seen)}


def _schema(types: set[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["null", *sorted(types)]}
    if "object" in types:
        schema["additionalProperties"] = True
    if "array" in types:
        schema["items"] = {}
    return schema
