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

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.bookmark import text_of
from source_coupa.reading.division import Division
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.filter_proof import TICK, FilterProof
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.page_lengths import PageLengths
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.requests import (
    IDS_ALONE,
    IDS_AND_TIMES,
    Fetched,
    Question,
    Requests,
    Shape,
)
from source_coupa.reading.responses import QueryRefusedError, checked, moment_of
from source_coupa.reading.row_changes import Watch, once
from source_coupa.records.fields import UPDATED_AT, JsonRecord, value_of
from source_coupa.transport.connection import LARGEST_RECORD, Connection, RequestFailedError
from source_coupa.transport.instance import Instance
from source_coupa.transport.retry_after import LONGEST_WAIT

logger = logging.getLogger("airbyte")

ENOUGH_ALONE = 3
"""Attempts for a page of one record, until its id is asked for to continue after it."""

ENOUGH_REFUSALS = 2
"""Refusals of the question for changed rows, until it is given up: one may be a blip."""

MOST_MISSING = 1_000
"""Records of a list that cannot be read, before the list is given up: that is no record's fault."""

TARGET_BYTES = 4_000_000
"""Of a page; fewer of larger records are asked for at once."""

SOON = 1.0
"""Seconds until fewer records are asked for, where the host is known to be up."""

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
    """One pass through a list, in one thread; only the requests are sent from others."""

    def __init__(self, coupa_list: CoupaList, wanted: Pass) -> None:
        self._resource = coupa_list.resource
        self._capabilities = coupa_list.instance.capabilities
        self._selection = coupa_list.selection
        self._ids_only = coupa_list.ids_only
        self._fields = coupa_list.fields
        self._wanted = wanted
        self._requests = Requests(
            coupa_list.resource, coupa_list.connection, coupa_list.instance, coupa_list.shape
        )
        self._requests.follows_a_pass = wanted.follows_a_pass
        self._is_shaped = coupa_list.shape is not None
        self._division = Division(
            resource=coupa_list.resource,
            requests=self._requests,
            small_query=self._small_query,
            read=self._ask_for_page,
        )
        self._lengths = PageLengths(wanted.short_page)
        self._is_filtered = wanted.since is not None
        self._refused: list[tuple[bool, bool]] = []
        self._has_seen_times = not wanted.checks_times
        self._proof = FilterProof(
            coupa_list.resource,
            self._requests,
            id_alone=self._id_alone,
            is_wanted=wanted.proves_filter and wanted.checks_times,
        )
        self._watch = Watch(coupa_list.resource, wanted.row_changes) if wanted.row_changes else None
        self._waiting: list[IdRange] = []
        self._has_pages = False
        self._nulls_above: int | None = None
        self._highest = 0
        self._new = 0
        self._missing = len(wanted.missing)

    def pages(self) -> Iterator[Page]:
        """See `CoupaList.read`."""
        try:
            self._begin()
            yield from self._requests.pages(self._division.cut_where_readers_are_idle)
            if self._proof.is_wanted and len(self._wanted.done):
                # an earlier sync read the records, and ended before the filter was proved
                self._proof.ask_for_records(self._order(descending=True))
                yield from self._requests.pages(lambda: None)
            if self._may_hide_nulls():
                self._ask_for_page(IdRange(self._wanted.highest_id or 0, nulls=_BLANK))
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
        for id_ in sorted(wanted.missing):
            self._ask_for_missing(id_)
        self._nulls_above = None
        self._highest = self._new = 0
        if self._is_filtered and (wanted.nulls_above is not None or wanted.asks_for_nulls):
            self._nulls_above = wanted.nulls_above or 0
            self._ask_for_page(IdRange(self._nulls_above, nulls=_BLANK))
        self._waiting.clear()
        if self._watch is not None:
            for range_ in self._watch.ranges():
                self._ask_for_page(range_)
        self._division.begin(wanted.done.gaps(), is_long=wanted.short_page is None)

    def _start_over(self) -> Iterable[Page]:
        """Asks for everything once more, and for nothing that is under way."""
        self._requests.drop()
        self._missing = len(self._wanted.missing)
        self._begin()
        return [Page(began=self._requests.began, starts_over=True)]

    # --- Queries ---

    def _order(self, *, descending: bool = False) -> dict[str, str]:
        if not self._capabilities.takes_order_by:
            return {}
        return {"order_by": "id", "dir": "desc" if descending else "asc"}

    def _bound(self) -> dict[str, str]:
        if not self._is_filtered or self._wanted.since is None:
            return {}
        return {f"{UPDATED_AT}[gt_or_eq]": text_of(self._wanted.since)}

    def _id_alone(self) -> Mapping[str, str]:
        return IDS_ALONE if self._capabilities.selects_fields and not self._is_shaped else {}

    def _small_query(
        self, query: Mapping[str, str] | None = None, *, descending: bool = False
    ) -> dict[str, str]:
        order = self._order(descending=descending)
        return {**order, **self._bound(), **(query or {}), "limit": "1", **self._id_alone()}

    def _page_query(self, range_: IdRange, size: int) -> dict[str, str]:
        filter_ = self._bound() if range_.nulls is None else range_.nulls
        if self._watch is not None and range_.watched is not None:
            filter_ = self._watch.query(range_)
        query = {**self._order(), **filter_, "limit": str(size), **_above(range_.after)}
        if self._fields is not None:
            return {**query, **self._fields}
        if self._ids_only:
            id_alone = self._id_alone()
            has_times = id_alone and self._wanted.checks_times
            return {**query, **(IDS_AND_TIMES if has_times else id_alone)}
        return {**query, **(self._selection.query if self._selection is not None else {})}

    # --- Pages ---

    def _ask_for_page(self, range_: IdRange, delay: float = 0.0) -> None:
        self._requests.ask(self._page_question(range_), delay)

    def _page_question(self, range_: IdRange) -> Question:
        if self._requests.record_bytes:
            fitting = max(TARGET_BYTES // self._requests.record_bytes, 1)
            range_.size = min(range_.size, fitting)
        size = range_.size
        query = self._page_query(range_, size)
        variant = (self._capabilities.takes_order_by, self._is_filtered)
        return Question(
            query=query,
            on_answer=partial(self._on_page, range_, size, query),
            on_failure=partial(self._on_failed_page, range_, variant),
            records=size,
            failures=range_.failures,
        )

    def _on_page(
        self, range_: IdRange, size: int, query: Mapping[str, str], fetched: Fetched
    ) -> Iterable[Page]:
        records = fetched.records if range_.watched is None else once(fetched.records)
        page = checked(self._resource, records, range_.after or None)
        if page:
            self._requests.record_bytes = fetched.size // len(fetched.records)
        if range_.is_of_all and not self._has_pages:
            self._has_pages = True
            for waiting in self._waiting:
                self._ask_for_page(waiting)
        if not page and size < PAGE_SIZE:
            fetched.load.release()
            self._confirm_end(range_)
            return
        if range_.nulls is not None:
            yield from self._on_nulls(range_, size, page, fetched)
            return
        if range_.watched is not None:
            yield from self._on_row_changes(range_, size, page, fetched)
            return
        self._check_selection(query, page)
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
        if is_over or self._lengths.is_last(len(page), size):
            self._division.close(range_)
            covers = (after, range_.until)
        else:
            self._ask_for_page(range_)
            covers = (after, range_.after)
        yield Page(
            records=own,
            began=self._requests.began,
            covers=covers,
            left=self._division.left,
            load=fetched.load,
        )

    def _confirm_end(self, range_: IdRange) -> None:
        """Asks for the ids of a whole page, where a small one was empty: an instance may hide
        records after it has counted them, and few are soon all hidden."""
        query = {**self._page_query(range_, PAGE_SIZE), **self._id_alone()}
        self._requests.ask(
            Question(
                query,
                partial(self._on_confirmed_end, range_),
                lambda _, failure: self._retry(range_, failure),
                records=PAGE_SIZE,
            )
        )

    def _on_confirmed_end(self, range_: IdRange, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        page = checked(self._resource, fetched.records, range_.after or None)
        after = range_.after
        if page and page[0]["id"] <= range_.until:
            id_ = page[0]["id"]
            if range_.hidden == id_:
                return self._pass_over(range_, id_, errors.left_out(self._resource))
            range_.hidden = id_
            range_.after = id_ - 1
            self._ask_for_page(range_)
            covers = (after, range_.after) if range_.is_of_all else None
            return [Page(began=self._requests.began, covers=covers)]
        if not range_.is_of_all:
            return ()
        self._division.close(range_)
        return [Page(began=self._requests.began, covers=(after, range_.until))]

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
        earliest = wanted.since - TICK if self._is_filtered and wanted.since is not None else None
        if earliest is None and not self._proof.is_wanted:
            return
        for record in page:
            moment = moment_of(self._resource, record)
            if moment is None:
                continue
            if earliest is not None and moment < earliest:
                raise errors.filter_ignored(self._resource, f"id {record['id']}: {moment}")
            self._proof.offer(record["id"], moment)

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
            if "fields" in question.query and self._selection is not None:
                self._give_selection_up(f"Coupa refuses to send some columns alone: {failure}")
                self._ask_for_page(range_)
                return ()
            if range_.nulls:
                return self._on_refused_nulls(range_, variant)
            if not self._has_pages:
                return self._do_without(range_, variant, failure)
        is_page = isinstance(failure, RequestFailedError) and failure.is_page
        if not is_page:
            return self._retry(range_, failure)
        assert isinstance(failure, RequestFailedError)
        range_.is_ill = range_.is_ill or self._requests.others_came_since(question)
        if failure.too_large:
            # room for it is reserved before it is asked for again
            self._requests.record_bytes = max(failure.too_large // range_.size, 1)
        if range_.size > 1 and (failure.too_large or range_.is_ill):
            if failure.wait is not None and failure.wait > LONGEST_WAIT:
                return self._retry(range_, failure)
            range_.shrink()
            logger.info(f"{self._resource}: asking for {range_.size} records at a time.")
            self._ask_for_page(range_, max(SOON, failure.wait or 0.0))
            return ()
        if 0 < failure.too_large <= LARGEST_RECORD:
            self._ask_for_page(range_, SOON)
            return ()
        if range_.failures + 1 < (2 if range_.size > 1 else ENOUGH_ALONE):
            return self._retry(range_, failure)
        return self._ask_for_id(range_, failure)

    def _retry(self, range_: IdRange, failure: Exception) -> Iterable[Page]:
        """As `Requests.retry`, with as many records as the range has by now."""
        question = self._page_question(range_)
        pages = self._requests.retry(question, failure)
        range_.failures = question.failures
        return pages

    def _do_without(
        self, range_: IdRange, variant: tuple[bool, bool], refused: QueryRefusedError
    ) -> Iterable[Page]:
        """Asks without `order_by`, without the filter, without both, until Coupa takes it."""
        is_filtered = self._is_filtered
        if variant == (self._capabilities.takes_order_by, is_filtered):
            self._refused.append(variant)
            first = self._refused[0]
            others = [(False, first[1]), (first[0], False), (False, False)]
            left = [other for other in others if other not in self._refused]
            if not left:
                self._capabilities.takes_order_by, self._is_filtered = first
                raise errors.refused_query(self._resource, str(refused))
            self._capabilities.takes_order_by, self._is_filtered = left[0]
            if not self._is_filtered and is_filtered:
                self._proof.is_wanted = False
                logger.info(
                    f"{self._resource}: Coupa refuses the filter on {UPDATED_AT}, reading the "
                    f"whole list and comparing here: {refused}"
                )
        self._ask_for_page(range_)
        return ()

    def _ask_for_id(self, range_: IdRange, failure: RequestFailedError) -> Iterable[Page]:
        """Asks for the id of the next record: if that comes, the page is ill, not the list."""
        query = {**self._page_query(range_, 1), **self._id_alone()}
        self._requests.ask(
            Question(
                query,
                partial(self._on_id, range_, failure),
                lambda _, again: self._retry(range_, _as_failure(again, failure)),
            )
        )
        return ()

    def _on_id(
        self, range_: IdRange, failure: RequestFailedError, fetched: Fetched
    ) -> Iterable[Page]:
        fetched.load.release()
        page = checked(self._resource, fetched.records, range_.after or None)
        if range_.size > 1:
            range_.is_ill = True
            range_.failures = 0
            range_.shrink()
            self._ask_for_page(range_)
            return ()
        if not page or page[0]["id"] > range_.until:
            # what failed belongs to the next range
            self._confirm_end(range_)
            return ()
        return self._pass_over(range_, page[0]["id"], failure.error)

    def _pass_over(
        self, range_: IdRange, id_: int, error: AirbyteTracedException
    ) -> Iterable[Page]:
        self._missing += 1
        if self._missing > MOST_MISSING:
            raise error
        logger.warning(
            f"{self._resource}: record {id_} cannot be read and is passed over for now. "
            f"{error.message}"
        )
        covers = (range_.after, id_) if range_.is_of_all else None
        range_.pass_over(id_)
        if id_ != range_.until:
            self._ask_for_page(range_)
        elif range_.is_of_all:
            self._division.close(range_)
        return [Page(began=self._requests.began, covers=covers, missing=id_)]

    def _ask_for_missing(self, id_: int) -> None:
        self._requests.ask(
            Question(
                {"id": str(id_), "limit": "1"},
                partial(self._on_missing, id_),
                partial(self._on_still_missing, id_),
            )
        )

    def _on_missing(self, id_: int, fetched: Fetched) -> Iterable[Page]:
        own = [record for record in fetched.records if record.get("id") == id_]
        return [Page(records=own, began=self._requests.began, load=fetched.load, found=id_)]

    def _on_still_missing(self, id_: int, question: Question, failure: Exception) -> Iterable[Page]:
        if question.failures + 1 < ENOUGH_ALONE:
            return self._requests.retry(question, failure)
        logger.info(f"{self._resource}: record {id_} still cannot be read.")
        return ()

    # --- Records without an update time ---

    # No comparison finds them. They are asked for by the operator `blank`, which Coupa documents,
    # if not for each kind of field (pages 0007 and 0014). Where that is not honoured, new ones have
    # ids above the highest that was there before. A list that has shown none is asked about them
    # where an id above that highest one is missing below those that came, and else not.

    def _note_new(self, page: list[JsonRecord]) -> None:
        known = self._wanted.highest_id
        if known is not None:
            self._highest = max(self._highest, page[-1]["id"])
            self._new += sum(record["id"] > known for record in page)

    def _may_hide_nulls(self) -> bool:
        known = self._wanted.highest_id
        return self._is_filtered and known is not None and self._new < self._highest - known

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
            self._ask_for_page(range_)
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
            self._ask_for_page(range_, SOON)
            return ()
        return self._ask_for_nulls_otherwise(range_)

    def _may_be_the_order(self, variant: tuple[bool, bool]) -> bool:
        """Whether it may be the order that Coupa refuses, which the pages show."""
        takes_order_by = self._capabilities.takes_order_by
        is_untried = takes_order_by and not self._has_pages and self._wanted.done.gaps()
        return variant[0] and bool(is_untried or not takes_order_by)

    def _ask_for_nulls_otherwise(self, range_: IdRange) -> Iterable[Page]:
        if self._wanted.asks_for_nulls and self._wanted.nulls_above is None:
            return self._read_unfiltered()
        range_.nulls = {}
        self._ask_for_page(range_)
        return ()

    def _read_unfiltered(self) -> Iterable[Page]:
        if not self._is_filtered:
            return ()
        logger.info(
            f"{self._resource}: Coupa cannot be asked for records without {UPDATED_AT}, reading "
            "the whole list and comparing here."
        )
        self._is_filtered = False
        return self._start_over()

    # --- Records with changed rows ---

    def _on_row_changes(
        self, range_: IdRange, size: int, page: list[JsonRecord], fetched: Fetched
    ) -> Iterable[Page]:
        assert self._watch is not None
        records, again = self._watch.take(range_, page)
        if again:
            self._ask_for_page(IdRange(0, max(again), watched=range_.watched, ids=frozenset(again)))
        if page:
            range_.advance(page)
        is_over = self._watch.is_given_up(range_) or range_.after >= range_.until
        if not is_over and not self._lengths.is_last(len(fetched.records), size):
            self._ask_for_page(range_)
        began = self._requests.began
        return [Page(records=records, began=began, load=fetched.load, is_of_row_changes=True)]

    def _on_refused_watch(
        self, range_: IdRange, variant: tuple[bool, bool], refused: QueryRefusedError
    ) -> Iterable[Page]:
        assert self._watch is not None
        range_.failures += 1
        if self._may_be_the_order(variant):
            if self._capabilities.takes_order_by:
                self._waiting.append(range_)
            else:
                self._ask_for_page(range_)
        elif range_.failures < ENOUGH_REFUSALS:
            self._ask_for_page(range_, SOON)
        else:
            self._watch.give_up(range_, str(refused))
        return ()

    # --- Columns ---

    def _check_selection(self, query: Mapping[str, str], page: list[JsonRecord]) -> None:
        """Asks for a page once more, in part or in full, where that proves something."""
        selection, is_part = self._selection, "fields" in query
        if selection is None or not selection.wants_comparison(page, is_part=is_part):
            return
        other = {name: value for name, value in query.items() if name != "fields"}
        self._ask_other_form(
            other if is_part else {**other, **selection.fields()},
            # whoever gets the page renames its keys in place
            partial(self._on_comparison, selection, list(map(dict, page)), query, None),
        )

    def _on_comparison(
        self,
        selection: FieldSelection,
        page: list[JsonRecord],
        query: Mapping[str, str],
        other: list[JsonRecord] | None,
        fetched: Fetched,
    ) -> Iterable[Page]:
        """Compares a page with what came in the other form; where they differ, only if the page is
        the same when it is asked for once more, so that no edit has come in between."""
        fetched.load.release()
        is_part = "fields" in query
        if other is not None and _keys(page) != _keys(fetched.records):
            return ()
        others = fetched.records if other is None else other
        full, part = (others, page) if is_part else (page, others)
        was_used = bool(selection.query)
        difference = selection.compare(full, part)
        if difference is None:
            return ()
        if other is None:
            again = partial(self._on_comparison, selection, page, query, others)
            self._ask_other_form(query, again)
            return ()
        self._give_selection_up(difference)
        return self._start_over() if was_used else ()

    def _ask_other_form(
        self, query: Mapping[str, str], on_answer: Callable[[Fetched], Iterable[Page]]
    ) -> None:
        self._requests.ask(
            Question(
                query,
                on_answer,
                lambda _, failure: self._give_selection_up(str(failure)),
                records=int(query["limit"]),
            )
        )

    def _give_selection_up(self, reason: str) -> Iterable[Page]:
        if self._selection is not None and not self._selection.is_given_up:
            self._selection.give_up()
            logger.info(f"{self._resource}: reading full records, because {reason}.")
        return ()


def _above(id_: int) -> dict[str, str]:
    return {"id[gt]": str(id_)} if id_ else {}


def _keys(page: list[JsonRecord]) -> list[tuple[object, object]]:
    """What changes when records do."""
    return [(record.get("id"), value_of(record, UPDATED_AT)) for record in page]


def _as_failure(again: Exception, before: RequestFailedError) -> RequestFailedError:
    """What to say of a list that refuses to send an id alone: what it said of the page."""
    return again if isinstance(again, RequestFailedError) else before
