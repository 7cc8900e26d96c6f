"""Proves that an instance applies the filter on update times, and reads its times as UTC."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial

from source_coupa import errors
from source_coupa.reading.bookmark import text_of
from source_coupa.reading.pages import Page
from source_coupa.reading.requests import IDS_AND_TIMES, Fetched, Question, Requests
from source_coupa.reading.responses import QueryRefusedError, moment_of
from source_coupa.records.fields import UPDATED_AT

logger = logging.getLogger("airbyte")

TICK = timedelta(seconds=1)
"""Coupa prints times to the second; a rounded one may lie this far before its bound."""

MOST_PROOFS = 20
"""Attempts to prove the filter on records that are edited meanwhile."""

_EARLIEST = datetime(1900, 1, 1, tzinfo=timezone.utc)
_LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)
"""Times beyond these cannot be reckoned with in every zone, and prove no filter."""


class FilterProof:
    """Asks for one record by the second of its own update time: it has to come.

    Args:
        resource: the list.
        requests: sends the small requests.
        id_alone: gives the parameters that leave out all but the id, where Coupa takes them.
        is_wanted: whether the filter has yet to be proved.
    """

    def __init__(
        self,
        resource: str,
        requests: Requests,
        *,
        id_alone: Callable[[], Mapping[str, str]],
        is_wanted: bool,
    ) -> None:
        self._resource = resource
        self._requests = requests
        self._id_alone = id_alone
        self.is_wanted = is_wanted

    def offer(self, id_: int, moment: datetime) -> None:
        """Asks for the proof with this record, if it is wanted and its update time will do."""
        if self.is_wanted and _EARLIEST < moment < _LATEST:
            self.is_wanted = False
            self._prove(id_, moment, MOST_PROOFS)

    def ask_for_records(self, order: Mapping[str, str]) -> None:
        """Asks for the newest records, and for the proof with the first that will do.

        Args:
            order: parameters that put the newest first.
        """
        query = {**order, "limit": "10", **(IDS_AND_TIMES if self._id_alone() else {})}
        self._requests.ask(Question(query, self._on_records, self._on_no_proof, records=10))

    def _on_records(self, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        for record in fetched.records:
            moment = moment_of(self._resource, record)
            if moment is not None:
                self.offer(record["id"], moment)
        return ()

    def _prove(self, id_: int, moment: datetime, attempts: int) -> None:
        """A record has to come back for its own second: else filters are read in another zone."""
        second = {
            "id": str(id_),
            f"{UPDATED_AT}[gt_or_eq]": text_of(moment),
            f"{UPDATED_AT}[lt]": text_of(moment + TICK),
            "limit": "1",
            **self._id_alone(),
        }
        on_answer = partial(self._on_proof, id_, moment, attempts)
        self._requests.ask(Question(second, on_answer, self._on_no_proof))

    def _on_proof(
        self, id_: int, moment: datetime, attempts: int, fetched: Fetched
    ) -> Iterable[Page]:
        fetched.load.release()
        if not any(record.get("id") == id_ for record in fetched.records):
            # it may have been edited in between
            on_answer = partial(self._on_second_look, moment, attempts)
            query = {"id": str(id_), "limit": "1"}
            self._requests.ask(Question(query, on_answer, self._on_no_proof))
        return ()

    def _on_second_look(self, before: datetime, attempts: int, fetched: Fetched) -> Iterable[Page]:
        fetched.load.release()
        for record in fetched.records:
            moment = moment_of(self._resource, record)
            if moment is None:
                continue
            if moment == before or attempts == 1:
                raise errors.filter_in_another_zone(self._resource)
            self._prove(record["id"], moment, attempts - 1)
            return ()
        self.is_wanted = True
        return ()

    def _on_no_proof(self, question: Question, failure: Exception) -> Iterable[Page]:
        if not isinstance(failure, QueryRefusedError):
            return self._requests.retry(question, failure)
        logger.info(f"{self._resource}: the filter on {UPDATED_AT} cannot be proved: {failure}")
        return ()
