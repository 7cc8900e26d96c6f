"""Reads lists of which each record of another list has one, such as the addresses of each user.

Where it is proved that they come whole inside of their parents (see `InsideParents`), one request
brings those of 50 parents; elsewhere each costs a request of its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from source_coupa import errors
from source_coupa.reading.bookmark import IdSet
from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.ill_pages import ENOUGH_ALONE, MOST_MISSING, SOON, fails_alone
from source_coupa.reading.inside_parents import Difference, InsideParents
from source_coupa.reading.page_lengths import PageLengths
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.queries import above
from source_coupa.reading.requests import IDS_ALONE, Fetched, Question, Requests
from source_coupa.reading.responses import QueryRefusedError, as_ill, checked
from source_coupa.records.fields import JsonRecord
from source_coupa.transport.backpressure import Load
from source_coupa.transport.connection import Connection, RequestFailedError

LOOK_AHEAD = 2 * PAGE_SIZE
"""Parents whose lists are asked for before more parents are."""

FIRST_PROOFS = 10
"""Lists that are read by themselves too before any is taken from inside of its parent."""

MOST_COMPARISONS = 3
"""Of one list, which may be edited between one reading and the other."""

MOST_ALONE = 100
"""Parents that cannot be read with their lists, before all lists are read by themselves."""

logger = logging.getLogger("airbyte")


class _DifferentError(Exception):
    """A list is not the same inside of its parent; the text says what differs."""


def _different(inside: InsideParents, parent: _Parent) -> _DifferentError:
    name = min(name for _, name in parent.differences) or f"rows of {inside.name}"
    return _DifferentError(f"Coupa does not send the same {name} inside of their parents")


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
        answers_before: lists that had responded before this one failed first.
        inside: its rows as they came inside of it, for a list that is read to compare them; None
            for one whose rows are wanted.
        own: its rows so far, where they are compared.
        comparisons: of these, so far.
        differences: what differed in all of them.
    """

    id: int
    position: IdRange
    group: _Group
    answers_before: int = 0
    inside: list[JsonRecord] | None = None
    own: list[JsonRecord] = field(default_factory=list)
    comparisons: int = 0
    differences: set[Difference] = field(default_factory=set)


class NestedLists:
    """Reads the list below each record of a list, each row with its parent's id.

    Args:
        path: of the lists, for messages: `users/:user_id/addresses`.
        stream: for messages.
        parent_key: what the parent's id is called in a row.
        parents: the list of parents, read for its ids alone.
        connect: gives the connection to the list below a parent; one that the instance does not
            have is a response with status 404.
        inside: says how the lists come inside of their parents; None if they are not looked for
            there.
    """

    def __init__(
        self,
        *,
        path: str,
        stream: str,
        parent_key: str,
        parents: CoupaList,
        connect: Callable[[int], Connection],
        inside: InsideParents | None = None,
    ) -> None:
        self._path = path
        self._stream = stream
        self._parent_key = parent_key
        self._parents = parents
        self._connect = connect
        self._inside = inside
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
        inside = self._inside
        if inside is not None and (yield from self._prove(inside, wanted)):
            done = IdSet(wanted.done)
            try:
                self._ask_for_missing(wanted)
                for page in self._read_inside(inside, wanted):
                    if page.covers is not None:
                        done.add(*page.covers)
                    yield page
            except _DifferentError as difference:
                self._questions.drop()
                logger.info(f"{self._path}: starting over with a request for each, {difference}.")
                yield Page(began=self._questions.began, starts_over=True)
                wanted = Pass(missing=wanted.missing)
            else:
                wanted = Pass(done=done)
                if not done.gaps():
                    return
                logger.info(
                    f"{self._path}: continuing with a request for each, too many cannot be read "
                    "inside of their parents."
                )
        self._ask_for_missing(wanted)
        yield from self._read_each(wanted)

    def _ask_for_missing(self, wanted: Pass) -> None:
        again = _Group(None, len(wanted.missing))
        for id_ in sorted(wanted.missing):
            self._ask(_Parent(id_, IdRange(0), again))

    def _parent_pages(self, wanted: Pass, fields: Mapping[str, str] | None) -> Iterator[Page]:
        self._parents.fields = fields
        for page in self._parents.read(Pass(done=wanted.done, checks_times=False)):
            if page.is_last:
                break
            yield page

    def _read_each(self, wanted: Pass) -> Iterator[Page]:
        for page in self._parent_pages(wanted, None):
            if page.load is not None:
                page.load.release()
            # a parent that cannot be read itself can have a list that can
            ids = [record["id"] for record in page.records]
            ids += [] if page.missing is None else [page.missing]
            group = _Group(page.covers, len(ids))
            for id_ in ids:
                self._ask(_Parent(id_, IdRange(0), group))
            if not ids:
                yield Page(began=page.began, covers=page.covers)
            yield from self._questions.pages(lambda: None, until=LOOK_AHEAD)
        yield from self._questions.pages(lambda: None)

    # --- Lists inside of their parents ---

    def _read_inside(self, inside: InsideParents, wanted: Pass) -> Iterator[Page]:
        """Yields the rows inside of all parents, until too many cannot be read in this way.

        Raises:
            _DifferentError: if they are not those that the lists hold by themselves.
        """
        alone = 0
        for page in self._parent_pages(wanted, inside.query):
            lists: dict[int, list[JsonRecord]] = {}
            others = [] if page.missing is None else [page.missing]
            alone += len(others)
            for record in page.records:
                rows = inside.rows_of(record)
                if rows is None:
                    others.append(record["id"])
                else:
                    lists[record["id"]] = rows
            proofs = inside.to_prove(lists)
            group = _Group(page.covers, len(others) + len(proofs))
            for id_ in others:
                self._ask(_Parent(id_, IdRange(0), group))
            for id_ in proofs:
                # whoever gets the rows renames their keys in place
                self._ask(_Parent(id_, IdRange(0), group, inside=list(map(dict, lists[id_]))))
            yield Page(
                records=[self._below(id_, row) for id_, rows in lists.items() for row in rows],
                began=page.began,
                covers=page.covers if not group.left else None,
                load=page.load,
            )
            # waiting for them here would keep the pages that came meanwhile, and their memory
            yield from self._questions.pages(lambda: None, until=math.inf)
            if alone > MOST_ALONE:
                break
        yield from self._questions.pages(lambda: None)

    def _prove(self, inside: InsideParents, wanted: Pass) -> Generator[Page, None, bool]:
        """Whether some lists are the same inside of their parents, in any form."""
        if not wanted.done.gaps() or not self._parents.instance.capabilities.selects_fields:
            return False
        reason = "none of them was seen inside of a parent"
        has_form = True
        while has_form:
            # parents with a list that is not empty, where Coupa filters by that
            for filter_ in ({f"{inside.name}[id][gt]": "0"}, {}):
                lists = yield from self._newest_lists(inside, filter_)
                try:
                    yield from self._prove_lists(lists)
                except _DifferentError as difference:
                    self._questions.drop()
                    reason = str(difference)
                    break
                if inside.is_proved:
                    return True
            has_form = inside.ask_otherwise()
        logger.info(f"{self._path}: each list costs a request, {reason}.")
        return False

    def _prove_lists(self, lists: Mapping[int, list[JsonRecord]]) -> Iterator[Page]:
        longest_first = sorted(lists, key=lambda id_: -len(lists[id_]))[:FIRST_PROOFS]
        group = _Group(None, len(longest_first))
        for id_ in longest_first:
            self._ask(_Parent(id_, IdRange(0), group, inside=lists[id_]))
        return self._questions.pages(lambda: None)

    def _newest_lists(
        self, inside: InsideParents, filter_: Mapping[str, str]
    ) -> Generator[Page, None, dict[int, list[JsonRecord]]]:
        """Lists with rows inside of the newest parents, by the parents' ids."""
        found: dict[int, list[JsonRecord]] = {}

        def on_answer(fetched: Fetched) -> Iterable[Page]:
            fetched.load.release()
            for parent in fetched.records:
                rows = inside.rows_of(parent)
                if rows and type(parent.get("id")) is int:
                    found[parent["id"]] = rows
            return ()

        def on_failure(question: Question, failure: Exception) -> Iterable[Page]:
            if isinstance(failure, QueryRefusedError) or fails_alone(question, failure):
                return ()
            return self._questions.retry(question, failure)

        newest_first = self._parents.instance.capabilities.order(descending=True)
        query = {**newest_first, **filter_, "limit": str(PAGE_SIZE), **inside.query}
        self._questions.ask(Question(query, on_answer, on_failure, records=PAGE_SIZE))
        yield from self._questions.pages(lambda: None)
        return found

    def _compare(self, parent: _Parent) -> Iterable[Page]:
        """Compares a list that was read by itself. Where it differs, both are read once more: what
        was edited in between does not differ in the same way again.

        Raises:
            _DifferentError: if something always differs.
        """
        assert self._inside is not None
        assert parent.inside is not None
        found = self._inside.compare(parent.own, parent.inside)
        parent.differences = found & parent.differences if parent.comparisons else found
        parent.comparisons += 1
        if not parent.differences:
            return [self._page(parent, [], is_last=True)]
        if parent.comparisons == MOST_COMPARISONS:
            raise _different(self._inside, parent)
        self._questions.ask(
            Question(
                {"id": str(parent.id), "limit": "1", **self._inside.query},
                partial(self._on_inside_again, self._inside, parent),
                self._questions.retry,
            )
        )
        return ()

    def _on_inside_again(
        self, inside: InsideParents, parent: _Parent, fetched: Fetched
    ) -> Iterable[Page]:
        fetched.load.release()
        again = [record for record in fetched.records if record.get("id") == parent.id]
        if not again:
            return [self._page(parent, [], is_last=True)]
        parent.inside = inside.rows_of(again[0])
        if parent.inside is None:
            raise _different(inside, parent)
        parent.position, parent.own = IdRange(0), []
        self._ask(parent)
        return ()

    # --- One list ---

    def _ask(self, parent: _Parent, failures: int = 0) -> None:
        after, size = parent.position.after, parent.position.size
        query = {
            "limit": str(size),
            **above(after),
            **self._parents.instance.capabilities.order(),
        }
        self._questions.ask(
            Question(
                query,
                partial(self._on_rows, parent),
                partial(self._on_failure, parent),
                records=size,
                connection=self._connect(parent.id),
                failures=failures,
            )
        )

    def _on_rows(self, parent: _Parent, fetched: Fetched) -> Iterable[Page]:
        if fetched.is_not_found:
            fetched.load.release()
            return self._look_for_parent(parent, None)
        self._answers += 1
        position, size = parent.position, parent.position.size
        rows = checked(self._path, fetched.records, position.after or None)
        if not rows and size < PAGE_SIZE:
            # few rows are soon all hidden
            fetched.load.release()
            position.size, position.hidden = PAGE_SIZE, position.after
            self._ask(parent)
            return ()
        if rows:
            self._questions.record_bytes = fetched.size // len(rows)
        self._lengths.note(position, len(rows), size)
        is_last = self._lengths.is_last(len(rows), size)
        if rows:
            position.advance(rows)
        if not is_last:
            self._ask(parent)
        if parent.inside is not None:
            fetched.load.release()
            parent.own += rows
            return self._compare(parent) if is_last else ()
        return [self._page(parent, rows, is_last=is_last, load=fetched.load)]

    def _page(
        self,
        parent: _Parent,
        rows: list[JsonRecord],
        *,
        is_last: bool,
        load: Load | None = None,
        missing: int | None = None,
    ) -> Page:
        group = parent.group
        group.left -= is_last
        is_retry = group.covers is None and parent.inside is None
        return Page(
            records=[self._below(parent.id, row) for row in rows],
            began=self._questions.began,
            covers=group.covers if not group.left else None,
            load=load,
            missing=missing,
            found=parent.id if is_retry and is_last and missing is None else None,
        )

    def _below(self, id_: int, row: JsonRecord) -> JsonRecord:
        """A row with its parent's id; another value that it has by that name gets another name."""
        key = self._parent_key
        own = row.get(key)
        found = {key: id_, **row}
        found[key] = id_
        if own is not None and own != id_:
            name = key.replace("_", "-")
            while name in row:
                name += "-2"
            found[name] = own
        return found

    def _on_failure(
        self, parent: _Parent, question: Question, failure: Exception
    ) -> Iterable[Page]:
        if not question.failures:
            parent.answers_before = self._answers
        is_ill_alone = self._answers > parent.answers_before
        ill = as_ill(self._path, failure)
        if ill is not None and ill.is_final and not self._answers:
            if question.failures:
                # none was ever had: it is a setting
                raise ill.error
            # it may be this list alone: others have been asked for
            question.failures += 1
            self._questions.ask(question, SOON)
            return ()
        if (
            ill is not None
            and question.failures + 1 >= ENOUGH_ALONE
            and (
                is_ill_alone
                or (self._answers and not ill.is_final and question.failures >= 2 * ENOUGH_ALONE)
            )
        ):
            position = parent.position
            if position.size > 1 and position.hidden != position.after:
                # its rows may be too heavy for a page
                position.shrink(1)
                self._ask(parent, ENOUGH_ALONE - 1)
                return ()
            return self._look_for_parent(parent, ill)
        return self._questions.retry(question, failure)

    def _look_for_parent(
        self, parent: _Parent, failure: RequestFailedError | None
    ) -> Iterable[Page]:
        """Asks whether a parent is still there whose list is not found, or cannot be read."""
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
        if parent.inside is not None:
            # its rows came, they just prove nothing
            return [self._page(parent, [], is_last=True)]
        self._missing += 1
        if self._missing > MOST_MISSING:
            raise failure.error
        logger.warning(
            f"{self._stream}: the list below {parent.id} cannot be read and is passed over for "
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
            raise failure.error if failure else errors.no_such_list(self._path, self._stream)
        return self._questions.retry(question, again)
