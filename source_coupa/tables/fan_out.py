"""Turns what is read of lists into the messages of their tables.

The CDK reads one stream for each list. Each of its records is a `Page`; here, pages become the rows
and states of all tables of the list, and statuses and errors of the list become theirs.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from airbyte_cdk.models import (
    AirbyteEstimateTraceMessage,
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateStats,
    AirbyteStateType,
    AirbyteStreamState,
    AirbyteStreamStatus,
    AirbyteTraceMessage,
    EstimateType,
    StreamDescriptor,
    TraceType,
    Type,
)
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message as status_message
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.bookmark import Bookmark, IdSet, PassMark, text_of
from source_coupa.reading.known_ids import Ids, KnownIds, SweepMark
from source_coupa.reading.pages import Page, Swept
from source_coupa.reading.responses import moment_of
from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant
from source_coupa.records.references import add_ids
from source_coupa.tables.columns import DELETED_AT
from source_coupa.tables.plan import ListPlan, Table
from source_coupa.transport.clock import Clock
from source_coupa.transport.scheduler import Traffic

PAGE = "page"
"""The one field of the records that the CDK reads: a `Page`."""

PAGES_PER_STATE = 20
"""Pages from one state message of a table to the next: a sync that is killed repeats fewer."""

CHARACTERS_PER_PAGE = 1_000
"""Of the ids in a state: states take little of what pages take."""

SECONDS_PER_STATE = 60.0
"""After which a state is printed although fewer pages came."""

SECONDS_PER_LOG = 60.0
"""From one line on the progress to the next."""

MOST_SILENCE = 120.0
"""Seconds after which something is printed although nothing has happened: Airbyte ends a source
that prints nothing for long."""

NO_CURSOR_STATE: Mapping[str, Any] = {"__ab_no_cursor_state_message": True}
"""What the CDK prints at the end of a full refresh."""

logger = logging.getLogger("airbyte")


class _Progress:
    """One table while its list is read."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self.table = table
        self.rows = 0
        self.has_failed = False
        self.missing = set(table.bookmark.missing)
        self._clock = clock
        self._state_at = clock.monotonic()
        self._known = table.known
        self._new_ids = array("q")
        self._known_size = 0
        self._complete: Bookmark | None = None
        self._start_over()

    def _start_over(self) -> None:
        mark = self.table.bookmark.under_way
        self._sent = IdSet(self.table.done)
        self._began = mark.began if mark else None
        self._newest = mark.newest if mark else None
        self._newest_moment = instant(mark.newest) if mark and mark.newest else None
        self._highest = self.table.bookmark.highest_id or 0
        self._has_nulls = bool(mark and mark.has_nulls)
        self._has_nulls = self._has_nulls or self.table.bookmark.nulls_above is not None
        self._nulls_sent = self.table.bookmark.nulls_above
        self._short_page = self.table.bookmark.short_page
        self._pages = 0

    def wants(self, page: Page, record: JsonRecord, moment: datetime | None) -> bool:
        """Whether a record belongs to what this table has yet to get."""
        table = self.table
        if page.is_back or table.stream.nested or record["id"] in self.missing:
            return True
        if page.is_of_row_changes:
            bound = table.seen_until
            return bound is not None and (moment is None or moment < bound)
        if page.covers is not None and record["id"] in table.done:
            return False
        return moment is None or table.since is None or moment >= table.since

    def note(self, record: JsonRecord, moment: datetime | None) -> None:
        """Takes note of a record that was sent."""
        if self.table.stream.nested:
            return
        self._highest = max(self._highest, record["id"])
        if moment is None:
            self._has_nulls = self._has_nulls or not self.table.is_full_refresh
        elif self._newest_moment is None or moment > self._newest_moment:
            self._newest_moment, self._newest = moment, record[UPDATED_AT]

    def note_row(self, record: JsonRecord, moment: datetime | None) -> None:
        """Takes note of a record whose row was sent."""
        known = self._known
        if known is None or known.ids is None or (known.since is not None and moment is None):
            return
        self._new_ids.append(record["id"])
        if moment is not None and (known.newest is None or moment > instant(known.newest)):
            self._known = replace(known, newest=record[UPDATED_AT])

    def known(self) -> KnownIds | None:
        """The records that the table has."""
        if self._known is not None and self._known.ids is not None and self._new_ids:
            self._known = replace(self._known, ids=self._known.ids | Ids.of(self._new_ids))
            self._new_ids = array("q")
        return self._known

    def turn_swept(self, swept: Swept) -> dict[str, Any]:
        """Takes note of a sweep whose deletions were sent; gives the state."""
        known = self.known()
        assert known is not None
        assert known.ids is not None
        ids = known.ids if known.swept_at is not None else known.ids | swept.seen
        ids -= Ids.of(swept.gone)
        self._known = replace(known, ids=ids, swept_at=swept.began, sweep=None)
        return self.state() or {}

    def turn_sweep(self, mark: SweepMark) -> dict[str, Any] | None:
        """Takes note of a sweep that is under way; gives the state."""
        if self._known is None:
            return None
        self._known = replace(self._known, sweep=mark)
        return self.state()

    def turn(self, page: Page) -> dict[str, Any] | None:
        """Takes note of a page whose rows were sent; gives the state that is due, if one is."""
        self._began = self._began or page.began
        if page.starts_over:
            began = self._began
            self._start_over()
            self._began = self._began or began
            if self.table.stream.nested:
                # what an earlier sync sent came in the way that has proved wrong
                self._sent = IdSet()
        if page.missing is not None:
            self.missing.add(page.missing)
        if page.found is not None:
            self.missing.discard(page.found)
        if page.is_last:
            return self._final(page)
        if page.short_page is not None:
            self._short_page = page.short_page
        if page.covers is not None:
            self._sent.add(*page.covers)
            self._pages += 1
        if page.nulls_above is not None:
            self._nulls_sent = max(page.nulls_above, self._nulls_sent or 0)
            self._pages += 1
        now = self._clock.monotonic()
        # ids that are spread unevenly make states long, which then are rarer
        pages = max(PAGES_PER_STATE, self._known_size // CHARACTERS_PER_PAGE)
        is_due = self._pages >= pages or now - self._state_at >= SECONDS_PER_STATE
        if not is_due or not self._pages:
            return None
        self._pages = 0
        self._state_at = now
        return self.state()

    def state(self) -> dict[str, Any] | None:
        """The state of a pass; None if nothing is known yet."""
        table = self.table
        if self._complete is not None:
            return self._written(self._complete)
        if self._began is None:
            return None
        mark = PassMark(
            began=self._began,
            since=table.since,
            done=self._sent,
            newest=self._newest,
            has_nulls=self._has_nulls,
            is_full_refresh=table.is_full_refresh,
        )
        bookmark = table.bookmark.but(
            nulls_above=self._nulls_sent,
            short_page=self._short_page,
            missing=frozenset(self.missing),
            under_way=mark,
        )
        return self._written(bookmark)

    def _written(self, bookmark: Bookmark) -> dict[str, Any]:
        state = bookmark.but(known=self.known()).to_state(self.table.stream.state_field)
        self._known_size = len((state.get("known_ids") or {}).get("ids") or "")
        return state

    def _final(self, page: Page) -> dict[str, Any]:
        table = self.table
        if table.is_full_refresh:
            if not self.missing:
                return dict(NO_CURSOR_STATE)
            return Bookmark(missing=frozenset(self.missing), filter=table.bookmark.filter).to_state(
                table.stream.state_field
            )
        bookmark = Bookmark(
            updated_at=self._reached(),
            highest_id=self._highest or None,
            nulls_above=self._nulls_above(page.nulls_above),
            short_page=page.short_page,
            missing=frozenset(self.missing),
            filter=table.bookmark.filter,
        )
        if bookmark.updated_at is None and bookmark.nulls_above is None:
            # nothing was there to prove anything with
            bookmark = bookmark.but(highest_id=None)
        if self._known is not None and self._known.swept_at is None and table.reads_all:
            self._known = replace(self._known, swept_at=self._began)
        self._complete = bookmark
        return self._written(bookmark)

    def _nulls_above(self, asked: int | None) -> int | None:
        """Up to which id records without an update time were sent: as far as they were asked for,
        or in a pass without a bound, to its end."""
        if asked is not None:
            return asked
        return self._highest if self._has_nulls else None

    def _reached(self) -> str | None:
        """The time up to which everything was sent: when the pass began, but never later than the
        newest record that was seen, nor earlier than before."""
        before = self.table.bookmark
        reached, text = self._newest_moment, self._newest
        if reached is not None and self._began is not None and self._began < reached:
            reached = self._began
            text = reached.isoformat(timespec="seconds").replace("+00:00", "Z")
        if reached is None or (before.moment is not None and before.moment >= reached):
            return before.updated_at
        return text


class _List:
    """One list while it is read."""

    def __init__(self, plan: ListPlan, clock: Clock) -> None:
        self.resource = plan.resource
        self.tables = [_Progress(table, clock) for table in plan.tables]
        self.has_times = any(table.stream.cursor_field for table in plan.tables)
        self.is_complete = False
        self.records = 0
        self.left: int | None = None
        self._clock = clock
        self._began: float | None = None

    def live(self) -> list[_Progress]:
        """The tables that have not failed."""
        return [table for table in self.tables if not table.has_failed]

    def note(self, page: Page) -> None:
        """Takes note of a page that came."""
        if self._began is None:
            self._began = self._clock.monotonic()
        self.records += len(page.records)
        self.left = page.left if page.covers is not None else self.left

    def estimates(self) -> Iterator[AirbyteMessage]:
        """About how many rows each table will have got, if that can be known."""
        if self.left is None or not self.records:
            return
        for progress in self.live():
            rows = progress.rows + round(self.left * progress.rows / self.records)
            estimate = AirbyteEstimateTraceMessage(
                name=progress.table.name, type=EstimateType.STREAM, row_estimate=rows
            )
            trace = AirbyteTraceMessage(
                type=TraceType.ESTIMATE,
                emitted_at=time.time_ns() / 1_000_000,
                estimate=estimate,
            )
            yield AirbyteMessage(type=Type.TRACE, trace=trace)

    def __str__(self) -> str:
        """Its tables and their rows, and where it is known, how far it is read and when it ends."""
        text = ", ".join(f"{p.table.name} {p.rows:,} rows" for p in self.tables if p.rows)
        if self.left is None or not self.records or self._began is None:
            return text
        share = self.records / (self.records + self.left)
        minutes = (self._clock.monotonic() - self._began) * self.left / self.records / 60
        return f"{text} (about {share:.0%}, {minutes:.0f} minutes left)"


class FanOut:
    """The messages of a sync.

    Args:
        plans: the lists that the CDK reads.
        clock: the connector's.
        traffic: all requests to lists.
    """

    def __init__(self, plans: Sequence[ListPlan], clock: Clock, traffic: Traffic) -> None:
        self._lists = {plan.name: _List(plan, clock) for plan in plans}
        self._clock = clock
        self._traffic = traffic
        self._began = self._said_at = self._logged_at = clock.monotonic()
        self._logged = replace(traffic)

    def messages(self, messages: Iterable[AirbyteMessage]) -> Iterator[AirbyteMessage]:
        """Those of the tables, and all that belong to no list as they are."""
        try:
            for message in messages:
                if message.type != Type.LOG:
                    self._said_at = self._clock.monotonic()
                yield from self._of(message)
        finally:
            self._log_end()

    def _of(self, message: AirbyteMessage) -> Iterable[AirbyteMessage]:
        if message.record is not None and message.record.stream in self._lists:
            return self._of_page(self._lists[message.record.stream], message.record.data[PAGE])
        if message.state is not None and message.state.stream is not None:
            # the CDK's own; those of tables are made here
            known = message.state.stream.stream_descriptor.name in self._lists
            return () if known else (message,)
        trace = message.trace
        if trace is not None and trace.type == TraceType.STREAM_STATUS and trace.stream_status:
            list_ = self._lists.get(trace.stream_status.stream_descriptor.name)
            if list_ is not None:
                return self._of_status(list_, trace.stream_status.status)
        if trace is not None and trace.error is not None and trace.error.stream_descriptor:
            list_ = self._lists.get(trace.error.stream_descriptor.name)
            if list_ is not None:
                return self._of_error(list_, message)
        if message.log is not None and message.log.message == TICK:
            return self._of_tick()
        return (message,)

    def _of_page(self, list_: _List, page: Page) -> Iterator[AirbyteMessage]:
        emitted_at = time.time_ns() // 1_000_000
        list_.note(page)
        live = list_.live()
        if page.is_back:
            live = [table for table in live if not table.table.is_full_refresh]
        for record in page.records:
            moment = self._moment(list_, record)
            for table in live:
                if not table.has_failed and table.wants(page, record, moment):
                    yield from self._rows(table, record, emitted_at)
                    table.note_row(record, moment)
                if not page.is_of_row_changes:
                    table.note(record, moment)
        if page.swept is not None:
            yield from self._of_sweep(list_, page.swept, emitted_at)
        elif not page.is_back:
            for table in list_.live():
                state = table.turn(page) if page.sweep is None else table.turn_sweep(page.sweep)
                if state is not None:
                    yield _state(table.table.name, state)
        if page.load is not None:
            page.load.release()
        is_over = page.is_last and not page.goes_on
        list_.is_complete = list_.is_complete or is_over or page.swept is not None

    def _of_sweep(self, list_: _List, swept: Swept, emitted_at: int) -> Iterator[AirbyteMessage]:
        """Marks what is gone as deleted, in the table that has the records of the list."""
        for progress in list_.live():
            name, known = progress.table.name, progress.known()
            if known is None:
                continue
            if swept.error is not None or swept.at is None:
                progress.has_failed = True
                if swept.error is not None:
                    yield swept.error.as_airbyte_message(StreamDescriptor(name=name))
                continue
            at = text_of(swept.at)
            # the latest update time wins in the destination, even one that is yet to come
            is_later = known.newest is not None and instant(known.newest) > swept.at
            time_ = known.newest if is_later else at
            for id_ in sorted(swept.gone):
                row = {"id": id_, UPDATED_AT: time_, DELETED_AT: at}
                yield from self._row(progress, row, emitted_at)
            logger.info(
                f"Stream {name}: {len(swept.seen):,} ids compared, {len(swept.gone):,} records are "
                "gone."
            )
            yield _state(name, progress.turn_swept(swept))

    def _moment(self, list_: _List, record: JsonRecord) -> datetime | None:
        if not list_.has_times:
            return None
        try:
            return moment_of(list_.resource, record)
        except AirbyteTracedException:
            # a list whose times matter has failed before it comes here
            return None

    def _rows(
        self, progress: _Progress, record: JsonRecord, emitted_at: int
    ) -> Iterator[AirbyteMessage]:
        table = progress.table
        try:
            rows = [record] if table.rows is None else table.rows.of(record)
        except AirbyteTracedException as error:
            progress.has_failed = True
            yield error.as_airbyte_message(StreamDescriptor(name=table.name))
            return
        for row in rows:
            add_ids(row, table.references)
            yield from self._row(progress, table.columns.of(row), emitted_at)

    def _row(
        self, progress: _Progress, row: JsonRecord, emitted_at: int
    ) -> Iterator[AirbyteMessage]:
        name = progress.table.name
        if not progress.rows:
            yield _status(name, AirbyteStreamStatus.RUNNING)
        progress.rows += 1
        data = AirbyteRecordMessage(stream=name, data=row, emitted_at=emitted_at)
        yield AirbyteMessage(type=Type.RECORD, record=data)

    def _of_status(self, list_: _List, status: AirbyteStreamStatus) -> Iterator[AirbyteMessage]:
        if status == AirbyteStreamStatus.RUNNING:
            return
        for progress in list_.tables:
            name = progress.table.name
            own = status
            if status in (AirbyteStreamStatus.COMPLETE, AirbyteStreamStatus.INCOMPLETE):
                missing = sorted(progress.missing)
                if missing and not progress.has_failed:
                    progress.has_failed = True
                    error = errors.cannot_be_had(list_.resource, missing)
                    yield error.as_airbyte_message(StreamDescriptor(name=name))
                is_whole = list_.is_complete and not progress.has_failed
                own = AirbyteStreamStatus.COMPLETE if is_whole else AirbyteStreamStatus.INCOMPLETE
                progress.table.columns.report()
                logger.info(f"Stream {name}: {progress.rows} rows, {own.value.lower()}.")
            yield _status(name, own)

    def _of_error(self, list_: _List, message: AirbyteMessage) -> Iterator[AirbyteMessage]:
        """The error of a list, for each of its tables; what was sent stays in their states."""
        for progress in list_.live():
            progress.has_failed = True
            name = progress.table.name
            state = progress.state()
            if state is not None:
                yield _state(name, state)
            trace = message.trace
            assert trace is not None
            assert trace.error is not None
            yield AirbyteTracedException(
                message=trace.error.message,
                internal_message=trace.error.internal_message,
                failure_type=trace.error.failure_type,
            ).as_airbyte_message(StreamDescriptor(name=name))

    def _of_tick(self) -> Iterator[AirbyteMessage]:
        now = self._clock.monotonic()
        unfinished = [x for x in self._lists.values() if x.live() and not x.is_complete]
        if now - self._logged_at >= SECONDS_PER_LOG:
            self._log_progress(unfinished, now - self._logged_at)
            self._logged_at = now
            for list_ in unfinished:
                yield from list_.estimates()
        if now - self._said_at < MOST_SILENCE:
            return
        self._said_at = now
        for list_ in unfinished:
            for progress in list_.live():
                state = progress.state()
                yield (
                    _status(progress.table.name, AirbyteStreamStatus.RUNNING)
                    if state is None
                    else _state(progress.table.name, state)
                )

    def _log_progress(self, unfinished: Sequence[_List], seconds: float) -> None:
        """One line on the requests of the last `seconds`, and the lists that are being read."""
        sent = self._traffic.sent - self._logged.sent
        limited = self._traffic.limited - self._logged.limited
        self._logged = replace(self._traffic)
        lists = "; ".join(text for text in map(str, unfinished) if text)
        logger.info(
            f"Requests per second: {sent / seconds:.1f} of {self._traffic.per_second}, "
            f"{limited} met Coupa's limit (HTTP 429)." + (f" Reading {lists}." if lists else "")
        )

    def _log_end(self) -> None:
        """One line on the whole sync."""
        tables = [table for list_ in self._lists.values() for table in list_.tables]
        minutes, seconds = divmod(round(self._clock.monotonic() - self._began), 60)
        logger.info(
            f"Sent {sum(table.rows for table in tables):,} rows of {len(tables)} streams in "
            f"{minutes}:{seconds:02} minutes with {self._traffic.sent:,} requests to lists. "
            f"{self._traffic.limited} met Coupa's limit (HTTP 429)."
        )


TICK = "tick"
"""The text of a log message that says that some time has passed; it is never printed."""


def _status(stream: str, status: AirbyteStreamStatus) -> AirbyteMessage:
    return status_message(StreamDescriptor(name=stream), status)


def _state(stream: str, state: Mapping[str, Any]) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.STATE,
        state=AirbyteStateMessage(
            type=AirbyteStateType.STREAM,
            stream=AirbyteStreamState(
                stream_descriptor=StreamDescriptor(name=stream),
                stream_state=AirbyteStateBlob(dict(state)),
            ),
            sourceStats=AirbyteStateStats(recordCount=0.0),
        ),
    )
