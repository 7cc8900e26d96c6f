"""Asks a list for single records by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.id_ranges import PAGE_SIZE
from source_coupa.reading.ill_pages import fails_alone
from source_coupa.reading.pages import Page
from source_coupa.reading.queries import above
from source_coupa.reading.requests import IDS_ALONE, Fetched, Question, Requests
from source_coupa.reading.responses import QueryRefusedError, checked

AT_ONCE = 20
"""Groups of ids that are under way."""

MOST_SINGLY = 1_000
"""Ids that are asked for one by one, where groups of them cannot be asked for."""


def groups_of(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    """The ids in lists of that many; the last one may be shorter."""
    rest = iter(ids)
    while group := list(islice(rest, size)):
        yield group


class LookUp:
    """Looks ids up, in groups: Coupa documents `id[in]` (pages 0007 and 0014).

    An instance that refuses it, passes over it or takes only a part of it would make records look
    gone. So each group begins and ends with an id that is known to be there: the response counts
    only if these come too, and nothing that was not asked for. Else the ids are asked for one by
    one.

    Args:
        coupa_list: the list; what it reads of records is what is asked for.
        there: one or two ids that are there; without any, ids are asked for one by one.

    Attributes:
        unclear: ids of which no response said whether they are there.
    """

    def __init__(self, coupa_list: CoupaList, there: Sequence[int]) -> None:
        self._resource = coupa_list.resource
        self._instance = coupa_list.instance
        self._requests = Requests(coupa_list.resource, coupa_list.connection, coupa_list.instance)
        self._requests.follows_a_pass = True
        self._ids_only = coupa_list.ids_only
        self._there = there
        self._takes_groups = bool(there)
        self._singly = 0
        self.unclear: set[int] = set()

    @property
    def _query(self) -> Mapping[str, str]:
        capabilities = self._instance.capabilities
        id_alone = IDS_ALONE if self._ids_only and capabilities.selects_fields else {}
        return {**capabilities.order(), **id_alone}

    def pages(self, ids: Iterable[int]) -> Iterator[Page]:
        """The records with these ids, some at a time. Ends when it is closed.

        Raises:
            AirbyteTracedException: if they cannot be asked for.
        """
        with self._instance.scheduler.open():
            try:
                for group in groups_of(ids, PAGE_SIZE - 2):
                    if self._takes_groups:
                        self._ask_group(group, (), 0)
                    else:
                        self._ask_singly(group)
                    yield from self._requests.pages(lambda: None, until=AT_ONCE - 1)
                yield from self._requests.pages(lambda: None)
            finally:
                self._requests.drop()

    def _ask_group(self, group: Sequence[int], found: Sequence[int], after: int) -> None:
        there = self._there
        query = {
            **self._query,
            "id[in]": ",".join(map(str, (*there[:1], *group, *there[-1:]))),
            **above(after),
            "limit": str(PAGE_SIZE),
        }
        self._requests.ask(
            Question(
                query,
                partial(self._on_group, group, found, after),
                partial(self._on_no_group, group),
                records=len(group),
            )
        )

    def _on_group(
        self, group: Sequence[int], found: Sequence[int], after: int, fetched: Fetched
    ) -> Iterable[Page]:
        page = checked(self._resource, fetched.records, after or None)
        came = [record["id"] for record in page]
        # an instance may serve fewer than are asked for: more come until there are none above
        is_over = not page or came[-1] >= max(*group, *self._there)
        if {*came} - {*group, *self._there} or (is_over and {*self._there} - {*found, *came}):
            fetched.load.release()
            self._takes_groups = False
            return self._ask_singly([id_ for id_ in group if id_ not in found])
        if not is_over:
            self._ask_group(group, [*found, *came], came[-1])
        records = [record for record in page if record["id"] in group]
        return [Page(records=records, load=fetched.load)]

    def _on_no_group(
        self, group: Sequence[int], question: Question, failure: Exception
    ) -> Iterable[Page]:
        if isinstance(failure, QueryRefusedError):
            self._takes_groups = False
        elif not fails_alone(question, failure):
            return self._requests.retry(question, failure)
        return self._ask_singly(group)

    def _ask_singly(self, ids: Sequence[int]) -> Iterable[Page]:
        for id_ in ids:
            self._singly += 1
            if self._singly > MOST_SINGLY:
                self.unclear.add(id_)
                continue
            query = {**self._query, "id": str(id_), "limit": "1"}
            self._requests.ask(
                Question(query, partial(self._on_one, id_), partial(self._on_not_one, id_))
            )
        return ()

    def _on_not_one(self, id_: int, question: Question, failure: Exception) -> Iterable[Page]:
        if not fails_alone(question, failure):
            return self._requests.retry(question, failure)
        self.unclear.add(id_)
        return ()

    def _on_one(self, id_: int, fetched: Fetched) -> Iterable[Page]:
        records = [record for record in fetched.records if record.get("id") == id_]
        if fetched.is_not_found or (fetched.records and not records):
            self.unclear.add(id_)
        return [Page(records=records, load=fetched.load)]
