"""Records whose rows have changed come too, although they have not changed themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.bookmark import END, IdSet
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.pages import Page, Pass, RowChanges

from .fake_list import FakeList, Query, Reader, Record, failure, has_moved, record, rows_at

SINCE = datetime(2026, 1, 1, tzinfo=timezone.utc)
OLD, NEW, AT_SINCE = "2025-06-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"
LINES = "lines[updated-at][gt_or_eq]"


def holder(id_: int, *times: str | None, updated_at: str = OLD) -> Record:
    """A record with a line for each of these update times."""
    lines = [{"id": 10 * id_ + n, "updated-at": time} for n, time in enumerate(times)]
    return record(id_, updated_at, lines=lines)


def fake(*records: Record) -> FakeList:
    return FakeList({row["id"]: row for row in records})


def wanted(
    *paths: str, since: datetime = SINCE, before: datetime = SINCE, short_page: int | None = 49
) -> Pass:
    """A later pass that watches the lists at these paths."""
    changes = RowChanges(paths or ("lines",), since, before)
    return Pass(since=since, short_page=short_page, row_changes=changes)


def watched(source: FakeList) -> list[Query]:
    """The questions for records with changed rows."""
    return [query for query in source.queries if any("[updated-at]" in name for name in query)]


def extra(pages: list[Page]) -> list[int]:
    return [row["id"] for page in pages if page.is_of_row_changes for row in page.records]


def test_a_record_with_a_changed_row_comes_whole() -> None:
    source = fake(holder(1, OLD, OLD), holder(2, OLD, NEW, OLD), holder(3, updated_at=NEW))
    pages = Reader(source).pages(wanted())
    assert extra(pages) == [2]
    assert sorted(row["id"] for page in pages for row in page.records) == [2, 3]
    (came,) = (row for page in pages for row in page.records if row["id"] == 2)
    assert came == source.records[2]
    assert [page.covers for page in pages if page.is_of_row_changes] == [None]


def test_where_nothing_changed_one_request_is_sent_for_each_list() -> None:
    source = fake(*(holder(id_, OLD) for id_ in range(1, 101)))
    assert Reader(source).ids(wanted("lines", "lines.taxes", "payments")) == []
    assert len(source.queries) == 4
    assert len(watched(source)) == 3


def test_a_list_is_asked_about_by_its_path_in_order_of_id() -> None:
    source = fake()
    Reader(source).pages(wanted("order-lines.tax-lines", before=SINCE + timedelta(hours=1)))
    assert watched(source) == [
        {
            "order_by": "id",
            "dir": "asc",
            "order-lines[tax-lines][updated-at][gt_or_eq]": "2026-01-01T00:00:00Z",
            "updated_at[lt]": "2026-01-01T01:00:00Z",
            "limit": "50",
        }
    ]


def test_lists_that_nobody_watches_are_not_asked_about() -> None:
    source = fake(holder(1, NEW))
    assert Reader(source).ids(Pass(since=SINCE)) == []
    assert watched(source) == []


def test_a_record_that_changed_itself_comes_once() -> None:
    source = fake(*(holder(id_, NEW, updated_at=NEW) for id_ in range(1, 201)))
    assert Reader(source).ids(wanted()) == list(range(1, 201))
    assert len(watched(source)) == 1


def test_many_of_them_come_page_by_page() -> None:
    source = fake(*(holder(id_, OLD, NEW) for id_ in range(1, 301)))
    assert extra(Reader(source).pages(wanted(short_page=None))) == list(range(1, 301))
    assert [q.get("id[gt]") for q in watched(source)] == [None, *map(str, range(50, 301, 50))]


def test_a_record_with_changes_in_two_lists_comes_once() -> None:
    one = {**holder(1, OLD, NEW), "fees": [{"id": 1, "updated-at": NEW}]}
    other = {**holder(2, OLD), "fees": [{"id": 2, "updated-at": NEW}]}
    assert sorted(extra(Reader(fake(one, other)).pages(wanted("lines", "fees")))) == [1, 2]


def test_a_time_a_second_before_the_bound_is_a_rounded_one() -> None:
    class Rounded(FakeList):
        def _matches(self, row: Record, name: str, value: str) -> bool:
            return name == LINES or super()._matches(row, name, value)

    source = Rounded({1: holder(1, OLD, "2025-12-31T23:59:59Z")})
    assert extra(Reader(source).pages(wanted())) == [1]


# --- Instances that cannot be asked ---


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_a_filter_that_is_ignored_proves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    source = fake(*(holder(id_, OLD, NEW if id_ == 9 else OLD) for id_ in range(1, 301)))
    source.ignores = [LINES]
    pages = Reader(source).pages(wanted())
    assert set(extra(pages)) <= {9}
    assert pages[-1].is_last
    assert len(watched(source)) == 1, "the rest of the list is not read for it"
    (line,) = warnings(caplog)
    assert line.startswith(
        f"things: Coupa cannot be asked for changes in lines (it does not apply {LINES})"
    )


def test_rows_without_times_prove_nothing(caplog: pytest.LogCaptureFixture) -> None:
    source = fake(holder(1, None), record(2, OLD), record(3, OLD, lines=None))
    source.ignores = [LINES]
    assert extra(Reader(source).pages(wanted())) == []
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("refused", [["lines"], ["updated_at[lt]"]])
def test_a_filter_that_is_refused_is_done_without(
    caplog: pytest.LogCaptureFixture, refused: list[str]
) -> None:
    source = fake(holder(1, OLD, NEW), holder(2, updated_at=NEW))
    source.refuses = refused
    pages = Reader(source).pages(wanted())
    assert [row["id"] for page in pages for row in page.records] == [2]
    assert pages[-1].is_last
    assert len(watched(source)) == 2
    (line,) = warnings(caplog)
    assert "not supported" in line


def test_lists_that_cannot_be_asked_about_are_named_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = fake({**holder(1, OLD, NEW), "fees": [{"id": 1, "updated-at": NEW}]})
    source.refuses = ["lines", "taxes"]
    assert extra(Reader(source).pages(wanted("lines", "taxes", "fees"))) == [1]
    (line,) = warnings(caplog)
    assert "lines, taxes (not supported)" in line


def test_a_refusal_that_comes_once_is_a_blip(caplog: pytest.LogCaptureFixture) -> None:
    source = fake(holder(1, OLD, NEW))

    def before(query: Query) -> None:
        source.refuses = ["lines"] if len(watched(source)) == 1 else []

    source.before = before
    assert extra(Reader(source).pages(wanted())) == [1]
    assert warnings(caplog) == []


def test_order_by_that_is_refused_stops_no_watch(caplog: pytest.LogCaptureFixture) -> None:
    source = fake(holder(1, OLD, NEW), holder(2, updated_at=NEW))
    source.refuses = ["order_by"]
    assert sorted(Reader(source).ids(wanted())) == [1, 2]
    assert warnings(caplog) == []


def test_a_refusal_leaves_selected_columns_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    source = fake(*(holder(id_, NEW, updated_at=NEW) for id_ in range(1, 401)))
    source.refuses = ["lines["]
    selection = FieldSelection(["id", "updated_at", "lines"], nested=["lines"])
    assert len(Reader(source, selection).ids(wanted())) == 400
    assert not selection.is_given_up


# --- Instances that show something else than whole records ---


class Trimming(FakeList):
    """Shows only the rows that a filter on an association is about."""

    def _page(self, query: Query) -> list[Record]:
        page = super()._page(query)
        if LINES not in query:
            return page
        bound = query[LINES]
        return [
            {**row, "lines": [line for line in row["lines"] if has_moved(line, bound)]}
            for row in page
        ]


def test_records_come_whole_although_only_changed_rows_are_shown() -> None:
    source = Trimming({id_: holder(id_, OLD, NEW, OLD) for id_ in range(1, 121)})
    pages = Reader(source).pages(wanted())
    came = [row for page in pages for row in page.records]
    assert sorted(came, key=lambda row: row["id"]) == list(source.records.values())


def test_an_instance_that_shows_all_rows_is_asked_once() -> None:
    source = fake(*(holder(id_, OLD, NEW, OLD) for id_ in range(1, 21)))
    assert len(extra(Reader(source).pages(wanted()))) == 20
    assert not [query for query in source.queries if "id[in]" in query]


@pytest.mark.parametrize("way", ["refuses", "ignores"])
def test_records_that_cannot_be_read_whole_are_left_out(
    caplog: pytest.LogCaptureFixture, way: str
) -> None:
    source = Trimming({id_: holder(id_, OLD, NEW) for id_ in range(1, 121)})
    source.records[200] = record(200, OLD, lines=[])
    setattr(source, way, ["id[in]"])
    came = [row for page in Reader(source).pages(wanted()) for row in page.records]
    assert all(row == source.records[row["id"]] for row in came)
    assert len(warnings(caplog)) == 1


def test_a_record_that_comes_once_for_each_of_its_rows_is_one_record() -> None:
    class Joining(FakeList):
        def _page(self, query: Query) -> list[Record]:
            page = super()._page(query)
            if LINES not in query:
                return page
            return [
                row
                for row in page
                for line in rows_at(row, ["lines"])
                if has_moved(line, query[LINES])
            ][: int(query["limit"])]

    source = Joining({id_: holder(id_, NEW, OLD, NEW, NEW) for id_ in range(1, 121)})
    assert extra(Reader(source).pages(wanted())) == list(range(1, 121))


# --- Trouble ---


def is_watched(query: Query) -> bool:
    return LINES in query


def failing(
    source: FakeList, when: Callable[[Query], bool], times: int | None = None
) -> list[Query]:
    failed: list[Query] = []

    def before(query: Query) -> None:
        if when(query) and (times is None or len(failed) < times):
            failed.append(query)
            raise failure()

    source.before = before
    return failed


def test_a_question_that_fails_is_asked_again() -> None:
    source = fake(holder(1, OLD, NEW), holder(2, updated_at=NEW))
    failed = failing(source, is_watched, times=3)
    assert sorted(Reader(source).ids(wanted())) == [1, 2]
    assert len(failed) == 3


def test_a_question_that_always_fails_fails_the_list() -> None:
    """The state stays, and the next sync asks for the same changes."""
    source = fake(holder(1, OLD, NEW), holder(2, updated_at=NEW))
    failing(source, is_watched)
    with pytest.raises(AirbyteTracedException, match="not available"):
        Reader(source).pages(wanted())


def test_a_record_with_changed_rows_that_cannot_be_read_is_named() -> None:
    source = fake(*(holder(id_, OLD, NEW) for id_ in range(1, 61)))

    def holds(query: Query) -> bool:
        is_whole = is_watched(query) and "fields" not in query
        return is_whole and any(row["id"] == 33 for row in source._page(query))

    failing(source, holds)
    pages = Reader(source).pages(wanted())
    assert [page.missing for page in pages if page.missing] == [33]
    assert extra(pages) == [id_ for id_ in range(1, 61) if id_ != 33]
    assert all(page.covers is None for page in pages if page.missing)


def test_a_small_page_whose_records_are_hidden_is_no_end_of_them() -> None:
    source = fake(*(holder(id_, OLD, NEW) for id_ in range(1, 101)))
    source.hidden = [*range(60, 70)]

    def holds(query: Query) -> bool:
        is_whole = is_watched(query) and "fields" not in query
        return is_whole and any(row["id"] == 59 for row in source._page(query))

    failing(source, holds)
    came = extra(Reader(source).pages(wanted()))
    assert came == [*range(1, 59), *range(70, 101)]


def test_a_pass_that_goes_on_asks_again() -> None:
    source = fake(holder(1, OLD, NEW))
    changes = RowChanges(("lines",), SINCE, SINCE)
    done = IdSet([(0, END)])
    assert Reader(source).ids(Pass(since=SINCE, done=done, row_changes=changes)) == [1]


def test_a_question_that_is_refused_at_first_waits_for_the_pages() -> None:
    """It may be the order that is refused, which only they show."""
    source = fake(holder(1, OLD, NEW), *(holder(id_, updated_at=NEW) for id_ in (2, 3)))
    source.refuses = ["lines"]
    failed = failing(source, lambda query: not is_watched(query), times=2)
    assert Reader(source).ids(wanted()) == [2, 3]
    assert len(failed) == 2
    assert len(watched(source)) == 2
