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
from dataclasses import dataclass
from functools import partial

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.bookmark import END, text_of
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
from source_coupa.reading.responses import QueryRefusedError, as_ill, checked, moment_of
from source_coupa.reading.row_changes import Watch, once
from source_coupa.records.fields import UPDATED_AT, JsonRecord, value_of
from source_coupa.transport.connection import LARGEST_RECORD, Connection
from source_coupa.transport.instance import Instance
from source_coupa.transport.retry_after import LONGEST_WAIT

logger = logging.getLogger("airbyte")

ENOUGH_ALONE = 3
"""Attempts for a page of one record, until its id is asked for to continue after it; one less for a
larger page, and one less where they fail slowly."""

ENOUGH_REFUSALS = 2
"""Refusals of the question for changed rows, until it is given up: one may be a blip."""

MOST_MISSING = 1_000
"""Records of a list that cannot be read, before the list is given up: that is no record's fault."""

SLOW = 20.0
"""Seconds that a failure takes, as when Coupa does not respond in time. Such failures must not be
many: a request may take five minutes."""

MOST_LOST = 2 * 3_600.0
"""Seconds that all failures of a list take, before the next record that cannot be read ends it: the
next sync continues after those that were passed over."""

MOST_HIDDEN = 10_000
"""Records in a row that an instance hides after it has counted them, until the list is given up."""

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
        self._lost = 0.0

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
        # its request may have been among them
        self._proof.is_wanted = self._wanted.proves_filter and self._wanted.checks_times
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
                self._highest = max(self._highest, page[-1]["id"])
        if range_.is_of_all and not self._has_pages:
            self._has_pages = True
            for waiting in self._waiting:
                self._ask_for_page(waiting)
        if not page and size < PAGE_SIZE:
            fetched.load.release()
            self._confirm_end(range_)
            return
        if not page and self._wants_proof_of_end(range_):
            fetched.load.release()
            self._look_above(range_)
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
        self._ask_for_ids(
            range_,
            partial(self._on_confirmed_end, range_),
            lambda _, failure: self._retry(range_, failure),
        )

    def _ask_for_ids(
        self,
        range_: IdRange,
        on_answer: Callable[[Fetched], Iterable[Page]],
        on_failure: Callable[[Question, Exception], Iterable[Page]],
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Asks for the ids of a range's next page, with `more` parameters."""
        query = {**self._page_query(range_, PAGE_SIZE), **self._id_alone(), **(more or {})}
        self._requests.ask(Question(query, on_answer, on_failure, records=PAGE_SIZE))

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
        if self._wants_proof_of_end(range_):
            self._look_above(range_)
            return ()
        return self._end(range_)

    def _wants_proof_of_end(self, range_: IdRange) -> bool:
        """Whether an empty page of a range may be one whose records are all hidden."""
        if not range_.is_of_all or not self._capabilities.takes_order_by:
            return False
        end = self._division.end
        if range_.after < max(self._highest, end or 0) or self._lengths.go_on:
            return True
        # an update that finds nothing costs one request
        is_whole = range_.after or self._wanted.since is None
        return bool(not end and range_.until == END and is_whole)

    def _look_above(self, range_: IdRange, offset: int = 0) -> None:
        """Asks from the other side: if records come, the list continues after an empty page.

        Args:
            range_: whose page was empty.
            offset: the records above the range's last one that may be hidden.
        """

        def on_failure(question: Question, failure: Exception) -> Iterable[Page]:
            if isinstance(failure, QueryRefusedError):
                return self._end(range_)
            return self._requests.retry(question, failure)

        on_answer = partial(self._on_above, range_, offset)
        self._ask_for_ids(range_, on_answer, on_failure, self._order(descending=True))

    def _on_above(self, range_: IdRange, offset: int, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        if not fetched.records:
            return self._end(range_)
        # first without an offset: the empty page may have been a blip, or a record is new
        more = {"offset": str(offset)} if offset else {}
        on_answer = partial(self._on_behind_hidden, range_, offset)
        self._ask_for_ids(range_, on_answer, self._requests.retry, more)
        return ()

    def _on_behind_hidden(self, range_: IdRange, offset: int, fetched: Fetched) -> Iterable[Page]:
        """
        Raises:
            AirbyteTracedException: if no record comes within a reasonable distance.
        """
        fetched.load.release()
        page = checked(self._resource, fetched.records, range_.after or None)
        if not page:
            if offset >= MOST_HIDDEN:
                raise errors.hidden(self._resource, range_.after)
            self._look_above(range_, offset + PAGE_SIZE)
            return ()
        if page[0]["id"] > range_.until:
            return self._end(range_)
        after = range_.after
        range_.after = page[0]["id"] - 1
        self._ask_for_page(range_)
        return [Page(began=self._requests.began, covers=(after, range_.after))]

    def _end(self, range_: IdRange) -> Iterable[Page]:
        """Nothing is left of a range."""
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
            if not self._has_pages and self._do_without(range_, variant, failure):
                return ()
        ill = as_ill(self._resource, failure)
        if ill is None:
            return self._retry(range_, failure)
        is_slow = question.seconds > SLOW
        self._lost += question.seconds
        others_came = not ill.is_final and self._requests.others_came_since(question)
        range_.is_ill = range_.is_ill or others_came or range_.failed_size is not None
        if ill.too_large:
            # room for it is reserved before it is asked for again
            self._requests.record_bytes = max(ill.too_large // range_.size, 1)
        if range_.size > 1 and (ill.too_large or range_.is_ill):
            if ill.wait is not None and ill.wait > LONGEST_WAIT:
                return self._retry(range_, failure)
            self._ask_for_fewer(range_, max(SOON, ill.wait or 0.0), is_slow=is_slow)
            return ()
        if 0 < ill.too_large <= LARGEST_RECORD:
            self._ask_for_page(range_, SOON)
            return ()
        is_setting = ill.is_final and not self._has_pages
        enough = ENOUGH_ALONE - is_slow - (range_.size > 1 and not ill.is_final)
        attempts = range_.failures + 1
        if not is_setting and (attempts < enough or (attempts - enough) % ENOUGH_ALONE):
            return self._retry(range_, failure)
        self._look_behind_failure(range_, failure, ill.error, is_slow=is_slow)
        return ()

    def _ask_for_fewer(self, range_: IdRange, delay: float, *, is_slow: bool) -> None:
        range_.shrink(1 if is_slow else range_.size // 2)
        logger.info(f"{self._resource}: asking for {range_.size} records at a time.")
        self._ask_for_page(range_, delay)

    def _retry(self, range_: IdRange, failure: Exception) -> Iterable[Page]:
        """As `Requests.retry`, with as many records as the range has by now."""
        question = self._page_question(range_)
        pages = self._requests.retry(question, failure)
        range_.failures, range_.refused_tokens = question.failures, question.refused_tokens
        return pages

    def _do_without(
        self, range_: IdRange, variant: tuple[bool, bool], refused: QueryRefusedError
    ) -> bool:
        """Asks without `order_by`, without the filter, without both, until Coupa takes it; False
        if it takes none of these."""
        is_filtered = self._is_filtered
        if variant == (self._capabilities.takes_order_by, is_filtered):
            self._refused.append(variant)
            first = self._refused[0]
            others = [(False, first[1]), (first[0], False), (False, False)]
            left = [other for other in others if other not in self._refused]
            if not left:
                self._capabilities.takes_order_by, self._is_filtered = first
                return False
            self._capabilities.takes_order_by, self._is_filtered = left[0]
            if not self._is_filtered and is_filtered:
                self._proof.is_wanted = False
                logger.info(
                    f"{self._resource}: Coupa refuses the filter on {UPDATED_AT}, reading the "
                    f"whole list and comparing here: {refused}"
                )
        self._ask_for_page(range_)
        return True

    # What is ill? A page in which there can be no record comes from each list that is up, for no
    # record is at fault there. So do those below a record that cannot be read, and the first that
    # fails ends with its id.

    def _look_behind_failure(
        self,
        range_: IdRange,
        failure: Exception,
        error: AirbyteTracedException,
        *,
        is_slow: bool,
    ) -> None:
        """Asks for something that is no trouble to send: if that comes, the list is up."""
        look = _Look(range_, failure, error, is_slow=is_slow)
        if range_.size > 1 or not self._id_alone():
            self._ask_between(look, range_.after, range_.after)
            return
        self._requests.ask(
            Question(
                {**self._page_query(range_, 1), **self._id_alone()},
                partial(self._on_id, look),
                lambda *_: self._ask_between(look, range_.after, range_.after),
            )
        )

    def _on_id(self, look: _Look, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        range_ = look.range_
        page = checked(self._resource, fetched.records, range_.after or None)
        if not self._id_alone():
            # it was refused, and the record came as a whole
            self._ask_for_page(range_)
            return ()
        if not page or page[0]["id"] > range_.until:
            # what failed belongs to the next range
            self._confirm_end(range_)
            return ()
        return self._ask_once_more(range_, page[0]["id"], look.error)

    def _ask_between(self, look: _Look, low: int, high: int) -> Iterable[Page]:
        """Asks for records above `low`, where the first one can be, up to and including `high`."""
        self._requests.ask(
            Question(
                {
                    **self._page_query(look.range_, PAGE_SIZE),
                    **_above(low),
                    "id[lt]": str(high + 1),
                },
                partial(self._on_between, look, high),
                partial(self._on_failure_between, look, low, high),
                records=PAGE_SIZE,
            )
        )
        return ()

    def _on_between(self, look: _Look, high: int, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        range_ = look.range_
        if range_.size > 1:
            range_.is_ill = True
            range_.failures = 0
            self._ask_for_fewer(range_, 0.0, is_slow=look.is_slow)
        elif fetched.records:
            self._ask_for_page(range_)
        elif high >= range_.until:
            # what failed seems to belong to the next range
            self._confirm_nothing_between(look)
        else:
            if look.top <= high:
                look.top = END
            step = (look.top - high) // 2 if look.top < END else 2 * (high - range_.after)
            self._ask_between(look, high, min(high + max(step, 1), range_.until))
        return ()

    def _confirm_nothing_between(self, look: _Look) -> None:
        """Asks for a record that was read, to see that lists without records mean what they say."""
        range_ = look.range_
        query = self._small_query({"id[lt]": str(range_.until + 1)}, descending=True)

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            fetched.load.release()
            if any(record.get("id", END) <= range_.after for record in fetched.records):
                return self._end(range_)
            return self._retry(range_, look.failure)

        self._requests.ask(Question(query, on_answer, lambda *_: self._retry(range_, look.failure)))

    def _on_failure_between(
        self, look: _Look, low: int, high: int, question: Question, again: Exception
    ) -> Iterable[Page]:
        if low == high:
            is_refused = isinstance(again, QueryRefusedError)
            return self._retry(look.range_, look.failure if is_refused else again)
        if as_ill(self._resource, again) is None or not question.failures:
            return self._requests.retry(question, again)
        if high - low == 1:
            return self._ask_once_more(look.range_, high, look.error)
        look.top = high
        return self._ask_between(look, low, low + (high - low) // 2)

    def _ask_once_more(
        self, range_: IdRange, id_: int, error: AirbyteTracedException
    ) -> Iterable[Page]:
        """Asks for a record now that the list is known to be up: it may have been down before."""

        def on_failure(question: Question, failure: Exception) -> Iterable[Page]:
            ill = as_ill(self._resource, failure)
            if ill is None:
                return self._retry(range_, failure)
            self._lost += question.seconds
            return self._pass_over(range_, id_, error)

        question = self._page_question(range_)
        question.on_failure = on_failure
        self._requests.ask(question)
        return ()

    def _pass_over(
        self, range_: IdRange, id_: int, error: AirbyteTracedException
    ) -> Iterable[Page]:
        self._missing += 1
        if self._missing > MOST_MISSING or self._lost > MOST_LOST:
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
        ill = as_ill(self._resource, failure)
        is_known = ill is not None and (ill.is_final or question.seconds > SLOW)
        if not is_known and (ill is None or question.failures + 1 < ENOUGH_ALONE):
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


@dataclass(eq=False)
class _Look:
    """While it is found out what is ill.

    Attributes:
        range_: whose next page has failed.
        failure: of that page.
        error: what it means.
        is_slow: whether it took long.
        top: a record of the range that cannot be read has this id at most.
    """

    range_: IdRange
    failure: Exception
    error: AirbyteTracedException
    is_slow: bool
    top: int = END


def _above(id_: int) -> dict[str, str]:
    return {"id[gt]": str(id_)} if id_ else {}


def _keys(page: list[JsonRecord]) -> list[tuple[object, object]]:
    """What changes when records do."""
    return [(record.get("id"), value_of(record, UPDATED_AT)) for record in page]
