"""Record bodies whose id, times and amounts are filled in when a row is printed.

A table of 200,000 rows shares a few dozen blueprints per resource, so it needs megabytes and not
gigabytes. A generator marks the open places of a record with the slot functions below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from typing import Any

from .instants import second_of

Record = dict[str, Any]
"""One JSON record as Coupa prints it: dashed keys, decimals as strings."""

_SLOT = re.compile('"\ue000#([a-z]+):(\\d+)\ue001"|\ue000([a-z]+):(\\d+)\ue001')
_CHILDREN = 1000


def row_id() -> str:
    """The row's own id, as a JSON number."""
    return "\ue000#child:0\ue001"


def child_id(number: int) -> str:
    """An id for the `number`-th (1..999) embedded object, unique over the rows of one resource."""
    return f"\ue000#child:{number}\ue001"


def id_text() -> str:
    """The row's id inside a string, for example `"INV-" + id_text()`."""
    return "\ue000idtext:0\ue001"


def created(after: int = 0) -> str:
    """The row's `created-at` plus `after` seconds, as a date-time string."""
    return f"\ue000#created:{after}\ue001"


def updated() -> str:
    """The row's `updated-at`, as a date-time string (null for a row that has none)."""
    return "\ue000#updated:0\ue001"


def amount(number: int = 0) -> str:
    """A decimal with two places, printed as a string, that differs from row to row."""
    return f"\ue000amount:{number}\ue001"


def padding(size: int) -> str:
    """A text of `size` bytes, made when the row is printed: huge records cost no memory at rest."""
    return f"\ue000padding:{size}\ue001"


def encode(value: object) -> bytes:
    """JSON as Coupa sends it: compact, UTF-8, not escaped to ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def stamp(second: int, zone: tzinfo) -> str:
    """An instant (seconds since 1970) the way Coupa prints it: to the second, `Z` for UTC.

    Other zones print their offset of that day: `2016-11-08T11:28:50+02:00`.
    """
    text = datetime.fromtimestamp(second, zone).isoformat()
    return text[:-6] + "Z" if zone is timezone.utc else text


class Blueprint:
    """One record body, ready to be printed for many rows."""

    def __init__(self, record: Record) -> None:
        self.prints_created = record.get("created-at") == created()
        self.prints_updated = record.get("updated-at") == updated()
        self._pieces: list[bytes] = []
        self._slots: list[tuple[int, str, int]] = []
        self._times: dict[tuple[str, ...], list[_Time]] = {}
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        position = 0
        for match in _SLOT.finditer(text):
            kind, argument = match[1] or match[3], int(match[2] or match[4])
            self._pieces.append(text[position : match.start()].encode())
            self._slots.append((len(self._pieces), kind, argument))
            self._pieces.append(b"")
            position = match.end()
        self._pieces.append(text[position:].encode())

    def record(self) -> Record:
        """The record with its open places."""
        pieces = self._pieces.copy()
        for index, kind, argument in self._slots:
            is_whole = kind in ("child", "created", "updated")
            slot = f"#{kind}:{argument}" if is_whole else f"{kind}:{argument}"
            slot = f"\ue000{slot}\ue001"
            pieces[index] = (f'"{slot}"' if is_whole else slot).encode()
        record: Record = json.loads(b"".join(pieces))
        return record

    def seconds_at(
        self, path: tuple[str, ...], created: int | None, updated: int | None
    ) -> list[int]:
        """The times at a path of underscored names in a row's record, in seconds since 1970."""
        if path not in self._times:
            self._times[path] = [_time(value) for value in values_at(self.record(), path)]
        row = {"created": created, "updated": updated, "": 0}
        found = [(row[start], after) for start, after in self._times[path] if after is not None]
        return [start + after for start, after in found if start is not None]

    def render(self, row_id: int, created: int | None, updated: int | None, zone: tzinfo) -> bytes:
        """The record as JSON bytes. `created` and `updated` are seconds since 1970."""
        row = _Values(row_id, created, updated, zone)
        pieces = self._pieces.copy()
        filled: dict[tuple[str, int], bytes] = {}
        for index, kind, argument in self._slots:
            key = (kind, argument)
            value = filled.get(key)
            if value is None:
                value = filled[key] = _FILL[kind](row, argument).encode()
            pieces[index] = value
        return b"".join(pieces)


def values_at(value: Any, path: Sequence[str]) -> list[Any]:
    """All values at a path of underscored names; of a list, those of each element."""
    if isinstance(value, list) and path:
        return [found for element in value for found in values_at(element, path)]
    if not path:
        return [value]
    if not isinstance(value, Mapping):
        return []
    return [
        found
        for key, child in value.items()
        if key.replace("-", "_") == path[0]
        for found in values_at(child, path[1:])
    ]


_Time = tuple[str, int | None]
"""Which time of the row it counts from, "" for 1970, and seconds after that; None if no time."""


def _time(value: Any) -> _Time:
    slot = _SLOT.fullmatch(json.dumps(value, ensure_ascii=False))
    return (slot[1], int(slot[2])) if slot else ("", second_of(value))


@dataclass(frozen=True)
class _Values:
    """What one row puts into the slots."""

    id: int
    created: int | None
    updated: int | None
    zone: tzinfo


def _fill_child(row: _Values, number: int) -> str:
    return str(row.id * _CHILDREN + number if number else row.id)


def _fill_text(row: _Values, _: int) -> str:
    return str(row.id)


def _fill_created(row: _Values, after: int) -> str:
    return "null" if row.created is None else f'"{stamp(row.created + after, row.zone)}"'


def _fill_updated(row: _Values, _: int) -> str:
    return "null" if row.updated is None else f'"{stamp(row.updated, row.zone)}"'


def _fill_amount(row: _Values, number: int) -> str:
    cents = (row.id * 2_654_435_761 + number * 40_503) % 5_000_000
    return f"{cents // 100}.{cents % 100:02d}"


def _fill_padding(row: _Values, size: int) -> str:
    return "x" * size


_FILL: dict[str, Callable[[_Values, int], str]] = {
    "child": _fill_child,
    "idtext": _fill_text,
    "created": _fill_created,
    "updated": _fill_updated,
    "amount": _fill_amount,
    "padding": _fill_padding,
}
