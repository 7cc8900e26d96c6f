"""What part of its records a list is asked for.

Coupa documents `fields=["id",...]` (pages 0008 and 0023), with names in underscores, and
`{"custom_fields": {}}` for all custom fields. What it sends for an associated object that is named
there, whole or only its id, is not documented. So a part is asked for only after it was proved that
it arrives as it does in full records, and the proof is repeated while the list is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant, value_of
from source_coupa.records.keys import with_underscores
from source_coupa.records.references import references_of

LONGEST_QUERY = 3_000
"""Characters of `fields`; so many columns save little, and some servers refuse long addresses."""

MOST_PROOFS = 4
"""Comparisons before a part is used."""

ALL_CUSTOM_FIELDS: Mapping[str, Any] = {"custom_fields": {}}

_ABSENT = object()
_EMPTY: tuple[Any, ...] = (None, "", [], {}, _ABSENT)


class FieldSelection:
    """Columns of a list, by their names with underscores.

    They are proved by asking for one page twice, in full and in part: the same records have to
    come, with each column the same where the record did not change in between. That needs a page on
    which no column is missing, or empty where it is an object or list. Once a difference shows, all
    of the list is read in full.

    Args:
        names: the columns, `id` among them.
        nested: those of them that are objects or lists; only a value that is not empty proves them.
        paths: lists within lists that have to be seen, such as `invoice_lines.tax_lines`.
        declared: all columns that are known; others are asked for as well once they are seen, for
            nobody can have left out what no catalog shows. None if they are not wanted.

    Attributes:
        is_given_up: whether full records are read for good.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        nested: Collection[str] = (),
        paths: Collection[str] = (),
        declared: Collection[str] | None = None,
    ) -> None:
        self._names = list(dict.fromkeys(names))
        self._nested = set(nested)
        self._declared = declared
        self._unproved = {*self._names, *paths}
        self._seen: set[str] = set()
        self._proofs = 0
        self._parts = 0
        self._next_check = 1
        self.is_given_up = False

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameter that asks for these columns; none while full records are read."""
        return {} if self._unproved or self.is_given_up else self.fields()

    def fields(self) -> Mapping[str, str]:
        """The query parameter that asks for these columns, proved or not."""
        names = [ALL_CUSTOM_FIELDS if name in ALL_CUSTOM_FIELDS else name for name in self._names]
        return {"fields": json.dumps(names, separators=(",", ":"))}

    def give_up(self) -> None:
        """Reads full records from now on."""
        self.is_given_up = True

    def wants_comparison(self, page: list[JsonRecord], *, is_part: bool) -> bool:
        """Whether a page should be asked for once more, in part if it is full, else in full."""
        if self.is_given_up or not page:
            return False
        if is_part:
            self._parts += 1
            if self._parts < self._next_check:
                return False
            self._next_check *= 2
            return True
        if not self._unproved or self._proofs >= MOST_PROOFS:
            return False
        self._add_undeclared(page)
        if len(self.fields()["fields"]) > LONGEST_QUERY:
            self.give_up()
            return False
        self._note_shown(page)
        if self._unproved - self._seen:
            return False
        self._proofs += 1
        return True

    def compare(self, full: list[JsonRecord], part: list[JsonRecord]) -> str | None:
        """Compares a page in full and in part.

        Returns:
            What differs, in words; None if nothing does.
        """
        if [record.get("id") for record in full] != [record.get("id") for record in part]:
            return "other records come when some columns are asked for alone"
        for whole, some in zip(full, part, strict=True):
            if _was_changed(whole, some):
                continue
            named, again = _named(whole), _named(some)
            for name in self._names:
                if not are_same(named.get(name, _ABSENT), again.get(name, _ABSENT)):
                    return f"Coupa sends {name} in another form when it is asked for alone"
        if self._unproved:
            self._unproved.clear()
            return None
        known = len(self._names)
        self._add_undeclared(full)
        if len(self._names) > known:
            return f"{self._names[-1]} has appeared, which was not asked for"
        shown = len(self._seen)
        self._note_shown(full)
        if len(self._seen) > shown:
            self._next_check = self._parts + 1
        return None

    def _add_undeclared(self, page: list[JsonRecord]) -> None:
        """Older custom fields stand beside Coupa's own (page 0010), in every record of a list."""
        if self._declared is None:
            return
        found = {name for record in page for name in _named(record)}
        added = sorted(found.difference(self._declared, self._names))
        self._names += added
        # what they hold is not known: only a value proves them
        self._nested.update(added)
        if self._unproved:
            self._unproved.update(added)

    def _note_shown(self, page: list[JsonRecord]) -> None:
        for record in page:
            for name, value in _named(record).items():
                if name in self._names:
                    if value not in _EMPTY or name not in self._nested:
                        self._seen.add(name)
                    self._seen.update(paths_of(value, name))


def selected_columns(
    selected: Collection[str] | None, schema: Mapping[str, Any]
) -> tuple[list[str], list[str]] | None:
    """What to ask for where a connection leaves some columns of a stream out, and which of that are
    objects or lists; None if it takes all. Where a column holds the id in an object, that is asked
    for.

    Args:
        selected: the columns of the configured catalog; None or empty if it names none.
        schema: the stream's JSON schema, with all of its columns.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    if not selected or not properties.keys() - selected:
        return None
    always = [name for name in ("id", UPDATED_AT) if name in properties]
    objects = {id_name: name for name, id_name in references_of(properties)}
    names = [*always, *sorted({objects.get(name, name) for name in selected})]
    return names, [name for name in names if _is_nested(properties.get(name))]


def _is_nested(schema: Mapping[str, Any] | None) -> bool:
    """Whether a column holds objects or lists; so may one that no schema declares."""
    return schema is None or not {"object", "array"}.isdisjoint(schema.get("type", ()))


def paths_of(value: Any, path: str) -> Iterator[str]:
    """The paths below a column that hold something, without the places in lists."""
    if isinstance(value, list):
        for item in value:
            yield from paths_of(item, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            below = f"{path}.{key.replace('-', '_')}"
            if item not in _EMPTY:
                yield below
            yield from paths_of(item, below)


def _named(record: JsonRecord) -> JsonRecord:
    """A record by names with underscores, at its top level alone."""
    return {key.replace("-", "_"): value for key, value in record.items()}


def _was_changed(full: JsonRecord, part: JsonRecord) -> bool:
    before, after = (value_of(record, UPDATED_AT) for record in (full, part))
    return before is not None and after is not None and not are_same(before, after)


def are_same(one: Any, other: Any) -> bool:
    """Whether two values are equal; times also where they are printed in two zones."""
    if one in (None, _ABSENT):
        return other in (None, _ABSENT)
    if one == other:
        return True
    one, other = with_underscores(one), with_underscores(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(are_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(are_same, one, other))
    try:
        return one == other or instant(one) == instant(other)
    except ValueError:
        return False
