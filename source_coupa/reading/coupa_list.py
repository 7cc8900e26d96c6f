"""Reads one Coupa list, each record once, none missed.

One pass goes through the list in ascending order of id, with one filter at most: a lower bound of
`updated_at`. Without an upper bound nothing can leave the set while it is read. Coupa documents
`order_by`, `dir` and the filters on `id` and `updated_at`; people who replicate millions of records
confirm that they work together. So they are guarded here, not worked around: ids have to ascend
past the last one, and each update time is held against the bound.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from source_coupa import errors
from source_coupa.reading.division import Division
from source_coupa.reading.ends import EndProof
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.filter_proof import TICK, FilterProof
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.ill_pages import SOON, IllPages
from source_coupa.reading.page_lengths import PageLengths
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.queries import Queries
from source_coupa.reading.requests import IDS_AND_TIMES, Fetched, Question, Requests, Shape
from source_coupa.reading.responses import QueryRefusedError, as_ill, checked, moment_of
from source_coupa.reading.row_changes import Watch, once
from source_coupa.reading.selection_proof import SelectionProof
from source_coupa.records.fields import UPDATED_AT, JsonRecord, value_of
from source_coupa.transport.connection import Connection
from source_coupa.transport.instance import Instance

logger = logging.getLogger("airbyte")

ENOUGH_REFUSALS = 2
"""Refusals of the question for changed rows, until it is given up: one may be a blip."""

TARGET_BYTES = 4_000_000
"""Of a page; fewer of larger records are asked for at once."""

_BLANK = {f"{UPDATED_AT}[blank]": "true"}


class CoupaList:
    """Reads one list with what it is given.

    Args:
        resource: its name under /api/, for messages.
        connection: sends requests to it.
        instance: what it shares with all other lists.
        selection: what part of the records is asked for; None for all of them.
        ids_only: whether nothing but ids is wanted, and update times where they are checked.
        shape: see `Shape`; such records are always asked for whole.

    Attributes:
        fields: a query parameter that says what of the records is wanted, beyond ids; None if the
            selection does.
    """

    def __init__(
        self,
        *,
        resource: str,
        connection: Connection,
        instance: Instance,
        selection: FieldSelection | None = None,
        ids_only: bool = False,
        shape: Shape | None = None,
    ) -> None:
        self.resource = resource
        self.connection = connection
        self.instance = instance
        self.selection = selection if shape is None else None
        self.ids_only = ids_only
        self.shape = shape
        self.fields: Mapping[str, str] | None = None

    def read(self, wanted: Pass) -> Iterator[Page]:
        """Yields pages as they arrive, each record once; the last one says that it is the last.

        Raises:
            AirbyteTracedException: if the list cannot be read, or if records could be missed.
        """
        with self.instance.scheduler.open():
            yield from _Reading(self, wanted).pages()


class _Reading:
    """One pass through a list, in one thread; only the requests are sent from others. It is the
    `Reader` of those who help it."""

    def __init__(self, coupa_list: CoupaList, wanted: Pass) -> None:
        resource, instance = coupa_list.resource, coupa_list.instance
        selection, shape = coupa_list.selection, coupa_list.shape
        self._resource = resource
        self._wanted = wanted
        self._capabilities = instance.capabilities
        self._takes_part = selection is not None
        self._requests = Requests(resource, coupa_list.connection, instance, shape)
        self._requests.follows_a_pass = wanted.follows_a_pass
        self._watch = Watch(resource, wanted.row_changes) if wanted.row_changes else None
        self._queries = Queries(
            instance.capabilities,
            wanted,
            selection=selection,
            fields=coupa_list.fields,
            ids_only=coupa_list.ids_only,
            is_shaped=shape is not None,
            watch=self._watch,
        )
        self._division = Division(
            resource=resource,
            requests=self._requests,
            small_query=self._queries.one,
            read=self.read,
        )
        self._lengths = PageLengths(wanted.short_page)
        self._proves_filter = wanted.proves_filter and wanted.checks_times
        self._filter = FilterProof(
            resource,
            self._requests,
            id_alone=self._queries.id_alone,
            is_wanted=self._proves_filter,
        )
        self._columns = SelectionProof(resource, self._requests, selection, self._start_over)
        self._ill = IllPages(resource, self._requests, self._queries, self, self._division)
        self._ends = EndProof(
            resource,
            wanted,
            self._requests,
            self._queries,
            self,
            self._lengths,
            self._division,
            self._ill.pass_over,
        )
        self._refused: list[tuple[bool, bool]] = []
        self._has_seen_times = not wanted.checks_times
        self._waiting: list[IdRange] = []
        self._has_pages = False
        self._reads_all = False
        self._nulls_above: int | None = None
        self._new = 0

    def pages(self) -> Iterator[Page]:
        """See `CoupaList.read`."""
        try:
            self._begin()
            yield from self._requests.pages(self._division.cut_where_readers_are_idle)
            if self._filter.is_wanted and len(self._wanted.done):
                # an earlier sync read the records, and ended before the filter was proved
                self._filter.ask_for_records(self._queries.order(descending=True))
                yield from self._requests.pages(lambda: None)
            if self._may_hide_nulls():
                self.read(IdRange(self._wanted.highest_id or 0, nulls=_BLANK))
                yield from self._requests.pages(lambda: None)
        finally:
            self._requests.drop()
        if self._watch is not None:
            self._watch.report()
        yield Page(
            began=self._requests.began,
            is_last=True,
            short_page=self._lengths.short_page,
            nulls_above=self._nulls_above,
        )

    def _begin(self) -> None:
        wanted = self._wanted
        self._ill.missing = len(wanted.missing)
        for id_ in sorted(wanted.missing):
            self._ill.ask_for_missing(id_)
        self._nulls_above = None
        self._ends.highest = self._new = 0
        if self._queries.is_filtered and (wanted.nulls_above is not None or wanted.asks_for_nulls):
            self._nulls_above = wanted.nulls_above or 0
            self.read(IdRange(self._nulls_above, nulls=_BLANK))
        self._waiting.clear()
        if self._watch is not None:
            for range_ in self._watch.ranges():
                self.read(range_)
        self._division.begin(wanted.done.gaps(), is_long=wanted.short_page is None)

    def _start_over(self) -> Iterable[Page]:
        """Asks for everything once more, and for nothing that is under way."""
        self._requests.drop()
        # its request may have been among them
        self._filter.is_wanted = self._proves_filter
        self._begin()
        return [Page(began=self._requests.began, starts_over=True)]

    # --- Pages ---

    @property
    def has_pages(self) -> bool:
        """See `Reader`."""
        return self._has_pages

    def read(self, range_: IdRange, delay: float = 0.0) -> None:
        """See `Reader`."""
        self._requests.ask(self.question(range_), delay)

    def question(self, range_: IdRange) -> Question:
        """See `Reader`; for fewer records than the range wants, if a page of these is too much."""
        if self._requests.record_bytes:
            fitting = max(TARGET_BYTES // self._requests.record_bytes, 1)
            range_.size = min(range_.size, fitting)
        size = range_.size
        query = self._queries.page(range_, size)
        variant = (self._queries.takes_order_by, self._queries.is_filtered)
        return Question(
            query=query,
            on_answer=partial(self._on_page, range_, size, query),
            on_failure=partial(self._on_failed_page, range_, variant),
            records=size,
            failures=range_.failures,
            refused_tokens=range_.refused_tokens,
        )

    def _on_page(
        self, range_: IdRange, size: int, query: Mapping[str, str], fetched: Fetched
    ) -> Iterable[Page]:
        records = fetched.records if range_.watched is None else once(fetched.records)
        page = checked(self._resource, records, range_.after or None)
        if page:
            self._requests.record_bytes = fetched.size // len(fetched.records)
            if range_.is_of_all:
                self._ends.note(page)
        if range_.is_of_all and not self._has_pages:
            self._has_pages = True
            if not self._queries.takes_order_by:
                self._capabilities.takes_order_by = False
            for waiting in self._waiting:
                self.read(waiting)
        if not page and size < PAGE_SIZE:
            fetched.load.release()
            self._ends.confirm(range_)
            return
        if not page and self._ends.is_wanted(range_):
            fetched.load.release()
            self._ends.look_above(range_)
            return
        if range_.nulls is not None:
            yield from self._on_nulls(range_, size, page, fetched)
            return
        if range_.watched is not None:
            yield from self._on_row_changes(range_, size, page, fetched)
            return
        self._columns.offer(query, page)
        self._lengths.note(range_, len(page), size)
        # the range may have been cut while the request was under way: the rest is read elsewhere
        own = [record for record in page if record["id"] <= range_.until]
        self._division.note_first_page(range_, len(own))
        after = range_.after
        if own:
            self._check_times(own)
            range_.advance(own)
            self._note_new(own)
        is_over = len(own) < len(page) or range_.after == range_.until
        is_over = is_over or self._lengths.is_last(len(page), size)
        is_proved = not page or bool(self._queries.order())
        if not is_proved:
            self._prove_order(query, page, partial(self._go_on, range_, after, is_over=is_over))
        yield Page(
            records=own,
            began=self._requests.began,
            covers=self._go_on(range_, after, is_over=is_over) if is_proved else None,
            left=self._division.left,
            load=fetched.load,
            short_page=0 if self._lengths.go_on else None,
        )

    def _go_on(self, range_: IdRange, after: int, *, is_over: bool) -> tuple[int, int]:
        """Continues a range after a page; gives the ids that are read with it."""
        if is_over:
            self._division.close(range_)
            return after, range_.until
        self.read(range_)
        return after, range_.after

    def _prove_order(
        self,
        query: Mapping[str, str],
        page: list[JsonRecord],
        go_on: Callable[[], tuple[int, int]],
    ) -> None:
        """Where Coupa refuses `order_by`, another order may look like that of ids, and leave
        records out: asks for one below the last record of a page that is not on it."""
        ids = {record["id"] for record in page}

        def is_missed(record: JsonRecord) -> bool:
            if record.get("id") in ids:
                return False
            # one that has changed meanwhile comes with the next pass
            moment, began = moment_of(self._resource, record), self._requests.began
            return moment is None or began is None or moment < began

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            fetched.load.release()
            if any(map(is_missed, fetched.records)):
                raise errors.out_of_order(self._resource)
            return [Page(began=self._requests.began, covers=go_on())]

        rest = {"id[lt]": str(max(ids)), "offset": str(len(page) - 1), "limit": "1"}
        part = IDS_AND_TIMES if self._queries.id_alone() else {}
        query = {name: value for name, value in query.items() if name != "fields"}
        self._requests.ask(Question({**query, **rest, **part}, on_answer, self._requests.retry))

    def confirm_end(self, range_: IdRange) -> None:
        """See `Reader`."""
        self._ends.confirm(range_)

    def end(self, range_: IdRange) -> Iterable[Page]:
        """See `Reader`."""
        if not range_.is_of_all:
            return ()
        self._division.close(range_)
        return [Page(began=self._requests.began, covers=(range_.after, range_.until))]

    def _check_times(self, page: list[JsonRecord]) -> None:
        """Holds update times against the bound, and asks once for a proof of the filter.

        Raises:
            AirbyteTracedException: if Coupa does not apply it, or sends no update times.
        """
        wanted = self._wanted
        if not wanted.checks_times:
            return
        if not self._has_seen_times:
            if not any(UPDATED_AT in record or "updated-at" in record for record in page):
                raise errors.trimmed(self._resource, UPDATED_AT)
            self._has_seen_times = True
        since = wanted.since if self._queries.is_filtered else None
        earliest = since - TICK if since is not None else None
        if earliest is None and not self._filter.is_wanted:
            return
        for record in page:
            moment = moment_of(self._resource, record)
            if moment is None:
                continue
            if earliest is not None and moment < earliest:
                raise errors.filter_ignored(self._resource, f"id {record['id']}: {moment}")
            self._filter.offer(record["id"], moment)

    # --- Pages that fail ---

    def _on_failed_page(
        self,
        range_: IdRange,
        variant: tuple[bool, bool],
        question: Question,
        failure: Exception,
    ) -> Iterable[Page]:
        if isinstance(failure, QueryRefusedError):
            if range_.watched is not None:
                return self._on_refused_watch(range_, variant, failure)
            if "fields" in question.query and self._takes_part:
                self._columns.give_up(f"Coupa refuses to send some columns alone: {failure}")
                self.read(range_)
                return ()
            if range_.nulls:
                return self._on_refused_nulls(range_, variant)
            if not self._has_pages and self._do_without(range_, variant, failure):
                return ()
        ill = as_ill(self._resource, failure)
        if ill is None:
            return self.retry(range_, failure)
        return self._ill.on_failure(range_, question, failure, ill)

    def retry(self, range_: IdRange, failure: Exception) -> Iterable[Page]:
        """See `Reader`; with as many records as the range has by now."""
        question = self.question(range_)
        pages = self._requests.retry(question, failure)
        range_.failures, range_.refused_tokens = question.failures, question.refused_tokens
        return pages

    def _do_without(
        self, range_: IdRange, variant: tuple[bool, bool], refused: QueryRefusedError
    ) -> bool:
        """Asks without `order_by`, without the filter, without both, until Coupa takes it; False
        if it takes none of these."""
        is_filtered = self._queries.is_filtered
        if variant == (self._queries.takes_order_by, is_filtered):
            self._refused.append(variant)
            first = self._refused[0]
            others = [(False, first[1]), (first[0], False), (False, False)]
            left = [other for other in others if other not in self._refused]
            if not left:
                self._queries.takes_order_by, self._queries.is_filtered = first
                if self._reads_all:
                    self._queries.is_filtered = False
                elif self._queries.is_filtered:
                    self._filter.is_wanted = self._proves_filter
                return False
            self._queries.takes_order_by, self._queries.is_filtered = left[0]
            if not self._queries.is_filtered and is_filtered:
                self._filter.is_wanted = False
                logger.info(
                    f"{self._resource}: Coupa refuses the filter on {UPDATED_AT}, reading the "
                    f"whole list and comparing here: {refused}"
                )
        self.read(range_)
        return True

    # --- Records without an update time ---

    # No comparison finds them. They are asked for by the operator `blank`, which Coupa documents,
    # if not for each kind of field (pages 0007 and 0014). Where that is not honoured, new ones have
    # ids above the highest that was there before. A list that has shown none is asked about them
    # where an id above that highest one is missing below those that came, and else not.

    def _note_new(self, page: list[JsonRecord]) -> None:
        known = self._wanted.highest_id
        if known is not None:
            self._new += sum(record["id"] > known for record in page)

    def _may_hide_nulls(self) -> bool:
        known = self._wanted.highest_id
        if known is None or not self._queries.is_filtered:
            return False
        return self._new < self._ends.highest - known

    def _on_nulls(
        self, range_: IdRange, size: int, page: list[JsonRecord], fetched: Fetched
    ) -> Iterable[Page]:
        nulls = [record for record in page if value_of(record, UPDATED_AT) is None]
        if range_.nulls and len(nulls) < len(page):
            fetched.load.release()
            return self._ask_for_nulls_otherwise(range_)
        if page:
            range_.advance(page)
        if nulls or self._nulls_above is not None:
            self._nulls_above = max(range_.after, self._nulls_above or 0)
        if not self._lengths.is_last(len(page), size):
            self.read(range_)
        return [
            Page(
                records=nulls,
                began=self._requests.began,
                load=fetched.load,
                nulls_above=self._nulls_above,
            )
        ]

    def _on_refused_nulls(self, range_: IdRange, variant: tuple[bool, bool]) -> Iterable[Page]:
        if self._may_be_the_order(variant):
            self.read(range_, SOON)
            return ()
        return self._ask_for_nulls_otherwise(range_)

    def _may_be_the_order(self, variant: tuple[bool, bool]) -> bool:
        """Whether it may be the order that Coupa refuses, which the pages show."""
        takes_order_by = self._queries.takes_order_by
        is_untried = takes_order_by and not self._has_pages and self._wanted.done.gaps()
        return variant[0] and bool(is_untried or not takes_order_by)

    def _ask_for_nulls_otherwise(self, range_: IdRange) -> Iterable[Page]:
        if self._wanted.asks_for_nulls and self._wanted.nulls_above is None:
            return self._read_unfiltered()
        range_.nulls = {}
        self.read(range_)
        return ()

    def _read_unfiltered(self) -> Iterable[Page]:
        self._reads_all = True
        if not self._queries.is_filtered:
            # for good, or while that is tried
            return ()
        logger.info(
            f"{self._resource}: Coupa cannot be asked for records without {UPDATED_AT}, reading "
            "the whole list and comparing here."
        )
        self._queries.is_filtered = False
        if not self._has_pages:
            # what was refused so far may have been the filter
            self._queries.takes_order_by = self._capabilities.takes_order_by
            self._refused.clear()
        return self._start_over()

    # --- Records with changed rows ---

    def _on_row_changes(
        self, range_: IdRange, size: int, page: list[JsonRecord], fetched: Fetched
    ) -> Iterable[Page]:
        assert self._watch is not None
        records, again = self._watch.take(range_, page)
        if again:
            self.read(IdRange(0, max(again), watched=range_.watched, ids=frozenset(again)))
        if page:
            range_.advance(page)
        is_over = self._watch.is_given_up(range_) or range_.after >= range_.until
        if not is_over and not self._lengths.is_last(len(fetched.records), size):
            self.read(range_)
        began = self._requests.began
        return [Page(records=records, began=began, load=fetched.load, is_of_row_changes=True)]

    def _on_refused_watch(
        self, range_: IdRange, variant: tuple[bool, bool], refused: QueryRefusedError
    ) -> Iterable[Page]:
        assert self._watch is not None
        range_.failures += 1
        if self._may_be_the_order(variant):
            if self._queries.takes_order_by:
                self._waiting.append(range_)
            else:
                self.read(range_)
        elif range_.failures < ENOUGH_REFUSALS:
            self.read(range_, SOON)
        else:
            self._watch.give_up(range_, str(refused))
        return ()
