"""What part of its records a stream asks Coupa for.

Coupa documents `fields=["id",...]` (pages 0008 and 0023), with names in underscores, and
`{"custom_fields": {}}` for all custom fields. What it sends for an associated object that is named
there, whole or only its id, is not documented. So a part is asked for only after it was proved that
it arrives as it does in full records.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant, value_of
from source_coupa.records.keys import with_underscores

LONGEST_QUERY = 3_000
"""Characters of `fields`; so many columns save little, and some servers refuse long addresses."""

MOST_PROOFS = 4
"""Requests that a stream spends on proofs."""

ALL_CUSTOM_FIELDS: Mapping[str, Any] = {"custom_fields": {}}

_ABSENT = object()
_EMPTY: tuple[Any, ...] = (None, "", [], {}, _ABSENT)

AskAgain = Callable[[Mapping[str, str]], list[JsonRecord]]
"""Asks for a page once more, with further query parameters.

Raises QueryRefusedError if Coupa refuses it."""


class Columns:
    """Columns of a stream, by their names with underscores; safe to share between threads.

    They are proved by asking for one page twice, in full and in part: each column has to come back
    the same in records that did not change in between. That needs a page on which none of them is
    missing, or empty where it is an object or list. Until all are proved, and for good once one
    differs or the query is refused, full records are read.

    Args:
        stream: for the log.
        names: the columns, `id` among them.
        nested: those of them that are objects or lists; only a value that is not empty proves them.
        tell: takes one sentence for the log.
        are_sure: whether they need no proof, because their absence would be found out.
        declared: all columns of the stream's schema, if others that are found in its records are to
            be asked for as well: nobody can have left out what no catalog shows.
    """

    def __init__(
        self,
        *,
        stream: str,
        names: Iterable[str],
        nested: Collection[str] = (),
        tell: Callable[[str], None],
        are_sure: bool = False,
        declared: Collection[str] | None = None,
    ) -> None:
        self._stream = stream
        self._names = list(dict.fromkeys(names))
        self._nested = set(nested)
        self._declared = declared
        self._tell = tell
        self._unproved = set() if are_sure else set(self._names)
        self._proofs = 0
        self._is_waiting = False
        self._lock = threading.Lock()
        self._are_given_up = False

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameter that asks for these columns; none while full records are read."""
        return {} if self._unproved or self._are_given_up else {"fields": self._fields()}

    def _fields(self) -> str:
        return json.dumps(
            [ALL_CUSTOM_FIELDS if name in ALL_CUSTOM_FIELDS else name for name in self._names],
            separators=(",", ":"),
        )

    def give_up(self, reason: str) -> None:
        """Reads full records from now on."""
        if not self._are_given_up:
            self._are_given_up = True
            self._tell(f"{self._stream}: reading full records, because {reason}.")

    def prove(self, page: list[JsonRecord], ask_again: AskAgain) -> None:
        """Compares a page of full records with the same page in part, if that can prove anything.

        Only one thread does; others go on with full records meanwhile. Raises what `ask_again`
        raises.
        """
        if self._are_given_up or not self._unproved or not self._lock.acquire(blocking=False):
            return
        try:
            self._add_undeclared(page)
            if len(self._fields()) > LONGEST_QUERY:
                self.give_up("too many columns are selected")
            elif self._proofs < MOST_PROOFS and self._can_be_proved_on(page):
                self._proofs += 1
                again = ask_again({"fields": self._fields()})
                if not self._are_given_up:
                    self._compare(page, again)
        finally:
            self._lock.release()

    def _add_undeclared(self, page: list[JsonRecord]) -> None:
        """Older custom fields stand beside Coupa's own (page 0010), in every record of a list."""
        if self._declared is None:
            return
        found = {name for record in page for name in _named(record)}
        added = sorted(found.difference(self._declared, self._names))
        self._names += added
        self._unproved.update(added)
        # what they hold is not known, so that only a value proves them
        self._nested.update(added)

    def _can_be_proved_on(self, page: list[JsonRecord]) -> bool:
        shown = {
            name
            for record in map(_named, page)
            for name in self._unproved
            if self._is_shown(record.get(name, _ABSENT), name)
        }
        if (missing := self._unproved - shown) and not self._is_waiting:
            self._is_waiting = True
            self._tell(
                f"{self._stream}: reading full records until there is something to compare in "
                f"{', '.join(sorted(missing))}."
            )
        return not missing

    def _is_shown(self, value: Any, name: str) -> bool:
        """Whether a value tells something about the form of its column."""
        return value is not _ABSENT and (value not in _EMPTY or name not in self._nested)

    def _compare(self, page: list[JsonRecord], again: list[JsonRecord]) -> None:
        before = {record["id"]: record for record in page}
        for record in again:
            full = before.get(record.get("id"))
            if full is not None and not _was_changed(full, record):
                differing = self._compare_record(_named(full), _named(record))
            else:
                differing = None if record.get("id") else "id"
            if differing is not None:
                self.give_up(f"Coupa sends {differing} in another form when it is asked for alone")
                return
        if not self._unproved:
            self._tell(
                f"{self._stream}: asking Coupa for {len(self._names)} columns only, which came as "
                "they do in full records."
            )

    def _compare_record(self, full: JsonRecord, part: JsonRecord) -> str | None:
        """The name of a column that differs; notes the columns that are proved."""
        for name in self._names:
            value, again = full.get(name, _ABSENT), part.get(name, _ABSENT)
            if not _are_same(value, again):
                return name
            if self._is_shown(again, name):
                self._unproved.discard(name)
        return None


def selected_columns(
    *,
    stream: str,
    selected: Collection[str] | None,
    schema: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Columns | None:
    """The columns of a connection that leaves some of the stream's out; None if it takes all.

    Args:
        stream: for the log.
        selected: the columns of the configured catalog; None or empty if it names none.
        schema: the stream's JSON schema, with all of its columns.
        tell: takes one sentence for the log.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    if not selected or not properties.keys() - selected:
        return None
    always = [name for name in ("id", UPDATED_AT) if name in properties]
    names = [*always, *sorted(selected)]
    nested = [name for name in names if _is_nested(properties.get(name))]
    return Columns(stream=stream, names=names, nested=nested, tell=tell, declared=properties.keys())


def _is_nested(schema: Mapping[str, Any] | None) -> bool:
    """Whether a column holds objects or lists; so may one that no schema declares."""
    return schema is None or not {"object", "array"}.isdisjoint(schema.get("type", ()))


def _named(record: JsonRecord) -> JsonRecord:
    """A record by names with underscores, at its top level alone."""
    return {key.replace("-", "_"): value for key, value in record.items()}


def _was_changed(full: JsonRecord, part: JsonRecord) -> bool:
    before, after = (value_of(record, UPDATED_AT) for record in (full, part))
    return before is not None and after is not None and not _are_same(before, after)


def _are_same(one: Any, other: Any) -> bool:
    """Whether two values are equal; times also where they are printed in two zones."""
    if one in (None, _ABSENT):
        return other in (None, _ABSENT)
    if one == other:
        return True
    one, other = with_underscores(one), with_underscores(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_same, one, other))
    try:
        return one == other or instant(one) == instant(other)
    except ValueError:
        return False
