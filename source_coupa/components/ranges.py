"""Reads one long list by many readers at once.

The list is cut into disjoint ranges of ids, each read by keyset. Where to cut is found by rank, not
by guess: one request tells the id of the record at some place of the list. Live edits cannot make
a hole: a record is in the range of its id, whatever happens to the others. Whenever there are fewer
ranges than readers, the longest one is cut, so that all have work until the end, whatever the
dates and ids of the records look like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.components.fetchers import Fetchers
from source_coupa.components.pages import (
    PAGE_SIZE,
    JsonRecord,
    PageReader,
    QueryRefusedError,
    logger,
)

FIRST_CUT = 20 * PAGE_SIZE
"""Where a list of unknown length is cut first."""

READ_FIRST = 2 * PAGE_SIZE
"""Most lists end before this; they are not worth the request that looks for their end."""

GROWTH = 2
"""How much further each next cut into the unknown lies."""

WORTH_A_CUT = 10 * PAGE_SIZE
"""Fewer records are read faster than they are divided."""


@dataclass(eq=False)
class _Range:
    """The records with ids above `after`, up to and including `until` (None: to the list's end).

    Attributes:
        left: about how many are still to be read; None if only the place `next_cut` is in question.
        was_short: whether the page before was shorter than others.
    """

    after: int
    until: int | None = None
    left: int | None = None
    next_cut: int = FIRST_CUT
    read: int = 0
    was_short: bool = False
    is_being_cut: bool = False
    is_open: bool = True

    @property
    def length(self) -> int:
        if self.left is not None:
            return self.left
        is_early = self.next_cut == FIRST_CUT and self.read < READ_FIRST
        return 0 if is_early else 2 * self.next_cut


class RangeReader:
    """Reads the records of the list `filters` that come after the page `before`.

    Only for lists that are known to be in order of id and to be filtered by it.
    """

    def __init__(
        self,
        *,
        pages: PageReader,
        fetchers: Fetchers,
        filters: Mapping[str, str],
        before: list[JsonRecord],
    ) -> None:
        self._pages = pages
        self._fetchers = fetchers
        self._filters = filters
        self._whole = _Range(before[-1]["id"], was_short=len(before) < PAGE_SIZE)
        self._ranges: list[_Range] = []
        self._pending: dict[Future[Any], Callable[[Any], list[JsonRecord]]] = {}

    def read(self) -> Iterator[list[JsonRecord]]:
        """Yields pages as they arrive, ids ascending within each, every record once.

        Raises:
            AirbyteTracedException: as soon as one range cannot be read.
        """
        self._ranges.append(self._whole)
        self._request_page(self._whole)
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
        self._pending[self._fetchers.submit(ask)] = partial(self._on_page, range_)

    def _on_page(self, range_: _Range, answer: list[JsonRecord]) -> list[JsonRecord]:
        # the range may have been cut while the request was under way: the rest is read elsewhere
        page = [r for r in answer if range_.until is None or r["id"] <= range_.until]
        self._pages.dialect.learn_from(answer, range_.was_short)
        if page:
            range_.after = page[-1]["id"]
            range_.read += len(page)
            range_.was_short = len(answer) < PAGE_SIZE
            if range_.left is not None:
                range_.left = max(range_.left - len(page), 0)
        is_last = self._pages.dialect.is_last(answer)
        if is_last or len(page) < len(answer) or range_.after == range_.until:
            range_.is_open = False
            self._ranges.remove(range_)
        else:
            self._request_page(range_)
        return page

    def _cut_where_readers_are_idle(self) -> None:
        while len(self._pending) < self._fetchers.share and self._pages.dialect.tells_ranks:
            uncut = [range_ for range_ in self._ranges if not range_.is_being_cut]
            longest = max(uncut, key=lambda range_: range_.length, default=None)
            if longest is None or longest.length < WORTH_A_CUT:
                return
            self._request_cut(longest)

    def _request_cut(self, range_: _Range) -> None:
        range_.is_being_cut = True
        place = self._place_to_cut(range_)
        ask = partial(self._id_at, range_.after, range_.until, place)
        on_answer = partial(self._on_cut, range_, place, range_.left, range_.read)
        self._pending[self._fetchers.submit(ask)] = on_answer

    def _place_to_cut(self, range_: _Range) -> int:
        """About the middle, in multiples of what each reader has left to read if all have the same,
        and of whole pages."""
        if range_.left is None:
            return range_.next_cut
        total = sum(other.length for other in self._ranges)
        share = max(total / self._fetchers.share, WORTH_A_CUT / 2)
        half = range_.left / 2
        place = round(half / share) * share if half > share else half
        return max(int(place) // PAGE_SIZE, 1) * PAGE_SIZE

    def _id_at(self, after: int, until: int | None, place: int) -> int | None:
        try:
            return self._pages.id_at(self._filters, after, until, place)
        except (AirbyteTracedException, QueryRefusedError) as error:
            logger.info(f"A list cannot be divided, reading it with one reader less: {error}")
            self._pages.dialect.tells_ranks = False
            return None

    def _on_cut(
        self, range_: _Range, place: int, left: int | None, read: int, cut: int | None
    ) -> list[JsonRecord]:
        """Gives the records beyond `cut`, the id of the record at `place`, to a new range."""
        range_.is_being_cut = False
        kept = max(place - (range_.read - read), 0)
        if cut is None or (range_.until is not None and cut >= range_.until):
            range_.left = kept if range_.left is None else min(range_.left, kept)
        elif cut > range_.after:
            rest = _Range(
                after=cut,
                until=range_.until,
                left=None if left is None else left - place,
                next_cut=range_.next_cut * GROWTH,
            )
            range_.until, range_.left = cut, kept
            reopened = [] if range_.is_open else [range_]
            for changed in (*reopened, rest):
                changed.is_open = True
                self._ranges.append(changed)
                self._request_page(changed)
        return []
