"""Lists below single records, without the CDK and without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.bookmark import IdSet
from source_coupa.reading.nested_lists import NestedLists
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.responses import QueryRefusedError
from source_coupa.transport.backpressure import Load
from source_coupa.transport.connection import Response

from .fake_list import NOW, FakeList, Query, Reader, failure, of_ids


class NotFound:
    """A list that the instance does not have."""

    def get(self, query: Query, load: Load, *, records: int) -> Response:
        return Response(404, b"{}", NOW)


@dataclass
class Users:
    """Users with a list of addresses each.

    Attributes:
        lengths: of the lists, by the user's id.
        cap: the largest page of addresses.
        before: called with the user's id and each query before its response.
        asked: the users whose lists were asked for, in order.
    """

    lengths: Mapping[int, int]
    cap: int = 50
    hidden_every: int = 0
    before: Callable[[int, Query], None] = lambda *_: None
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.users = of_ids(self.lengths)
        self.reader = Reader(self.users, useful=4)
        self.lists = {
            id_: of_ids(range(1_000 * id_ + 1, 1_000 * id_ + length + 1))
            for id_, length in self.lengths.items()
        }
        for addresses in self.lists.values():
            addresses.cap = self.cap

    def connect(self, id_: int) -> FakeList | NotFound:
        self.asked.append(id_)
        if id_ not in self.users.records or id_ not in self.lists:
            return NotFound()
        addresses = self.lists[id_]
        addresses.before = lambda query: self.before(id_, query)
        if self.hidden_every:
            addresses.hidden = [row for row in addresses.records if row % self.hidden_every == 0]
        return addresses

    def pages(self, wanted: Pass | None = None) -> list[Page]:
        """All pages of a pass, their rows printed."""
        nested = NestedLists(
            path="users/:user_id/addresses",
            stream="user_addresses",
            parent_key="user_id",
            parents=self.reader.coupa_list(ids_only=True),
            connect=self.connect,
        )
        found = []
        for page in nested.read(wanted or Pass()):
            if page.load is not None:
                page.load.release()
            found.append(page)
        return found

    def rows(self, wanted: Pass | None = None) -> list[tuple[int, int]]:
        """The ids of user and address of each row that came, in order."""
        return sorted(
            (row["user_id"], row["id"]) for page in self.pages(wanted) for row in page.records
        )

    @property
    def all_rows(self) -> list[tuple[int, int]]:
        return sorted(
            (id_, row)
            for id_, addresses in self.lists.items()
            for row in addresses.records
            if row not in addresses.hidden
        )


@pytest.mark.parametrize("length", [0, 1, 49, 50, 51, 120])
@pytest.mark.parametrize("parents", [0, 1, 50, 51, 230])
def test_each_row_comes_once_with_the_id_of_its_parent(parents: int, length: int) -> None:
    users = Users(dict.fromkeys(range(1, parents + 1), length))
    assert users.rows() == users.all_rows


@pytest.mark.parametrize("own", [None, 1, 77, "x"])
def test_a_field_with_the_name_of_the_parents_id_does_not_take_its_place(own: object) -> None:
    users = Users({1: 1, 2: 1})
    for id_, addresses in users.lists.items():
        for address in addresses.records.values():
            address.update({"user_id": own, "user-id": "dashed"} if id_ == 1 else {})
    assert users.rows() == users.all_rows
    row = next(r for page in users.pages() for r in page.records if r["user_id"] == 1)
    assert row["user-id"] == "dashed"
    assert row.get("user-id-2") == (None if own in (None, 1) else own)


@pytest.mark.parametrize("length", [20, 25, 40, 45])
def test_nested_lists_may_have_shorter_pages_than_their_parents(length: int) -> None:
    users = Users({1: 3, 2: length, **dict.fromkeys(range(3, 120), 5), 200: length}, cap=20)
    assert users.rows() == users.all_rows


@pytest.mark.parametrize("every", [2, 7, 10, 30])
def test_rows_that_are_hidden_after_counting_end_no_list(every: int) -> None:
    lengths = {id_: (7 * id_) % 130 for id_ in range(1, 60)}
    users = Users(lengths, hidden_every=every)
    assert users.rows() == users.all_rows


def test_of_parents_only_ids_are_asked_for() -> None:
    users = Users(dict.fromkeys(range(1, 121), 0))
    users.rows()
    fields = {query.get("fields") for query in users.users.queries if query["limit"] == "50"}
    assert fields == {'["id"]'}
    assert len(users.users.queries) <= 6


def test_an_empty_list_costs_one_request_and_a_short_one_two_at_most() -> None:
    empty = Users(dict.fromkeys(range(1, 121), 0))
    empty.rows()
    assert len(empty.asked) == 120
    short = Users({id_: id_ % 4 for id_ in range(1, 121)})
    short.rows()
    assert len(short.asked) <= 2 * 120


def test_a_parent_that_vanished_meanwhile_is_passed_by() -> None:
    users = Users(dict.fromkeys(range(1, 61), 2))
    for id_ in (4, 5, 6):
        users.lists.pop(id_)

    def before(query: Query) -> None:
        if "id" in query:
            users.users.records.pop(int(query["id"]))

    users.users.before = before
    assert users.rows() == users.all_rows
    assert sorted(q["id"] for q in users.users.queries if "id" in q) == ["4", "5", "6"]


@pytest.mark.parametrize("refused", [False, True])
def test_a_list_that_is_missing_below_a_parent_that_exists_is_an_error(refused: bool) -> None:
    users = Users({1: 0, 2: 0})
    users.lists.clear()

    def before(query: Query) -> None:
        users.users.refuses = ["id"] if "id" in query and refused else []

    users.users.before = before
    with pytest.raises(AirbyteTracedException, match="does not offer") as caught:
        users.pages()
    assert "deselect the stream user_addresses" in (caught.value.message or "")


def test_one_list_that_always_fails_is_named_and_passed_over() -> None:
    users = Users(dict.fromkeys(range(1, 121), 2))

    def before(id_: int, query: Query) -> None:
        if id_ == 77:
            raise failure()

    users.before = before
    pages = users.pages()
    assert [page.missing for page in pages if page.missing] == [77]
    rows = {row["user_id"] for page in pages for row in page.records}
    assert rows == set(range(1, 121)) - {77}
    done = IdSet(page.covers for page in pages if page.covers is not None)
    assert done.gaps() == []
    assert pages[-1].is_last


@pytest.mark.parametrize("ill", [1, 60])
@pytest.mark.parametrize(
    "status", [partial(failure, is_final=True), partial(QueryRefusedError, "")]
)
def test_one_list_is_passed_over_whatever_its_status_is(
    ill: int, status: Callable[[], Exception]
) -> None:
    users = Users(dict.fromkeys(range(1, 121), 3))

    def before(id_: int, query: Query) -> None:
        if id_ == ill:
            raise status()

    users.before = before
    pages = users.pages()
    rows = {row["user_id"] for page in pages for row in page.records}
    assert rows == set(users.lists) - {ill}
    assert [page.missing for page in pages if page.missing is not None] == [ill]


@pytest.mark.parametrize("hidden_every", [0, 2, 3, 7])
def test_rows_that_are_too_heavy_for_one_page_come_in_smaller_ones_or_are_named(
    hidden_every: int,
) -> None:
    users = Users({**dict.fromkeys(range(1, 121), 3), 77: 90, 78: 11}, hidden_every=hidden_every)

    def before(id_: int, query: Query) -> None:
        assert len(users.lists[77].queries) < 200
        if id_ in (77, 78) and len(users.lists[id_]._page(query)) > 10:
            raise failure()

    users.before = before
    pages = users.pages()
    missing = {page.missing for page in pages if page.missing is not None}
    found = {(row["user_id"], row["id"]) for page in pages for row in page.records}
    assert {row for row in users.all_rows if row[0] not in missing} <= found
    assert missing <= ({77, 78} if hidden_every else set())


def test_a_parent_that_cannot_be_read_itself_keeps_its_list() -> None:
    users = Users(dict.fromkeys(range(1, 121), 3))
    users.users.refuses = ["fields"]

    def before(query: Query) -> None:
        if query.get("id") != "77" and any(row["id"] == 77 for row in users.users._page(query)):
            raise failure()

    users.users.before = before
    assert users.rows() == users.all_rows


def test_lists_that_are_all_refused_are_a_setting() -> None:
    users = Users(dict.fromkeys(range(1, 121), 3))

    def before(id_: int, query: Query) -> None:
        raise failure(is_final=True)

    users.before = before
    with pytest.raises(AirbyteTracedException, match="refused"):
        users.pages()
    assert max(users.reader.clock.waited) < 2


def test_a_missing_list_is_asked_for_until_it_comes() -> None:
    users = Users(dict.fromkeys(range(1, 121), 2))
    pages = users.pages(Pass(missing=frozenset({77}), done=IdSet([(0, 1 << 62)])))
    assert [page.found for page in pages if page.found] == [77]
    assert [row["user_id"] for page in pages for row in page.records] == [77, 77]


def test_lists_that_all_fail_end_the_stream() -> None:
    users = Users(dict.fromkeys(range(1, 400), 2))

    def before(id_: int, query: Query) -> None:
        raise failure()

    users.before = before
    with pytest.raises(AirbyteTracedException, match="not available"):
        users.pages()


@pytest.mark.parametrize("length", [0, 1, 60])
def test_parents_count_as_read_once_all_of_their_rows_came(length: int) -> None:
    users = Users(dict.fromkeys(range(1, 301), length))
    done, left = IdSet(), set(users.all_rows)
    for page in users.pages():
        left -= {(row["user_id"], row["id"]) for row in page.records}
        if page.covers is not None:
            done.add(*page.covers)
            assert not [row for row in left if row[0] in done]
    assert done.gaps() == []


def test_a_pass_continues_after_the_parents_that_were_read() -> None:
    users = Users(dict.fromkeys(range(1, 301), 1))
    done = IdSet([(0, 100), (150, 200)])
    assert {user for user, _ in users.rows(Pass(done=done))} == {*range(101, 151), *range(201, 301)}
    assert not [id_ for id_ in users.asked if id_ in done]


def test_something_comes_every_hundred_parents_although_their_lists_are_empty() -> None:
    """Airbyte ends a source that prints nothing for long; and what was read is not read again."""
    users = Users(dict.fromkeys(range(1, 1_001), 0))
    pages = users.pages()
    assert len([page for page in pages if page.covers is not None]) >= 10
    assert len(pages) >= 1_000


def test_where_ids_alone_are_refused_parents_are_read_in_full() -> None:
    users = Users(dict.fromkeys(range(1, 301), 1))
    users.users.refuses = ["fields"]
    users.lists.pop(7)

    def delete(*_: object) -> None:
        users.users.records.pop(7, None)

    users.before = delete
    assert users.rows() == users.all_rows
    refused = [query for query in users.users.queries if "fields" in query]
    assert len(refused) <= 4, "it is asked for again and again"
