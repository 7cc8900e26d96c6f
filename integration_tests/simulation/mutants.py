"""Connectors that break a rule, each of which the simulation has to find out.

A suite that no bug can fail proves nothing. Every rule that keeps records from being lost has a
connector here that breaks it, in the way in which such code is usually written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor
from airbyte_cdk.sources.streams.concurrent.partition_reader import PartitionReader
from airbyte_cdk.sources.streams.concurrent.partitions.types import PartitionCompleteSentinel
from airbyte_cdk.sources.streams.concurrent.state_converters import abstract_stream_state_converter
from airbyte_cdk.sources.types import Record
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import RESOURCE_OF
from source_coupa import source
from source_coupa.components.retriever import KeysetRetriever
from source_coupa.reading import pages, windows
from source_coupa.reading.coupa_list import ListReader, Overview
from source_coupa.reading.field_selection import Columns
from source_coupa.reading.id_ranges import RangeReader
from source_coupa.reading.pages import PAGE_SIZE, Dialect, PageReader
from source_coupa.reading.windows import Window
from source_coupa.records.fields import JsonRecord
from source_coupa.tables.rows import Rows

from .scenario import ENDING, Scenario
from .streams import STREAMS


@dataclass(frozen=True)
class Mutant:
    """A rule, what breaks it, and the scenarios in which that matters."""

    rule: str
    breaking: Callable[[], AbstractContextManager[Any]]
    matters_in: Callable[[Scenario], bool]


def _pages_of_one_time(scenario: Scenario) -> bool:
    return max(scenario.rows.values()) > 2 * PAGE_SIZE and scenario.times in (
        "one_time",
        "one_day",
    )


def _edited(scenario: Scenario) -> bool:
    return any(sync.edits.chance >= 0.5 and sync.stop is None for sync in scenario.syncs)


def _has_faults(scenario: Scenario, *kinds: str, sure_in: int = 5) -> bool:
    """Whether one of `kinds` is played on about every `sure_in`-th request of a whole sync."""
    resources = {None, *(RESOURCE_OF[stream] for stream in scenario.rows)}
    return any(
        fault.kind in kinds and fault.resource in resources and fault.rate * sure_in >= 1
        for sync in scenario.syncs
        if sync.stop is None
        for fault in sync.faults[:1]
    )


def _some_rows(scenario: Scenario) -> bool:
    return max(scenario.rows.values()) > 20


def _reads_rows(scenario: Scenario) -> bool:
    return any(STREAMS[name].parent is not None for name in scenario.streams)


# What the mutants do instead.


def _by_offset(self: ListReader, filters: Mapping[str, str]) -> Iterator[list[JsonRecord]]:
    offset = 0
    while page := self._pages.at(filters, offset):
        yield page
        offset += len(page)


_read_window = KeysetRetriever._read


def _first_page_alone(self: KeysetRetriever, *args: Any) -> Iterator[Any]:
    for number, record in enumerate(_read_window(self, *args)):
        if number < PAGE_SIZE:
            yield record


def _errors_swallowed(self: KeysetRetriever, *args: Any) -> Iterator[Any]:
    try:
        yield from _read_window(self, *args)
    except AirbyteTracedException:
        return


def _state_first(self: PartitionReader, partition: Any, cursor: Any) -> None:
    """As a reader that notes progress when a range is handed out, not when it was read."""
    for record in list(partition.read()):
        cursor.observe(record)
    cursor.close_partition(partition)
    for record in partition.read():
        self._queue.put(record)
    self._queue.put(PartitionCompleteSentinel(partition, True))


_parse = pages._parse


def _anything_is_a_list(response: Any) -> list[JsonRecord] | str:
    page = _parse(response)
    return [] if isinstance(page, str) else page


_observe = ConcurrentCursor.observe


def _time_as_text(self: ConcurrentCursor, record: Record) -> None:
    text = record.data["updated_at"]
    data = {**record.data, "updated_at": f"{text[:19]}+00:00"}
    _observe(self, Record(data, record.stream_name, record.associated_slice))


def _local_time_called_utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _short_page_is_last(self: Dialect, page: list[JsonRecord]) -> bool:
    return len(page) < PAGE_SIZE


def _exclusive_bounds(self: Window) -> dict[str, str]:
    bounds = {f"{self.field}[lt]": windows._utc(self.end)}
    if self.start is not None:
        bounds[f"{self.field}[gt]"] = windows._utc(self.start)
    return bounds


def _any_order(self: PageReader, page: list[JsonRecord]) -> list[JsonRecord]:
    return page


def _order_is_believed(self: PageReader, *_: Any) -> None:
    self.dialect.orders = True


@contextmanager
def _order_unproven() -> Iterator[None]:
    """Each of the two checks finds alone what the other one leaves."""
    with (
        patch.object(PageReader, "find_out_order", _order_is_believed),
        patch.object(ListReader, "_left_over", lambda *_: iter(())),
    ):
        yield


_request_page = RangeReader._request_page


def _range_starts_late(self: RangeReader, range_: Any) -> None:
    if range_.read == 0 and range_.cut_from is not None:
        range_.after += 1
    _request_page(self, range_)


_StateConverter = abstract_stream_state_converter.AbstractStreamStateConverter
_merge = _StateConverter.merge_intervals


def _gaps_are_closed(self: Any, intervals: Iterable[Any]) -> list[Any]:
    """As a state that is the newest time of all windows, whichever were read."""
    merged: list[Any] = _merge(self, list(intervals))
    if not merged:
        return merged
    times = [slice_.get("most_recent_cursor_value") for slice_ in merged]
    whole = {**merged[0], "end": max(slice_["end"] for slice_ in merged)}
    whole["most_recent_cursor_value"] = max(time for time in times if time is not None)
    return [whole]


def _guess_is_believed(self: ListReader, filters: Mapping[str, str]) -> bool:
    return True


_overview = ListReader.overview


def _first_page_is_all(self: ListReader, filters: Mapping[str, str]) -> Overview:
    return replace(_overview(self, filters), is_whole=True)


_slices = ConcurrentCursor.stream_slices


def _no_look_back(self: ConcurrentCursor) -> Iterable[Any]:
    self._lookback_window = None
    return _slices(self)


_ask = PageReader._ask


def _refusal_is_the_end(self: PageReader, *args: Any) -> list[JsonRecord]:
    try:
        return _ask(self, *args)
    except pages.QueryRefusedError:
        return []


_rows = Rows.of


def _last_row_left_out(self: Rows, record: JsonRecord) -> list[JsonRecord]:
    return _rows(self, record)[:-1]


def _as_windows(stream: Mapping[str, Any]) -> Mapping[str, Any]:
    return stream


def _unproved(self: Columns, *_: Any) -> None:
    self._unproved.clear()


def _changing(target: Any, name: str, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(target, name, value)


_MANY_WINDOWS = ("even", "edges", "daylight_saving")
_NO_LISTS = ("html_200", "xml_200", "invalid_json", "empty_body", "object", "null")

MUTANTS: Mapping[str, Mutant] = {
    "offsets for keyset": Mutant(
        "pages by id, not by offset",
        _changing(ListReader, "read", _by_offset),
        lambda s: _pages_of_one_time(s) and _edited(s) and not s.dialect,
    ),
    "a window closed early": Mutant(
        "the state moves only past a window that was read to its end",
        _changing(KeysetRetriever, "_read", _first_page_alone),
        _pages_of_one_time,
    ),
    "state before its records": Mutant(
        "the state moves only past a window that was read to its end",
        _changing(PartitionReader, "process_partition", _state_first),
        _some_rows,
    ),
    "state past a gap": Mutant(
        "windows that are read out of order do not move the state past a gap",
        _changing(_StateConverter, "merge_intervals", _gaps_are_closed),
        lambda s: _some_rows(s) and s.times in _MANY_WINDOWS,
    ),
    "errors swallowed": Mutant(
        "where records could be missed, the stream fails",
        _changing(KeysetRetriever, "_read", _errors_swallowed),
        lambda s: _some_rows(s) and any(f in _plain_ending(s) for f in ("status", "unordered")),
    ),
    "no list taken for an empty one": Mutant(
        "a body that is no JSON list is never 'no records'",
        _changing(pages, "_parse", _anything_is_a_list),
        lambda s: (
            _some_rows(s)
            and _has_faults(
                s, "html_200", "xml_200", "invalid_json", "empty_body", "object", "null"
            )
        ),
    ),
    "times compared as text": Mutant(
        "times are compared as instants",
        _changing(ConcurrentCursor, "observe", _time_as_text),
        lambda s: _some_rows(s) and s.times == "one_day" and s.syncs[1].lookback_hours < 12,
    ),
    "local time called UTC": Mutant(
        "requests carry UTC",
        _changing(windows, "_utc", _local_time_called_utc),
        lambda s: _some_rows(s) and s.times == "one_day" and s.syncs[1].lookback_hours < 12,
    ),
    "every short page is the last": Mutant(
        "a short page ends a list only if a longer one was seen",
        _changing(Dialect, "is_last", _short_page_is_last),
        lambda s: _pages_of_one_time(s) and s.dialect.get("page_cap", 50) < 50,
    ),
    "edges that belong to no window": Mutant(
        "windows share their boundary, and one of them holds it",
        lambda: patch.object(Window, "filters", property(_exclusive_bounds)),
        lambda s: _some_rows(s) and s.times == "edges",
    ),
    "any order will do": Mutant(
        "ids must ascend within a page and past the last one",
        _changing(PageReader, "_checked", _any_order),
        lambda s: (
            _pages_of_one_time(s)
            and s.dialect.get("order_by_id") in ("refused", "ignored")
            and s.dialect.get("default_order", "id") != "id"
        ),
    ),
    "order_by is believed": Mutant(
        "one request proves that order_by works, and the end of a list is looked at",
        _order_unproven,
        lambda s: (
            max(s.rows.values()) > PAGE_SIZE
            and s.times == "like_ids"
            and s.dialect.get("order_by_id") == "ignored"
            and s.dialect.get("default_order") == "updated_at"
        ),
    ),
    "a gap between two ranges": Mutant(
        "ranges are disjoint and without gaps",
        _changing(RangeReader, "_request_page", _range_starts_late),
        lambda s: _pages_of_one_time(s) and s.divides_early and not s.dialect and s.ids == "dense",
    ),
    "a guess is believed": Mutant(
        "one request proves that nothing was changed before the first record's creation",
        _changing(ListReader, "is_empty", _guess_is_believed),
        lambda s: s.times == "ancient" and max(s.rows.values()) > PAGE_SIZE and s.creation == "any",
    ),
    "a first page is all": Mutant(
        "a page is taken for a list only where both ends are seen",
        _changing(ListReader, "overview", _first_page_is_all),
        lambda s: s.times == "ancient" and max(s.rows.values()) > PAGE_SIZE,
    ),
    "no look-back": Mutant(
        "the look-back window finds what is stored late",
        _changing(ConcurrentCursor, "stream_slices", _no_look_back),
        lambda s: _some_rows(s) and any(sync.edits.late and _edited(s) for sync in s.syncs),
    ),
    "a refused query is the end": Mutant(
        "what an instance refuses is asked for in another way, or the stream fails",
        _changing(PageReader, "_ask", _refusal_is_the_end),
        lambda s: _pages_of_one_time(s) and s.dialect.get("id_filter") == "refused",
    ),
    "a row left out": Mutant(
        "a child table has a row for each object of the list",
        _changing(Rows, "of", _last_row_left_out),
        lambda s: _some_rows(s) and _reads_rows(s),
    ),
    "a full refresh by windows": Mutant(
        "a full refresh reads one list, which records that are edited do not leave",
        _changing(source, "_whole", _as_windows),
        lambda s: _pages_of_one_time(s) and s.mode == "full_refresh" and _edited(s),
    ),
    "columns without proof": Mutant(
        "columns are asked for alone only where they come as in full records",
        _changing(Columns, "prove", _unproved),
        lambda s: (
            max(s.rows.values()) > PAGE_SIZE
            and (s.selects_columns or _reads_rows(s))
            and s.dialect.get("nested_fields") == "ids"
        ),
    ),
}
"""By name."""


def _plain_ending(scenario: Scenario) -> set[str]:
    """Kinds of faults in a scenario that end a stream."""
    ending = {(plan.kind, plan.status) for plan in ENDING}
    return {
        fault.kind
        for sync in scenario.syncs
        if sync.stop is None
        for fault in sync.faults
        if (fault.kind, fault.status) in ending and fault.resource != "oauth"
    }
