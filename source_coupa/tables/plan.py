"""Which lists a sync reads, for which tables, and since when."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk.models import ConfiguredAirbyteCatalog, SyncMode

from source_coupa.config import CoupaConfig
from source_coupa.query_filter import NO_FILTER, ListFilter
from source_coupa.reading.bookmark import Bookmark, IdSet
from source_coupa.reading.field_selection import FieldSelection, selected_columns
from source_coupa.reading.known_ids import Ids, KnownIds
from source_coupa.reading.pages import Pass, RowChanges
from source_coupa.reading.sweep import Sweep
from source_coupa.records.fields import UPDATED_AT
from source_coupa.records.references import Reference, references_of
from source_coupa.streams import StreamRow
from source_coupa.tables.columns import ADDITIONAL_FIELDS, DELETED_AT, Columns
from source_coupa.tables.rows import Rows

EARLY = timedelta(hours=2)
"""How much earlier than so many days after the last one a sweep may begin: syncs do not begin at
the same second each day."""

FIRST_YEAR = 1900
"""A time before it bounds nothing: some software writes the year 1 where it knows no time, and
there is no hour before that."""

logger = logging.getLogger("airbyte")


@dataclass
class Table:
    """A stream that is selected, as a table of its list.

    Attributes:
        stream: its row of the manifest.
        is_full_refresh: whether all of it is wanted.
        bookmark: from its state.
        since: the lower bound of update times that it wants; None for all records.
        done: ids that an earlier sync has sent in the pass that goes on.
        rows: makes its rows of a record; None if the records are its rows.
        columns: sorts its fields.
        known: the records that it has; None if nobody wants to know.
        references: objects in its rows whose ids have columns of their own.
        selected: the columns of the configured catalog.
        rows_have_times: whether its rows have update times of their own.
    """

    stream: StreamRow
    is_full_refresh: bool
    bookmark: Bookmark
    since: datetime | None
    done: IdSet
    rows: Rows | None
    columns: Columns
    known: KnownIds | None
    references: tuple[Reference, ...]
    selected: Collection[str]
    rows_have_times: bool = False

    @property
    def name(self) -> str:
        """Of the stream."""
        return self.stream.name

    @property
    def reads_all(self) -> bool:
        """Whether this pass, with the earlier parts of it, brings all that the table has."""
        mark = self.bookmark.under_way
        return self.bookmark.updated_at is None and (
            mark is None or self.bookmark.known is not None
        )

    @property
    def needs_times(self) -> bool:
        """Whether records have to say when they were changed."""
        return not self.is_full_refresh or self.since is not None

    @property
    def seen_until(self) -> datetime | None:
        """Up to when earlier syncs have seen every change, but for those of rows that leave their
        record as it is; None if no sync has."""
        has_passed = not self.is_full_refresh and self.bookmark.moment is not None
        return self.since if has_passed else None


@dataclass
class ListPlan:
    """A list and its tables, which one pass serves.

    Attributes:
        name: of the stream that the CDK reads.
        filter: what the settings ask of the list.
        tables: of the list.
    """

    name: str
    filter: ListFilter = NO_FILTER
    tables: list[Table] = field(default_factory=list)

    @property
    def resource(self) -> str:
        """The list's name under /api/."""
        return self.tables[0].stream.resource

    def wanted(self) -> Pass:
        """The pass that brings what any of the tables wants."""
        bounds = [table.since for table in self.tables]
        done = self.tables[0].done
        for table in self.tables[1:]:
            done = done.shared_with(table.done)
        bookmarks = [table.bookmark for table in self.tables]
        highest_ids = [b.highest_id for b in bookmarks if b.highest_id is not None]
        is_known = len(highest_ids) == len(bookmarks)
        nulls = [b.nulls_above for b in bookmarks if b.nulls_above is not None]
        if any(b.nulls_above is None and b.highest_id is None for b in bookmarks):
            nulls = []
        needs_times = any(table.needs_times for table in self.tables)
        return Pass(
            since=None if None in bounds else min(bound for bound in bounds if bound is not None),
            done=done,
            nulls_above=min(nulls, default=None),
            highest_id=min(highest_ids) if is_known and not nulls else None,
            asks_for_nulls=not is_known,
            proves_filter=needs_times and not is_known,
            checks_times=needs_times,
            short_page=_short_page({bookmark.short_page for bookmark in bookmarks}),
            missing=frozenset().union(*(bookmark.missing for bookmark in bookmarks)),
            row_changes=self._row_changes(),
        )

    def _row_changes(self) -> RowChanges | None:
        """Records that have changed before the bound of a table, with rows that have since."""
        bounds = [table.seen_until for table in self.tables if table.seen_until is not None]
        paths = [t.stream.rows for t in self.tables if t.stream.rows and t.rows_have_times]
        if not bounds or not paths:
            return None
        return RowChanges(paths=paths, since=min(bounds), before=max(bounds))

    def sweep(self, now: datetime, every_days: int) -> Sweep | None:
        """What to sweep the list for after the pass; None if that is not due.

        Args:
            now: the time.
            every_days: the setting; 0 for never.
        """
        for table in self.tables:
            known = table.known
            if not every_days or known is None or table.reads_all:
                continue
            if self.filter.conditions:
                logger.warning(
                    f"Stream {table.name}: a record that leaves the filter of the settings would "
                    "look like one that is gone, so deleted records are not looked for."
                )
                continue
            if known.ids is None:
                logger.warning(
                    f"Stream {table.name}: its ids have too many gaps to be kept in the state, so "
                    "deleted records are not looked for."
                )
                continue
            if not {UPDATED_AT, DELETED_AT} <= set(table.selected):
                logger.warning(
                    f"Stream {table.name}: the connection has no column {DELETED_AT}, so deleted "
                    "records are not looked for. Refresh its schema."
                )
                continue
            most = timedelta(days=every_days) - EARLY
            # one that is too old to go on would be due again when it ends
            mark = known.sweep if known.sweep and now - known.sweep.began < most else None
            if known.swept_at is None:
                return Sweep(known.ids, known.since, mark=mark)
            if now - known.swept_at >= most:
                return Sweep(known.ids, known.since, table.bookmark.highest_id, mark)
        return None

    def selection(self, schemas: Mapping[str, Mapping[str, Any]]) -> FieldSelection | None:
        """What part of its records the tables need together; None for all of them.

        Args:
            schemas: of the streams, by name.
        """
        if self.filter.response_filter:
            # it decides what comes
            return None
        names: list[str] = ["id"]
        nested: set[str] = set()
        paths: set[str] = set()
        declared: Collection[str] | None = None
        for table in self.tables:
            if table.rows is not None:
                names += [UPDATED_AT, table.rows.outermost]
                nested.add(table.rows.outermost)
                paths.add(table.rows.path)
                continue
            if ADDITIONAL_FIELDS in table.selected:
                # nobody can name what belongs there
                return None
            schema = schemas[table.name]
            chosen = selected_columns({*table.selected} - {DELETED_AT}, schema)
            if chosen is None:
                return None
            names += chosen[0]
            nested.update(chosen[1])
            declared = frozenset(schema["properties"])
        return FieldSelection(
            names, nested=nested, paths={path for path in paths if "." in path}, declared=declared
        )


def plan(
    catalog: ConfiguredAirbyteCatalog,
    states: Mapping[str, Bookmark],
    streams: Iterable[StreamRow],
    schemas: Mapping[str, Mapping[str, Any]],
    config: CoupaConfig,
    filters: Mapping[str, ListFilter] | None = None,
) -> list[ListPlan]:
    """The lists to read, each with its tables.

    A list is read once, from the earliest bound of its tables, and without one if a full refresh is
    among them; each table gets only what it wants itself. Streams that lie below single records
    have lists of their own.

    Args:
        catalog: the configured catalog.
        states: what the states of streams say; streams without one are left out.
        streams: those of the manifest.
        schemas: of the streams, by name.
        config: the settings.
        filters: what they ask of lists, by the list's name under /api/.
    """
    configured = {stream.stream.name: stream for stream in catalog.streams}
    plans: dict[str, ListPlan] = {}
    for stream in streams:
        selected = configured.get(stream.name)
        if selected is None:
            continue
        is_full_refresh = selected.sync_mode == SyncMode.full_refresh or not stream.cursor_field
        filter_ = (filters or {}).get(stream.resource, NO_FILTER)
        if stream.nested:
            # it holds for the list of parents, of which nothing but ids is read
            filter_ = filter_.of_rows
        bookmark = _made_with(filter_, states.get(stream.name, Bookmark()), stream.name)
        bookmark = _usable(bookmark, is_full_refresh)
        columns = selected.stream.json_schema.get("properties") or {}
        properties, rows = schemas[stream.name].get("properties", {}), _rows(stream)
        name = stream.name if stream.nested else stream.resource
        list_plan = plans.setdefault(name, ListPlan(name, filter_))
        list_plan.tables.append(
            Table(
                stream=stream,
                is_full_refresh=is_full_refresh,
                bookmark=bookmark,
                since=_since(stream, bookmark, config),
                done=bookmark.under_way.done if bookmark.under_way else IdSet(),
                rows=rows,
                known=_known(stream, bookmark, config, is_full_refresh=is_full_refresh),
                columns=Columns(stream.name, columns, properties),
                references=references_of(properties),
                selected=list(columns),
                rows_have_times=rows is not None and UPDATED_AT in properties,
            )
        )
    return list(plans.values())


def _made_with(filter_: ListFilter, bookmark: Bookmark, stream: str) -> Bookmark:
    """The bookmark, or an empty one if it was made with another filter: what that has left out may
    lie before it."""
    if bookmark.filter == filter_.text:
        return bookmark
    if bookmark != Bookmark(filter=bookmark.filter):
        before, now = (f"[{text}]" if text else "none" for text in (bookmark.filter, filter_.text))
        logger.warning(
            f"Stream {stream}: its filter was changed. The state was made with {before}, the "
            f"settings say {now}. The stream is synced again from the start. Rows that an earlier "
            "filter brought stay in the destination until you clear it."
        )
    return Bookmark(filter=filter_.text)


def _short_page(known: Collection[int | None]) -> int | None:
    """What the tables of a list know together of its pages, see `PageLengths`."""
    lengths = [length for length in known if length is not None]
    if 0 in lengths:
        return 0
    return min(lengths) if len(lengths) == len(known) else None


def _usable(bookmark: Bookmark, is_full_refresh: bool) -> Bookmark:
    """The bookmark without what a sync of this mode cannot go on from."""
    mark = bookmark.under_way
    if mark is not None and mark.is_full_refresh != is_full_refresh:
        mark = None
    if is_full_refresh and mark is None:
        return Bookmark(short_page=bookmark.short_page, filter=bookmark.filter)
    return bookmark.but(under_way=mark)


def _since(stream: StreamRow, bookmark: Bookmark, config: CoupaConfig) -> datetime | None:
    if not stream.cursor_field:
        return None
    if bookmark.under_way is not None:
        return bookmark.under_way.since
    start = _start(config)
    if bookmark.moment is None:
        return start
    if bookmark.moment.year < FIRST_YEAR:
        return start
    hours = max(stream.lookback_hours, config.lookback_window_hours)
    # Coupa prints whole seconds
    since = bookmark.moment.replace(microsecond=0) - timedelta(hours=hours)
    return since if start is None else max(since, start)


def _known(
    stream: StreamRow, bookmark: Bookmark, config: CoupaConfig, *, is_full_refresh: bool
) -> KnownIds | None:
    """What a table is to remember of its records: nothing before the setting is on. After that it
    goes on, so that deletions are found when the setting is on again."""
    if not stream.can_be_swept or is_full_refresh:
        return None
    if bookmark.known is None and config.deleted_records_every_days:
        return KnownIds(Ids(), since=_start(config))
    return bookmark.known


def _start(config: CoupaConfig) -> datetime | None:
    start = config.start_date
    return None if start is None or start.year < FIRST_YEAR else start.replace(microsecond=0)


def _rows(stream: StreamRow) -> Rows | None:
    if stream.rows is None or stream.parent is None:
        return None
    return Rows(
        resource=stream.resource,
        path=stream.rows,
        parent=stream.parent,
        need_ids="id" in stream.key,
    )
