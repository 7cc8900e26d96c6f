"""Pages of a list that fail while the list is up: which record is ill?

Fewer records are asked for, down to one. If that fails too, something is asked for that is no
trouble to send. A page in which there can be no record comes from each list that is up, for no
record is at fault there. So do those below a record that cannot be read, and the first that fails
ends with its id.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.bookmark import END
from source_coupa.reading.division import Division
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.pages import Page
from source_coupa.reading.queries import Queries, above
from source_coupa.reading.reader import Reader
from source_coupa.reading.requests import Fetched, Question, Requests
from source_coupa.reading.responses import QueryRefusedError, as_ill, checked
from source_coupa.transport.connection import LARGEST_RECORD, RequestFailedError
from source_coupa.transport.retry_after import LONGEST_WAIT

logger = logging.getLogger("airbyte")

ENOUGH_ALONE = 3
"""Attempts for a page of one record, until its id is asked for to continue after it; one less for a
larger page, and one less where they fail slowly."""

MOST_MISSING = 1_000
"""Records of a list that cannot be read, before the list is given up: that is no record's fault."""

SLOW = 20.0
"""Seconds that a failure takes, as when Coupa does not respond in time. Such failures must not be
many: a request may take five minutes."""

MOST_LOST = 2 * 3_600.0
"""Seconds that all failures of a list take, before the next record that cannot be read ends it: the
next sync continues after those that were passed over."""

SOON = 1.0
"""Seconds until fewer records are asked for, where the host is known to be up."""


class IllPages:
    """Reads around records that cannot be read.

    Args:
        resource: the list.
        requests: sends the small requests.
        queries: says what to ask for.
        reader: reads what can be read.
        division: the ranges of the list.

    Attributes:
        missing: how many records cannot be read so far.
    """

    def __init__(
        self,
        resource: str,
        requests: Requests,
        queries: Queries,
        reader: Reader,
        division: Division,
    ) -> None:
        self._resource = resource
        self._requests = requests
        self._queries = queries
        self._reader = reader
        self._division = division
        self.missing = 0
        self._lost = 0.0

    def on_failure(
        self, range_: IdRange, question: Question, failure: Exception, ill: RequestFailedError
    ) -> Iterable[Page]:
        """What to do about a page that has failed.

        Args:
            range_: whose next page it is.
            question: the request.
            failure: what became of it.
            ill: the same, as something that a record can be the cause of.

        Raises:
            AirbyteTracedException: if the list has to be given up.
        """
        is_slow = question.seconds > SLOW
        self._lost += question.seconds
        others_came = not ill.is_final and self._requests.others_came_since(question)
        range_.is_ill = range_.is_ill or others_came or range_.failed_size is not None
        if ill.too_large:
            # room for it is reserved before it is asked for again
            self._requests.record_bytes = max(ill.too_large // range_.size, 1)
        if range_.size > 1 and (ill.too_large or range_.is_ill):
            if ill.wait is not None and ill.wait > LONGEST_WAIT:
                return self._reader.retry(range_, failure)
            self._ask_for_fewer(range_, max(SOON, ill.wait or 0.0), is_slow=is_slow)
            return ()
        if 0 < ill.too_large <= LARGEST_RECORD:
            self._reader.read(range_, SOON)
            return ()
        is_setting = ill.is_final and not self._reader.has_pages
        enough = ENOUGH_ALONE - is_slow - (range_.size > 1 and not ill.is_final)
        attempts = range_.failures + 1
        if not is_setting and (attempts < enough or (attempts - enough) % ENOUGH_ALONE):
            return self._reader.retry(range_, failure)
        return self._look_behind(_Look(range_, failure, ill.error, is_slow=is_slow))

    def _ask_for_fewer(self, range_: IdRange, delay: float, *, is_slow: bool) -> None:
        range_.shrink(1 if is_slow else range_.size // 2)
        logger.info(f"{self._resource}: asking for {range_.size} records at a time.")
        self._reader.read(range_, delay)

    def _look_behind(self, look: _Look) -> Iterable[Page]:
        """Asks for something that is no trouble to send: if that comes, the list is up."""
        range_ = look.range_

        def ask_between(*_: object) -> Iterable[Page]:
            return self._ask_between(look, range_.after, range_.after)

        if range_.size > 1 or not self._queries.id_alone():
            return ask_between()
        query = self._queries.ids(range_, 1)
        self._requests.ask(Question(query, partial(self._on_id, look), ask_between))
        return ()

    def _on_id(self, look: _Look, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        range_ = look.range_
        page = checked(self._resource, fetched.records, range_.after or None)
        if not self._queries.id_alone():
            # it was refused, and the record came as a whole
            self._reader.read(range_)
            return ()
        if not page or page[0]["id"] > range_.until:
            # what failed belongs to the next range
            self._reader.confirm_end(range_)
            return ()
        return self._ask_once_more(range_, page[0]["id"], look.error)

    def _ask_between(self, look: _Look, low: int, high: int) -> Iterable[Page]:
        """Asks for records above `low`, where the first one can be, up to and including `high`."""
        self._requests.ask(
            Question(
                {
                    **self._queries.page(look.range_, PAGE_SIZE),
                    **above(low),
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
            self._reader.read(range_)
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

        def on_failure(*_: object) -> Iterable[Page]:
            return self._reader.retry(range_, look.failure)

        query = self._queries.one({"id[lt]": str(range_.until + 1)}, descending=True)

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            fetched.load.release()
            if any(record.get("id", END) <= range_.after for record in fetched.records):
                return self._reader.end(range_)
            return on_failure()

        self._requests.ask(Question(query, on_answer, on_failure))

    def _on_failure_between(
        self, look: _Look, low: int, high: int, question: Question, again: Exception
    ) -> Iterable[Page]:
        if low == high:
            is_refused = isinstance(again, QueryRefusedError)
            return self._reader.retry(look.range_, look.failure if is_refused else again)
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
                return self._reader.retry(range_, failure)
            self._lost += question.seconds
            return self.pass_over(range_, id_, error)

        question = self._reader.question(range_)
        question.on_failure = on_failure
        self._requests.ask(question)
        return ()

    def pass_over(self, range_: IdRange, id_: int, error: AirbyteTracedException) -> Iterable[Page]:
        """Continues a range after a record that cannot be read.

        Raises:
            AirbyteTracedException: the error, if there are too many of these.
        """
        self.missing += 1
        if self.missing > MOST_MISSING or self._lost > MOST_LOST:
            raise error
        logger.warning(
            f"{self._resource}: record {id_} cannot be read and is passed over for now. "
            f"{error.message}"
        )
        covers = (range_.after, id_) if range_.is_of_all else None
        range_.pass_over(id_)
        if id_ != range_.until:
            self._reader.read(range_)
        elif range_.is_of_all:
            self._division.close(range_)
        return [Page(began=self._requests.began, covers=covers, missing=id_)]

    def ask_for_missing(self, id_: int) -> None:
        """Asks once more for a record that an earlier sync could not read."""
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


def fails_alone(question: Question, failure: Exception) -> bool:
    """Whether what is asked for is at fault, and not the list, which is known to be up."""
    is_page = isinstance(failure, RequestFailedError) and failure.is_page
    return is_page and question.failures + 1 >= ENOUGH_ALONE


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
