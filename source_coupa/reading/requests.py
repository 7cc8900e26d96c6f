"""The requests of one pass through a list, and when they are sent again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from source_coupa import errors
from source_coupa.reading.pages import Page
from source_coupa.reading.responses import QueryRefusedError, records_of
from source_coupa.records.fields import JsonRecord
from source_coupa.transport.backpressure import Load
from source_coupa.transport.connection import Connection, RequestFailedError
from source_coupa.transport.instance import Instance
from source_coupa.transport.retry_after import LONGEST_WAIT

logger = logging.getLogger("airbyte")

MOST_FAILURES = 8
"""Retries of one request: 2 + 4 + ... + 256 seconds outlive a maintenance of minutes."""

MOST_REFUSED_TOKENS = 3
"""How often a request is sent again after 401: a token that is some seconds old may need some more
before Coupa accepts it (page 0018)."""

MOST_REFUSALS = 2
"""How often a query of a new kind is sent again after 400, to a list that has been fine so far."""

FIRST_BYTES = 8_000
"""Of a record, until one was seen."""


IDS_ALONE = {"fields": '["id"]'}
"""Asks for nothing but the ids of records."""

IDS_AND_TIMES = {"fields": '["id","updated_at"]'}
"""Asks for what the bound of update times is compared with besides."""

Shape = Callable[[JsonRecord], JsonRecord]
"""Makes records with an `id` of those that Coupa prints without one."""


@dataclass(frozen=True)
class Fetched:
    """The records of a response.

    Attributes:
        records: as Coupa sends them.
        load: the room that they take.
        began: when the request began at the latest, by Coupa's clock.
        sent: the same, by the clock of this process.
        size: bytes of JSON.
        is_not_found: whether there is no such list.
    """

    records: list[JsonRecord]
    load: Load
    began: datetime
    sent: float
    size: int
    is_not_found: bool = False


@dataclass(eq=False)
class Question:
    """A request until it gets its response.

    Attributes:
        query: its parameters.
        on_answer: makes pages of a response.
        on_failure: makes pages of a failure, or sends the question again, or raises.
        records: how many the response can hold.
        connection: that of another list; None for the one that all others are sent to.
        failures: so far.
        refused_tokens: failures that were 401.
        answers_before: how many responses the host had given when it was sent.
        proves_no_selection: whether it was refused with `fields`, and is sent without.
        seconds: that the last failure took.
        asked_at: when it was sent at the earliest, by the clock of this process.
    """

    query: Mapping[str, str]
    on_answer: Callable[[Fetched], Iterable[Page]]
    on_failure: Callable[[Question, Exception], Iterable[Page]]
    records: int = 1
    connection: Connection | None = None
    failures: int = 0
    refused_tokens: int = 0
    answers_before: int = 0
    proves_no_selection: bool = False
    seconds: float = 0.0
    asked_at: float = 0.0

    @property
    def asks_for_ids_alone(self) -> bool:
        """Whether whole records would do as well."""
        return self.query.get("fields") in (IDS_ALONE["fields"], IDS_AND_TIMES["fields"])


class Requests:
    """Sends questions and hands out what becomes of them, in one thread.

    Attributes:
        began: before the first request that has brought something, by Coupa's clock; None until
            a response came.
        follows_a_pass: whether the list was read in this sync before.
        record_bytes: what a record takes, as on the last page.
    """

    def __init__(
        self,
        resource: str,
        connection: Connection,
        instance: Instance,
        shape: Shape | None = None,
    ) -> None:
        self._resource = resource
        self._connection = connection
        self._scheduler = instance.scheduler
        self._breaker = instance.breaker
        self._clock = instance.clock
        self._capabilities = instance.capabilities
        self._shape = shape
        self._pending: dict[Future[Fetched], Question] = {}
        self._accepted: set[frozenset[str]] = set()
        self.began: datetime | None = None
        self.follows_a_pass = False
        self.record_bytes = 0

    @property
    def has_answered(self) -> bool:
        """Whether the list was fine in this sync."""
        return self.began is not None or self.follows_a_pass

    @property
    def room(self) -> int:
        """How many more requests would help to use the budget."""
        return self._scheduler.room

    def ask(self, question: Question, delay: float = 0.0) -> None:
        """Sends a question, after so many seconds at the earliest."""
        question.answers_before = self._breaker.answers
        question.asked_at = self._clock.monotonic() + delay
        expected = (self.record_bytes or FIRST_BYTES) * question.records
        future = self._scheduler.submit(
            partial(self._fetch, question),
            expected_bytes=expected,
            delay=delay,
        )
        self._pending[future] = question

    def pages(self, meanwhile: Callable[[], None], *, until: float = 0) -> Iterator[Page]:
        """What becomes of all questions, those included that are asked while this goes on.

        Args:
            meanwhile: called before each wait.
            until: how many are not waited for.

        Raises:
            AirbyteTracedException: what a question raises.
        """
        while self._pending:
            meanwhile()
            seconds = 0 if len(self._pending) <= until else None
            done, _ = wait(self._pending, seconds, FIRST_COMPLETED)
            if not done:
                return
            for future in done:
                question = self._pending.pop(future, None)
                if question is not None:
                    yield from self._outcome(future, question)

    def drop(self) -> None:
        """Forgets all questions."""
        for future in self._pending:
            if not future.cancel():
                future.add_done_callback(_release)
        self._pending.clear()

    def others_came_since(self, question: Question) -> bool:
        """Whether the host responded to anything since the question was sent."""
        return self._breaker.answers > question.answers_before

    def retry(self, question: Question, failure: Exception) -> Iterable[Page]:
        """Sends a question again later.

        Raises:
            AirbyteTracedException: if there is no use in it.
        """
        if isinstance(failure, QueryRefusedError):
            error = errors.refused_query(self._resource, str(failure))
            is_new = frozenset(question.query) not in self._accepted
            if is_new and (not self.has_answered or question.failures >= MOST_REFUSALS):
                raise error
            failure = RequestFailedError(error, is_final=True)
        if not isinstance(failure, RequestFailedError):
            raise failure
        if failure.is_final and not self.has_answered:
            raise failure.error
        question.failures += 1
        question.refused_tokens += failure.is_refused_token
        if question.refused_tokens > MOST_REFUSED_TOKENS:
            raise failure.error
        if failure.wait is not None and failure.wait > LONGEST_WAIT:
            raise errors.wait_too_long(failure.wait)
        if question.failures > MOST_FAILURES or self._breaker.is_open:
            self._breaker.gave_up(self._resource)
            raise failure.error
        seconds = _pause(failure, question.failures)
        logger.info(
            f"{self._resource}: attempt {question.failures} of {MOST_FAILURES + 1} failed, trying "
            f"again in {seconds:.0f} s. {failure.error.message}"
        )
        self.ask(question, seconds)
        return ()

    def _fetch(self, question: Question, load: Load) -> Fetched:
        """Runs in a thread of the scheduler."""
        connection = question.connection or self._connection
        began = self._clock.monotonic()
        try:
            response = connection.get(question.query, load, records=question.records)
            sent = self._clock.monotonic() - response.seconds
            self._scheduler.observe(response.seconds)
            page = records_of(self._resource, response)
        except RequestFailedError:
            question.seconds = self._clock.monotonic() - began
            raise
        except QueryRefusedError:
            self._breaker.answered()
            raise
        self._breaker.answered()
        if self._shape is not None:
            page = list(map(self._shape, page))
        size = len(response.body)
        return Fetched(page, load, response.began, sent, size, response.is_not_found)

    def _outcome(self, future: Future[Fetched], question: Question) -> Iterable[Page]:
        try:
            fetched = future.result()
        except (RequestFailedError, QueryRefusedError) as failure:
            if isinstance(failure, RequestFailedError) and failure.is_limit:
                self._scheduler.pause(min(_pause(failure, question.failures + 1), LONGEST_WAIT))
            if isinstance(failure, QueryRefusedError) and question.asks_for_ids_alone:
                # unless something else in the query is at fault
                question.proves_no_selection = True
                question.query = {k: v for k, v in question.query.items() if k != "fields"}
                self.ask(question)
                return ()
            return question.on_failure(question, failure)
        if question.proves_no_selection:
            self._capabilities.selects_fields = False
        self._accepted.add(frozenset(question.query))
        if self.began is None:
            self.began = self._began(question, fetched)
        return question.on_answer(fetched)

    def _began(self, question: Question, fetched: Fetched) -> datetime:
        """When the pass began: others may have been sent before the one that came first, and
        records change after their page was made."""
        first = min(other.asked_at for other in (question, *self._pending.values()))
        return fetched.began - timedelta(seconds=max(fetched.sent - first, 0.0))


def _pause(failure: RequestFailedError, failures: int) -> float:
    """Seconds until a request is sent again that has failed so many times."""
    seconds = float(2**failures)
    if failure.wait is None:
        return seconds
    # where it asks for a second or none each time, all attempts would be over at once
    return max(failure.wait, seconds / 4)


def _release(future: Future[Fetched]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().load.release()
