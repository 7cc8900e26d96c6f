"""Lists below records as they come inside of their parents.

`fields=["id",{"comments":[]}]` asks for an association with its record (page 0008); production
integrations nest such fields three and four levels deep, and use an empty list for an association
as a whole. Whether an instance has an association of that name, and what of it comes, is not
documented. So rows are taken from inside of their parents only after some of these lists were read
by themselves too and were the same, and the proof is repeated as long as there is something new.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from source_coupa.reading.field_selection import (
    ALL_CUSTOM_FIELDS,
    LONGEST_QUERY,
    are_same,
    paths_of,
)
from source_coupa.records.fields import JsonRecord
from source_coupa.records.keys import with_underscores
from source_coupa.records.references import references_of

MOST_TIES = 20
"""Lists of one length that have to come whole before that length is no limit of the instance."""

Difference = tuple[int, str]
"""The id of a row, and the name of what is not the same in both forms; no name if the row is in one
of them alone."""

_Shape = dict[str, Any]
"""The names within rows, each with those within its objects."""


class InsideParents:
    """What parents are asked for, and what is proved of it.

    A list is proved by reading it by itself: the same rows have to come, each with all of its
    fields the same. That is done for lists

    - that are as long as the longest one so far, for an instance may send only so many rows;
    - in which something has a value that no proof has shown;
    - on the 1st, 2nd, 4th, 8th ... page of parents, the longest one and an empty one;
    - on each page, as long as an object or list that is declared was empty in all proofs, the
      longest one.

    Args:
        name: of the list, as Coupa names it.
        properties: of the JSON schema of its rows.

    Attributes:
        name: of the list.
        is_proved: whether any list with rows was the same.
    """

    def __init__(self, name: str, properties: Mapping[str, Mapping[str, Any]]) -> None:
        self.name = name
        added = {id_name for _, id_name in references_of(properties)}
        self._declared = [key for key in properties if key not in added]
        self._objects = {
            key
            for key in self._declared
            if not {"object", "array"}.isdisjoint(properties[key].get("type", ()))
        }
        self._inner: list[Any] = []
        self._tried: list[Mapping[str, str]] = []
        self._seen: _Shape = {}
        self._proved: set[str] = set()
        self._longest = 0
        self._ties = 0
        self._pages = 0
        self._next_check = 1
        self.is_proved = False

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameter that asks for the parents' ids and their lists."""
        fields = ["id", {self.name: self._inner}]
        return {"fields": json.dumps(fields, separators=(",", ":"))}

    def ask_otherwise(self) -> bool:
        """Asks for the list by the names of its fields, where it does not come as a whole: those
        that are declared and were seen, objects as a whole, or else by their names too.

        Returns:
            Whether there is a form that was not tried.
        """
        shape = {key: self._seen.get(key, {}) for key in [*self._declared, *self._seen]}
        self._tried.append(self.query)
        for is_deep in (False, True):
            self._inner = _fields_of(shape, self._objects, is_deep=is_deep)
            if self.query not in self._tried and len(self.query["fields"]) <= LONGEST_QUERY:
                return True
        return False

    def rows_of(self, parent: JsonRecord) -> list[JsonRecord] | None:
        """The rows inside of a parent in order of their ids; None if it holds no such list."""
        rows = parent.get(self.name, parent.get(self.name.replace("_", "-")))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return None
        ids = {row.get("id") for row in rows}
        if len(ids) < len(rows) or not all(type(id_) is int for id_ in ids):
            return None
        return sorted(rows, key=lambda row: int(row["id"]))

    def to_prove(self, lists: Mapping[int, list[JsonRecord]]) -> set[int]:
        """The parents of a page whose lists have to be read by themselves too.

        Args:
            lists: the rows inside of each parent, by its id.
        """
        self._pages += 1
        longest_first = sorted(lists, key=lambda id_: (-len(lists[id_]), id_))
        chosen: set[int] = set()
        known = set(self._proved)
        for id_ in longest_first:
            new = _paths_in(lists[id_]) - known
            if new or self._may_be_cut(len(lists[id_])):
                chosen.add(id_)
                known |= new
        is_due = self._pages >= self._next_check
        if longest_first and (is_due or not self._objects <= self._proved):
            chosen.update(id_ for id_ in longest_first[:1] if lists[id_])
        if longest_first and is_due:
            self._next_check = 2 * self._pages
            chosen.update(id_ for id_ in longest_first[-1:] if not lists[id_])
        return chosen

    def compare(self, own: list[JsonRecord], inside: list[JsonRecord]) -> set[Difference]:
        """What differs between the rows of a list by itself and those inside of its parent; if
        nothing does, that proves what the rows hold."""
        for row in own:
            _add_shape(self._seen, row)
        by_id = {row["id"]: with_underscores(row) for row in own}
        others = {row["id"]: with_underscores(row) for row in inside}
        differences = {(id_, "") for id_ in by_id.keys() ^ others.keys()}
        for id_ in by_id.keys() & others.keys():
            name = _difference(by_id[id_], others[id_], self.name)
            if name is not None:
                differences.add((id_, name))
        if not differences:
            self._proved |= _paths_in(own)
            self._longest = max(self._longest, len(own))
            self.is_proved = self.is_proved or bool(own)
        return differences

    def _may_be_cut(self, length: int) -> bool:
        """Whether no list inside of its parent was longer than one of this length."""
        if length > self._longest:
            self._longest, self._ties = length, 0
        elif length < self._longest or not length:
            return False
        self._ties += 1
        return self._ties <= MOST_TIES


def _paths_in(rows: Iterable[JsonRecord]) -> set[str]:
    """What has a value in any of the rows: `created_by`, `created_by.id`."""
    return {path[1:] for row in rows for path in paths_of(row, "")}


def _add_shape(shape: _Shape, value: Any) -> None:
    """Adds the names within a value to those that are known."""
    if isinstance(value, list):
        for item in value:
            _add_shape(shape, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _add_shape(shape.setdefault(key.replace("-", "_"), {}), item)


def _fields_of(shape: _Shape, objects: Collection[str] = (), *, is_deep: bool = True) -> list[Any]:
    """What asks for these names; for objects that have shown none, or if it is not deep, whole."""
    fields: list[Any] = []
    for name, inner in shape.items():
        if name in ALL_CUSTOM_FIELDS:
            fields.append(ALL_CUSTOM_FIELDS)
        elif inner or name in objects:
            fields.append({name: _fields_of(inner) if is_deep else []})
        else:
            fields.append(name)
    return fields


def _difference(whole: Any, part: Any, name: str) -> str | None:
    """The name of something that `whole` has and `part` has not, or has otherwise."""
    if isinstance(whole, dict) and isinstance(part, dict):
        pairs: Iterable[tuple[str, Any, Any]] = (
            (f"{name}.{key}", value, part.get(key)) for key, value in whole.items()
        )
    elif isinstance(whole, list) and isinstance(part, list) and len(whole) == len(part):
        pairs = ((name, *both) for both in zip(whole, part, strict=True))
    else:
        return None if are_same(whole, part) else name
    return next((found for pair in pairs if (found := _difference(*pair[1:], pair[0]))), None)
