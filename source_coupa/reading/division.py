"""Divides a long list among many readers.

The list is cut into disjoint ranges of ids. Live edits cannot make a hole: a record is in the range
of its id, whatever happens to the others. A range is cut in the middle of its ids, which costs no
request; if that part turns out to hold next to nothing, by rank: a small request gets the id of
the record at some place of the range. Whenever there are too few ranges to use the request budget,
the longest one is cut, and all readers have work until the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from source_coupa.reading.id_ranges import FIRST_PLACE, PAGE_SIZE, WORTH_A_CUT, IdRange
from source_coupa.reading.pages import Page
from source_coupa.reading.requests import Fetched, Question, Requests
from source_coupa.reading.responses import checked
from source_coupa.transport.connection import RequestFailedError

logger = logging.getLogger("airbyte")

ENOUGH_CUTS = 3
"""Attempts to find a place for a cut: without one, a long list takes many times as long."""

MANY = 5
"""Idle readers for which the end of a list is worth a request before its first page came."""


class Division:
    """The ranges of a list that are not read to their end yet.

    Args:
        resource: the list, for the log.
        requests: sends the small requests.
        small_query: adds to some parameters those that every small request has.
        read: asks for the first page of a new range.
    """

    def __init__(
        self,
        *,
        resource: str,
        requests: Requests,
        small_query: Callable[..., Mapping[str, str]],
        read: Callable[[IdRange], None],
    ) -> None:
        self._resource = resource
        self._requests = requests
        self._small_query = small_query
        self._read = read
        self._open: list[IdRange] = []
        self._end: int | None = None
        self._wants_end = True
        self._wants_ranks = True

    @property
    def end(self) -> int | None:
        """The highest id of the list, as far as it was asked for."""
        return self._end

    @property
    def left(self) -> int | None:
        """About how many records are still to be read; None while the end is not known."""
        if self._end is None:
            return None
        return round(sum(range_.left(self._end) for range_ in self._open))

    def begin(self, gaps: Iterable[tuple[int, int]], *, is_long: bool) -> None:
        """Reads the ranges of ids that are missing; asks for the end of a list that is likely to be
        long right away."""
        self._open.clear()
        for after, until in gaps:
            range_ = IdRange(after, until)
            self._open.append(range_)
            self._read(range_)
        if is_long and self._requests.room >= MANY:
            self._ask_for_end()

    def close(self, range_: IdRange) -> None:
        """Takes note that a range is read to its end."""
        self._open.remove(range_)

    def note_first_page(self, range_: IdRange, records: int) -> None:
        """Learns from the first page of a range that was cut off another whether ids are spread
        evenly."""
        if range_.cut_from is not None and records < PAGE_SIZE <= range_.size:
            range_.cut_from.place = range_.cut_from.place or FIRST_PLACE
        range_.cut_from = None

    def cut_where_readers_are_idle(self) -> None:
        """Cuts the longest range while more requests would help."""
        while self._requests.has_answered and (readers := self._requests.room) > 0:
            longest = self._longest()
            if longest is None or longest.left(self._end) < WORTH_A_CUT:
                return
            if self._end is None:
                if self._wants_end:
                    self._ask_for_end()
                return
            if longest.place is None:
                parts = min(readers + 1, int(longest.left(self._end) / WORTH_A_CUT) + 1)
                new = list(self._cut_evenly(longest, parts))
                for rest in new:
                    self._read(rest)
                if not new:
                    return
            elif self._wants_ranks:
                self._ask_for_rank(longest, longest.place)
            else:
                return

    def _longest(self) -> IdRange | None:
        # whether the last cut of these was a good one is not known yet
        new = [range_ for range_ in self._open if range_.cut_from is not None]
        untried = {id(range_) for range_ in new} | {id(range_.cut_from) for range_ in new}
        divisible = (
            r for r in self._open if r.read and not r.is_being_cut and id(r) not in untried
        )
        return max(divisible, key=lambda range_: range_.left(self._end), default=None)

    def _cut_evenly(self, range_: IdRange, parts: int) -> Iterator[IdRange]:
        start, end = range_.after, min(self._end or range_.after, range_.until)
        for part in reversed(range(1, parts)):
            at = start + (end - start) * part // parts
            if range_.after < at < range_.until:
                yield self._cut(range_, at)

    def _cut(self, range_: IdRange, at: int) -> IdRange:
        """Gives the records beyond the id `at` to a new range."""
        rest = range_.cut(at)
        self._open.append(rest)
        return rest

    def _ask_for_end(self) -> None:
        self._wants_end = False
        self._requests.ask(
            Question(self._small_query(descending=True), self._on_end, self._on_no_cut)
        )

    def _on_end(self, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        page = checked(self._resource, fetched.records[:1], None)
        self._end = page[0]["id"] if page else 0
        return ()

    def _ask_for_rank(self, range_: IdRange, place: int) -> None:
        range_.is_being_cut = True
        place = max(min(place, int(range_.left(self._end) / 2)), PAGE_SIZE)
        query = self._small_query({"id[gt]": str(range_.after), "offset": str(place - 1)})
        on_answer = partial(self._on_rank, range_, place, range_.after)
        self._requests.ask(Question(query, on_answer, self._on_no_cut))

    def _on_rank(self, range_: IdRange, place: int, after: int, fetched: Fetched) -> Iterable[Page]:
        """The response is the record at `place`, counted from the id `after`."""
        fetched.load.release()
        range_.is_being_cut = False
        end = min(self._end or after, range_.until)
        id_ = fetched.records[0].get("id") if fetched.records else None
        if not isinstance(id_, int) or id_ >= end:
            range_.density = place / max(end - after, 1)
        elif id_ > range_.after and range_ in self._open:
            rest = self._cut(range_, id_)
            range_.density = place / (id_ - after)
            range_.place = rest.place = 2 * place
            self._read(rest)
        return ()

    def _on_no_cut(self, question: Question, failure: Exception) -> Iterable[Page]:
        is_blip = isinstance(failure, RequestFailedError) and not failure.is_final
        if is_blip and question.failures + 1 < ENOUGH_CUTS:
            return self._requests.retry(question, failure)
        self._wants_ranks = False
        logger.info(f"{self._resource}: the list is read by fewer readers: {failure}")
        return ()
