"""Records of any resource, made from the schema of its stream.

What a schema does not say is taken from the names of keys: an `amount` is a decimal, a `status` a
short word. Some records have every field, in the others each may be null or left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

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

Schema = Mapping[str, Any]

SCHEMAS = Path(__file__).resolve().parents[3] / "source_coupa" / "schemas"

CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "approvals": ("UserApproval", "GroupApproval"),
    "coupa_pay_invoices": ("CoupaPay::Invoice",),
    "inventory_transactions": ("InventoryReceipt", "InventoryConsumption", "InventoryAdjustment"),
    "purchase_order_lines": ("OrderQuantityLine", "OrderAmountLine"),
}
"""Schema -> what its records may have as `type`."""

_DECIMAL = re.compile(
    r"(^|_)(amount|cost|distance|invoiced|pct|percent|price|qty|quantity|received|savings|total"
    r"|value|weight)(_\d+|_engine|_in_usd)?$"
)
_WORDS = re.compile(r"(^|_)(channel|code|kind|locale|method|name|number|state|status|type)$")
_FULL, _NULL, _ABSENT, _CUT = 0.15, 0.2, 0.1, 0.7
"""The share of full records; in the others, of fields that are null, of those that are left out,
and of nested fields that are left out."""


class FromSchema:
    """Makes records of the schema `name`, save its fields `without`: `generate` of a resource."""

    def __init__(self, name: str, *, without: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.without = without

    def __call__(self, random: Random, size: int) -> Record:
        """A record in Coupa's form; lists get more items where `size` bytes want more."""
        properties = {
            key: field
            for key, field in schema(self.name)["properties"].items()
            if key not in self.without
        }
        maker = Maker(self.name, properties, random, is_full=random.random() < _FULL)
        record = maker.record()
        owned = maker.longest_list()
        if owned is not None and isinstance(record.get(owned), list):
            parts.fill(record, owned, size, lambda _: maker.item(owned))
        if self.name == "suppliers":
            # other records show it
            record["name"] = "Supplier " + id_text()
        return record


@lru_cache(maxsize=256)
def schema(name: str) -> Schema:
    """The schema of a stream."""
    loaded: Schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def text_attribute(name: str) -> str | None:
    """A free text of the records of a schema, dashed; None if they have none."""
    properties = schema(name)["properties"]
    for key in ("description", "name", "title", "note", "comments", "status", "code"):
        if properties.get(key, {}).get("type") == ["null", "string"]:
            return key
    texts = (k for k, field in properties.items() if field["type"] == ["null", "string"])
    return next((key.replace("_", "-") for key in texts if not key.endswith("_at")), None)


class Maker:
    """Makes one record, or single values of its fields."""

    def __init__(
        self, name: str, properties: Mapping[str, Schema], random: Random, *, is_full: bool
    ) -> None:
        self._name = name
        self._properties = properties
        self._random = random
        self._is_full = is_full
        self._children = count(1)

    def record(self) -> Record:
        record: Record = {"id": row_id()}
        for name, stamp in (("created_at", created()), ("updated_at", updated())):
            if name in self._properties:
                record[name.replace("_", "-")] = stamp
        for key, field in self._properties.items():
            if key in ("id", "created_at", "updated_at"):
                continue
            chance = 1.0 if self._is_full or key == "custom_fields" else self._random.random()
            if chance < _ABSENT:
                continue
            name, is_null = key.replace("_", "-"), chance < _ABSENT + _NULL
            if key == "custom_fields":
                record[name] = parts.custom_fields(self._random)
            else:
                record[name] = None if is_null else self._value(key, field, owned=True, depth=0)
        return record

    def longest_list(self) -> str | None:
        """The key of the list whose items say most; None without a list of objects."""
        lists = {
            key.replace("_", "-"): len(field["items"].get("properties", {}))
            for key, field in self._properties.items()
            if "array" in field["type"] and "object" in field["items"]["type"]
        }
        return max(lists, key=lambda key: lists[key], default=None)

    def item(self, key: str) -> Record:
        """One more item of a list of the record."""
        items = self._properties[key.replace("-", "_")]["items"]
        made: Record = self._object(key, items, owned=True)
        return made

    def value(self, key: str, field: Schema) -> Any:
        """A value of a field, never null or empty if the record is to be full."""
        return self._value(key, field, owned=False)

    def _object(self, key: str, field: Schema, *, owned: bool) -> Any:
        properties = field.get("properties")
        if key == "custom_fields":
            region = {"region": "EMEA"}
            return region if self._is_full else self._random.choice((None, {}, region))
        if not properties:
            return {
                "id": self._random.randint(1, 99),
                "name": f"{key} {self._random.randint(1, 9)}",
            }
        return {
            name.replace("_", "-"): self._value(name, inner, owned=owned)
            for name, inner in properties.items()
            if self._is_full or name == "id" or self._random.random() > _CUT
        }

    def _value(self, key: str, field: Schema, *, owned: bool, depth: int = 1) -> Any:
        """A value of a field; ids of what the record owns are its own, others are shared. Awkward
        texts stand in the record itself: in each of a thousand nested fields they would bloat it.
        """
        kinds = [kind for kind in field["type"] if kind != "null"]
        kind = "array" if self._is_full and "array" in kinds else self._random.choice(kinds)
        if kind == "object":
            return self._object(key, field, owned=False)
        if kind == "array":
            number = 2 if self._is_full else self._random.randint(0, 2)
            return [self._list_item(key, field["items"]) for _ in range(number)]
        if key == "id":
            return child_id(next(self._children)) if owned else self._random.randint(1, 500)
        if kind == "integer":
            return self._random.randint(0, 1_000)
        if kind == "boolean":
            return self._random.random() < 0.5
        if kind == "number":
            return round(self._random.uniform(0, 30), 2)
        return self._text(key, field, depth)

    def _list_item(self, key: str, items: Schema) -> Any:
        if "object" in items["type"]:
            return self._object(key, items, owned=True)
        return self._value(key, items, owned=False)

    def _text(self, key: str, field: Schema, depth: int) -> Any:
        if field.get("format") == "date-time" or key.endswith("_at"):
            return parts.timestamp(self._random)
        if key.endswith(("_date", "date_of_birth")):
            return self._random.choice(("2019-07-01", parts.timestamp(self._random)))
        if _DECIMAL.search(key) or "ecimal as text" in field.get("description", ""):
            return amount(self._random.randint(0, 9))
        if key == "type":
            return self._random.choice(CLASS_NAMES.get(self._name, ("Coupa::Example",)))
        if _WORDS.search(key):
            return f"{key}-{id_text()}"
        if depth:
            return f"{key} {self._random.randint(1, 9)}"
        made = parts.text(self._random)
        return "Full" if self._is_full and made is None else made
