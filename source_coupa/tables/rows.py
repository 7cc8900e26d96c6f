"""Takes the rows of a child table out of the records that hold them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from source_coupa import errors
from source_coupa.records.fields import UPDATED_AT, JsonRecord

POSITION = "list_position"
"""Not `position`: approvals and others have a field of that name."""

logger = logging.getLogger("airbyte")


@dataclass(frozen=True)
class _Holder:
    """An object that holds a list, and what its rows take over from it and from all above it."""

    record: JsonRecord
    carried: dict[str, Any]


class Rows:
    """The lists at `path` in each record of a resource, one row for each of their objects.

    A row begins with `<parent>_id`, `<parent>_updated_at` and `list_position`, its place in the
    list, counted from 1. Below a list within a list, it also has the id and the place of the outer
    object: `invoice_line_id` and `invoice_line_position`. A field of its own with one of these
    names is dropped if it says the same, else it is kept as `<name>_2`, or with the next number
    that is free.

    Args:
        resource: its name under /api/, for messages.
        path: the keys that lead to the list, joined by dots: `invoice-lines.account-allocations`.
        parent: what one record of the resource is called: `invoice`.
        need_ids: whether each row, and each outer object, must have an id: they make the key.
        warns: whether a list that is missing everywhere is worth a warning.
    """

    def __init__(
        self, *, resource: str, path: str, parent: str, need_ids: bool, warns: bool = True
    ) -> None:
        *outer, self._last = path.replace("-", "_").split(".")
        self._outer: Sequence[str] = outer
        self._resource = resource
        self._path = path
        self._parent = parent
        self._need_ids = need_ids
        self._warns = warns
        self._seen: set[str] = set()
        self._missed: set[str] = set()
        self._has_twins = False

    @property
    def path(self) -> str:
        """The path with underscores."""
        return ".".join((*self._outer, self._last))

    @property
    def outermost(self) -> str:
        """The name of the record's own list."""
        return (*self._outer, self._last)[0]

    def of(self, record: JsonRecord) -> list[JsonRecord]:
        """The rows of one record with underscores in its keys, in the order of their lists; none if
        its lists are empty.

        Raises:
            AirbyteTracedException: if there is something else than lists of objects, or an id of
                the key is missing or no whole number.
        """
        carried = {f"{self._parent}_id": record["id"]}
        if UPDATED_AT in record:
            carried[f"{self._parent}_{UPDATED_AT}"] = record[UPDATED_AT]
        holders = [_Holder(record, carried)]
        for key in self._outer:
            name = _singular(key)
            holders = [
                _Holder(
                    item,
                    {**holder.carried, f"{name}_id": item.get("id"), f"{name}_position": place},
                )
                for holder in holders
                for place, item in self._items(holder, key)
            ]
        rows = [
            _row({**holder.carried, POSITION: place}, item)
            for holder in holders
            for place, item in self._items(holder, self._last)
        ]
        if self._need_ids and len(rows) > 1:
            self._look_for_twins(rows)
        return rows

    def _items(self, holder: _Holder, key: str) -> Iterator[tuple[int, JsonRecord]]:
        if key not in holder.record:
            self._miss(key)
            return
        self._seen.add(key)
        items = holder.record[key]
        if items is None:
            return
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise errors.system_error(
                f"Coupa sent {self._path} of /api/{self._resource} in another form than a list of "
                "objects: the stream was stopped.",
                self._place_of(holder),
            )
        for place, item in enumerate(items, 1):
            if self._need_ids and type(item.get("id")) is not int:
                path = self._path if key == self._last else key.replace("_", "-")
                raise (
                    errors.trimmed(self._resource, f"{path}.id")
                    if item.get("id") is None
                    else errors.odd_row_id(self._resource, path, self._place_of(holder))
                )
            yield place, item

    def _place_of(self, holder: _Holder) -> str:
        return f"id {holder.carried[f'{self._parent}_id']}"

    def _look_for_twins(self, rows: list[JsonRecord]) -> None:
        """Of rows with one key, destinations that deduplicate keep the last one."""
        if self._has_twins or not self._warns:
            return
        names = ["id", *(f"{_singular(key)}_id" for key in self._outer)]
        if len({tuple(row[name] for name in names) for row in rows}) < len(rows):
            self._has_twins = True
            logger.warning(
                f"Record {rows[0][f'{self._parent}_id']} of /api/{self._resource} has several "
                f"objects with the same id in {self._path}. All of them are sent, but a "
                "destination that deduplicates keeps the last one. There may be more such records."
            )

    def _miss(self, key: str) -> None:
        """Coupa leaves some empty associations out: a missing list is no error, but it may
        have been cut off."""
        if not self._warns or key in self._seen or key in self._missed:
            return
        self._missed.add(key)
        logger.warning(
            f"Records of /api/{self._resource} come without {key.replace('_', '-')}: if they "
            "should have some, an API response filter in Coupa may cut them off."
        )


def _row(added: dict[str, Any], item: JsonRecord) -> JsonRecord:
    row = dict(added)
    for name, value in item.items():
        if name not in row:
            row[name] = value
        elif value is not None and value != added.get(name):
            number = 2
            while f"{name}_{number}" in row or f"{name}_{number}" in item:
                number += 1
            row[f"{name}_{number}"] = value
    return row


def _singular(name: str) -> str:
    """`invoice_lines` -> `invoice_line`."""
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if name.endswith(plural):
            return name.removesuffix(plural) + singular
    return name
