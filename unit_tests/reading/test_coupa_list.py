"""One list, one pass: every record once, or an error that says why not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta, timezone
from functools import partial
from random import Random

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.bookmark import END, IdSet
from source_coupa.reading.ill_pages import MOST_MISSING
from source_coupa.reading.pages import Pass
from source_coupa.reading.responses import QueryRefusedError
from source_coupa.transport.connection import RequestFailedError, Response

from .fake_list import NOW, FakeList, InstantClock, Query, Reader, failure, of_ids, record

SINCE = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("count", [0, 1, 2, 49, 50, 51, 99, 100, 101, 1_000])
@pytest.mark.parametrize("useful", [1, 8])
def test_each_record_comes_once(count: int, useful: int) -> None:
    source = of_ids(range(1, 3 * count + 1, 3))
    assert sorted(Reader(source, useful=useful).ids()) == sorted(source.records)


@pytest.mark.parametrize("seed", range(20))
def test_no_gap_between_ids_hides_a_record(seed: int) -> None:
    random = Random(seed)
    ids = random.sample(range(1, 10 ** random.randint(3, 7)), 700)
    source = of_ids(ids)
    assert sorted(Reader(source, useful=random.randint(1, 12)).ids()) == sorted(ids)


@pytest.mark.parametrize("seed", range(10))
def test_a_pass_goes_on_where_another_ended(seed: int) -> None:
    random = Random(seed)
    source = of_ids(range(1, 2_001))
    done = IdSet()
    first = []
    for page in Reader(source, useful=8).coupa_list().read(Pass()):
        first += [row["id"] for row in page.records]
        if page.covers is not None:
            done.add(*page.covers)
        if len(first) > random.randint(50, 1_900):
            break
    rest = Reader(source, useful=8).ids(Pass(done=done))
    assert sorted(first + rest) == sorted(source.records)


def test_pages_say_about_how_many_records_are_left() -> None:
    read, known = 0, 0
    for page in Reader(of_ids(range(3, 6_001, 3)), useful=8).pages():
        read += len(page.records)
        if page.left is not None:
            known += 1
            assert page.left == pytest.approx(2_000 - read, abs=150)
    # the first pages can come before the end of the list is known
    assert known > 30


def test_where_the_end_is_not_known_no_page_guesses_what_is_left() -> None:
    assert {page.left for page in Reader(of_ids(range(1, 500))).pages()} == {None}


def test_the_pages_of_a_pass_cover_all_ids() -> None:
    pages = Reader(of_ids(range(1, 501)), useful=8).pages()
    done = IdSet(page.covers for page in pages if page.covers is not None)
    assert done.gaps() == []
    assert pages[-1].is_last


def test_a_first_pass_ends_at_an_empty_page_from_both_sides() -> None:
    source = of_ids(range(1, 31))
    Reader(source).pages()
    assert [(query.get("id[gt]"), query["dir"]) for query in source.queries] == [
        (None, "asc"),
        ("30", "asc"),
        ("30", "desc"),
    ]


def test_an_update_that_finds_nothing_costs_one_request() -> None:
    source = of_ids([])
    Reader(source).pages(Pass(since=SINCE))
    assert len(source.queries) == 1


def test_a_short_page_ends_a_list_that_is_known() -> None:
    source = of_ids(range(1, 31))
    known = Reader(source).pages()[-1].short_page
    source.queries.clear()
    for id_ in range(16, 31):
        source.records.pop(id_)
    assert len(Reader(source).ids(Pass(short_page=known))) == 15
    assert len(source.queries) == 1


def test_rows_that_begin_to_be_hidden_end_no_list_that_is_known() -> None:
    source = of_ids(range(1, 201))
    known = Reader(source).pages()[-1].short_page
    source.hidden = [7, 60, 61]
    assert len(Reader(source).ids(Pass(short_page=known))) == 197


def test_a_page_as_long_as_the_longest_one_may_be_a_cap() -> None:
    source = of_ids(range(1, 21))
    source.cap = 20
    known = Reader(source).pages()[-1].short_page
    source.records.update(of_ids(range(21, 56)).records)
    assert len(Reader(source).ids(Pass(short_page=known))) == 55


def test_a_page_as_long_as_the_cap_of_an_instance_is_no_end() -> None:
    source = of_ids(range(1, 46))
    source.cap = 20
    known = Reader(source).pages()[-1].short_page
    assert len(Reader(source).ids(Pass(short_page=known))) == 45


def test_records_that_are_hidden_after_counting_end_no_list() -> None:
    source = of_ids(range(1, 301))
    source.hidden = [*range(10, 30), *range(120, 145), *range(201, 240)]
    shown = sorted(source.records.keys() - set(source.hidden))
    pages = Reader(source).pages()
    assert [row["id"] for page in pages for row in page.records] == shown
    known = pages[-1].short_page
    assert Reader(source).ids(Pass(short_page=known)) == shown


@pytest.mark.parametrize("useful", [1, 8])
@pytest.mark.parametrize("first", [101, 110])
@pytest.mark.parametrize("count", [50, 73, 150])
def test_whole_pages_that_are_hidden_end_no_list(useful: int, first: int, count: int) -> None:
    source = of_ids(range(1, 601))
    source.hidden = range(first, first + count)
    shown = sorted(source.records.keys() - set(source.hidden))
    assert sorted(Reader(source, useful=useful).ids()) == shown


@pytest.mark.parametrize("first", [1, 41, 241])
def test_whole_pages_that_are_hidden_may_be_small_ones(first: int) -> None:
    source = of_ids(range(1, 301))
    source.cap = 20
    source.hidden = range(first, first + 20)
    shown = sorted(source.records.keys() - {*source.hidden})
    assert Reader(source).ids() == shown


def test_hidden_pages_end_no_list_whose_last_record_is_hidden_too() -> None:
    source = of_ids(range(1, 601))
    source.hidden = [*range(480, 560), 600]
    shown = sorted(source.records.keys() - set(source.hidden))
    assert sorted(Reader(source, useful=8).ids()) == shown


@pytest.mark.parametrize("useful", [1, 8])
def test_an_empty_page_that_is_a_lie_ends_no_list(useful: int) -> None:
    lies = {"50", "150"}

    class Lying(FakeList):
        def _page(self, query: Query) -> list[dict[str, object]]:
            above = query.get("id[gt]", "")
            if query.get("dir") == "asc" and above in lies:
                lies.remove(above)
                return []
            return super()._page(query)

    source = Lying({id_: record(id_) for id_ in range(1, 301)})
    assert sorted(Reader(source, useful=useful).ids()) == [*range(1, 301)]


def test_the_last_record_may_be_deleted_while_a_list_is_read() -> None:
    source = of_ids(range(1, 301))

    def before(query: Query) -> None:
        if query.get("id[gt]") and query.get("dir") == "asc":
            source.records.pop(300, None)

    source.before = before
    assert sorted(Reader(source, useful=8).ids()) == [*range(1, 300)]


def test_a_list_whose_rest_seems_to_be_hidden_is_given_up() -> None:
    class Hiding(FakeList):
        def _page(self, query: Query) -> list[dict[str, object]]:
            page = super()._page(query)
            return [] if query.get("dir") == "asc" and query.get("id[gt]") == "100" else page

    source = Hiding({id_: record(id_) for id_ in range(1, 301)})
    with pytest.raises(AirbyteTracedException, match="above id 100"):
        Reader(source).pages()


@pytest.mark.parametrize("ids", [[3, 2, 1], [1, 1], [0, -1]])
def test_ids_that_do_not_ascend_end_a_list(ids: list[int]) -> None:
    class Odd(FakeList):
        def _page(self, query: Query) -> list[dict[str, object]]:
            return [record(id_) for id_ in ids]

    with pytest.raises(AirbyteTracedException, match="order of id"):
        Reader(Odd({})).pages()


@pytest.mark.parametrize("wrong", [None, "1", True, 1.5])
def test_an_id_that_is_no_whole_number_ends_a_list(wrong: object) -> None:
    source = FakeList({1: {"id": 1, "updated-at": None}})
    source._page = lambda query: [{"id": wrong, "updated-at": "x"}]  # type: ignore[method-assign]
    with pytest.raises(AirbyteTracedException, match=r"without id|no whole number"):
        Reader(source).pages()


@pytest.mark.parametrize("id_", [0, -5, 2**62 + 1, 2**63 + 5])
def test_an_id_that_no_range_has_ends_a_list(id_: int) -> None:
    """Below them, the list would begin again for ever; above, it would seem to end."""
    source = FakeList({1: {"id": 1, "updated-at": None}})
    source._page = lambda query: [record(id_)]  # type: ignore[method-assign]
    with pytest.raises(AirbyteTracedException, match="not from 1 to"):
        for _ in zip(Reader(source).coupa_list().read(Pass()), range(20), strict=False):
            pass


# --- Filters and times ---


def test_a_bound_is_asked_for_in_utc() -> None:
    source = of_ids([1])
    since = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    Reader(source).pages(Pass(since=since))
    assert source.queries[0]["updated_at[gt_or_eq]"] == "2026-01-01T00:00:00Z"


def test_an_instance_that_ignores_the_bound_is_found_out() -> None:
    source = of_ids([1, 2], updated_at="2025-01-01T00:00:00Z")
    source.ignores = ["updated_at[gt_or_eq]"]
    with pytest.raises(AirbyteTracedException, match="does not apply the filter"):
        Reader(source).pages(Pass(since=SINCE))


@pytest.mark.parametrize("zone", [-8, 2])
def test_an_instance_that_reads_times_in_its_own_zone_is_found_out(zone: int) -> None:
    source = of_ids(range(1, 10))
    source.zone = zone
    with pytest.raises(AirbyteTracedException, match="by its own update time"):
        Reader(source).pages(Pass(proves_filter=True))


def test_a_wrong_zone_is_found_out_where_ids_alone_are_refused() -> None:
    source = of_ids(range(1, 10))
    source.zone = 2
    source.refuses = ["fields"]
    with pytest.raises(AirbyteTracedException, match="by its own update time"):
        Reader(source).pages(Pass(proves_filter=True))


@pytest.mark.parametrize("done", [[(0, END)], [(0, 9)]])
def test_a_filter_that_an_earlier_sync_could_not_prove_is_proved(
    done: list[tuple[int, int]],
) -> None:
    source = of_ids(range(1, 10))
    source.zone = 2
    with pytest.raises(AirbyteTracedException, match="by its own update time"):
        Reader(source).pages(Pass(proves_filter=True, done=IdSet(done)))
    source.zone = 0
    assert Reader(source).ids(Pass(proves_filter=True, done=IdSet(done))) == []


def test_a_proof_that_a_new_start_forgets_is_asked_for_again() -> None:
    source = of_ids(range(1, 10), updated_at="2026-03-01T00:00:00Z")
    source.zone = 2
    proofs: list[Query] = []
    refused: list[Query] = []

    def before(query: Query) -> None:
        if "updated_at[blank]" in query:
            if not proofs:
                raise failure()
            refused.append(query)
        elif "id" in query and not refused:
            proofs.append(query)
            raise failure()

    source.before = before
    source.refuses = ["updated_at[blank]"]
    with pytest.raises(AirbyteTracedException, match="by its own update time"):
        Reader(source).pages(Pass(since=SINCE, asks_for_nulls=True, proves_filter=True))


def test_the_filter_is_proved_by_one_request() -> None:
    source = of_ids(range(1, 201), updated_at="2026-01-01T00:00:00.700+00:00")
    Reader(source).pages(Pass(proves_filter=True))
    assert sum("id" in query for query in source.queries) == 1


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+05:30"])
def test_a_time_at_the_end_of_all_times_is_read_and_proves_nothing(time: str) -> None:
    source = of_ids(range(1, 10))
    source.records[1]["updated-at"] = time
    assert len(Reader(source).ids(Pass(proves_filter=True))) == 9
    assert [query["id"] for query in source.queries if "id" in query] == ["2"]


def test_a_filter_that_is_refused_is_done_without() -> None:
    source = of_ids(range(1, 61), updated_at="2025-01-01T00:00:00Z")
    source.refuses = ["updated_at"]
    assert len(Reader(source).ids(Pass(since=SINCE))) == 60


def test_order_by_that_is_refused_is_done_without() -> None:
    source = of_ids(range(1, 301))
    source.refuses = ["order_by"]
    assert sorted(Reader(source, useful=8).ids()) == sorted(source.records)


@pytest.mark.parametrize("since", [None, SINCE])
@pytest.mark.parametrize("useful", [1, 8])
def test_another_order_that_looks_like_that_of_ids_is_found_out(
    useful: int, since: datetime | None
) -> None:
    source = of_ids(range(1, 601))
    source.refuses = ["order_by"]
    source.default_order = lambda row: (row["updated-at"], row["id"])
    source.records[160]["updated-at"] = "2026-02-02T00:00:00Z"
    done = IdSet()

    def read() -> None:
        for page in Reader(source, useful=useful).coupa_list().read(Pass(since=since)):
            if page.covers is not None:
                done.add(*page.covers)

    with pytest.raises(AirbyteTracedException, match="order of id"):
        read()
    assert 160 not in done


def test_where_order_by_is_refused_a_record_may_change_behind_a_page() -> None:
    source = of_ids(range(1, 601))
    source.refuses = ["order_by"]
    source.records[160]["updated-at"] = "2020-01-01T00:00:00Z"

    def before(query: Query) -> None:
        if "offset" in query and query.get("id[gt]") == "150":
            source.records[160]["updated-at"] = NOW.isoformat()

    source.before = before
    assert {*range(1, 601)} - {*Reader(source).ids(Pass(since=SINCE))} == {160}


def test_what_is_refused_in_any_case_is_reported_in_coupas_words() -> None:
    source = of_ids([1])
    source.refuses = ["limit"]
    with pytest.raises(AirbyteTracedException, match="not supported"):
        Reader(source).pages(Pass(since=SINCE))


def test_an_id_filter_that_is_refused_is_reported_soon() -> None:
    source = of_ids(range(1, 301))
    source.refuses = ["id[gt]"]
    reader = Reader(source)
    with pytest.raises(AirbyteTracedException, match="not supported"):
        reader.pages()
    assert reader.clock.waited == [2, 4]


def test_a_kind_of_query_that_is_refused_once_is_sent_again() -> None:
    source = of_ids(range(1, 301))
    refused: list[Query] = []

    def refuse_once(query: Query) -> None:
        source.refuses = ["id[gt]"] if "id[gt]" in query and not refused else []
        refused.extend([query] if source.refuses else [])

    source.before = refuse_once
    assert sorted(Reader(source).ids()) == list(range(1, 301))


def test_a_request_limit_pauses_pages_when_a_small_request_meets_it() -> None:
    source = of_ids(range(1, 301))

    def limit(query: Query) -> None:
        if query.get("dir") == "desc" and 30 not in reader.clock.waited:
            raise failure(is_limit=True, wait=30.0)

    source.before = limit
    reader = Reader(source, useful=10)
    assert sorted(reader.ids()) == list(range(1, 301))
    assert 30 in reader.clock.waited


def test_a_filter_that_is_refused_says_nothing_of_fields() -> None:
    source = of_ids(range(1, 301))
    source.refuses = ["updated_at["]
    reader = Reader(source)
    assert len(reader.ids(Pass(proves_filter=True))) == 300
    assert reader.instance.capabilities.selects_fields
    source.refuses = ["fields"]
    reader.ids(Pass(proves_filter=True))
    assert not reader.instance.capabilities.selects_fields


def test_records_without_an_update_time_come_beside_a_bound() -> None:
    source = of_ids(range(1, 101))
    source.records[3]["updated-at"] = None
    assert sorted(Reader(source).ids(Pass(since=SINCE, asks_for_nulls=True))) == list(range(1, 101))


def test_they_are_asked_for_again_where_it_is_the_order_that_is_refused() -> None:
    source = of_ids(range(1, 101))
    source.records[3]["updated-at"] = None
    source.refuses = ["order_by"]
    assert sorted(Reader(source).ids(Pass(since=SINCE, asks_for_nulls=True))) == list(range(1, 101))
    assert any("updated_at[gt_or_eq]" in query for query in source.queries[-2:])


@pytest.mark.parametrize("way", ["refuses", "ignores"])
def test_they_come_where_they_cannot_be_asked_for(way: str) -> None:
    source = of_ids(range(1, 101))
    source.records[3]["updated-at"] = None
    setattr(source, way, ["updated_at[blank]"])
    assert set(Reader(source).ids(Pass(since=SINCE, asks_for_nulls=True))) == set(range(1, 101))


def test_new_records_without_an_update_time_are_found_above_the_highest_id() -> None:
    source = of_ids(range(1, 101), updated_at="2025-01-01T00:00:00Z")
    source.records[101] = record(101, None)
    source.records[102] = record(102, "2026-02-01T00:00:00Z")
    assert sorted(Reader(source).ids(Pass(since=SINCE, nulls_above=100))) == [101, 102]


@pytest.mark.parametrize("way", ["", "refuses", "ignores"])
def test_the_first_record_without_an_update_time_is_found_below_a_newer_one(way: str) -> None:
    source = of_ids(range(1, 101), updated_at="2025-01-01T00:00:00Z")
    source.records[101] = record(101, None)
    source.records[103] = record(103, "2026-02-01T00:00:00Z")
    if way:
        setattr(source, way, ["updated_at[blank]"])
    pages = Reader(source).pages(Pass(since=SINCE, highest_id=100))
    assert sorted(row["id"] for page in pages for row in page.records) == [101, 103]
    assert pages[-1].nulls_above in (101, 103)


@pytest.mark.parametrize(("new", "asks"), [((), False), ((101, 102), False), ((102,), True)])
def test_such_a_record_is_looked_for_only_where_an_id_is_missing(
    new: tuple[int, ...], asks: bool
) -> None:
    source = of_ids([*range(1, 101), *new])
    [*_, last] = Reader(source).pages(Pass(since=SINCE, highest_id=100))
    assert any("updated_at[blank]" in query for query in source.queries) == asks
    assert last.nulls_above is None


def test_a_record_that_is_edited_before_its_proof_ends_no_list() -> None:
    source = of_ids(range(1, 10))
    edits = iter(range(1, 10))

    def before(query: Query) -> None:
        if "updated_at[lt]" in query and (second := next(edits, None)):
            source.records[1]["updated-at"] = f"2026-02-01T00:00:0{second}Z"

    source.before = before
    assert len(Reader(source).ids(Pass(proves_filter=True))) == 9


def test_a_heavy_record_without_an_update_time_is_found() -> None:
    source = of_ids(range(1, 101), updated_at=None)

    def before(query: Query) -> None:
        if "fields" not in query and any(row["id"] == 33 for row in source._page(query)):
            raise failure()

    source.before = before
    pages = Reader(source).pages(Pass(since=SINCE, asks_for_nulls=True))
    assert sum(len(page.records) for page in pages) == 99
    assert [page.missing for page in pages if page.missing] == [33]


# --- Trouble ---


def test_a_page_that_is_too_heavy_is_asked_for_in_smaller_parts() -> None:
    source = of_ids(range(1, 301))
    heavy = range(101, 161)

    def before(query: Query) -> None:
        page = source._page(query)
        if "fields" not in query and sum(row["id"] in heavy for row in page) > 10:
            raise failure()

    source.before = before
    pages = Reader(source).pages()
    assert sorted(row["id"] for page in pages for row in page.records) == list(range(1, 301))
    assert not any(page.missing is not None for page in pages)


def test_a_small_page_with_a_record_that_is_hidden_ends_no_list_that_is_known() -> None:
    source = of_ids(range(1, 301))
    known = Reader(source).pages()[-1].short_page
    source.hidden = [120]

    def before(query: Query) -> None:
        if "fields" not in query and len(source._page(query)) > 12:
            raise failure()

    source.before = before
    came = Reader(source).ids(Pass(short_page=known))
    assert came == [id_ for id_ in range(1, 301) if id_ != 120]


@pytest.mark.parametrize("bad", [1, 50, 51, 77, 300])
@pytest.mark.parametrize("useful", [1, 8])
def test_a_record_that_cannot_be_read_is_named_and_passed_over(bad: int, useful: int) -> None:
    source = of_ids(range(1, 301))

    def before(query: Query) -> None:
        if "fields" not in query and any(row["id"] == bad for row in source._page(query)):
            raise failure()

    source.before = before
    pages = Reader(source, useful=useful).pages()
    came = [row["id"] for page in pages for row in page.records]
    assert sorted(came) == [id_ for id_ in range(1, 301) if id_ != bad]
    assert [page.missing for page in pages if page.missing] == [bad]
    assert IdSet(page.covers for page in pages if page.covers is not None).gaps() == []


STATUSES: dict[str, Callable[[], Exception]] = {
    "5xx": failure,
    "403": partial(failure, is_final=True),
    "400": partial(QueryRefusedError, "no reason given"),
}


def with_ill(ids: Iterable[int], ill: Iterable[int], make: Callable[[], Exception]) -> FakeList:
    """A list in which some records cannot be read, but for their ids alone."""
    source, bad = of_ids(ids), set(ill)

    def before(query: Query) -> None:
        if "fields" not in query and any(row["id"] in bad for row in source._page(query)):
            raise make()

    source.before = before
    return source


def assert_all_but(ill: Collection[int], reader: Reader, wanted: Pass | None = None) -> None:
    """All records come but for these, which are named, and nothing is left to read."""
    pages = reader.pages(wanted)
    came = [row["id"] for page in pages for row in page.records]
    assert sorted(came) == [id_ for id_ in reader.source.records if id_ not in ill]
    assert {page.missing for page in pages if page.missing is not None} == set(ill)
    assert IdSet(page.covers for page in pages if page.covers is not None).gaps() == []


@pytest.mark.parametrize("bad", [1, 77, 300])
@pytest.mark.parametrize("useful", [1, 8])
@pytest.mark.parametrize("status", STATUSES)
def test_a_record_is_passed_over_whatever_its_status_is(bad: int, useful: int, status: str) -> None:
    source = with_ill(range(1, 301), [bad], STATUSES[status])
    assert_all_but([bad], Reader(source, useful=useful))
    assert len(source.queries) < 60


@pytest.mark.parametrize("ill", [[1], [77], [300], [76, 77, 78], [1, 50, 51, 299, 300]])
@pytest.mark.parametrize("useful", [1, 8])
@pytest.mark.parametrize("gap", [1, 7, 1_000])
def test_a_record_is_found_where_ids_alone_are_refused(
    ill: list[int], useful: int, gap: int
) -> None:
    source = with_ill(range(gap, 300 * gap + 1, gap), [gap * id_ for id_ in ill], failure)
    source.refuses = ["fields"]
    assert_all_but([gap * id_ for id_ in ill], Reader(source, useful=useful))
    assert len(source.queries) < 40 + 50 * len(ill)


def time_out(reader: Reader, ill: Collection[int]) -> list[Query]:
    """Lets requests that hold such records fail after five minutes; gives these requests."""
    failed: list[Query] = []

    def before(query: Query) -> None:
        page = reader.source._page(query)
        if "fields" not in query and any(row["id"] in ill for row in page):
            reader.clock.waited.append(300.0)
            failed.append(query)
            raise failure()

    reader.source.before = before
    return failed


@pytest.mark.parametrize("bad", [1, 20, 77, 280])
@pytest.mark.parametrize("useful", [1, 8])
def test_a_record_that_times_out_costs_few_requests_that_do(bad: int, useful: int) -> None:
    reader = Reader(of_ids(range(1, 301)), useful=useful)
    failed = time_out(reader, [bad])
    assert_all_but([bad], reader)
    assert len(failed) < 9


def test_records_that_time_out_end_a_list_that_the_next_sync_goes_on_with() -> None:
    reader = Reader(of_ids(range(1, 301)))
    ill = range(50, 100)
    time_out(reader, ill)
    done, came, missing = IdSet(), set[int](), set[int]()
    syncs = 0
    while done.gaps():
        syncs += 1
        assert syncs < 10
        before = len(missing)
        reader.clock.waited.clear()
        try:
            for page in reader.coupa_list().read(Pass(done=done)):
                came |= {row["id"] for row in page.records}
                missing |= set() if page.missing is None else {page.missing}
                done = IdSet([*done, *([page.covers] if page.covers is not None else [])])
        except AirbyteTracedException:
            assert len(missing) > before
        assert sum(reader.clock.waited) < 4 * 3_600
    assert missing == set(ill)
    assert came == reader.source.records.keys() - missing


def test_a_record_of_the_next_range_ends_this_one_where_ids_alone_are_refused() -> None:
    source = with_ill([*range(1, 91), *range(101, 300)], [101], failure)
    source.refuses = ["fields"]
    pages = Reader(source).pages(Pass(done=IdSet([(100, END)])))
    assert [row["id"] for page in pages for row in page.records] == [*range(1, 91)]
    assert [page.missing for page in pages if page.missing] == []


def test_a_filter_on_ids_that_hides_records_ends_no_list() -> None:
    class Odd(FakeList):
        def _page(self, query: Query) -> list[dict[str, object]]:
            return [] if "id[lt]" in query else super()._page(query)

    source = Odd(of_ids(range(1, 301)).records, refuses=["fields"])

    def before(query: Query) -> None:
        if any(row["id"] == 77 for row in source._page(query)):
            raise failure()

    source.before = before
    with pytest.raises(AirbyteTracedException, match="not available"):
        Reader(source).pages()


def test_a_record_that_comes_at_last_is_not_passed_over() -> None:
    source = of_ids(range(1, 301))
    source.refuses = ["fields"]
    failed: list[Query] = []

    def before(query: Query) -> None:
        if len(failed) < 9 and any(row["id"] == 77 for row in source._page(query)):
            failed.append(query)
            raise failure()

    source.before = before
    assert_all_but([], Reader(source))
    assert len(failed) == 9


def test_a_body_that_one_record_makes_unreadable_costs_that_record_alone() -> None:
    class Odd(FakeList):
        def get(self, query, load, *, records):  # type: ignore[no-untyped-def]
            response = super().get(query, load, records=records)
            if b'"id":77' in response.body and "fields" not in query:
                return type(response)(200, response.body[:-5], response.began)
            return response

    source = Odd({id_: record(id_) for id_ in range(1, 301)})
    pages = Reader(source).pages()
    assert [page.missing for page in pages if page.missing] == [77]
    assert sum(len(page.records) for page in pages) == 299


def test_records_that_earlier_syncs_could_not_read_count_too() -> None:
    def before(query: Query) -> None:
        if "fields" not in query and any(row["id"] == 7 for row in source._page(query)):
            raise failure()

    source = of_ids(range(1, 61))
    source.before = before
    known = frozenset(range(1_000, 1_000 + MOST_MISSING))
    with pytest.raises(AirbyteTracedException, match="not available"):
        Reader(source).pages(Pass(missing=known))


@pytest.mark.parametrize("updated_at", ["2026-01-01T00:00:00Z", None])
def test_a_small_page_whose_records_are_hidden_is_no_end(updated_at: str | None) -> None:
    source = FakeList({id_: record(id_, updated_at) for id_ in range(1, 301)})
    source.hidden = [*range(60, 70)]

    def before(query: Query) -> None:
        if "fields" not in query and any(row["id"] == 59 for row in source._page(query)):
            raise failure()

    source.before = before
    pages = Reader(source).pages(Pass(since=SINCE, asks_for_nulls=True))
    came = [row["id"] for page in pages for row in page.records]
    assert sorted(came) == [*range(1, 59), *range(70, 301)]


def test_an_outage_that_ends_while_its_cause_is_looked_for_names_no_record() -> None:
    source = of_ids(range(1, 301))
    is_down = [True]

    def before(query: Query) -> None:
        if "fields" in query and query["limit"] == "1" and query.get("id[gt]") == "58":
            is_down[0] = False
        elif is_down[0] and any(row["id"] == 59 for row in source._page(query)):
            raise failure()

    source.before = before
    pages = Reader(source).pages()
    assert not is_down[0]
    assert [page.missing for page in pages if page.missing] == []
    assert sum(len(page.records) for page in pages) == 300


def test_a_record_of_the_next_range_that_cannot_be_read_ends_this_one() -> None:
    source = of_ids([*range(1, 91), *range(101, 300)])

    def before(query: Query) -> None:
        assert len(source.queries) < 100
        if "fields" not in query and any(row["id"] == 101 for row in source._page(query)):
            raise failure()

    source.before = before
    pages = Reader(source).pages(Pass(done=IdSet([(100, END)])))
    assert [row["id"] for page in pages for row in page.records] == [*range(1, 91)]
    assert [page.missing for page in pages if page.missing] == []


def test_a_record_of_which_only_the_id_comes_is_named() -> None:
    source = of_ids(range(1, 301))
    source.hidden = [60]

    def before(query: Query) -> None:
        assert len(source.queries) < 100
        source.hidden = [] if "fields" in query else [60]
        if "fields" not in query and any(row["id"] == 59 for row in source._page(query)):
            raise failure()

    source.before = before
    pages = Reader(source).pages()
    assert sorted(page.missing for page in pages if page.missing) == [59, 60]
    assert sum(len(page.records) for page in pages) == 298


def test_a_missing_record_is_asked_for_until_it_comes() -> None:
    source = of_ids([5])
    pages = Reader(source).pages(Pass(since=SINCE, missing=frozenset({5, 6})))
    assert {page.found for page in pages if page.found} == {5, 6}
    assert 5 in [row["id"] for page in pages for row in page.records if page.found]


def test_a_missing_record_that_still_fails_stays_missing() -> None:
    source = of_ids([5])

    def before(query: Query) -> None:
        if query.get("id") == "5":
            raise failure()

    source.before = before
    pages = Reader(source).pages(Pass(missing=frozenset({5})))
    assert not any(page.found is not None for page in pages)


def test_a_missing_record_that_still_times_out_is_asked_for_once() -> None:
    reader = Reader(of_ids([5]))
    failed = time_out(reader, [5])
    reader.pages(Pass(missing=frozenset({5}), done=IdSet([(0, END)])))
    assert len(failed) == 1


@pytest.mark.parametrize("status", ["403", "400"])
def test_a_missing_record_that_is_refused_ends_no_list(status: str) -> None:
    source = with_ill(range(1, 10), [5], STATUSES[status])
    pages = Reader(source).pages(Pass(missing=frozenset({5}), done=IdSet([(0, 5)])))
    assert [row["id"] for page in pages for row in page.records] == [6, 7, 8, 9]


def test_a_list_whose_end_is_not_found_at_once_is_read_by_many() -> None:
    source = of_ids(range(1, 2_001))
    failed: list[Query] = []

    def before(query: Query) -> None:
        if query.get("dir") == "desc" and not failed:
            failed.append(query)
            raise failure()

    source.before = before
    assert sorted(Reader(source, useful=8).ids()) == sorted(source.records)
    assert (
        len(
            {query.get("id[gt]") for query in source.queries}
            - {str(n) for n in range(0, 2_001, 50)}
        )
        > 3
    )


def test_a_newest_record_that_cannot_be_read_is_no_obstacle_to_the_proof() -> None:
    source = with_ill(range(1, 10), [9], failure)
    Reader(source).pages(Pass(proves_filter=True, done=IdSet([(0, END)])))
    assert any("updated_at[lt]" in query for query in source.queries)


def test_a_list_that_always_fails_is_given_up_after_its_attempts() -> None:
    source = of_ids([1])

    def before(query: Query) -> None:
        raise failure()

    source.before = before
    reader = Reader(source)
    with pytest.raises(AirbyteTracedException, match="not available"):
        reader.pages()
    assert 300 < sum(reader.clock.waited) < 900
    assert len(source.queries) < 14


def test_a_page_that_fails_alone_is_asked_for_in_parts_as_late_as_coupa_says() -> None:
    source = of_ids(range(1, 101))
    failed: list[Query] = []

    def before(query: Query) -> None:
        if query.get("id[gt]") == "50" and query["limit"] == "50":
            failed.append(query)
            raise failure(wait=77.0)

    source.before = before
    reader = Reader(source)
    reader.instance.breaker.answered()
    assert reader.ids(Pass(proves_filter=True)) == list(range(1, 101))
    assert failed
    assert sum(reader.clock.waited) >= 77


def test_a_setting_fails_at_once() -> None:
    source = of_ids([1])

    def before(query: Query) -> None:
        raise failure(is_final=True)

    source.before = before
    reader = Reader(source)
    with pytest.raises(AirbyteTracedException, match="refused"):
        reader.pages()
    # a page without records shows that no record is at fault
    assert len(source.queries) == 2
    assert reader.clock.waited == []


def test_a_list_that_accepts_no_token_ends_after_some() -> None:
    source = of_ids(range(1, 301))

    def before(query: Query) -> None:
        raise RequestFailedError(errors.config_error("401"), is_refused_token=True)

    source.before = before
    reader = Reader(source)
    with pytest.raises(AirbyteTracedException, match="401"):
        reader.pages()
    assert len(source.queries) == 4
    assert sum(reader.clock.waited) < 60


def test_what_was_fine_and_fails_once_is_asked_for_again() -> None:
    source = of_ids(range(1, 301))
    failed: list[Query] = []

    def before(query: Query) -> None:
        if query.get("id[gt]") == "150" and not failed:
            failed.append(query)
            raise failure(is_final=True)

    source.before = before
    assert Reader(source).ids() == list(range(1, 301))
    assert failed


def test_a_response_that_is_too_large_is_asked_for_in_parts() -> None:
    source = of_ids(range(1, 101))

    def before(query: Query) -> None:
        if "fields" not in query and int(query["limit"]) > 10:
            raise failure(too_large=20_000_000)

    source.before = before
    assert Reader(source).ids() == list(range(1, 101))


def test_a_pass_began_with_the_first_of_its_requests_however_late_its_response_is() -> None:
    """A record that changes after its page was made must lie behind the state."""
    second_came = threading.Event()
    clock = InstantClock()

    class Slow(FakeList):
        def get(self, query, load, *, records):  # type: ignore[no-untyped-def]
            if "updated_at[blank]" in query:
                clock.waited.append(60)
                return Response(200, b"[]", NOW + timedelta(seconds=clock.monotonic()))
            response = super().get(query, load, records=records)
            assert second_came.wait(10)
            return response

    reader = Reader(Slow({id_: record(id_) for id_ in range(1, 9)}), useful=2, clock=clock)
    wanted = Pass(since=datetime(2026, 1, 1, tzinfo=timezone.utc), asks_for_nulls=True)
    began = []
    for page in reader.coupa_list().read(wanted):
        began.append(page.began)
        second_came.set()
    assert {*began} == {NOW}


def test_an_instance_that_hides_records_is_known_for_good() -> None:
    """Updates of whole pages are no reason to believe short ones."""
    source = of_ids(range(1, 301))
    source.hidden = [*range(10, 30), *range(120, 145), *range(201, 240)]
    first = Reader(source).pages()
    assert 0 in [page.short_page for page in first[:-1]]
    assert first[-1].short_page == 0
    source.hidden = []
    second = Reader(source).pages(Pass(short_page=first[-1].short_page))
    source.hidden = range(10, 45)
    third = Reader(source).ids(Pass(short_page=second[-1].short_page))
    assert third == [*range(1, 10), *range(45, 301)]


def test_order_by_is_asked_for_where_it_was_the_filter_that_is_refused() -> None:
    """Also where that shows while a page is asked for without `order_by`."""
    nulls_refused = threading.Event()

    class Slow(FakeList):
        def get(self, query, load, *, records):  # type: ignore[no-untyped-def]
            if "order_by" not in query and "updated_at[blank]" in query:
                nulls_refused.set()
            elif "order_by" not in query and "updated_at[gt_or_eq]" in query:
                nulls_refused.wait(10)
                time.sleep(0.1)
            return super().get(query, load, records=records)

    source = Slow({id_: record(id_, "2026-02-01T00:00:00Z") for id_ in range(1, 301)})
    source.refuses = ["updated_at"]
    source.default_order = lambda row: row["id"] % 7
    reader = Reader(source, useful=2)
    assert {*reader.ids(Pass(since=SINCE, asks_for_nulls=True))} == {*range(1, 301)}


@pytest.mark.parametrize("useful", [1, 2, 8])
@pytest.mark.parametrize("refuses", [[], ["updated_at[blank]"]])
def test_a_record_that_is_refused_at_first_hides_no_others(useful: int, refuses: list[str]) -> None:
    """What is tried without the filter meanwhile says nothing about records without a time."""

    class Poisoned(FakeList):
        def get(self, query, load, *, records):  # type: ignore[no-untyped-def]
            response = super().get(query, load, records=records)
            if b'"id":7,' in response.body:
                return Response(400, b'{"errors":{"x":["not rendered"]}}', NOW)
            return response

    source = Poisoned({id_: record(id_, "2026-02-01T00:00:00Z") for id_ in range(1, 301)})
    for id_ in (60, 200):
        source.records[id_]["updated-at"] = None
    source.refuses = refuses
    wanted = Pass(since=SINCE, asks_for_nulls=True, proves_filter=True)
    pages = Reader(source, useful=useful).pages(wanted)
    came = {row["id"] for page in pages for row in page.records}
    assert {*source.records} - came == {7}
    assert [page.missing for page in pages if page.missing] == [7]
    proofs = [query for query in source.queries if "id" in query and "updated_at[lt]" in query]
    is_filtered = "updated_at[gt_or_eq]" in source.queries[-1]
    assert proofs or not is_filtered, "the filter is used without its proof"
