"""What a destination holds after a chain of syncs, and what it must hold.

The truth comes from the sandbox's tables alone. Three promises are looked at, not only the last:

- a state: whatever was not touched during the sync and was changed before the state's time has
  arrived before the state did, in this sync or in an earlier one. So it may be stopped anywhere.
- COMPLETE: whatever was there when the sync began and was not touched has arrived.
- the end of the chain: of each id the newest version is there, letter for letter.

A record has arrived in a child table when all of its rows have. A full refresh begins with empty
tables, and brings some version of each record that was there all the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from integration_tests.sandbox import Record, Sandbox
from integration_tests.sandbox.table import Table as Truth

from .scenario import Mode
from .streams import STREAMS, Stream

Message = Mapping[str, Any]
Versions = dict[int, tuple[int | None, object]]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)")
_SHOWN = 5

_BEGINNING = int(datetime(2006, 1, 1, tzinfo=timezone.utc).timestamp())
"""Where a sync of everything begins. A state of this time promises nothing: the first window holds
all that is older, and is read again."""


@dataclass
class Arrived:
    """What is there of one record of Coupa, in one version.

    Attributes:
        updated: its update time, in seconds since 1970.
        rows: the stream's rows of it, by their own ids.
    """

    updated: int
    rows: dict[int, Record] = field(default_factory=dict)


@dataclass
class Table:
    """What arrived of one stream.

    Attributes:
        arrived: id of a record of Coupa -> the newest version that arrived.
        state: the last state, as it is handed to the next sync.
        excused: id -> second of versions before a start date that the user chose.
    """

    arrived: dict[int, Arrived] = field(default_factory=dict)
    state: Message | None = None
    excused: dict[int, int | None] = field(default_factory=dict)

    @property
    def cursor(self) -> int | None:
        """The time of the state in seconds since 1970."""
        if self.state is None:
            return None
        state = self.state["stream"]["stream_state"]
        times = [state[name] for name in state if name.endswith("updated_at")]
        return second(times[0]) if times else None


@dataclass(frozen=True)
class Missing:
    """An untouched record that has not arrived in its version.

    Attributes:
        updated: of that version.
        rows: how many rows the stream has of it.
    """

    updated: int
    rows: int


class Destination:
    """Takes the messages of one sync after another.

    Args:
        mode: a full refresh begins with empty tables.
        selects_columns: columns that the connection leaves out are not compared.

    Attributes:
        broken: what was promised and not kept, in sentences.
        checked: how many records were compared with the truth.
        states: how many states were held against it.
    """

    def __init__(
        self, sandbox: Sandbox, streams: Iterable[str], *, mode: Mode, selects_columns: bool
    ) -> None:
        self.tables = {stream: Table() for stream in streams}
        self.broken: list[str] = []
        self.checked = 0
        self.states = 0
        self._sandbox = sandbox
        self._mode = mode
        self._selects_columns = selects_columns

    def versions(self) -> dict[str, Versions]:
        """The records of all streams as they are now."""
        return {stream: self._truth(stream).versions() for stream in self.tables}

    def states_to_resume(self) -> list[Message]:
        """The last state of each stream."""
        return [table.state for table in self.tables.values() if table.state is not None]

    def excuse(self, start_date: str | None, uncertain: Mapping[str, set[int]]) -> None:
        """Takes note of what the next sync may leave out because of its start date: what no sync
        before has promised. Before a full refresh, empties the tables."""
        start = None if start_date is None else second(start_date)
        for stream, table in self.tables.items():
            if self._mode == "full_refresh":
                table.arrived.clear()
            cursor = table.cursor
            if cursor is None:
                table.excused.clear()
            if start is None:
                continue
            for id, (updated, _) in self._truth(stream).versions().items():
                is_new = cursor is None or updated is None or updated >= cursor
                if (updated or 0) < start and (is_new or id in uncertain[STREAMS[stream].list_]):
                    table.excused[id] = updated

    def take(
        self,
        messages: Iterable[Message],
        *,
        before: Mapping[str, Versions],
        end: datetime,
        uncertain: Mapping[str, set[int]],
    ) -> None:
        """Takes what arrived of one sync.

        Args:
            before: the records when it began. Those that are another version by now count as
                touched.
            end: its windows do not end before this.
            uncertain: ids that only COMPLETE promises, through the look-back window.
        """
        last = int(end.timestamp())
        missing = {stream: self._not_there_yet(stream, rows) for stream, rows in before.items()}
        for message in messages:
            kind = message["type"]
            if kind == "RECORD":
                self._take_record(message["record"], missing)
            elif kind == "STATE":
                self._take_state(message["state"], missing, uncertain)
            elif kind == "TRACE":
                status = message["trace"].get("stream_status") or {}
                if status.get("status") == "COMPLETE":
                    stream = status["stream_descriptor"]["name"]
                    late = {id for id, one in missing[stream].items() if one.updated < last}
                    self._is_empty(late, f"{stream} is COMPLETE without")
                    if self._mode == "full_refresh":
                        self._is_empty(
                            self._passed_over(stream, before[stream]),
                            f"{stream} was refreshed without any version of",
                        )
                    self.checked += len(before[stream])

    def compare(self, deleted: Mapping[str, set[int]]) -> None:
        """Compares everything with the tables, at the end of the chain."""
        for stream, table in self.tables.items():
            shape = STREAMS[stream]
            truth = {r["id"]: shape.rows_of(r) for r in self._truth(stream).records()}
            stamps = self._truth(stream).stamps()
            wanted = {id for id, updated in stamps.items() if table.excused.get(id, -1) != updated}
            there = {id for id in wanted & table.arrived.keys() if truth[id]}
            absent = {id for id in wanted - table.arrived.keys() if truth[id]}
            self._is_empty(absent, f"{stream} never brought")
            made_up = table.arrived.keys() - truth.keys() - deleted[shape.list_]
            self._is_empty(made_up, f"{stream} made up")
            old = {id for id in there if table.arrived[id].updated != stamps[id]}
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

    def _not_there_yet(self, stream: str, before: Versions) -> dict[int, Missing]:
        """Untouched records that have not arrived in this version."""
        truth, table, shape = self._truth(stream), self.tables[stream], STREAMS[stream]
        now = truth.versions()
        missing = {}
        for id, version in before.items():
            updated = version[0] or 0
            arrived = table.arrived.get(id)
            if (
                now.get(id) == version
                and table.excused.get(id, -1) != version[0]
                and (arrived is None or arrived.updated != updated)
            ):
                count = 1 if shape.parent is None else len(shape.rows_of(truth.get(id)))
                if count:
                    missing[id] = Missing(updated, count)
        return missing

    def _passed_over(self, stream: str, before: Versions) -> set[int]:
        """Records that were there all the time, and of which nothing arrived."""
        truth, table, shape = self._truth(stream), self.tables[stream], STREAMS[stream]
        stayed = before.keys() & truth.versions().keys() - table.excused.keys()
        return {
            id
            for id in stayed - table.arrived.keys()
            if shape.parent is None or shape.rows_of(truth.get(id))
        }

    def _take_record(self, record: Message, missing: Mapping[str, dict[int, Missing]]) -> None:
        stream, data = record["stream"], record["data"]
        shape = STREAMS[stream]
        id, time = shape.id_of(data), shape.time_of(data)
        if time is None and self._mode == "incremental":
            self.broken.append(f"{stream} has a record without its update time: {id}")
        updated = 0 if time is None else second(time)
        arrived = self.tables[stream].arrived.get(id)
        if arrived is None or updated > arrived.updated:
            arrived = self.tables[stream].arrived[id] = Arrived(updated)
        if updated == arrived.updated:
            arrived.rows[data["id"]] = data
        wanted = missing[stream].get(id)
        is_this_version = wanted is not None and updated in (0, wanted.updated)
        if wanted is not None and is_this_version and len(arrived.rows) == wanted.rows:
            del missing[stream][id]

    def _take_state(
        self,
        state: Message,
        missing: Mapping[str, dict[int, Missing]],
        uncertain: Mapping[str, set[int]],
    ) -> None:
        stream = state["stream"]["stream_descriptor"]["name"]
        table = self.tables[stream]
        table.state = state
        self.states += 1
        cursor = table.cursor
        if cursor is not None and cursor > _BEGINNING:
            early = {id for id, one in missing[stream].items() if one.updated < cursor}
            early -= uncertain[STREAMS[stream].list_]
            self._is_empty(early, f"a state of {stream} came before")

    def _are_same(
        self, shape: Stream, arrived: Mapping[int, Record], truth: Mapping[int, Record]
    ) -> bool:
        if self._selects_columns and shape.columns:
            arrived, truth = (
                {id: {name: row.get(name) for name in shape.columns} for id, row in rows.items()}
                for rows in (arrived, truth)
            )
        return bool(arrived == truth or in_utc(arrived) == in_utc(truth))

    def _is_empty(self, ids: set[int], trouble: str) -> None:
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
