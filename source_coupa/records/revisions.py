"""Revisions of purchase orders (page 0242): which fields of an order changed, from what to what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from source_coupa.records.fields import JsonRecord
from source_coupa.records.keys import with_underscores

_PAIR = frozenset({"from", "to"})


def flat_revision(record: JsonRecord) -> JsonRecord:
    """A revision whose own id and time stand where those of other records do.

    Coupa prints them in `revision-record`, and beside it the order as it changed: its id and those
    of its lines as they are, each changed field as `{"from": ..., "to": ...}`. Filters and order
    act on the revision.

    Args:
        record: as Coupa prints it.

    Returns:
        `id` and `created_at` of the revision, None if it has none; `revision_record`;
        `purchase_order_id`; the rest as one object in `changes`; and `changed_fields`, one object
        for each pair in it: `path` is a JSON Pointer (RFC 6901), `object_id` the id of the
        innermost object around the pair that has one, and the values are text as it is, else JSON.
    """
    changes = with_underscores(record)
    revision = changes.pop("revision_record", None)
    order_id = changes.pop("id", None)
    head = revision if isinstance(revision, dict) else {}
    return {
        "id": head.get("id"),
        "created_at": head.get("created_at"),
        "revision_record": revision,
        "purchase_order_id": order_id,
        "changes": changes,
        "changed_fields": list(_pairs(changes, "", order_id)),
    }


def _pairs(value: Any, path: str, object_id: Any) -> Iterator[JsonRecord]:
    if isinstance(value, dict):
        if value and value.keys() <= _PAIR:
            yield {
                "path": path,
                "from_value": _as_text(value.get("from")),
                "to_value": _as_text(value.get("to")),
                "object_id": object_id,
            }
            return
        own_id = value.get("id")
        object_id = own_id if isinstance(own_id, int) else object_id
        for key, inner in value.items():
            escaped = key.replace("~", "~0").replace("/", "~1")
            yield from _pairs(inner, f"{path}/{escaped}", object_id)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _pairs(inner, f"{path}/{place}", object_id)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than orjson goes
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
