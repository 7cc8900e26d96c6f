"""Reads one long list by many readers at once.

The list is cut into disjoint ranges of ids, each read by keyset. Live edits cannot make a hole: a
record is in the range of its id, whatever happens to the others. A range is cut in the middle of
its ids, which costs no request; if that part turns out to hold next to nothing, by rank: a request
tells the id of the record at some place of the range. Whenever there are too few ranges to use the
request budget, the longest one is cut, so that all readers have work until the end, whatever the
dates and ids of the records look like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.pages import PAGE_SIZE, PageReader, QueryRefusedError, logger
from source_coupa.records.fields import JsonRecord
from source_coupa.transport.scheduler import Fetchers

READ_FIRST = 2 * PAGE_SIZE
"""Most lists end before this; they are not worth the request that looks for their end."""

WORTH_A_CUT = 3 * PAGE_SIZE
"""Fewer records are read faster than they are divided: of each part, the last page is not full."""

WORTH_A_CUT_AHEAD = 100 * PAGE_SIZE
"""A list whose turn it is is cut into parts of half of this also while others have work enough, so
that it ends before they do and the state moves on."""

FIRST_PLACE = 20 * PAGE_SIZE
"""Where a range is cut by rank first; each next place lies twice as far."""


@dataclass(eq=False)
class _Range:
    """The records with ids above `after`, up to and including `until` (None: to the list's end).

    Attributes:
        end: the highest id; None until it was asked for.
        density: records per id, as on the last page.
        place: where it is cut next if that has to be by rank; None while the middle will do.
        cut_from: the range of which this one was a part, until its first page is there.
        was_short: whether the page before was shorter than others.
    """

    after: int
    density: float
    until: int | None = None
    end: int | None = None
    place: int | None = None
    cut_from: _Range | None = None
    read: int = 0
    was_short: bool = False
    is_being_cut: bool = False
    is_open: bool = True

    @property
    def left(self) -> float:
        """About how many records are still to be read."""
        if self.end is None:
            return math.inf if self.read >= READ_FIRST else 0
        return self.density * max(self.end - self.after, 0)


@dataclass(frozen=True)
class _Answer:
    """An id of the list, None if there is no such record, and whether Coupa answered at all."""

    id: int | None
    came: bool = True


class RangeReader:
    """Reads the records of the list `filters` that come after the page `before`.

    Only for lists that are known to be in order of id and to be filtered by it. `end` is the
    highest id of the list, if that is known; `turn` is the list's turn among others.
    """

    def __init__(
        self,
        *,
        pages: PageReader,
        fetchers: Fetchers,
        filters: Mapping[str, str],
        before: list[JsonRecord],
        end: int | None = None,
        turn: float = 0.0,
    ) -> None:
        self._pages = pages
        self._fetchers = fetchers
        self._filters = filters
        self._turn = turn
        first, last = before[0]["id"], before[-1]["id"]
        density = len(before) / (last - first + 1)
        whole = _Range(last, density, end=end, was_short=len(before) < PAGE_SIZE)
        self._ranges = [whole]
        self._pending: dict[Future[Any], Callable[[Any], list[JsonRecord]]] = {}

    def read(self) -> Iterator[list[JsonRecord]]:
        """Yields pages as they arrive, ids ascending within each, every record once.

        Raises:
            AirbyteTracedException: as soon as one range cannot be read.
        """
        self._request_page(self._ranges[0])
        try:
            while self._pending:
                self._cut_where_readers_are_idle()
                done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
                for future in done:
                    page = self._pending.pop(future)(future.result())
                    if page:
                        yield page
        finally:
            for future in self._pending:
                future.cancel()

    def _request_page(self, range_: _Range) -> None:
        ask = partial(self._pages.after, self._filters, range_.after, range_.until)
        self._pending[self._submit(ask)] = partial(self._on_page, range_)

    def _submit(self, ask: Callable[[], Any]) -> Future[Any]:
        return self._fetchers.submit(self._turn, ask)

    def _on_page(self, range_: _Range, answer: list[JsonRecord]) -> list[JsonRecord]:
        # the range may have been cut while the request was under way: the rest is read elsewhere
        page = [r for r in answer if range_.until is None or r["id"] <= range_.until]
        self._pages.dialect.learn_from(answer, range_.was_short)
        if range_.cut_from is not None and len(page) < PAGE_SIZE:
            range_.cut_from.place = FIRST_PLACE
        range_.cut_from = None
        if page:
            last = page[-1]["id"]
            range_.density = len(page) / (last - range_.after)
            range_.after = last
            range_.read += len(page)
            range_.was_short = len(answer) < PAGE_SIZE
        is_last = self._pages.dialect.is_last(answer)
        if is_last or len(page) < len(answer) or range_.after == range_.until:
            range_.is_open = False
            self._ranges.remove(range_)
        else:
            self._request_page(range_)
        return page

    def _cut_where_readers_are_idle(self) -> None:
        while True:
            readers, worth = self._idle_readers()
            if not readers:
                return
            longest = max(self._divisible(), key=lambda range_: range_.left, default=None)
            if longest is None or longest.left < worth:
                return
            if longest.end is None:
                self._request_end(longest)
            elif longest.place is None:
                self._cut_evenly(longest, min(readers + 1, int(longest.left / worth) + 1))
            else:
                self._request_cut(longest, longest.place)

    def _idle_readers(self) -> tuple[int, int]:
        """How many readers want a range of their own, and how many records a range needs to be
        cut for them."""
        if (room := self._fetchers.room) > 0:
            return room, WORTH_A_CUT
        if self._fetchers.is_first(self._turn):
            ahead = 2 * self._fetchers.useful - len(self._pending)
            return max(ahead, 0), WORTH_A_CUT_AHEAD
        return 0, 0

    def _divisible(self) -> Iterator[_Range]:
        dialect = self._pages.dialect
        # whether the last cut of these was a good one is not known yet
        new = [range_ for range_ in self._ranges if range_.cut_from is not None]
        untried = {id(range_) for range_ in new} | {id(range_.cut_from) for range_ in new}
        for range_ in self._ranges:
            if (
                not range_.is_being_cut
                and id(range_) not in untried
                and (range_.end is not None or dialect.tells_ends)
                and (range_.place is None or dialect.tells_ranks)
            ):
                yield range_

    def _cut_evenly(self, range_: _Range, parts: int) -> None:
        start, end = range_.after, range_.end or range_.after
        for part in reversed(range(1, parts)):
            self._cut(range_, start + (end - start) * part // parts)

    def _cut(self, range_: _Range, at: int) -> None:
        """Gives the records beyond the id `at` to a new range."""
        rest = _Range(
            after=at,
            density=range_.density,
            until=range_.until,
            end=range_.end,
            cut_from=range_,
        )
        range_.until = range_.end = at
        self._ranges.append(rest)
        self._request_page(rest)

    def _request_end(self, range_: _Range) -> None:
        range_.is_being_cut = True
        future = self._submit(partial(self._asked, self._pages.last_id, self._filters))
        self._pending[future] = partial(self._on_end, range_)

    def _on_end(self, range_: _Range, answer: _Answer) -> list[JsonRecord]:
        range_.is_being_cut = False
        if not answer.came:
            self._pages.dialect.tells_ends = False
        else:
            range_.end = answer.id or range_.after
            if range_.end > range_.after:
                self._reopen(range_)
        return []

    def _request_cut(self, range_: _Range, place: int) -> None:
        range_.is_being_cut = True
        place = max(min(place, int(range_.left / 2)), PAGE_SIZE)
        bounds = self._filters, range_.after, range_.until, place
        future = self._submit(partial(self._asked, self._pages.id_at, *bounds))
        self._pending[future] = partial(self._on_cut, range_, place, range_.after)

    def _on_cut(self, range_: _Range, place: int, after: int, answer: _Answer) -> list[JsonRecord]:
        """The answer is the id of the record at `place`, counted from the id `after`."""
        range_.is_being_cut = False
        end = range_.end or after
        if not answer.came:
            self._pages.dialect.tells_ranks = False
        elif answer.id is None or answer.id >= end:
            range_.density = place / max(end - after, 1)
        elif answer.id > range_.after:
            self._reopen(range_)
            self._cut(range_, answer.id)
            range_.density = place / (answer.id - after)
            range_.place = self._ranges[-1].place = 2 * place
        return []

    def _asked(self, ask: Callable[..., int | None], *arguments: Any) -> _Answer:
        try:
            return _Answer(ask(*arguments))
        except (AirbyteTracedException, QueryRefusedError) as error:
            logger.info(f"A list cannot be divided, reading it with one reader less: {error}")
            return _Answer(None, came=False)

    def _reopen(self, range_: _Range) -> None:
        """Goes on with a range whose last page seemed to be the last although there is more."""
        if not range_.is_open:
            range_.is_open = True
            self._ranges.append(range_)
            self._request_page(range_)
