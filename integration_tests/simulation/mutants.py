"""Connectors that break a rule, each of which the simulation has to find out.

A suite that no bug can fail proves nothing. Every rule that keeps records from being lost, or from
being sent again without need, has a connector here that breaks it, in the way in which such code is
usually written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any
from unittest.mock import patch

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import RESOURCE_OF
from source_coupa.config import CoupaConfig
from source_coupa.reading import coupa_list, ill_pages, queries, responses, sweep
from source_coupa.reading.bookmark import Bookmark, IdSet
from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.filter_proof import FilterProof
from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.ill_pages import IllPages
from source_coupa.reading.known_ids import Ids
from source_coupa.reading.page_lengths import PageLengths
from source_coupa.reading.pages import Page, Pass
from source_coupa.reading.requests import Requests
from source_coupa.reading.row_changes import Watch
from source_coupa.records.fields import JsonRecord
from source_coupa.streams import StreamRow
from source_coupa.tables import fan_out, plan
from source_coupa.tables.plan import ListPlan
from source_coupa.tables.rows import Rows
from source_coupa.transport.circuit_breaker import CircuitBreaker
from source_coupa.transport.connection import HttpConnection, RequestFailedError

from .scenario import GIVEN_UP, Scenario
from .streams import STREAMS


@dataclass(frozen=True)
class Mutant:
    """A rule, what breaks it, and the scenarios in which that matters."""

    rule: str
    breaking: Callable[[], AbstractContextManager[Any]]
    matters_in: Callable[[Scenario], bool]


# Where a rule matters.


def _long(scenario: Scenario, pages: int = 2) -> bool:
    return max(scenario.rows.values()) > pages * PAGE_SIZE


def _some(scenario: Scenario) -> bool:
    return max(scenario.rows.values()) > 20


def _is_usual(scenario: Scenario) -> bool:
    return not scenario.dialect


def _is_calm(scenario: Scenario) -> bool:
    """Whether some sync before the last has no faults and is not stopped."""
    return any(not (sync.faults or sync.ill or sync.stop) for sync in scenario.syncs[:-1])


def _is_edited(scenario: Scenario) -> bool:
    return any(sync.edits.chance >= 0.5 for sync in scenario.syncs)


def _is_cut(scenario: Scenario, *, late: bool = True) -> bool:
    """Whether a sync is stopped in the middle of it, and had no other trouble."""
    return any(
        sync.stop is not None and (0.3 if late else 0.1) < sync.stop.share < 0.9 and not sync.faults
        for sync in scenario.syncs
    )


def _is_incremental(scenario: Scenario) -> bool:
    return scenario.mode == "incremental"


def _reads_rows(scenario: Scenario) -> bool:
    return any(STREAMS[name].parent is not None for name in scenario.streams)


def _has_faults(scenario: Scenario, *kinds: str) -> bool:
    """Whether one of `kinds` is played on lists in a whole sync."""
    resources = {None, *(RESOURCE_OF[stream] for stream in scenario.rows)}
    return any(
        fault.kind in kinds and fault.resource in resources and not fault.after
        for sync in scenario.syncs
        if sync.stop is None
        for fault in sync.faults
    )


def _has_ill(scenario: Scenario, *, heavy: bool, slow: bool = False) -> bool:
    """Whether records are heavy, or cannot be read, in a whole sync of their list; `slow` wants
    those that fail slowly."""
    return not scenario.may_fail_for_good and any(
        sync.ill is not None
        and bool(sync.ill.bearable) == heavy
        and bool(sync.ill.fault.seconds) >= slow
        and (not heavy or len(sync.ill.places) > 20)
        and sync.stop is None
        and any(STREAMS[name].resource == sync.ill.fault.resource for name in sync.streams)
        for sync in scenario.syncs
    )


def _has_request_refused_early(scenario: Scenario) -> bool:
    """Whether a list's first requests meet what only another attempt heals, not a smaller page."""
    return any(
        fault.kind == "status"
        and fault.status in (401, 429)
        and fault.resource not in (None, "oauth")
        and fault.times
        and fault.after < 2
        for sync in scenario.syncs
        if sync.stop is None
        for fault in sync.faults
    )


def _changes_tables(scenario: Scenario, *, after_stop: bool = False) -> bool:
    """Whether a table joins another one of its list that has been read to its end, or was stopped
    in the middle."""
    return any(
        STREAMS[new].list_ == STREAMS[old].list_ and new not in sync.streams
        for sync in scenario.syncs[:1]
        if not (sync.faults or sync.ill or sync.revocations)
        and (0.3 < sync.stop.share < 0.9 if sync.stop else not after_stop)
        and after_stop == bool(sync.stop)
        for old in sync.streams
        for new in scenario.streams
    )


# What the mutants do instead.


_turn = fan_out._Progress.turn


def _bookmark_ahead(self: fan_out._Progress, page: Page) -> dict[str, Any] | None:
    if page.covers is not None:
        page = replace(page, covers=(page.covers[0], page.covers[1] + 10 * PAGE_SIZE))
    return _turn(self, page)


def _up_to_the_newest(self: fan_out._Progress) -> str | None:
    return self._newest or self.table.bookmark.updated_at


def _by_its_own_clock(self: HttpConnection, response: Any, seconds: float) -> datetime:
    return self._clock.now()


_start_over = fan_out._Progress._start_over


def _began_with_this_part(self: fan_out._Progress) -> None:
    _start_over(self)
    self._began = None


def _always_wanted(self: fan_out._Progress, *_: Any, **__: Any) -> bool:
    return True


_since = plan._since


def _no_look_back(stream: StreamRow, mark: Bookmark, config: CoupaConfig) -> datetime | None:
    return _since(replace(stream, lookback_hours=0), mark, replace(config, lookback_window_hours=0))


def _no_bound(stream: StreamRow, mark: Bookmark, config: CoupaConfig) -> datetime | None:
    return config.start_date


def _starts_again(mark: Bookmark, is_full_refresh: bool) -> Bookmark:
    return Bookmark() if is_full_refresh else mark.but(under_way=None)


_wanted = ListPlan.wanted


def _latest_bound(self: ListPlan) -> Pass:
    bounds = [table.since for table in self.tables if table.since is not None]
    return replace(_wanted(self), since=max(bounds, default=None))


def _done_of_any(self: IdSet, other: IdSet) -> IdSet:
    return IdSet((*self, *other))


def _any_order(resource: str, page: list[JsonRecord], after: int | None) -> list[JsonRecord]:
    return page


def _nulls_dropped(self: Any, range_: Any, size: int, page: Any, fetched: Any) -> Iterable[Page]:
    return [Page(load=fetched.load)]


def _proved(self: Any, *_: Any) -> Iterable[Page]:
    return ()


_to_state = Bookmark.to_state


def _missing_forgotten(self: Bookmark, cursor_field: str) -> dict[str, Any]:
    return _to_state(self.but(missing=frozenset()), cursor_field)


_read = CoupaList.read


def _errors_swallowed(self: CoupaList, wanted: Pass) -> Iterator[Page]:
    page = Page()
    try:
        for page in _read(self, wanted):
            yield page
    except AirbyteTracedException:
        yield Page(began=page.began, is_last=True)


_parsed = responses._parsed


def _anything_is_a_list(body: bytes) -> list[JsonRecord] | str:
    page = _parsed(body)
    return [] if isinstance(page, str) else page


def _local_time_called_utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _short_page_is_last(self: PageLengths, length: int, size: int) -> bool:
    return length < size


_cut = IdRange.cut


def _range_starts_late(self: IdRange, at: int) -> IdRange:
    rest = _cut(self, at)
    rest.after += 1
    return rest


_rows = Rows.of


def _last_row_left_out(self: Rows, record: JsonRecord) -> list[JsonRecord]:
    return _rows(self, record)[:-1]


_take = Watch.take


def _matching_rows_taken_for_all(
    self: Watch, range_: IdRange, page: list[JsonRecord]
) -> tuple[list[JsonRecord], set[int]]:
    self._are_whole = True
    return _take(self, range_, page)


def _taken_at_its_word(
    self: Watch, range_: IdRange, page: list[JsonRecord]
) -> tuple[list[JsonRecord], set[int]]:
    return page, set()


def _passed_over_in_silence(self: IdRange, id_: int) -> None:
    self.after = id_ + PAGE_SIZE


def _given_up(self: Any, look: Any, *_: Any) -> None:
    raise look.error


def _gone_on_the_next_page(found: sweep.Sweep, seen: Ids, _: CoupaList) -> frozenset[int]:
    return frozenset(found.known - Ids.of(islice(seen, PAGE_SIZE)))


def _changing(target: Any, name: str, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(target, name, value)


_NO_LISTS = ("html_200", "xml_200", "invalid_json", "empty_body", "object", "null")
_reading = coupa_list._Reading

MUTANTS: Mapping[str, Mutant] = {
    "a bookmark that runs ahead": Mutant(
        "a bookmark holds what was sent, and nothing else",
        _changing(fan_out._Progress, "turn", _bookmark_ahead),
        lambda s: _long(s, 4) and s.marks_often and _is_cut(s),
    ),
    "state up to the newest record": Mutant(
        "a state is never later than the beginning of its pass",
        _changing(fan_out._Progress, "_reached", _up_to_the_newest),
        lambda s: _is_incremental(s) and _some(s) and _is_edited(s) and _is_calm(s),
    ),
    "the connector's own clock": Mutant(
        "when a pass began goes by Coupa's clock",
        _changing(HttpConnection, "_moment", _by_its_own_clock),
        lambda s: (
            _is_incremental(s) and s.clock_ahead > 0 and _is_edited(s) and _is_calm(s) and _some(s)
        ),
    ),
    "a pass that begins with its last part": Mutant(
        "a pass began when its first part did",
        _changing(fan_out._Progress, "_start_over", _began_with_this_part),
        lambda s: (
            _is_incremental(s)
            and _long(s, 4)
            and s.marks_often
            and any(
                cut.stop and 0.3 < cut.stop.share < 0.9 and not cut.faults and then.edits_before > 5
                for cut, then in zip(s.syncs, s.syncs[1:], strict=False)
            )
        ),
    ),
    "records for all tables alike": Mutant(
        "a table gets no record that is older than its own bound",
        _changing(fan_out._Progress, "wants", _always_wanted),
        lambda s: _is_incremental(s) and _changes_tables(s) and _some(s),
    ),
    "no look-back": Mutant(
        "the look-back window finds what is stored late",
        _changing(plan, "_since", _no_look_back),
        lambda s: (
            _is_incremental(s) and any(sync.edits.late and sync.edits.chance for sync in s.syncs)
        ),
    ),
    "everything in each sync": Mutant(
        "nothing is sent again without need",
        _changing(plan, "_since", _no_bound),
        lambda s: _is_incremental(s) and _some(s) and _is_calm(s),
    ),
    "a bookmark that is not read": Mutant(
        "a sync goes on where one was stopped",
        _changing(plan, "_usable", _starts_again),
        lambda s: _long(s, 6) and s.marks_often and _is_cut(s),
    ),
    "the latest bound of all tables": Mutant(
        "a list is read from the earliest bound of its tables",
        _changing(ListPlan, "wanted", _latest_bound),
        lambda s: _is_incremental(s) and _changes_tables(s) and _some(s),
    ),
    "what one table has is done for all": Mutant(
        "a pass leaves out only what every table has",
        _changing(IdSet, "shared_with", _done_of_any),
        lambda s: _changes_tables(s, after_stop=True) and _long(s, 3) and s.marks_often,
    ),
    "any order will do": Mutant(
        "ids must ascend within a page and past the last one",
        _changing(coupa_list, "checked", _any_order),
        lambda s: (
            _long(s)
            and s.dialect.get("order_by_id") == "refused"
            and s.dialect.get("default_order", "id") != "id"
        ),
    ),
    "a filter without proof": Mutant(
        "one record has to come back for its own second",
        _changing(FilterProof, "_on_proof", _proved),
        lambda s: (
            _is_incremental(s)
            and _some(s)
            and _is_edited(s)
            and abs(s.dialect.get("filter_zone", 0.0)) > min(y.lookback_hours for y in s.syncs)
        ),
    ),
    "nulls are not asked for": Mutant(
        "records without an update time are asked for besides",
        _changing(_reading, "_on_nulls", _nulls_dropped),
        lambda s: _some(s) and s.nulls > 0.1 and bool(s.syncs[0].start_date),
    ),
    "missing records forgotten": Mutant(
        "a record that cannot be read stays in the state until it comes",
        _changing(Bookmark, "to_state", _missing_forgotten),
        lambda s: _is_incremental(s) and _some(s) and _has_ill(s, heavy=False),
    ),
    "errors swallowed": Mutant(
        "where records could be missed, the stream fails",
        _changing(CoupaList, "read", _errors_swallowed),
        lambda s: _some(s) and _has_faults(s, "unordered", "missing_id", "status"),
    ),
    "no list taken for an empty one": Mutant(
        "a body that is no JSON list is never 'no records'",
        _changing(responses, "_parsed", _anything_is_a_list),
        lambda s: _some(s) and _has_faults(s, *_NO_LISTS),
    ),
    "local time called UTC": Mutant(
        "requests carry UTC",
        _changing(queries, "text_of", _local_time_called_utc),
        lambda s: _some(s) and s.times == "one_day" and s.syncs[1].lookback_hours < 12,
    ),
    "every short page is the last": Mutant(
        "a short page ends a list only if an earlier sync has seen that",
        _changing(PageLengths, "is_last", _short_page_is_last),
        lambda s: _long(s) and s.dialect.get("page_cap", 50) < 50,
    ),
    "a gap between two ranges": Mutant(
        "ranges are disjoint and without gaps",
        _changing(IdRange, "cut", _range_starts_late),
        lambda s: _long(s, 5) and s.divides_early and _is_usual(s) and s.ids == "dense",
    ),
    "a row left out": Mutant(
        "a child table has a row for each object of the list",
        _changing(Rows, "of", _last_row_left_out),
        lambda s: _some(s) and _reads_rows(s),
    ),
    "rows that change alone": Mutant(
        "a changed row arrives, whether its record has changed or not",
        _changing(ListPlan, "_row_changes", lambda self: None),
        lambda s: s.edits_rows and _some(s) and any(y.edits_before > 5 for y in s.syncs),
    ),
    "changed rows taken for all": Mutant(
        "a record comes with all of its rows",
        _changing(Watch, "take", _matching_rows_taken_for_all),
        lambda s: (
            s.dialect.get("association_rows") == "matching"
            and _some(s)
            and any(y.edits_before > 5 for y in s.syncs)
        ),
    ),
    "a filter on rows without proof": Mutant(
        "nothing is sent again without need",
        _changing(Watch, "take", _taken_at_its_word),
        lambda s: (
            s.dialect.get("association_times") == "ignored"
            and _is_incremental(s)
            and _some(s)
            and _is_calm(s)
        ),
    ),
    "columns without proof": Mutant(
        "columns are asked for alone only where they come as in full records",
        _changing(FieldSelection, "compare", lambda self, *_: self._unproved.clear()),
        lambda s: (
            _long(s)
            and (s.selects_columns or _reads_rows(s))
            and bool(s.dialect.keys() & {"nested_fields", "fields_depth"})
            and s.dialect.get("nested_fields") != "refused"
        ),
    ),
    "one dead list takes the host down": Mutant(
        "a healthy list completes whatever the others do",
        _changing(CircuitBreaker, "is_open", property(lambda self: True)),
        _has_request_refused_early,
    ),
    "a page that fails as a whole": Mutant(
        "a page that fails is asked for again with fewer records",
        _changing(RequestFailedError, "is_page", property(lambda self: False)),
        lambda s: _some(s) and _has_ill(s, heavy=True),
    ),
    "one bad record ends its list": Mutant(
        "a record that can be read arrives",
        _changing(IllPages, "_look_behind", _given_up),
        lambda s: _some(s) and _has_ill(s, heavy=False) and "fields" not in s.dialect,
    ),
    "a bad record whose id does not come alone": Mutant(
        "a record that can be read arrives, wherever Coupa refuses to send ids alone",
        _changing(IllPages, "_on_failure_between", _given_up),
        lambda s: (
            _some(s)
            and _has_ill(s, heavy=False)
            and "fields" in s.dialect
            and "hidden_every" not in s.dialect
        ),
    ),
    "no patience with slow records": Mutant(
        "a record that fails slowly ends no list",
        _changing(ill_pages, "MOST_LOST", GIVEN_UP),
        lambda s: _some(s) and _has_ill(s, heavy=False, slow=True),
    ),
    "neighbours of a bad record": Mutant(
        "only the record that cannot be read is passed over",
        _changing(IdRange, "pass_over", _passed_over_in_silence),
        lambda s: _some(s) and _has_ill(s, heavy=False) and "fields" not in s.dialect,
    ),
    "one page of ids is all": Mutant(
        "no row is deleted that Coupa still shows",
        _changing(sweep, "_gone", _gone_on_the_next_page),
        lambda s: (
            bool(s.deleted_every)
            and _is_incremental(s)
            and any(count > 2 * PAGE_SIZE and name in s.streams for name, count in s.rows.items())
            and not s.may_fail_for_good
            and any(sync.pause_hours > 24 * s.deleted_every for sync in s.syncs[1:])
        ),
    ),
    "a blip taken for a setting": Mutant(
        "what was fine before and fails once is asked for again",
        _changing(Requests, "has_answered", property(lambda self: False)),
        lambda s: any(
            fault.times and fault.after and fault.status in (403, 404, 405, 418) and fault.resource
            for sync in s.syncs
            if sync.stop is None
            for fault in sync.faults
        ),
    ),
}
"""By name."""
