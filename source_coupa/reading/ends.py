"""Finds out whether a range of a list ends where a page of it was empty.

An instance may hide records after it has counted them: those of a page that the client's user must
not see. If all of a page are hidden, it is empty, and records may follow. So the ids of a whole
page are asked for where few records were; and where records above are known of, or could be, they
are asked for from the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.bookmark import END
from source_coupa.reading.division import Division
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.page_lengths import PageLengths
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.queries import Queries
from source_coupa.reading.reader import Reader
from source_coupa.reading.requests import Fetched, Question, Requests
from source_coupa.reading.responses import QueryRefusedError, checked
from source_coupa.records.fields import JsonRecord

MOST_HIDDEN = 10_000
"""Records in a row that an instance hides after it has counted them, until the list is given up."""

PassOver = Callable[[IdRange, int, AirbyteTracedException], Iterable[Page]]


class EndProof:
    """Looks for records behind an empty page.

    Args:
        resource: the list.
        wanted: the pass.
        requests: sends the small requests.
        queries: says what to ask for.
        reader: reads what is found.
        lengths: of the pages so far.
        division: the ranges of the list.
        pass_over: continues a range after a record of which nothing but the id comes.

    Attributes:
        highest: the highest id that came.
    """

    def __init__(
        self,
        resource: str,
        wanted: Pass,
        requests: Requests,
        queries: Queries,
        reader: Reader,
        lengths: PageLengths,
        division: Division,
        pass_over: PassOver,
    ) -> None:
        self._resource = resource
        self._wanted = wanted
        self._requests = requests
        self._queries = queries
        self._reader = reader
        self._lengths = lengths
        self._division = division
        self._pass_over = pass_over
        self.highest = 0

    def note(self, page: list[JsonRecord]) -> None:
        """Takes note of the records of a page, in ascending order of id."""
        self.highest = max(self.highest, page[-1]["id"])

    def is_wanted(self, range_: IdRange) -> bool:
        """Whether an empty page of a range may be one whose records are all hidden."""
        if not range_.is_of_all or not self._queries.order():
            return False
        end = self._division.end
        if range_.after < max(self.highest, end or 0) or self._lengths.go_on:
            return True
        # an update that finds nothing costs one request
        is_whole = range_.after or self._wanted.since is None
        return bool(not end and range_.until == END and is_whole)

    def confirm(self, range_: IdRange) -> None:
        """Asks for the ids of a whole page, where a small one was empty: few records are soon all
        hidden."""

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            page = self._taken(range_, fetched)
            if page and page[0]["id"] <= range_.until:
                return self._continue_at(range_, page[0]["id"])
            if self.is_wanted(range_):
                self.look_above(range_)
                return ()
            return self._reader.end(range_)

        def on_failure(_: Question, failure: Exception) -> Iterable[Page]:
            return self._reader.retry(range_, failure)

        self._ask_for_ids(range_, {}, on_answer, on_failure)

    def look_above(self, range_: IdRange, offset: int = 0) -> None:
        """Asks from the other side: if records come, the list continues after an empty page.

        Args:
            range_: whose page was empty.
            offset: the records above the range's last one that may be hidden.
        """

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            fetched.load.release()
            if not fetched.records:
                return self._reader.end(range_)
            # a page holds so many at least
            step = max(self._lengths.longest, len(fetched.records))
            self._look_behind(range_, offset, step)
            return ()

        def on_failure(question: Question, failure: Exception) -> Iterable[Page]:
            if isinstance(failure, QueryRefusedError):
                return self._reader.end(range_)
            return self._requests.retry(question, failure)

        descending = self._queries.order(descending=True)
        self._ask_for_ids(range_, descending, on_answer, on_failure)

    def _look_behind(self, range_: IdRange, offset: int, step: int) -> None:
        """Asks for what follows so many hidden records: none at first, for the empty page may have
        been a blip, or a record is new. If nothing comes, `step` more are hidden."""

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            page = self._taken(range_, fetched)
            if not page:
                if offset >= MOST_HIDDEN:
                    raise errors.hidden(self._resource, range_.after)
                self.look_above(range_, offset + step)
                return ()
            if page[0]["id"] > range_.until:
                return self._reader.end(range_)
            return self._continue_at(range_, page[0]["id"])

        more = {"offset": str(offset)} if offset else {}
        self._ask_for_ids(range_, more, on_answer, self._requests.retry)

    def _continue_at(self, range_: IdRange, id_: int) -> Iterable[Page]:
        """Reads on at a record whose id came, if that has not been tried before."""
        if range_.hidden == id_:
            return self._pass_over(range_, id_, errors.left_out(self._resource))
        covers = (range_.after, id_ - 1) if range_.is_of_all else None
        range_.hidden = id_
        range_.after = id_ - 1
        self._reader.read(range_)
        return [Page(began=self._requests.began, covers=covers)]

    def _ask_for_ids(
        self,
        range_: IdRange,
        more: Mapping[str, str],
        on_answer: Callable[[Fetched], Iterable[Page]],
        on_failure: Callable[[Question, Exception], Iterable[Page]],
    ) -> None:
        """Asks for the ids of a range's next page, with `more` parameters."""
        query = {**self._queries.ids(range_, PAGE_SIZE), **more}
        self._requests.ask(Question(query, on_answer, on_failure, records=PAGE_SIZE))

    def _taken(self, range_: IdRange, fetched: Fetched) -> list[JsonRecord]:
        fetched.load.release()
        return checked(self._resource, fetched.records, range_.after or None)
