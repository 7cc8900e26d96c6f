"""A part of a record is asked for only after it was proved to arrive as it does in full."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from source_coupa.reading.field_selection import (
    LONGEST_QUERY,
    MOST_PROOFS,
    FieldSelection,
    selected_columns,
)
from source_coupa.reading.pages import Pass
from source_coupa.records.keys import with_underscores

from .fake_list import FakeList, Query, Reader, Record, record

Project = Callable[[Record, Sequence[str]], Record | None]
"""What an instance makes of a record of which some columns are asked for; None if it hides it."""


def selection(
    *names: str,
    nested: Collection[str] = (),
    paths: Collection[str] = (),
    declared: Collection[str] | None = None,
) -> FieldSelection:
    return FieldSelection(("id", *names), nested=nested, paths=paths, declared=declared)


def proved(
    columns: FieldSelection, full: list[Record], part: list[Record] | None = None
) -> str | None:
    """Proves columns with one page; gives what differs."""
    assert columns.wants_comparison(full, is_part=False)
    return columns.compare(full, full if part is None else part)


# --- What proves a column ---


def test_equal_values_prove_a_column() -> None:
    columns = selection("po_number")
    assert columns.query == {}
    assert proved(columns, [{"id": 1, "po-number": "A"}]) is None
    assert columns.query == {"fields": '["id","po_number"]'}


@pytest.mark.parametrize(
    "part",
    [
        {"id": 1, "po-number": "B"},
        {"id": 1},
        {"id": 1, "po-number": None},
        {"id": 1, "po-number": ["A"]},
    ],
)
def test_another_value_or_none_is_a_difference(part: Record) -> None:
    columns = selection("po_number")
    difference = proved(columns, [{"id": 1, "po-number": "A"}], [part])
    assert difference == "Coupa sends po_number in another form when it is asked for alone"
    columns.give_up()
    assert columns.query == {}
    assert not columns.wants_comparison([{"id": 1, "po-number": "A"}], is_part=False)


@pytest.mark.parametrize("value", [None, [], {}])
def test_an_empty_object_or_list_proves_nothing(value: object) -> None:
    columns = selection("lines", nested={"lines"})
    assert not columns.wants_comparison([{"id": 1, "lines": value}], is_part=False)
    assert columns.wants_comparison([{"id": 2, "lines": [{"id": 3}]}], is_part=False)


def test_a_column_that_is_on_no_record_is_not_proved() -> None:
    """Whether Coupa knows its name in `fields` would be a guess."""
    assert not selection("po_number").wants_comparison([{"id": 1}], is_part=False)


def test_null_in_both_proves_a_plain_column() -> None:
    columns = selection("po_number")
    assert proved(columns, [{"id": 1, "po-number": None}]) is None
    assert columns.query


def test_a_deeper_difference_is_one() -> None:
    columns = selection("lines", nested={"lines"})
    full = [{"id": 1, "lines": [{"id": 3, "account": {"id": 4, "code": "A"}}]}]
    part = [{"id": 1, "lines": [{"id": 3, "account": {"id": 4}}]}]
    assert "lines in another form" in (proved(columns, full, part) or "")


def test_a_list_within_a_list_has_to_be_seen() -> None:
    columns = selection("lines", nested={"lines"}, paths={"lines.tax_lines"})
    assert not columns.wants_comparison([{"id": 1, "lines": [{"tax-lines": []}]}], is_part=False)
    assert columns.wants_comparison([{"id": 1, "lines": [{"tax-lines": [{}]}]}], is_part=False)


def test_a_record_that_changed_in_between_proves_and_disproves_nothing() -> None:
    columns = selection("updated_at", "status")
    full = [record(id_, "2026-01-01T00:00:00Z", status="new") for id_ in (1, 2)]
    part = [
        record(1, "2026-01-02T00:00:00Z", status="paid"),
        record(2, "2026-01-01T02:00:00+02:00", status="new"),
    ]
    assert proved(columns, full, part) is None


def test_other_records_are_a_difference() -> None:
    full = [{"id": 1, "a": 1}, {"id": 2, "a": 1}]
    assert "other records" in (proved(selection("a"), full, full[:1]) or "")


def test_proofs_are_not_asked_for_without_end() -> None:
    columns = selection("lines", nested={"lines"})
    asked = [
        columns.wants_comparison([{"id": id_, "lines": [{"id": id_}]}], is_part=False)
        for id_ in range(1, 20)
    ]
    assert sum(asked) == MOST_PROOFS


def test_very_many_columns_are_not_named() -> None:
    names = [f"custom_field_{number}" for number in range(LONGEST_QUERY // 15)]
    columns = selection(*names)
    assert not columns.wants_comparison([{"id": 1, **dict.fromkeys(names, "x")}], is_part=False)
    assert columns.is_given_up


def test_custom_fields_are_asked_for_all_at_once() -> None:
    assert json.loads(selection("custom_fields").fields()["fields"]) == [
        "id",
        {"custom_fields": {}},
    ]


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_a_field_that_no_catalog_shows_is_asked_for_once_it_holds_something(value: object) -> None:
    """Nobody can have left it out."""
    columns = selection("a", declared={"id", "a"})
    assert not columns.wants_comparison([{"id": 1, "a": 1, "old-field": value}], is_part=False)
    assert proved(columns, [{"id": 1, "a": 1, "old-field": "x"}]) is None
    assert columns.query == {"fields": '["id","a","old_field"]'}


def test_a_field_that_is_declared_and_not_selected_is_not_asked_for() -> None:
    columns = selection("a", declared={"id", "a", "b"})
    assert proved(columns, [{"id": 1, "a": 1, "b": 2}]) is None
    assert columns.query == {"fields": '["id","a"]'}


SCHEMA: dict[str, Any] = {
    "properties": {
        "id": {"type": "integer"},
        "updated_at": {"type": ["null", "string"]},
        "lines": {"type": ["null", "array"]},
        "number": {"type": ["null", "string"]},
    }
}


@pytest.mark.parametrize("selected", [None, [], SCHEMA["properties"], [*SCHEMA["properties"], "x"]])
def test_a_connection_that_takes_all_columns_selects_none(
    selected: Collection[str] | None,
) -> None:
    assert selected_columns(selected, SCHEMA) is None


def test_what_makes_order_and_state_is_always_selected() -> None:
    assert selected_columns(["number", "lines"], SCHEMA) == (
        ["id", "updated_at", "lines", "number"],
        ["lines"],
    )


# --- What is read with it ---


class PartlyList(FakeList):
    """A list whose instance has its own idea of `fields`."""

    def __init__(self, records: Sequence[Record], project: Project) -> None:
        super().__init__({row["id"]: row for row in records})
        self.project = project

    def _page(self, query: Query) -> list[Record]:
        if query.get("fields", '["id"]') == '["id"]':
            return super()._page(query)
        wanted = json.loads(query["fields"])
        names = [name if isinstance(name, str) else next(iter(name)) for name in wanted]
        # what it hides, it hides before it counts
        hidden = [row for row in self.records.values() if self.project(row, names) is None]
        kept = {id_: row for id_, row in self.records.items() if row not in hidden}
        whole, self.records = self.records, kept
        page = super()._page({key: value for key, value in query.items() if key != "fields"})
        self.records = whole
        return [row for row in (self.project(row, names) for row in page) if row is not None]

    @property
    def in_part(self) -> list[Query]:
        """The queries for pages with some columns."""
        return [query for query in self.queries if query.get("fields", '["id"]') != '["id"]']


def as_asked(row: Record, names: Sequence[str]) -> Record:
    return {key: value for key, value in row.items() if key.replace("-", "_") in names}


def last_version(source: FakeList, columns: FieldSelection, useful: int = 1) -> dict[int, Record]:
    """What a destination holds that keeps the last row of each id."""
    held: dict[int, Record] = {}
    for page in Reader(source, selection=columns, useful=useful).pages(Pass()):
        held.update((row["id"], row) for row in page.records)
    return held


@pytest.mark.parametrize("useful", [1, 8])
def test_after_the_first_page_only_some_columns_are_asked_for(useful: int) -> None:
    source = PartlyList([record(id_, a=id_, b="x" * 100) for id_ in range(1, 501)], as_asked)
    held = last_version(source, selection("updated_at", "a"), useful)
    assert sorted(held) == sorted(source.records)
    assert all(held[id_]["a"] == id_ for id_ in held)
    assert len([row for row in held.values() if "b" not in row]) >= 400 - 50 * useful
    assert {query["fields"] for query in source.in_part} == {'["id","updated_at","a"]'}


def test_a_list_of_one_page_is_read_in_full() -> None:
    source = PartlyList([record(1, a=1, lines=[])], as_asked)
    last_version(source, selection("a", "lines", nested={"lines"}))
    assert source.in_part == []


def cut_below(depth: int) -> Project:
    """An instance that sends with `fields` what lies so deep, and nothing deeper."""

    def cut(value: Any, left: int) -> Any:
        if isinstance(value, list):
            return [cut(item, left) for item in value]
        if not isinstance(value, dict):
            return value
        inner = {k: v for k, v in value.items() if left or not isinstance(v, (dict, list))}
        return {key: cut(item, left - 1) for key, item in inner.items()}

    return lambda row, names: {k: cut(v, depth - 1) for k, v in as_asked(row, names).items()}


def with_lines(id_: int, allocations: int) -> Record:
    lines = [{"id": id_, "allocations": [{"id": number} for number in range(allocations)]}]
    return record(id_, lines=lines)


@pytest.mark.parametrize("useful", [1, 8])
def test_rows_two_levels_deep_come_although_fields_cuts_them(useful: int) -> None:
    """The oldest records have none, so that their pages are the same in part."""
    rows = [with_lines(id_, allocations=2 * (id_ > 60)) for id_ in range(1, 401)]
    source = PartlyList(rows, cut_below(1))
    columns = selection("lines", nested={"lines"}, paths={"lines.allocations"})
    assert last_version(source, columns, useful) == source.records


@pytest.mark.parametrize("useful", [1, 8])
def test_a_column_comes_whole_although_fields_cuts_it(useful: int) -> None:
    rows = [with_lines(id_, allocations=2 * (id_ > 60)) for id_ in range(1, 401)]
    source = PartlyList(rows, cut_below(1))
    held = last_version(source, selection("lines", nested={"lines"}), useful)
    assert {id_: row["lines"] for id_, row in held.items()} == {
        id_: row["lines"] for id_, row in source.records.items()
    }


@pytest.mark.parametrize("lacking", [range(1, 31), range(120, 150)])
def test_records_that_lack_an_association_come_although_fields_hides_them(
    lacking: Collection[int],
) -> None:
    rows = [
        record(id_, supplier=None if id_ in lacking else {"id": id_ + 1}) for id_ in range(1, 301)
    ]
    source = PartlyList(
        rows, lambda row, names: as_asked(row, names) if row["supplier"] is not None else None
    )
    held = last_version(source, selection("supplier", nested={"supplier"}))
    assert sorted(held) == sorted(source.records)
    assert {query["fields"] for query in source.in_part} == {'["id","supplier"]'}


@pytest.mark.parametrize("holders", [range(101, 301), range(101, 151)])
def test_an_older_custom_field_comes_that_only_later_records_hold(holders: range) -> None:
    rows = [
        record(id_, a=1, **({"cost-pool": f"P{id_}"} if id_ in holders else {}))
        for id_ in range(1, 301)
    ]
    source = PartlyList(rows, as_asked)
    held = last_version(source, selection("a", declared={"id", "a", "updated_at"}))
    assert [id_ for id_ in holders if "cost-pool" not in held[id_]] == []
    assert len(held) == 300


def test_proofs_go_on_while_a_list_is_read() -> None:
    source = PartlyList(
        [record(id_, a=1) for id_ in range(1, 2_001)],
        lambda row, names: as_asked(row, names if row["id"] < 700 else ["id"]),
    )
    held = last_version(source, selection("a"))
    assert [id_ for id_, row in held.items() if "a" not in row] == []


def test_something_new_in_a_column_is_followed_by_another_proof() -> None:
    columns = selection("lines", nested={"lines"})
    plain = [{"id": 1, "lines": [{"id": 2}]}]
    deeper = [{"id": 1, "lines": [{"id": 2, "taxes": [{"id": 3}]}]}]
    assert proved(columns, plain) is None
    asked = [columns.wants_comparison(plain, is_part=True) for _ in range(7)]
    assert asked == [True, True, False, True, False, False, False]
    assert columns.wants_comparison(deeper, is_part=True)
    assert columns.compare(deeper, deeper) is None
    assert columns.wants_comparison(plain, is_part=True)


@pytest.mark.parametrize("refused", ["all", "proved before"])
def test_a_selection_that_is_refused_is_done_without(refused: str) -> None:
    source = PartlyList([record(id_, a=1, b=2) for id_ in range(1, 301)], as_asked)
    allowed = {"all": 0, "proved before": 2}[refused]

    class Refusing(PartlyList):
        def get(self, query, load, *, records):  # type: ignore[no-untyped-def]
            asks = query.get("fields", '["id"]') != '["id"]'
            self.refuses = ["fields"] if asks and len(self.in_part) >= allowed else []
            return super().get(query, load, records=records)

    refusing = Refusing(list(source.records.values()), as_asked)
    held = last_version(refusing, selection("a"))
    assert sorted(held) == sorted(source.records)
    assert held[300] == source.records[300]


def test_records_that_are_edited_while_they_are_compared_give_nothing_up() -> None:
    source = PartlyList([record(id_, a=1) for id_ in range(1, 301)], as_asked)

    def before(query: Query) -> None:
        if len(source.in_part) == 1:
            for id_ in range(1, 41):
                source.records[id_] = record(id_, "2026-02-01T00:00:00Z", a=2)

    source.before = before
    columns = selection("updated_at", "a")
    last_version(source, columns)
    assert not columns.is_given_up
    assert len(source.in_part) > 3


def test_a_record_that_is_deleted_while_it_is_compared_gives_nothing_up() -> None:
    source = PartlyList([record(id_, a=1) for id_ in range(1, 301)], as_asked)

    def delete(query: Query) -> None:
        if len(source.in_part) == 1:
            source.records.pop(7, None)

    source.before = delete
    columns = selection("updated_at", "a")
    held = last_version(source, columns)
    assert not columns.is_given_up
    assert len(held.keys() - {7}) == 299


def test_what_becomes_of_records_while_they_are_compared_makes_no_difference() -> None:
    """Whoever gets a page renames its keys, in place."""
    rows = [record(id_, **{"cost_pool": "A", "cost-pool": "B"}) for id_ in range(1, 301)]
    source = PartlyList(rows, as_asked)
    columns = selection("updated_at", "cost_pool")
    for page in Reader(source, selection=columns).coupa_list().read(Pass()):
        for row in page.records:
            renamed = with_underscores(row)
            row.clear()
            row.update(renamed)
    assert not columns.is_given_up
    assert len(source.in_part) > 3
