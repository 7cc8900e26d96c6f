"""Lists below records, taken from inside of their parents where that is proved."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.bookmark import IdSet
from source_coupa.reading.inside_parents import MOST_TIES, InsideParents
from source_coupa.reading.nested_lists import MOST_ALONE, NestedLists
from source_coupa.reading.pages import Page, Pass

from .fake_list import FakeList, Query, Reader, Record, failure, of_ids

PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "id": {"type": ["null", "integer"]},
    "updated_at": {"type": ["null", "string"]},
    "comments": {"type": ["null", "string"]},
    "created_by": {
        "type": ["null", "object"],
        "properties": {"id": {"type": ["null", "integer"]}},
    },
    "created_by_id": {"type": ["null", "integer"]},
}
WHOLE = '["id",{"comments":[]}]'


def comment(id_: int, **fields: Any) -> Record:
    return {
        "id": id_,
        "updated-at": "2026-01-01T00:00:00Z",
        "comments": f"text {id_}",
        "created-by": {"id": 7, "login": "kim"},
        **fields,
    }


@dataclass
class Invoices:
    """Invoices with a list of comments each, in both forms.

    Attributes:
        lengths: of the lists, by the invoice's id.
        inside: what an invoice holds, made of its id, the fields that are asked for and its rows.
        before: called with an invoice's id before the response for its own list.
        asked: the invoices whose own lists were asked for.
        came: all pages.
    """

    lengths: Mapping[int, int]
    inside: Callable[[int, list[Any], list[Record]], Any] = lambda id_, fields, rows: rows
    before: Callable[[int], None] = lambda _: None
    asked: list[int] = field(default_factory=list)
    came: list[Page] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.invoices = of_ids(self.lengths)
        self.invoices.associations = {"comments": self._inside}
        self.reader = Reader(self.invoices, useful=4)
        self.lists = {
            id_: FakeList({row: comment(row) for row in self._ids(id_, length)})
            for id_, length in self.lengths.items()
        }

    def _ids(self, id_: int, length: int) -> range:
        return range(1_000 * id_ + 1, 1_000 * id_ + length + 1)

    def _inside(self, id_: int, fields: list[Any]) -> Any:
        return self.inside(id_, fields, [dict(row) for row in self.lists[id_].records.values()])

    def connect(self, id_: int) -> FakeList:
        self.asked.append(id_)
        self.lists[id_].before = lambda _: self.before(id_)
        return self.lists[id_]

    def pages(self, wanted: Pass | None = None) -> list[Page]:
        """All pages of a pass, their rows printed."""
        nested = NestedLists(
            path="invoices/:invoice_id/comments",
            stream="invoice_comments",
            parent_key="invoice_id",
            parents=self.reader.coupa_list(ids_only=True),
            connect=self.connect,
            inside=InsideParents("comments", PROPERTIES),
        )
        self.came = []
        for page in nested.read(wanted or Pass()):
            if page.load is not None:
                page.load.release()
            self.came.append(page)
        return self.came

    def rows(self, wanted: Pass | None = None) -> list[Record]:
        """The rows that count: those behind the last start, in order."""
        kept: list[Record] = []
        for page in self.pages(wanted):
            kept = [] if page.starts_over else kept + page.records
        return sorted(kept, key=lambda row: int(row["id"]))

    @property
    def all_rows(self) -> list[Record]:
        return [
            {"invoice_id": id_, **row}
            for id_, comments in sorted(self.lists.items())
            for row in comments.records.values()
        ]

    @property
    def one_by_one(self) -> bool:
        """Whether the lists were read by themselves in the end."""
        return set(self.asked) == set(self.lengths)


def some(parents: int = 1_000) -> dict[int, int]:
    """Lists of which two in three are empty, and few are long."""
    return {id_: 0 if id_ % 3 else id_ % 7 for id_ in range(1, parents + 1)}


def test_lists_of_fifty_parents_cost_one_request() -> None:
    invoices = Invoices(some(2_000))
    assert invoices.rows() == invoices.all_rows
    assert len(invoices.invoices.queries) < 2_000 / 50 + 15
    assert len(invoices.asked) < 80


def test_every_page_is_proved_while_something_was_empty_in_all_proofs() -> None:
    usual, unseen = Invoices(some(2_000)), Invoices(some(2_000))
    for comments in unseen.lists.values():
        for row in comments.records.values():
            row["created-by"] = None
    assert unseen.rows() == unseen.all_rows
    assert usual.rows() == usual.all_rows
    assert len(set(usual.asked)) + 2_000 / 50 / 2 < len(set(unseen.asked)) < 100


def _capped(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return rows[:4]


def _without_author(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return [{k: v for k, v in row.items() if k != "created-by"} for row in rows]


def _other_author(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return [{**row, "created-by": {"id": 7}} for row in rows]


def _other_text(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return [{**row, "comments": row["comments"][:4]} for row in rows]


def _others(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return [{**row, "id": row["id"] + 1} for row in rows]


def _text(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return "a text"


def _null(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return None


def _empty(id_: int, fields: list[Any], rows: list[Record]) -> Any:
    return []


@pytest.mark.parametrize(
    "inside",
    [_capped, _without_author, _other_author, _other_text, _others, _text, _null, _empty],
)
def test_lists_that_are_not_the_same_inside_are_read_by_themselves(
    inside: Callable[[int, list[Any], list[Record]], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "airbyte")
    invoices = Invoices(some(300), inside=inside)
    assert invoices.rows() == invoices.all_rows
    assert invoices.one_by_one
    reported = [r.message for r in caplog.records if "each list costs a request" in r.message]
    assert len(reported) == 1
    assert not any(page.starts_over for page in Invoices(some(300), inside=inside).pages())


@pytest.mark.parametrize("refused", ["fields", "comments"])
def test_lists_are_read_by_themselves_where_coupa_refuses_the_form(refused: str) -> None:
    invoices = Invoices(some(300))

    def refuse(query: Query) -> None:
        is_nested = "comments" in query.get("fields", "") or refused in query
        invoices.invoices.refuses = ["fields"] if is_nested else []

    invoices.invoices.before = refuse
    assert invoices.rows() == invoices.all_rows
    assert invoices.one_by_one
    assert len(invoices.invoices.queries) < 300 / 50 + 15


def test_where_names_alone_are_obeyed_the_names_of_all_fields_are_asked_for() -> None:
    def by_names(id_: int, fields: list[Any], rows: list[Record]) -> Any:
        names = {name if isinstance(name, str) else next(iter(name)) for name in fields}
        inner = {next(iter(name)): name for name in fields if not isinstance(name, str)}
        logins = ["id"] if inner.get("created_by") == {"created_by": []} else ["id", "login"]
        return [
            {
                key: {k: v for k, v in value.items() if k in logins}
                if key == "created-by"
                else value
                for key, value in row.items()
                if key.replace("-", "_") in names
            }
            for row in rows
        ]

    invoices = Invoices(some(2_000), inside=by_names)
    for comments in invoices.lists.values():
        for row in comments.records.values():
            row["older-custom-field"] = "kept"
    assert invoices.rows() == invoices.all_rows
    assert len(invoices.asked) < 150
    pages = [q for q in invoices.invoices.queries if (q["limit"], q.get("dir")) == ("50", "asc")]
    asked = [json.loads(query["fields"]) for query in pages]
    (names,) = asked[-1][1].values()
    assert {"id", "updated_at", "comments", "older_custom_field"} <= {str(name) for name in names}
    assert "created_by_id" not in names


def test_a_field_of_few_rows_that_does_not_come_inside_starts_it_over() -> None:
    """None of the newest rows has it."""

    def lacking(id_: int, fields: list[Any], rows: list[Record]) -> Any:
        return [{k: v for k, v in row.items() if k != "reason-code"} for row in rows]

    invoices = Invoices({**some(1_000), 1_001: 7}, inside=lacking)
    for id_ in range(1, 900):
        for row in invoices.lists[id_].records.values():
            row["reason-code"] = "late"
    pages = invoices.pages()
    assert [page.starts_over for page in pages].count(True) == 1
    assert invoices.one_by_one
    assert invoices.rows() == invoices.all_rows


def test_a_value_that_no_proof_has_shown_is_proved_where_it_shows() -> None:
    """Its list is short, on a page whose longest list is another."""
    invoices = Invoices(
        dict.fromkeys(range(1, 1001), 3),
        inside=lambda id_, fields, rows: [
            {**row, "created-by": {**row["created-by"], **({"email": "cut"} if id_ == 633 else {})}}
            for row in rows[: 1 if id_ == 633 else 3]
        ],
    )
    del invoices.lists[633].records[633_002], invoices.lists[633].records[633_003]
    invoices.lists[633].records[633_001]["created-by"]["email"] = "cut off"
    assert invoices.rows() == invoices.all_rows
    assert invoices.one_by_one


@pytest.mark.parametrize("cap", [1, 2, 10, 49, 50])
def test_a_limit_of_rows_is_found_at_the_first_list_that_reaches_it(cap: int) -> None:
    """The lists of the newest parents, and of the first pages, are shorter."""
    lengths = {id_: min(id_ % 3, cap - 1) for id_ in range(1, 601)}
    lengths |= {405: cap + 3, 600: 1}
    invoices = Invoices(lengths, inside=lambda id_, fields, rows: rows[:cap])
    assert invoices.rows() == invoices.all_rows


def test_a_list_as_long_as_the_longest_that_came_whole_is_proved() -> None:
    invoices = Invoices(
        {**dict.fromkeys(range(1, 601), 1), 120: 5, 600: 3},
        inside=lambda id_, fields, rows: rows[:3],
    )
    assert invoices.rows() == invoices.all_rows
    assert invoices.one_by_one


def test_lists_of_the_same_length_are_not_proved_for_ever() -> None:
    invoices = Invoices(dict.fromkeys(range(1, 1_001), 2))
    assert invoices.rows() == invoices.all_rows
    assert len(invoices.asked) <= 2 * (MOST_TIES + 15)


def test_without_any_row_nothing_is_proved() -> None:
    invoices = Invoices(dict.fromkeys(range(1, 201), 0))
    assert invoices.rows() == []
    assert invoices.one_by_one


def test_parents_without_the_list_are_asked_for_it() -> None:
    invoices = Invoices(
        some(500), inside=lambda id_, fields, rows: rows or (None if id_ % 2 else [])
    )
    assert invoices.rows() == invoices.all_rows
    empty_odd = {id_ for id_, length in some(500).items() if not length and id_ % 2}
    assert empty_odd <= set(invoices.asked)
    assert not invoices.one_by_one


def test_a_list_that_is_edited_between_both_readings_does_not_end_it() -> None:
    invoices = Invoices(some(1_000))
    edits = iter(range(10))

    def edit(id_: int) -> None:
        if next(edits, None) is not None:
            for row in invoices.lists[id_].records.values():
                row["comments"] += " edited"

    invoices.before = edit
    pages = invoices.pages()
    assert not any(page.starts_over for page in pages)
    assert not invoices.one_by_one


def test_lists_that_are_edited_all_the_time_do_not_end_it() -> None:
    invoices = Invoices({**some(300), 300: 60})

    def edit(id_: int) -> None:
        records = invoices.lists[id_].records
        if len(records) > 1:
            records.pop(min(records))

    invoices.before = edit
    assert not any(page.starts_over for page in invoices.pages())
    assert not invoices.one_by_one


def test_a_parent_that_vanishes_between_both_readings_proves_nothing() -> None:
    invoices = Invoices(some(1_000))

    def vanish(id_: int) -> None:
        if id_ == 504:
            invoices.lists[504].records.clear()
            invoices.invoices.records.pop(504, None)

    invoices.before = vanish
    assert not any(page.starts_over for page in invoices.pages())
    assert not invoices.one_by_one


def test_a_parent_that_cannot_be_read_with_its_list_is_asked_for_that_list() -> None:
    invoices = Invoices(some(500))

    def fail(query: Query) -> None:
        after = int(query.get("id[gt]", 0))
        if after < 303 <= after + int(query["limit"]) and query["fields"] == WHOLE:
            raise failure()

    invoices.invoices.before = fail
    pages = invoices.pages()
    rows = sorted((row for page in pages for row in page.records), key=lambda row: int(row["id"]))
    assert rows == invoices.all_rows
    assert 303 in invoices.asked
    assert not any(page.missing for page in pages)
    assert not invoices.one_by_one


def test_a_list_that_cannot_be_read_in_either_way_is_named() -> None:
    invoices = Invoices(some(500))

    def fail(query: Query) -> None:
        after = int(query.get("id[gt]", 0))
        if after < 303 <= after + int(query["limit"]) and query["fields"] == WHOLE:
            raise failure()

    def fail_too(id_: int) -> None:
        if id_ == 303:
            raise failure()

    invoices.invoices.before, invoices.before = fail, fail_too
    pages = invoices.pages()
    assert [page.missing for page in pages if page.missing] == [303]
    done = IdSet(page.covers for page in pages if page.covers is not None)
    assert done.gaps() == []


def test_a_missing_list_is_found_by_itself_alone() -> None:
    """A proof of it brings no rows."""
    invoices = Invoices(some(100))
    wanted = Pass(missing=frozenset({99}))
    pages = invoices.pages(wanted)
    assert [page.found for page in pages if page.found] == [99]
    found = next(page for page in pages if page.found)
    assert [row["id"] for row in found.records] == [99_001]


def test_many_parents_that_cannot_be_read_with_their_lists_end_that() -> None:
    invoices = Invoices(some(1_000))

    def fail(query: Query) -> None:
        if query.get("fields") == WHOLE and int(query.get("id[gt]", 0)) >= 200 and "dir" in query:
            raise failure()

    invoices.invoices.before = fail
    pages = invoices.pages()
    assert not any(page.starts_over for page in pages)
    rows = sorted(
        {row["id"]: row for page in pages for row in page.records}.values(),
        key=lambda row: int(row["id"]),
    )
    assert rows == invoices.all_rows
    assert not set(range(1, 100)) <= set(invoices.asked)
    assert len(invoices.invoices.queries) < 10 * MOST_ALONE


def test_parents_count_as_read_once_their_proofs_came() -> None:
    invoices = Invoices(some(600))

    def fail(id_: int) -> None:
        if id_ < 500:
            raise failure(is_limit=True)

    invoices.before = fail
    with pytest.raises(AirbyteTracedException):
        invoices.pages()
    done = IdSet(page.covers for page in invoices.came if page.covers is not None)
    assert invoices.came
    waiting = {id_ for id_ in invoices.asked if id_ < 500}
    assert waiting
    assert not [id_ for id_ in waiting if id_ in done]


def test_a_pass_continues_after_the_parents_that_were_read() -> None:
    invoices = Invoices(some(600))
    done = IdSet([(0, 100), (150, 200)])
    assert {row["invoice_id"] for row in invoices.rows(Pass(done=done))} <= {
        *range(101, 151),
        *range(201, 601),
    }


def test_what_an_earlier_sync_read_comes_again_after_a_difference() -> None:
    """It came in the same way."""
    invoices = Invoices({**some(600), 303: 30}, inside=lambda id_, fields, rows: rows[:8])
    assert invoices.rows(Pass(done=IdSet([(0, 250)]))) == invoices.all_rows


def test_when_all_was_read_nothing_is_proved() -> None:
    invoices = Invoices(some(100))
    invoices.pages(Pass(done=IdSet([(0, 1 << 62)])))
    assert not invoices.asked
    assert not invoices.invoices.queries
