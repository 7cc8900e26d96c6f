"""What a destination holds after a chain of syncs, and what it must hold.

The truth comes from the sandbox's tables alone. Three promises are looked at, not only the last:

- a state: whatever was not touched during the sync and was changed before the state's time has
  arrived before the state did, in this sync or in an earlier one. So it may be stopped anywhere.
- COMPLETE: whatever was there when the sync began and was not touched has arrived.
- the end of the chain: of each id the newest version is there, letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from integration_tests.harness import RESOURCE_OF
from integration_tests.sandbox import Record, Sandbox
from unit_tests.truth import as_message

Message = Mapping[str, Any]
Versions = dict[int, tuple[int | None, object]]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)")
_SHOWN = 5

_BEGINNING = int(datetime(2006, 1, 1, tzinfo=timezone.utc).timestamp())
"""Where a sync of everything begins. A state of this time promises nothing: the first window holds
all that is older, and is read again."""


@dataclass
class Table:
    """What arrived of one stream.

    Attributes:
        rows: id -> second of the newest version that arrived, and that version.
        state: the last state, as it is handed to the next sync.
        excused: id -> second of versions before a start date that the user chose.
    """

    rows: dict[int, tuple[int, Record]] = field(default_factory=dict)
    state: Message | None = None
    excused: dict[int, int | None] = field(default_factory=dict)

    @property
    def cursor(self) -> int | None:
        """The time of the state in seconds since 1970."""
        if self.state is None:
            return None
        text = self.state["stream"]["stream_state"].get("updated_at")
        return None if text is None else second(text)


class Destination:
    """Takes the messages of one sync after another.

    Attributes:
        broken: what was promised and not kept, in sentences.
        checked: how many rows were compared with the truth.
        states: how many states were held against it.
    """

    def __init__(self, sandbox: Sandbox, streams: Iterable[str]) -> None:
        self.tables = {stream: Table() for stream in streams}
        self.broken: list[str] = []
        self.checked = 0
        self.states = 0
        self._sandbox = sandbox

    def versions(self) -> dict[str, Versions]:
        """The rows of all streams as they are now."""
        return {
            stream: self._sandbox.tables[RESOURCE_OF[stream]].versions() for stream in self.tables
        }

    def states_to_resume(self) -> list[Message]:
        """The last state of each stream."""
        return [table.state for table in self.tables.values() if table.state is not None]

    def excuse(self, start_date: str | None, uncertain: Mapping[str, set[int]]) -> None:
        """Takes note of what the next sync may leave out because of its start date: what no sync
        before has promised."""
        start = None if start_date is None else second(start_date)
        for stream, table in self.tables.items():
            cursor = table.cursor
            if cursor is None:
                table.excused.clear()
            if start is None:
                continue
            for id, (updated, _) in self._sandbox.tables[RESOURCE_OF[stream]].versions().items():
                is_new = cursor is None or updated is None or updated >= cursor
                if (updated or 0) < start and (is_new or id in uncertain[stream]):
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
            before: the rows when it began. Those that are another version by now count as touched.
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
                    late = {id for id, updated in missing[stream].items() if updated < last}
                    self._is_empty(late, f"{stream} is COMPLETE without")
                    self.checked += len(before[stream])

    def compare(self, deleted: Mapping[str, set[int]]) -> None:
        """Compares everything with the tables, at the end of the chain."""
        for stream, table in self.tables.items():
            truth = {r["id"]: r for r in self._sandbox.tables[RESOURCE_OF[stream]].records()}
            stamps = self._sandbox.tables[RESOURCE_OF[stream]].stamps()
            wanted = {id for id, updated in stamps.items() if table.excused.get(id, -1) != updated}
            self._is_empty(wanted - table.rows.keys(), f"{stream} never brought")
            self._is_empty(table.rows.keys() - truth.keys() - deleted[stream], f"{stream} made up")
            there = wanted & table.rows.keys()
            old = {id for id in there if table.rows[id][0] != stamps[id]}
            self._is_empty(old, f"{stream} has an old version of")
            wrong = {
                id
                for id in there - old
                if in_utc(table.rows[id][1]) != in_utc(as_message(truth[id]))
            }
            self._is_empty(wrong, f"{stream} has another content of")
            self.checked += len(wanted)

    def _not_there_yet(self, stream: str, before: Versions) -> dict[int, int]:
        """Untouched rows that have not arrived in this version."""
        now = self._sandbox.tables[RESOURCE_OF[stream]].versions()
        table = self.tables[stream]
        return {
            id: version[0] or 0
            for id, version in before.items()
            if now.get(id) == version
            and table.excused.get(id, -1) != version[0]
            and (id not in table.rows or table.rows[id][0] != version[0])
        }

    def _take_record(self, record: Message, missing: Mapping[str, dict[int, int]]) -> None:
        stream, data = record["stream"], record["data"]
        id, updated = data["id"], second(data["updated_at"])
        rows = self.tables[stream].rows
        if id not in rows or updated >= rows[id][0]:
            rows[id] = (updated, data)
        if missing[stream].get(id) == updated:
            del missing[stream][id]

    def _take_state(
        self,
        state: Message,
        missing: Mapping[str, dict[int, int]],
        uncertain: Mapping[str, set[int]],
    ) -> None:
        stream = state["stream"]["stream_descriptor"]["name"]
        table = self.tables[stream]
        table.state = state
        self.states += 1
        cursor = table.cursor
        if cursor is not None and cursor > _BEGINNING:
            early = {id for id, updated in missing[stream].items() if updated < cursor}
            self._is_empty(early - uncertain[stream], f"a state of {stream} came before")

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
