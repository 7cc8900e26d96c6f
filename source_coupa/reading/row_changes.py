"""Records that hold a row which has changed, although they have not themselves.

Coupa does not document which changes of a row move `updated_at` of the record that holds it. Those
who import suppliers from Coupa ask by `remit-to-addresses[updated-at][gt_or_eq]` as well, so some
do not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from source_coupa.reading.bookmark import text_of
from source_coupa.reading.filter_proof import TICK
from source_coupa.reading.id_ranges import IdRange
from source_coupa.reading.pages import RowChanges
from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant, value_of

logger = logging.getLogger("airbyte")


class Watch:
    """Asks for such records in one pass, and finds out whether Coupa can be asked.

    Args:
        resource: the list.
        changes: which records are wanted.
    """

    def __init__(self, resource: str, changes: RowChanges) -> None:
        self._resource = resource
        self._changes = changes
        self._came: set[int] = set()
        self._are_whole = False
        self._unseen: dict[str, str] = {}

    def ranges(self) -> list[IdRange]:
        """What to ask for, from the start."""
        self._came.clear()
        self._unseen.clear()
        return [IdRange(0, watched=path) for path in self._changes.paths]

    def query(self, range_: IdRange) -> dict[str, str]:
        """The filters of a range: on an association, two of them at most, and on a time; or on ids
        (pages 0009 and 0014)."""
        if range_.ids:
            return {"id[in]": ",".join(map(str, sorted(range_.ids)))}
        outermost, *inner = _path(range_).split(".")
        association = outermost + "".join(f"[{name}]" for name in inner)
        return {
            f"{association}[updated-at][gt_or_eq]": text_of(self._changes.since),
            f"{UPDATED_AT}[lt]": text_of(self._changes.before),
        }

    def take(self, range_: IdRange, page: list[JsonRecord]) -> tuple[list[JsonRecord], set[int]]:
        """The records of a page that have not come before, and the ids of those that have to be
        read once more because not all of their rows may be there.

        A record without a changed row, or with an id that was not asked for, shows that Coupa does
        not apply the filter: the range is given up.
        """
        if range_.ids:
            found = [record for record in page if record["id"] in range_.ids]
        else:
            found = [record for record in page if any(self._moved(range_, record))]
        if len(found) < len(page):
            self.give_up(range_, f"it does not apply {next(iter(self.query(range_)))}")
        if range_.ids:
            return found, set()
        new = [record for record in found if record["id"] not in self._came]
        self._came.update(record["id"] for record in new)
        # a row that has not changed is there too: the filter is one of records, not of their rows
        is_proof = any(not all(self._moved(range_, record)) for record in found)
        self._are_whole = self._are_whole or is_proof
        return (new, set()) if self._are_whole else ([], {record["id"] for record in new})

    def give_up(self, range_: IdRange, reason: str) -> None:
        """Takes note that Coupa cannot be asked about a list."""
        self._unseen[_path(range_)] = reason

    def is_given_up(self, range_: IdRange) -> bool:
        """Whether it cannot."""
        return _path(range_) in self._unseen

    def report(self) -> None:
        """One line about what may be missing."""
        if not self._unseen:
            return
        paths = sorted(self._unseen)
        logger.warning(
            f"{self._resource}: Coupa cannot be asked for changes in {', '.join(paths)} "
            f"({self._unseen[paths[0]]}). Those that leave {UPDATED_AT} of their record as it is "
            "arrive with the next change of the record, or with a full refresh."
        )

    def _moved(self, range_: IdRange, record: JsonRecord) -> list[bool]:
        """Of each row of a record, whether it has changed."""
        since = self._changes.since - TICK
        return [_has_moved(row, since) for row in _rows_at(record, _path(range_).split("."))]


def once(page: list[JsonRecord]) -> list[JsonRecord]:
    """A page without records that stand in it twice, one behind the other: a filter on an
    association may bring a record for each of its rows."""
    return [r for r, before in zip(page, [{}, *page], strict=False) if _id(r) != _id(before)]


def _id(record: JsonRecord) -> Any:
    return record.get("id", record)


def _path(range_: IdRange) -> str:
    assert range_.watched is not None
    return range_.watched


def _rows_at(holder: Any, path: Sequence[str]) -> Iterator[Any]:
    if not path:
        yield holder
        return
    items = value_of(holder, path[0].replace("-", "_")) if isinstance(holder, dict) else None
    for item in items if isinstance(items, list) else ():
        yield from _rows_at(item, path[1:])


def _has_moved(row: Any, since: datetime) -> bool:
    try:
        return isinstance(row, dict) and instant(value_of(row, UPDATED_AT)) >= since
    except ValueError:
        return False
