"""How far a list was read, as it stands in the state of a table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from source_coupa.reading.known_ids import KnownIds
from source_coupa.records.fields import instant

END = 1 << 62
"""Above every id."""


class IdSet:
    """Ids in disjoint ranges, each from above its first number up to and including its second."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for after, until in ranges:
            self.add(after, until)

    def add(self, after: int, until: int) -> None:
        """Adds the ids above `after` up to and including `until`."""
        if until <= after:
            return
        first = bisect_right(self._ends, after - 1)
        last = bisect_right(self._starts, until)
        if first < last:
            after = min(after, self._starts[first])
            until = max(until, self._ends[last - 1])
        self._starts[first:last] = [after]
        self._ends[first:last] = [until]

    def __contains__(self, id_: int) -> bool:
        place = bisect_right(self._starts, id_ - 1) - 1
        return place >= 0 and id_ <= self._ends[place]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    def gaps(self) -> list[tuple[int, int]]:
        """The ranges of ids that are missing, the last one up to `END`."""
        starts = [0, *self._ends]
        ends = [*self._starts, END]
        return [gap for gap in zip(starts, ends, strict=True) if gap[0] < gap[1]]

    def shared_with(self, other: IdSet) -> IdSet:
        """The ids that are in both."""
        return IdSet(
            (max(a, c), min(b, d)) for a, b in self for c, d in other if max(a, c) < min(b, d)
        )


@dataclass(frozen=True)
class PassMark:
    """A pass that is under way.

    Attributes:
        began: before its first request, by Coupa's clock.
        since: its lower bound; None without one.
        done: the ids whose rows were sent.
        newest: the latest update time that was seen, as Coupa prints it.
        has_nulls: whether it has brought records without an update time.
        is_full_refresh: whether it is one of a full refresh.
    """

    began: datetime
    since: datetime | None
    done: IdSet
    newest: str | None = None
    has_nulls: bool = False
    is_full_refresh: bool = False


@dataclass(frozen=True)
class Bookmark:
    """What a table's state says.

    Attributes:
        updated_at: everything up to this time was sent by passes that are complete, as text.
        highest_id: the highest id that was ever seen; None before the first complete pass of this
            version, which also proves the filter on update times.
        nulls_above: records without an update time were sent up to this id; None without any.
        short_page: see `PageLengths`; None if nothing is known.
        missing: ids of records that could not be read.
        under_way: a pass that is not complete.
        filter: what the settings asked of the list when it was made, as text; "" for nothing.
        known: the records that the table has; None while nobody wants to know.
    """

    updated_at: str | None = None
    highest_id: int | None = None
    nulls_above: int | None = None
    short_page: int | None = None
    missing: frozenset[int] = field(default_factory=frozenset)
    under_way: PassMark | None = None
    filter: str = ""
    known: KnownIds | None = None

    @property
    def moment(self) -> datetime | None:
        """`updated_at` as a time."""
        return None if self.updated_at is None else instant(self.updated_at)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], cursor_field: str) -> Bookmark:
        """Reads a state of this version or of 0.1.0, which holds the time alone.

        Raises:
            KeyError, TypeError, ValueError: if it is neither.
        """
        updated_at = state.get(cursor_field)
        if updated_at is not None:
            instant(updated_at)
        mark = state.get("pass")
        under_way = None
        if mark is not None:
            under_way = PassMark(
                began=instant(mark["began"]),
                since=None if mark.get("since") is None else instant(mark["since"]),
                done=IdSet((int(after), int(until)) for after, until in mark["done"]),
                newest=mark.get("newest"),
                has_nulls=bool(mark.get("has_nulls", False)),
                is_full_refresh=bool(mark.get("full_refresh", False)),
            )
            if under_way.newest is not None:
                instant(under_way.newest)
        highest_id, short_page = state.get("highest_id"), state.get("short_page")
        known = state.get("known_ids")
        nulls_above = state.get("null_times_above")
        filter_ = state.get("filter", "")
        if not isinstance(filter_, str):
            raise TypeError("no text")
        return cls(
            updated_at=updated_at,
            highest_id=None if highest_id is None else int(highest_id),
            nulls_above=None if nulls_above is None else int(nulls_above),
            short_page=None if short_page is None else int(short_page),
            missing=frozenset(int(id_) for id_ in state.get("missing", ())),
            under_way=under_way,
            filter=filter_,
            known=None if known is None else KnownIds.from_state(known),
        )

    def to_state(self, cursor_field: str) -> dict[str, Any]:
        """The opposite of `from_state`."""
        state: dict[str, Any] = {}
        if self.updated_at is not None:
            state[cursor_field] = self.updated_at
        if self.highest_id is not None:
            state["highest_id"] = self.highest_id
        if self.nulls_above is not None:
            state["null_times_above"] = self.nulls_above
        if self.short_page is not None:
            state["short_page"] = self.short_page
        if self.missing:
            state["missing"] = sorted(self.missing)
        if self.filter:
            state["filter"] = self.filter
        if self.known is not None:
            state["known_ids"] = self.known.to_state()
        if self.under_way is not None:
            mark = self.under_way
            state["pass"] = {
                "began": text_of(mark.began),
                "since": None if mark.since is None else text_of(mark.since),
                "done": [list(range_) for range_ in mark.done],
                "newest": mark.newest,
                **({"has_nulls": True} if mark.has_nulls else {}),
                **({"full_refresh": True} if mark.is_full_refresh else {}),
            }
        return state

    def but(self, **changes: Any) -> Bookmark:
        """The same with some attributes changed."""
        return replace(self, **changes)


def text_of(moment: datetime) -> str:
    """A time as Coupa's filters want it, in UTC: an offset's plus sign would have to survive every
    decoding."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
