"""Reads lists of which each record of another list has one, such as the addresses of each user."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from source_coupa import errors
from source_coupa.reading.coupa_list import ENOUGH_ALONE, MOST_MISSING, CoupaList
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.page_lengths import PageLengths
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.requests import IDS_ALONE, Fetched, Question, Requests
from source_coupa.reading.responses import QueryRefusedError, checked
from source_coupa.records.fields import JsonRecord
from source_coupa.transport.connection import Connection, RequestFailedError

LOOK_AHEAD = 2 * PAGE_SIZE
"""Parents whose lists are asked for before more parents are."""

logger = logging.getLogger("airbyte")


@dataclass(eq=False)
class _Group:
    """Parents that came on one page, until all of their lists are read."""

    covers: tuple[int, int] | None
    left: int


@dataclass(eq=False)
class _Parent:
    """One parent while its list is read.

    Attributes:
        position: where in the list the reading is.
        group: those it came with.
        answers_before: lists that had answered before this one failed first.
    """

    id: int
    position: IdRange
    group: _Group
    answers_before: int = 0


class NestedLists:
    """Reads the list below each record of a list, each row with its parent's id.

    Args:
        path: of the lists, for messages: `users/:user_id/addresses`.
        stream: for messages.
        parent_key: what the parent's id is called in a row.
        parents: the list of parents, read for its ids alone.
        connect: gives the connection to the list below a parent; one that the instance does not
            have is a response with status 404.
    """

    def __init__(
        self,
        *,
        path: str,
        stream: str,
        parent_key: str,
        parents: CoupaList,
        connect: Callable[[int], Connection],
    ) -> None:
        self._path = path
        self._stream = stream
        self._parent_key = parent_key
        self._parents = parents
        self._connect = connect
        self._lengths = PageLengths(None, learns=True)
        self._questions = Requests(path, parents.connection, parents.instance)
        self._answers = 0
        self._missing = 0

    def read(self, wanted: Pass) -> Iterator[Page]:
        """Yields the rows of one parent after another, in any order.

        Raises:
            AirbyteTracedException: if the lists cannot be read.
        """
        self._answers = len(wanted.done)
        with self._parents.instance.scheduler.open():
            try:
                yield from self._read(wanted)
            finally:
                self._questions.drop()
        yield Page(began=self._questions.began, is_last=True)

    def _read(self, wanted: Pass) -> Iterator[Page]:
        again = _Group(None, len(wanted.missing))
        for id_ in sorted(wanted.missing):
            self._ask(_Parent(id_, IdRange(0), again))
        parents = self._parents.read(Pass(done=wanted.done, checks_times=False))
        for page in parents:
            if page.load is not None:
                page.load.release()
            if page.is_last:
                break
            group = _Group(page.covers, len(page.records))
            for record in page.records:
                self._ask(_Parent(record["id"], IdRange(0), group))
            if not page.records:
                yield Page(began=page.began, covers=page.covers)
            yield from self._questions.pages(lambda: None, until=LOOK_AHEAD)
        yield from self._questions.pages(lambda: None)

    def _ask(self, parent: _Parent) -> None:
        after = parent.position.after
        query = {"limit": str(PAGE_SIZE), **({"id[gt]": str(after)} if after else {})}
        if self._parents.instance.capabilities.takes_order_by:
            query |= {"order_by": "id", "dir": "asc"}
        self._questions.ask(
            Question(
                query,
                partial(self._on_rows, parent),
                partial(self._on_failure, parent),
                records=PAGE_SIZE,
                connection=self._connect(parent.id),
            )
        )

    def _on_rows(self, parent: _Parent, fetched: Fetched) -> Iterable[Page]:
        if fetched.is_not_found:
            fetched.load.release()
            return self._look_for_parent(parent, None)
        self._answers += 1
        position = parent.position
        rows = checked(self._path, fetched.records, position.after or None)
        if rows:
            self._questions.record_bytes = fetched.size // len(rows)
        self._lengths.note(position, len(rows), PAGE_SIZE)
        is_last = self._lengths.is_last(len(rows), PAGE_SIZE)
        if rows:
            position.advance(rows)
        if not is_last:
            self._ask(parent)
        return [self._page(parent, rows, is_last=is_last, fetched=fetched)]

    def _page(
        self,
        parent: _Parent,
        rows: list[JsonRecord],
        *,
        is_last: bool,
        fetched: Fetched | None = None,
        missing: int | None = None,
    ) -> Page:
        group = parent.group
        group.left -= is_last
        is_retry = group.covers is None
        return Page(
            records=[{self._parent_key: parent.id, **row} for row in rows],
            began=self._questions.began,
            covers=group.covers if not group.left else None,
            load=fetched.load if fetched is not None else None,
            missing=missing,
            found=parent.id if is_retry and is_last and missing is None else None,
        )

    def _on_failure(
        self, parent: _Parent, question: Question, failure: Exception
    ) -> Iterable[Page]:
        if not question.failures:
            parent.answers_before = self._answers
        is_ill_alone = self._answers > parent.answers_before
        is_page = isinstance(failure, RequestFailedError) and failure.is_page
        if (
            is_page
            and question.failures + 1 >= ENOUGH_ALONE
            and (is_ill_alone or (self._answers and question.failures >= 2 * ENOUGH_ALONE))
        ):
            assert isinstance(failure, RequestFailedError)
            return self._look_for_parent(parent, failure)
        return self._questions.retry(question, failure)

    def _look_for_parent(
        self, parent: _Parent, failure: RequestFailedError | None
    ) -> Iterable[Page]:
        """Asks whether a parent is still there whose list is not found, or cannot be had."""
        self._questions.ask(
            Question(
                {"id": str(parent.id), "limit": "1", **IDS_ALONE},
                partial(self._on_parent, parent, failure),
                partial(self._on_no_parent, parent, failure),
            )
        )
        return ()

    def _on_parent(
        self, parent: _Parent, failure: RequestFailedError | None, fetched: Fetched
    ) -> Iterable[Page]:
        fetched.load.release()
        if not fetched.records:
            return [self._page(parent, [], is_last=True)]
        if failure is None:
            raise errors.no_such_list(self._path, self._stream)
        self._missing += 1
        if self._missing > MOST_MISSING:
            raise failure.error
        logger.warning(
            f"{self._stream}: the list below {parent.id} cannot be had and is passed over for "
            f"now. {failure.error.message}"
        )
        return [self._page(parent, [], is_last=True, missing=parent.id)]

    def _on_no_parent(
        self,
        parent: _Parent,
        failure: RequestFailedError | None,
        question: Question,
        again: Exception,
    ) -> Iterable[Page]:
        if isinstance(again, QueryRefusedError):
            if failure is None:
                raise errors.no_such_list(self._path, self._stream)
            raise failure.error
        return self._questions.retry(question, again)
