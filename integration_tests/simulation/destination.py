"""What a destination holds after a chain of syncs, and what it must hold.

The truth comes from the sandbox's tables alone. Each promise of the connector is looked at where it
is given, not only at the end:

- a state: whatever was not touched during the sync and was changed before the state's time has
  arrived before the state did, in this sync or in an earlier one; and so has whatever lies in the
  ranges of ids that a pass under way calls done. So a sync may be stopped anywhere.
- COMPLETE: whatever was there when the sync began and was not touched has arrived, but for what an
  earlier part of the same pass had read before it was changed: that comes with the next pass.
- records that a state calls missing are exempt until they arrive.
- no row is deleted that Coupa still shows.
- nothing is sent again without need: within a sync, after one that was stopped (but for the pages
  of one state), and in a later one (but for its look-back).
- the end of the chain: of each id the newest version is there, letter for letter.

A record has arrived in a child table when all of its rows have. A full refresh begins with empty
tables, unless it goes on where one was stopped, and brings some version of each record that was
there all the time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from integration_tests.sandbox import Record, Sandbox
from integration_tests.sandbox.table import Table as Truth

from .scenario import Scenario, SyncPlan
from .streams import STREAMS, Stream

Message = Mapping[str, Any]
Versions = dict[int, tuple[int | None, object]]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)")
_SHOWN = 5

_EARLY = 2 * 3_600 + 60
"""Seconds by which a look for deleted records may begin too early, and some for the sync before."""

DELETED_AT = "_ab_cdc_deleted_at"
"""The column by which a record that is gone is marked."""

MOST_REPEATED = 2_000
"""Records that a sync repeats after one that was stopped, or a twentieth of what that had read."""


@dataclass
class Arrived:
    """What is there of one record of Coupa, in one version.

    Attributes:
        updated: its update time, in seconds since 1970; None for a record without.
        rows: the stream's rows of it, by their own ids.
    """

    updated: int | None
    rows: dict[int, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A pass that is under way, as a state describes it.

    Attributes:
        began: when, in seconds since 1970.
        since: its lower bound; None without one.
        done: what was read, from above the first id up to the second.
    """

    began: int
    since: int | None
    done: Sequence[tuple[int, int]]

    def holds(self, id: int) -> bool:
        """Whether the record with this id was read."""
        return any(after < id <= until for after, until in self.done)

    def promises(self, id: int, updated: int | None) -> bool:
        """Whether this version of an untouched record must have arrived."""
        is_old = updated is not None and updated < self.began
        is_wanted = self.since is None or (updated is not None and updated >= self.since)
        return is_old and is_wanted and self.holds(id)


@dataclass
class Table:
    """What arrived of one stream.

    Attributes:
        arrived: id of a record of Coupa -> the version that arrived last.
        state: the last state, as it is handed to the next sync.
        excused: id -> second of versions before a start date that the user chose, or without a
            time and above what earlier syncs could know of.
        in_pass: the versions that were sent since the last pass that is complete.
        shows_nulls: whether a pass is complete that brought a record without a time.
        goes_on: whether the last sync went on with a pass that had been stopped.
    """

    arrived: dict[int, Arrived] = field(default_factory=dict)
    state: Message | None = None
    excused: dict[int, int | None] = field(default_factory=dict)
    in_pass: set[tuple[int, int | None]] = field(default_factory=set)
    shows_nulls: bool = False
    goes_on: bool = False

    @property
    def _blob(self) -> Mapping[str, Any]:
        return {} if self.state is None else self.state["stream"]["stream_state"]

    @property
    def cursor(self) -> int | None:
        """The time of the state in seconds since 1970."""
        times = [self._blob[name] for name in self._blob if name.endswith("updated_at")]
        return second(times[0]) if times else None

    @property
    def mark(self) -> Mark | None:
        """The pass that is under way."""
        kept = self._blob.get("pass")
        if kept is None:
            return None
        since = kept["since"]
        return Mark(
            began=second(kept["began"]),
            since=None if since is None else second(since),
            done=[(after, until) for after, until in kept["done"]],
        )

    @property
    def known_since(self) -> int | None:
        """The bound of the records whose deletion is looked for; None without one."""
        return self._known("since")

    @property
    def swept_at(self) -> int | None:
        """When they were looked for; None if never."""
        return self._known("swept_at")

    def _known(self, name: str) -> int | None:
        time = (self._blob.get("known_ids") or {}).get(name)
        return None if time is None else second(time)

    @property
    def nulls_above(self) -> int:
        """Up to which id records without a time are said to have come."""
        return int(self._blob.get("null_times_above", 0))

    @property
    def given_up(self) -> frozenset[int]:
        """The records that the state calls missing."""
        return frozenset(self._blob.get("missing", ()))


@dataclass(frozen=True)
class Missing:
    """An untouched record that has not arrived in its version.

    Attributes:
        updated: of that version.
        rows: how many rows the stream has of it.
    """

    updated: int | None
    rows: int


@dataclass
class Taking:
    """One stream while the messages of one sync come in.

    Attributes:
        missing: what has not arrived so far.
        before: all records when the sync began.
        start: the table's pass when it began, if one was under way.
        bound: the least update time that it had to read; None if all.
        earlier: what had been sent in the same pass before.
        there: what had arrived before.
        asked_for: ids that some table of the list lacked, and that are asked for once more.
        seen: the rows of this sync.
        repeated: ids of records that were sent in the same pass before.
        again: ids of records that came twice in this sync.
        unneeded: ids of records that were there, and older than the bound.
    """

    missing: dict[int, Missing]
    before: Versions
    start: Mark | None
    bound: int | None
    earlier: frozenset[tuple[int, int | None]]
    there: Mapping[int, int | None]
    asked_for: frozenset[int]
    seen: set[tuple[int, int | None, int]] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)
    unneeded: set[int] = field(default_factory=set)

    def left(self) -> dict[int, Missing]:
        """What a pass that is complete would have to bring."""
        return {
            id: one for id, one in self.missing.items() if not (self.start and self.start.holds(id))
        }


class Destination:
    """Takes the messages of one sync after another.

    Args:
        most_repeated: records that may be sent once more after a sync that was stopped.

    Attributes:
        broken: what was promised and not kept, in sentences.
        checked: how many records were compared with the truth.
        states: how many states were held against it.
        repeated: how many records were sent once more after a sync that was stopped.
    """

    def __init__(
        self, sandbox: Sandbox, scenario: Scenario, *, most_repeated: int = MOST_REPEATED
    ) -> None:
        self.tables = {stream: Table() for stream in scenario.streams}
        self.broken: list[str] = []
        self.checked = 0
        self.states = 0
        self.repeated = 0
        self._sandbox = sandbox
        self._scenario = scenario
        self._most_repeated = most_repeated

    @property
    def goes_on(self) -> bool:
        """Whether the last sync of some table went on with a pass: one more brings the rest."""
        return any(table.goes_on for table in self.tables.values())

    def versions(self) -> dict[str, Versions]:
        """The records of all streams as they are now, those that can be seen."""
        return {stream: self._versions(stream) for stream in self.tables}

    def states_to_resume(self, streams: Iterable[str]) -> list[Message]:
        """The last state of each stream. A full refresh has one only if it was stopped."""
        tables = [self.tables[stream] for stream in streams]
        if self._scenario.mode == "full_refresh":
            tables = [table for table in tables if table.mark is not None]
        return [table.state for table in tables if table.state is not None]

    def begin(self, plan: SyncPlan, uncertain: Mapping[str, set[int]]) -> None:
        """Takes note of what the next sync may leave out because of its start date: what no sync
        before has promised. Before a full refresh, empties the tables."""
        for stream in plan.streams:
            table, mark = self.tables[stream], self.tables[stream].mark
            table.goes_on = mark is not None
            if self._scenario.mode == "full_refresh" and mark is None:
                table.arrived.clear()
                table.in_pass.clear()
                table.state = None
            cursor = table.cursor
            if cursor is None and mark is None:
                table.excused.clear()
            start = mark.since if mark else plan.start_date and second(plan.start_date)
            late = uncertain[STREAMS[stream].list_]
            for id, (updated, _) in self._versions(stream).items():
                if updated is None:
                    is_first = cursor is None and not (mark and mark.holds(id))
                    if is_first or table.shows_nulls:
                        table.excused.pop(id, None)
                    else:
                        table.excused[id] = None
                elif start and updated < start:
                    is_promised = cursor is not None and updated < cursor and id not in late
                    if is_promised:
                        continue
                    table.excused[id] = updated

    def take(
        self,
        plan: SyncPlan,
        messages: Iterable[Message],
        *,
        before: Mapping[str, Versions],
        uncertain: Mapping[str, set[int]],
    ) -> dict[str, Taking]:
        """Takes what arrived of one sync; gives what is still missing, by stream.

        Args:
            plan: of the sync.
            messages: of the sync.
            before: the records when it began. Those that are another version by now count as
                touched.
            uncertain: ids that only COMPLETE promises, through the look-back window.
        """
        takings = {stream: self._taking(stream, plan, before[stream]) for stream in plan.streams}
        for message in messages:
            kind = message["type"]
            if kind == "RECORD":
                self._take_record(message["record"], takings)
            elif kind == "STATE":
                self._take_state(message["state"], takings, uncertain)
            elif kind == "TRACE":
                status = message["trace"].get("stream_status") or {}
                if status.get("status") == "COMPLETE":
                    stream = status["stream_descriptor"]["name"]
                    self._take_complete(stream, takings[stream])
        for stream, taking in takings.items():
            self.repeated += len(taking.repeated)
            # rows that have changed are looked for since the earliest bound of the list's tables;
            # one that is new to its list has none
            since = min(
                (
                    other.bound
                    for name, other in takings.items()
                    if STREAMS[name].list_ == STREAMS[stream].list_ and other.bound is not None
                ),
                default=0,
            )
            resource = STREAMS[stream].resource
            if not (self._scenario.may_start_over or plan.may_start_over(resource)):
                self._look_at_repeats(stream, taking, since)
        return takings

    def due(self, list_: str, plan: SyncPlan) -> int:
        """How many records of a list a sync has to read although they have arrived."""
        bounds = [
            self._bound(stream, plan) for stream in plan.streams if STREAMS[stream].list_ == list_
        ]
        if not bounds:
            return 0
        least = min(bound or 0 for bound in bounds)
        stamps = self._sandbox.tables[STREAMS[list_].resource].stamps()
        return sum(updated is None or updated >= least for updated in stamps.values())

    def sweeps_due(self, now: datetime) -> set[str]:
        """The lists whose deleted records were looked for long ago, by the connector's clock: a
        pass that was stopped counts from its beginning."""
        latest = now.timestamp() - self._scenario.deleted_every * 86_400 + _EARLY
        swept = {name: table.swept_at for name, table in self.tables.items()}
        return {name for name, at in swept.items() if at is not None and at <= latest}

    def due_in_a_sweep(self, list_: str) -> tuple[int, int]:
        """How many ids of a list a look for deleted records reads, and how many it misses."""
        table, stamps = self.tables[list_], self._truth(list_).stamps()
        since = table.known_since
        read = sum(since is None or (time or 0) >= since for time in stamps.values())
        return read, len(table.arrived.keys() - stamps.keys())

    def compare(self, deleted: Mapping[str, set[int]]) -> None:
        """Compares everything with the tables, at the end of the chain."""
        for stream, table in self.tables.items():
            shape = STREAMS[stream]
            visible = self._versions(stream)
            truth = {
                record["id"]: shape.rows_of(record)
                for record in self._truth(stream).records()
                if record["id"] in visible
            }
            wanted = {id for id, (time, _) in visible.items() if table.excused.get(id, -1) != time}
            there = {id for id in wanted & table.arrived.keys() if truth[id]}
            absent = {id for id in wanted - table.arrived.keys() if truth[id]}
            self._is_empty(absent, f"{stream} never brought")
            made_up = table.arrived.keys() - truth.keys() - deleted[shape.list_]
            self._is_empty(made_up, f"{stream} made up")
            old = {id for id in there if table.arrived[id].updated != visible[id][0]}
            self._is_empty(old, f"{stream} has an old version of")
            wrong = {
                id
                for id in there - old
                if not self._are_same(shape, table.arrived[id].rows, truth[id])
            }
            self._is_empty(wrong, f"{stream} has another content of")
            self.checked += len(wanted)

    def _truth(self, stream: str) -> Truth:
        return self._sandbox.tables[STREAMS[stream].resource]

    def _versions(self, stream: str) -> Versions:
        hidden = self._sandbox.dialect.hidden_every
        versions = self._truth(stream).versions()
        return {id: one for id, one in versions.items() if not hidden or id % hidden}

    def _taking(self, stream: str, plan: SyncPlan, before: Versions) -> Taking:
        table = self.tables[stream]
        return Taking(
            missing=self._not_there_yet(stream, before),
            before=before,
            start=table.mark,
            bound=self._bound(stream, plan),
            earlier=frozenset(table.in_pass),
            there={id: one.updated for id, one in table.arrived.items()},
            asked_for=frozenset().union(
                *(
                    other.given_up
                    for name, other in self.tables.items()
                    if STREAMS[name].list_ == STREAMS[stream].list_
                )
            ),
        )

    def _bound(self, stream: str, plan: SyncPlan) -> int | None:
        """The least update time that a sync has to read; None if all."""
        table, mark = self.tables[stream], self.tables[stream].mark
        if mark is not None:
            return mark.since
        if table.cursor is None:
            return None
        hours = max(plan.lookback_hours, STREAMS[stream].lookback_hours)
        return table.cursor - hours * 3600

    def _not_there_yet(self, stream: str, before: Versions) -> dict[int, Missing]:
        """Untouched records that have not arrived in this version."""
        truth, table = self._truth(stream), self.tables[stream]
        now = truth.versions()
        missing = {}
        for id, version in before.items():
            arrived = table.arrived.get(id)
            if (
                now.get(id) == version
                and table.excused.get(id, -1) != version[0]
                and (arrived is None or arrived.updated != version[0])
            ):
                count = self._rows_now(stream, id)
                if count:
                    missing[id] = Missing(version[0], count)
        return missing

    def _passed_over(self, stream: str, before: Versions) -> set[int]:
        """Records that were there all the time, and of which nothing arrived."""
        truth, table = self._truth(stream), self.tables[stream]
        stayed = before.keys() & truth.versions().keys() - table.excused.keys()
        # a record that gets its first time meanwhile is in neither set when that is asked for
        stayed = {id for id in stayed if before[id][0] is not None}
        return {id for id in stayed - table.arrived.keys() if self._rows_now(stream, id)}

    def _rows_now(self, stream: str, id: int) -> int:
        """How many rows a record makes; none if an edit that came with the last response has
        deleted it a moment ago."""
        try:
            record = self._truth(stream).get(id)
        except KeyError:
            return 0
        shape = STREAMS[stream]
        return 1 if shape.parent is None else len(shape.rows_of(record))

    def _take_record(self, record: Message, takings: Mapping[str, Taking]) -> None:
        stream, data = record["stream"], record["data"]
        shape, table, taking = STREAMS[stream], self.tables[stream], takings[stream]
        id, time = shape.id_of(data), shape.time_of(data)
        updated = None if time is None else second(time)
        if data.get(DELETED_AT):
            self._take_deletion(stream, id, taking)
            return
        arrived = table.arrived.get(id)
        if arrived is None or updated != arrived.updated:
            arrived = table.arrived[id] = Arrived(updated)
        arrived.rows[data["id"]] = data
        table.in_pass.add((id, updated))
        self._note_repeats(taking, id, updated, data["id"])
        wanted = taking.missing.get(id)
        if wanted is not None and updated == wanted.updated and len(arrived.rows) == wanted.rows:
            del taking.missing[id]

    def _take_deletion(self, stream: str, id: int, taking: Taking) -> None:
        """Deletes a row, unless it is there in Coupa, and was all the time."""
        version = taking.before.get(id)
        if version is not None and version == self._versions(stream).get(id):
            self.broken.append(f"{stream} deleted record {id}, which Coupa shows")
        self.tables[stream].arrived.pop(id, None)

    def _note_repeats(self, taking: Taking, id: int, updated: int | None, row: int) -> None:
        if id in taking.asked_for:
            return
        # records without a time are few, and are asked for besides the pass
        if (id, updated, row) in taking.seen and updated is not None:
            taking.again.add(id)
        taking.seen.add((id, updated, row))
        if (id, updated) in taking.earlier:
            taking.repeated.add(id)
        is_there = taking.there.get(id, -1) == updated
        if is_there and updated is not None and taking.bound and updated < taking.bound - 1:
            taking.unneeded.add(id)

    def _has_new_rows(self, stream: str, id: int, bound: int) -> bool:
        """Whether something in a record has changed since."""
        row = self._truth(stream).row(id)
        if row is None:
            return True
        times = _TIME.finditer(self._truth(stream).render(row).decode())
        return any(second(found[0]) >= bound - 1 for found in times)

    def _take_state(
        self,
        state: Message,
        takings: Mapping[str, Taking],
        uncertain: Mapping[str, set[int]],
    ) -> None:
        stream = state["stream"]["stream_descriptor"]["name"]
        table, missing = self.tables[stream], takings[stream].missing
        table.state = state
        self.states += 1
        exempt = uncertain[STREAMS[stream].list_] | table.given_up
        cursor, mark = table.cursor, table.mark
        early = {
            id
            for id, one in missing.items()
            if cursor is not None and one.updated is not None and one.updated < cursor
        }
        self._is_empty(early - exempt, f"a state of {stream} came before")
        if mark is None:
            table.in_pass.clear()
            nulls = (one for one in table.arrived.values() if one.updated is None)
            table.shows_nulls = table.shows_nulls or any(nulls)
            return
        skipped = {id for id, one in missing.items() if mark.promises(id, one.updated)}
        self._is_empty(skipped - exempt, f"a bookmark of {stream} lies behind")
        above = table.nulls_above
        passed = {id for id, one in missing.items() if one.updated is None and id <= above}
        self._is_empty(passed - exempt, f"a state of {stream} passes over records without a time")

    def _take_complete(self, stream: str, taking: Taking) -> None:
        self._is_empty(taking.left().keys(), f"{stream} is COMPLETE without")
        if self._scenario.mode == "full_refresh":
            passed_over = self._passed_over(stream, taking.before)
            if taking.start is not None:
                passed_over = {id for id in passed_over if not taking.start.holds(id)}
            self._is_empty(passed_over, f"{stream} was refreshed without any version of")
        self.checked += len(taking.before)

    def _look_at_repeats(self, stream: str, taking: Taking, since: int) -> None:
        self._is_empty(taking.again, f"{stream} brought twice")
        unneeded = {id for id in taking.unneeded if not self._has_new_rows(stream, id, since)}
        self._is_empty(unneeded, f"{stream} brought without need")
        if len(taking.repeated) > max(self._most_repeated, len(taking.earlier) // 20):
            self._is_empty(taking.repeated, f"{stream} repeated after it was stopped")

    def _are_same(
        self, shape: Stream, arrived: Mapping[int, Record], truth: Mapping[int, Record]
    ) -> bool:
        if self._scenario.selects_columns and shape.columns:
            arrived, truth = (
                {id: {name: row.get(name) for name in shape.columns} for id, row in rows.items()}
                for rows in (arrived, truth)
            )
        return bool(arrived == truth or in_utc(arrived) == in_utc(truth))

    def _is_empty(self, ids: Collection[int], trouble: str) -> None:
        if ids:
            shown = ", ".join(map(str, sorted(ids)[:_SHOWN]))
            self.broken.append(f"{trouble} {len(ids)} records: {shown} ...")


def second(text: str) -> int:
    """A printed time in seconds since 1970, read apart from the connector's ways."""
    if text.endswith("Z"):
        text = text[:-1] + "+00:00"
    elif text[-3] != ":":
        text = f"{text[:-2]}:{text[-2:]}"
    return int(datetime.fromisoformat(text).timestamp())


def in_utc(value: Any) -> Any:
    """A record with its times in one zone: an instance may print them in another each time."""
    if isinstance(value, dict):
        return {key: in_utc(item) for key, item in value.items()}
    if isinstance(value, list):
        return [in_utc(item) for item in value]
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.fromtimestamp(second(value), timezone.utc).isoformat()
    return value
