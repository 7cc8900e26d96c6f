"""The ids of a list whose rows were sent, kept small enough for a state."""

from __future__ import annotations

import zlib
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from source_coupa.records.fields import instant

LONGEST_TEXT = 2_000_000
"""Characters that the ids of one list may take in a state; ids without any order would take more
from some five million on."""


class Ids:
    """Positive ids in ascending ranges that do not touch. Does not change.

    Args:
        bounds: the first id of each range, and the one behind its last, in turn.
    """

    def __init__(self, bounds: Iterable[int] = ()) -> None:
        self._bounds = array("q", bounds)

    @classmethod
    def of(cls, ids: Iterable[int]) -> Ids:
        """Those ids, in whatever order they come; those below 1, which Coupa does not give, are
        left out."""
        bounds = array("q")
        for id_ in sorted(id_ for id_ in ids if id_ > 0):
            if bounds and id_ <= bounds[-1]:
                bounds[-1] = max(bounds[-1], id_ + 1)
            else:
                bounds.extend((id_, id_ + 1))
        return cls(bounds)

    @classmethod
    def from_text(cls, text: str) -> Ids:
        """The opposite of `text`.

        Raises:
            ValueError: if it is no such text.
        """
        try:
            data = zlib.decompress(b64decode(text, validate=True))
        except zlib.error as error:
            raise ValueError("no ids") from error
        bounds = array("q")
        at = step = shift = 0
        for byte in data:
            step |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                at += step
                if at >= 1 << 63:
                    raise ValueError("no ids")
                bounds.append(at)
                step = shift = 0
        if shift or len(bounds) % 2:
            raise ValueError("no ids")
        return cls(bounds)

    def text(self) -> str:
        """The distances from one bound to the next, seven bits a byte, compressed: dense ids take
        next to nothing, and ids with gaps of any kind about a byte each at most."""
        data = bytearray()
        at = 0
        for bound in self._bounds:
            step, at = bound - at, bound
            while step > 127:
                data.append(step & 127 | 128)
                step >>= 7
            data.append(step)
        return b64encode(zlib.compress(data)).decode()

    @property
    def ends(self) -> tuple[int, ...]:
        """The lowest and the highest one; one if there are no more, none if there are none."""
        bounds = self._bounds
        return tuple(sorted({bounds[0], bounds[-1] - 1})) if bounds else ()

    def __len__(self) -> int:
        return sum(self._bounds[1::2]) - sum(self._bounds[::2])

    @property
    def ranges(self) -> Iterator[tuple[int, int]]:
        """The first id of each range, and the one behind its last."""
        return zip(self._bounds[::2], self._bounds[1::2], strict=True)

    def __iter__(self) -> Iterator[int]:
        for first, behind in self.ranges:
            yield from range(first, behind)

    def within(self, after: int, until: int) -> Iterator[int]:
        """Those above `after` up to and including `until`."""
        at = bisect_right(self._bounds, after) // 2 * 2
        while at < len(self._bounds) and self._bounds[at] <= until:
            yield from range(max(self._bounds[at], after + 1), min(self._bounds[at + 1], until + 1))
            at += 2

    def __contains__(self, id_: int) -> bool:
        return bisect_right(self._bounds, id_) % 2 == 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and self._bounds == other._bounds

    def __hash__(self) -> int:
        return hash(self._bounds.tobytes())

    def __or__(self, other: Ids) -> Ids:
        return self._merged(other, lambda in_self, in_other: in_self or in_other)

    def __sub__(self, other: Ids) -> Ids:
        return self._merged(other, lambda in_self, in_other: in_self and not in_other)

    def _merged(self, other: Ids, is_in: Callable[[bool, bool], bool]) -> Ids:
        mine, theirs = self._bounds, other._bounds
        bounds = array("q")
        i = j = 0
        while i < len(mine) or j < len(theirs):
            at = mine[i] if j == len(theirs) else theirs[j]
            if i < len(mine):
                at = min(at, mine[i])
            i += i < len(mine) and mine[i] == at
            j += j < len(theirs) and theirs[j] == at
            if is_in(i % 2 == 1, j % 2 == 1) != (len(bounds) % 2 == 1):
                bounds.append(at)
        return Ids(bounds)


@dataclass(frozen=True)
class SweepMark:
    """A sweep that is under way.

    Attributes:
        began: before its first request, by Coupa's clock.
        done: the ids that it has compared.
        absent: known ids among them that did not come.
        new: ids among them that came and are not known.
    """

    began: datetime
    done: Ids
    absent: Ids
    new: Ids

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SweepMark:
        """Reads what `to_state` wrote.

        Raises:
            KeyError, TypeError, ValueError: if it is something else.
        """
        ids = (Ids.from_text(state[name]) for name in ("done", "absent", "new"))
        return cls(instant(state["began"]), *ids)

    def to_state(self) -> dict[str, str]:
        """For the state of the table."""
        ids = {name: getattr(self, name).text() for name in ("done", "absent", "new")}
        return {"began": self.began.isoformat(), **ids}


@dataclass(frozen=True)
class KnownIds:
    """The records of a list whose rows a table has.

    Attributes:
        ids: of these records; None if they are too scattered to be kept.
        since: the bound of update times when the table was first read; records without an update
            time are only kept where there is none.
        swept_at: when the ids were last compared with the list, or when they were first read; None
            until then.
        newest: the latest update time of these records, as Coupa prints it.
        sweep: the comparison that is under way.
    """

    ids: Ids | None
    since: datetime | None = None
    swept_at: datetime | None = None
    newest: str | None = None
    sweep: SweepMark | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> KnownIds:
        """Reads what `to_state` wrote.

        Raises:
            KeyError, TypeError, ValueError: if it is something else.
        """
        moments = {
            name: None if state.get(name) is None else instant(state[name])
            for name in ("since", "swept_at", "newest")
        }
        text = state["ids"]
        return cls(
            ids=None if text is None else Ids.from_text(text),
            since=moments["since"],
            swept_at=moments["swept_at"],
            newest=state.get("newest"),
            sweep=SweepMark.from_state(state["sweep"]) if "sweep" in state else None,
        )

    def to_state(self) -> dict[str, Any]:
        """For the state of the table."""
        text = None if self.ids is None else self.ids.text()
        if text is not None and len(text) > LONGEST_TEXT:
            text = None
        mark = {} if text is None or self.sweep is None else self.sweep.to_state()
        is_short = len(text or "") + sum(map(len, mark.values())) <= LONGEST_TEXT
        return {
            "ids": text,
            "since": None if self.since is None else self.since.isoformat(),
            "swept_at": None if self.swept_at is None else self.swept_at.isoformat(),
            "newest": self.newest,
            **({"sweep": mark} if mark and is_short else {}),
        }
