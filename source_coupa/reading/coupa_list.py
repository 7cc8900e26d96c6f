"""Reads a whole Coupa list, none of its records missed.

A walk by offset alone skips records when others leave the list while it is read; a walk by id
(`id[gt]=<last id>`) cannot. Coupa documents the operators, `order_by` and `dir`, but not
`order_by=id` by example, so that every page is checked, and what an instance refuses is done
without:

- refuses or ignores `order_by`: the default order is ascending id too (Coupa, page 0006). Such a
  list is read by offset: on pages of `id[gt]=<last id>`, a record that comes out of order does not
  show.
- refuses or ignores `id[gt]`: by offset too, each page starting with the last record of the one
  before. If that record is no longer there, records have left the list and the walk goes back.
- ignores `order_by` unnoticed: the order of update times can look like that of ids. Until times
  were seen to go back where ids go on, a list that was read by id is counted at its end; if it is
  longer than what was read, it is read again by offset, where the order shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.id_ranges import RangeReader
from source_coupa.reading.pages import PAGE_SIZE, PageReader, QueryRefusedError, logger
from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant, value_of
from source_coupa.transport.scheduler import Fetchers

_MAX_STALLS = 5


@dataclass(frozen=True)
class Overview:
    """The first page of a list, and whether it is all of it."""

    page: list[JsonRecord]
    is_whole: bool


class ListReader:
    """Reads lists of one resource; safe to share between threads."""

    def __init__(self, *, pages: PageReader, fetchers: Fetchers) -> None:
        self._pages = pages
        self._fetchers = fetchers

    def read(self, filters: Mapping[str, str], turn: float = 0.0) -> Iterator[list[JsonRecord]]:
        """Yields the records that match `filters` (query parameters), page by page, each once.
        Where lists compete for the request budget, that of the lower `turn` comes first.

        Raises:
            AirbyteTracedException: if the answers are such that records could be missed.
        """
        pages = read = highest = 0
        dialect = self._pages.dialect
        with self._fetchers.open(turn), self._refusals_explained():
            for page in self._walk(filters, turn):
                pages += 1
                read += len(page)
                highest = max(highest, page[-1]["id"])
                dialect.times_go_back = dialect.times_go_back or _times_go_back(page)
                yield page
            is_by_id = dialect.orders and dialect.filters_ids
            if pages > 1 and is_by_id and not dialect.times_go_back:
                yield from self._left_over(filters, read, highest)

    def overview(self, filters: Mapping[str, str]) -> Overview:
        """Looks at both ends of a list at the same time; if it seems to hold a single record, asks
        once more for others.

        Raises:
            AirbyteTracedException: if Coupa refuses the query or gives no list.
        """
        dialect = self._pages.dialect
        with self._fetchers.open(0.0), self._refusals_explained():
            asked = self._fetchers.submit(0.0, partial(self._pages.last_id, filters))
            page = self._pages.first(filters)
            try:
                last = asked.result()
            except QueryRefusedError:
                dialect.orders = False
                return Overview(page, is_whole=not page)
            if not page or last is None:
                return Overview(page, is_whole=not page and last is None)
            if last >= page[-1]["id"] and dialect.orders is None:
                dialect.orders = True
            if len(page) == 1:
                # nobody knows at which end it was
                is_whole = last == page[0]["id"] and not self._pages.at(filters, 1)
            else:
                is_whole = bool(dialect.orders) and page[0]["id"] < last == page[-1]["id"]
            return Overview(page, is_whole)

    def is_empty(self, filters: Mapping[str, str]) -> bool:
        """Whether no record matches.

        Raises:
            AirbyteTracedException: if Coupa refuses the query or gives no list.
        """
        with self._refusals_explained():
            return not self._pages.first(filters, limit=1)

    def _walk(self, filters: Mapping[str, str], turn: float) -> Iterator[list[JsonRecord]]:
        dialect = self._pages.dialect
        page = self._pages.first(filters)
        if not page:
            return
        yield page
        if dialect.is_last(page):
            return
        end = self._pages.find_out_order(filters, page)
        if dialect.orders:
            yield from self._by_id(filters, page, end, turn)
        else:
            # a page of ids above the last one would hide that others come out of order
            yield from self._by_offset(filters, page[-1]["id"], len(page))

    def _by_id(
        self, filters: Mapping[str, str], page: list[JsonRecord], end: int | None, turn: float
    ) -> Iterator[list[JsonRecord]]:
        """The records after `page`, the first of the list."""
        dialect = self._pages.dialect
        read = len(page)
        while not dialect.filters_ids:
            following = self._pages.after_if_possible(filters, page[-1]["id"])
            if following is None:
                yield from self._by_offset(filters, page[-1]["id"], read)
                return
            dialect.learn_from(following, len(page) < PAGE_SIZE)
            if not following:
                return
            yield following
            if dialect.is_last(following):
                return
            page, read = following, read + len(following)
        ranges = RangeReader(
            pages=self._pages,
            fetchers=self._fetchers,
            filters=filters,
            before=page,
            end=end,
            turn=turn,
        )
        yield from ranges.read()

    def _by_offset(
        self, filters: Mapping[str, str], last_id: int, read: int
    ) -> Iterator[list[JsonRecord]]:
        """The records after `last_id`; about `read` others come before them."""
        logger.info(f"{self._pages.resource}: reading on by offset, with overlapping pages.")
        dialect = self._pages.dialect
        offset = read - 1
        stalls = 0
        reached = -1
        was_short = read < PAGE_SIZE
        while True:
            page = self._pages.at(filters, offset)
            if offset > 0 and not _overlaps(page, last_id):
                offset = max(offset - dialect.longest_page, 0)
                reached = -1
                continue
            fresh = [record for record in page if record["id"] > last_id]
            if fresh:
                dialect.learn_from(fresh, was_short)
                yield fresh
                last_id, stalls, was_short = fresh[-1]["id"], 0, len(page) < PAGE_SIZE
            elif len(page) <= 1:
                if not self._pages.at(filters, offset + 1):
                    dialect.learn_from(fresh, was_short)
                    return
                # a record entered the list just now, or all pages hold a single one
                if (stalls := stalls + 1) > _MAX_STALLS:
                    raise _sends_single_records(self._pages.resource)
                continue
            elif page[-1]["id"] <= reached and (stalls := stalls + 1) > _MAX_STALLS:
                raise _leads_nowhere(self._pages.resource)
            if fresh and dialect.is_last(page):
                return
            # a page without new records may come from going back, and be shorter than others
            reached = page[-1]["id"]
            offset += len(page) - 1

    def _left_over(
        self, filters: Mapping[str, str], read: int, highest: int
    ) -> Iterator[list[JsonRecord]]:
        """Nothing, if the list is no longer than what was read of it. Else records have entered it
        meanwhile or were passed over: all of it again, until the order is known to be that of ids.
        """
        try:
            left = self._pages.at(filters, read)
        except QueryRefusedError:
            return
        if not left or left[0]["id"] > highest:
            return
        page = self._pages.first(filters)
        if not page:
            return
        for again in chain([page], self._by_offset(filters, page[-1]["id"], len(page))):
            yield again
            if _times_go_back(again):
                self._pages.dialect.times_go_back = True
                return

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        try:
            yield
        except QueryRefusedError as refused:
            raise errors.system_error(
                f"Coupa refuses the query for /api/{self._pages.resource} (HTTP 400): {refused}."
            ) from None


def _leads_nowhere(resource: str) -> AirbyteTracedException:
    return errors.system_error(
        f"Coupa honours neither id filters nor offsets on /api/{resource}, so that the list cannot "
        "be read beyond its first page."
    )


def _sends_single_records(resource: str) -> AirbyteTracedException:
    """Pages of one record cannot overlap by one and go on."""
    return errors.system_error(
        f"Coupa honours no id filters on /api/{resource} and sends its records one by one, so that "
        "some could be missed: the stream was stopped."
    )


def _overlaps(page: list[JsonRecord], last_id: int) -> bool:
    """Whether a page goes on where one that ended with `last_id` stopped. A single lower id at its
    beginning may be a record that comes out of order, in the place of one that has left."""
    known = [record["id"] for record in page[:2] if record["id"] <= last_id]
    return len(known) == 2 or known == [last_id]


def _times_go_back(page: list[JsonRecord]) -> bool:
    """Whether a record was changed before the one that precedes it."""
    try:
        times = [instant(value_of(record, UPDATED_AT)) for record in page]
    except ValueError:
        return False
    return any(later < earlier for earlier, later in pairwise(times))
