"""Fills what the generated records of a resource leave empty.

Each record alone looks like Coupa's, with many fields that are null or left out. Of all bodies of a
resource together, each field of its schema has a value in at least one, so that a sync of the
sandbox shows whatever the schema declares. The missing fields are dealt out a few at a time, to the
record that has grown least: none gets much larger than its generator made it. What a generator
makes in some records only, such as lines, is not made in others, but filled where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from random import Random
from typing import Any

from integration_tests.sandbox.blueprint import Record, child_id, encode

from .from_schema import Maker, Schema

Path = tuple[str, ...]
"""Keys from the record down, as the schema writes them; `[]` stands for an item of a list."""

_AT_ONCE = 8
_LAST_CHILD = 999


def complete(
    records: Sequence[Record], name: str, fields: Mapping[str, Schema], random: Random
) -> int:
    """Changes records in place.

    Args:
        records: all bodies of a resource, in Coupa's form.
        name: of the schema.
        fields: its properties, without those that the connector adds.
        random: for the values.

    Returns:
        about how many bytes of JSON they have grown together.
    """
    maker = Maker(name, fields, random, is_full=True)
    growing = [_Growing(record, maker) for record in records]
    filled: dict[Path, list[_Growing]] = {(): growing}
    for record in growing:
        for path in set(filled_paths(record.body)):
            filled.setdefault(path, []).append(record)
    for path, properties in _objects({"properties": fields}):
        missing = [
            key
            for key, field in properties.items()
            if _is_leaf(key, field) and (*path, key) not in filled
        ]
        made = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in filled)
        for start in range(0, len(missing), _AT_ONCE):
            chosen = {key: properties[key] for key in missing[start : start + _AT_ONCE]}
            record = min(filled[made], key=lambda record: record.grown)
            record.fill(path, fields, chosen)
    return sum(record.grown for record in growing)


def filled_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where a record has a value: null, an empty object and an empty list are none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            below = (*path, key.replace("-", "_"))
            if inner is not None and inner != {} and inner != []:
                yield below
            yield from filled_paths(inner, below)
    elif isinstance(value, list):
        for item in value:
            yield (*path, "[]")
            yield from filled_paths(item, (*path, "[]"))


def _is_leaf(key: str, field: Schema) -> bool:
    """Whether nothing is declared below a field."""
    return not _inner(field) or key == "custom_fields"


def _inner(field: Schema) -> Mapping[str, Schema]:
    """The declared fields of an object, or of the objects of a list."""
    found: Mapping[str, Schema] = field.get("items", field).get("properties", {})
    return found


def _objects(field: Schema, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Schema]]]:
    """Each object of a schema with its declared fields, from the record down."""
    properties = _inner(field)
    if properties:
        yield path, properties
    for key, inner in properties.items():
        yield from _objects(inner, (*path, key, "[]") if "items" in inner else (*path, key))


class _Growing:
    """One record, and about how many bytes were added to it."""

    def __init__(self, record: Record, maker: Maker) -> None:
        self.grown = 0
        self.body = record
        self._maker = maker
        self._children = count(_LAST_CHILD, -1)

    def fill(self, path: Path, fields: Mapping[str, Schema], chosen: Mapping[str, Schema]) -> None:
        """Gives the object at `path` a value in each of the `chosen` fields."""
        holder = self._dig(self.body, path, fields)
        # items of a list have ids of their own, which no other record's items have
        is_own = path[-1:] == ("[]",)
        values = {
            _dashed(key): child_id(next(self._children))
            if key == "id" and is_own
            else self._maker.value(key, field)
            for key, field in chosen.items()
        }
        holder.update(values)
        self.grown += len(encode(values))

    def _dig(self, holder: Record, path: Path, fields: Mapping[str, Schema]) -> Record:
        """The object at `path`; what is not there on the way to it is made, with its id."""
        if not path:
            return holder
        key, *rest = path
        field, name = fields[key], _dashed(key)
        made: Record = {}
        if rest[:1] == ["[]"]:
            rest = rest[1:]
            if "id" in _inner(field):
                made["id"] = child_id(next(self._children))
            inner = (holder.get(name) or [None])[0]
            if not isinstance(inner, dict):
                inner, holder[name] = made, [made]
        else:
            if "id" in _inner(field):
                made["id"] = self._maker.value("id", {"type": ["integer"]})
            inner = holder.get(name)
            if not isinstance(inner, dict):
                inner = holder[name] = made
        if inner is made:
            self.grown += len(encode({name: made}))
        return self._dig(inner, tuple(rest), _inner(field))


def _dashed(key: str) -> str:
    return key.replace("_", "-")
