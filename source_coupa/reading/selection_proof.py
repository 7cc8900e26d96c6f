"""Proves that an instance cuts nothing off the columns that are asked for alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.pages import Page
from source_coupa.reading.requests import Fetched, Question, Requests
from source_coupa.records.fields import UPDATED_AT, JsonRecord, value_of

logger = logging.getLogger("airbyte")


class SelectionProof:
    """Asks for a page once more, in part or in full, where that proves something.

    Args:
        resource: the list.
        requests: sends them.
        selection: what part of the records is asked for; None for all of them.
        start_over: reads everything once more.
    """

    def __init__(
        self,
        resource: str,
        requests: Requests,
        selection: FieldSelection | None,
        start_over: Callable[[], Iterable[Page]],
    ) -> None:
        self._resource = resource
        self._requests = requests
        self._selection = selection
        self._start_over = start_over

    def offer(self, query: Mapping[str, str], page: list[JsonRecord]) -> None:
        """Compares a page that came for a query with its other form, if that is wanted."""
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
        """Compares a page with what came in the other form. A difference counts only if the page
        is the same when it is asked for once more: then no edit has come in between."""
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
        self.give_up(difference)
        return self._start_over() if was_used else ()

    def _ask_other_form(
        self, query: Mapping[str, str], on_answer: Callable[[Fetched], Iterable[Page]]
    ) -> None:
        self._requests.ask(
            Question(
                query,
                on_answer,
                lambda _, failure: self.give_up(str(failure)),
                records=int(query["limit"]),
            )
        )

    def give_up(self, reason: str) -> Iterable[Page]:
        """Takes note that records have to be read in full."""
        if self._selection is not None and not self._selection.is_given_up:
            self._selection.give_up()
            logger.info(f"{self._resource}: reading full records, because {reason}.")
        return ()


def _keys(page: list[JsonRecord]) -> list[tuple[object, object]]:
    """What changes when records do."""
    return [(record.get("id"), value_of(record, UPDATED_AT)) for record in page]
