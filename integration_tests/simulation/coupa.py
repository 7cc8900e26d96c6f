"""Coupa's side of a scenario: its rows, its clock, and what happens to it during a sync."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from integration_tests.harness import RESOURCE_OF
from integration_tests.sandbox import (
    Dialect,
    Fault,
    RateLimit,
    Record,
    Refusal,
    RequestRecord,
    Sandbox,
)

from .destination import second
from .pace import SECONDS
from .scenario import NOW, SPAN, EditPlan, FaultPlan, Scenario, SyncPlan
from .streams import STREAMS

BODY_BYTES = 300
BODY_BYTES_WITH_ROWS = 5_000
POOL_SEED = 7
"""The bodies of all scenarios are the same few, made once."""

BEHIND = timedelta(seconds=2)
"""How far the clock of a sandbox is behind that of the processes that read it."""

_TURNS = tuple(
    datetime(*moment, tzinfo=ZoneInfo("UTC"))
    for moment in (
        (2025, 3, 9, 10),
        (2025, 3, 30, 1),
        (2025, 4, 5, 14),
        (2025, 9, 27, 14),
        (2025, 10, 26, 1),
        (2025, 11, 2, 9),
        (2026, 3, 29, 1),
        (2026, 10, 25, 1),
    )
)
"""When clocks were turned in the sandbox's zones."""


class SimulatedClock:
    """A time of day that moves on when a test says so."""

    def __init__(self) -> None:
        self.moment = NOW

    def __call__(self) -> datetime:
        return self.moment

    def pass_by(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def make(scenario: Scenario, clock: Callable[[], datetime]) -> Sandbox:
    """A sandbox with the scenario's rows, not yet started."""
    sandbox = Sandbox(
        {},
        seed=POOL_SEED,
        size={resource: _bytes(scenario, resource) for resource in RESOURCE_OF.values()},
        dialect=dialect_of(scenario),
        clock=clock,
    )
    for stream, count in scenario.rows.items():
        random = Random(f"{scenario.seed}/{stream}")
        moments = _moments(scenario, random, count, clock())
        ids = _ids(scenario, random, count)
        rows = [
            (id, *_times(scenario, random, moment, clock()))
            for id, moment in zip(ids, moments, strict=True)
        ]
        sandbox.tables[RESOURCE_OF[stream]].load(rows)
    return sandbox


def _times(
    scenario: Scenario, random: Random, updated: datetime, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """When a row was created and changed: neither, now and then, or at a time yet to come."""
    kind = random.random()
    if kind < scenario.nulls:
        return None, None
    if kind > 1 - scenario.future:
        updated = _to_come(random, now)
    return updated - timedelta(days=random.choice((0, 0, 10, 400))), updated


def _to_come(random: Random, now: datetime) -> datetime:
    return now.replace(microsecond=0) + timedelta(hours=random.choice((1, 30, 24 * 400)))


def _bytes(scenario: Scenario, resource: str) -> int:
    """Records are small, but for those whose rows are read, or some of whose columns."""
    if scenario.record_bytes is not None:
        return scenario.record_bytes
    streams = [STREAMS[name] for name in scenario.streams]
    has_rows = any(s.parent is not None and s.resource == resource for s in streams)
    return BODY_BYTES_WITH_ROWS if has_rows or scenario.selects_columns else BODY_BYTES


def dialect_of(scenario: Scenario) -> Dialect:
    """The scenario's instance; if it does not say so, there is no request limit, nor for a
    connector in a process of its own: what it waits is shortened there, but not here."""
    switches = {"rate_limit": None, **scenario.dialect}
    if scenario.is_process:
        switches["rate_limit"] = None
    for name in ("rate_limit", "token_limit"):
        if switches.get(name) is not None:
            switches[name] = RateLimit(**switches[name])
    if "bad_scope" in switches:
        switches["bad_scope"] = Refusal(**switches["bad_scope"])
    return Dialect(**switches)


def faults_of(plan: SyncPlan, sandbox: Sandbox) -> list[Fault]:
    """The sandbox's faults in a sync."""
    return [*map(_fault, plan.faults), *(_ill(plan, sandbox))]


def _fault(plan: FaultPlan) -> Fault:
    headers = {SECONDS: str(plan.seconds)} if plan.kind == "status" and plan.seconds else {}
    return Fault(**vars(plan), headers=headers)


def _ill(plan: SyncPlan, sandbox: Sandbox) -> list[Fault]:
    ids = ill_ids(plan, sandbox)
    if plan.ill is None or not ids:
        return []
    return [replace(_fault(plan.ill.fault), ids=ids, bearable=plan.ill.bearable)]


def ill_ids(plan: SyncPlan, sandbox: Sandbox) -> frozenset[int]:
    """The records of one list with which something is wrong during a sync."""
    if plan.ill is None or plan.ill.fault.resource is None:
        return frozenset()
    ids = sandbox.tables[plan.ill.fault.resource].ids()
    return frozenset(ids[int(place * (len(ids) - 1))] for place in plan.ill.places if ids)


def _ids(scenario: Scenario, random: Random, count: int) -> list[int]:
    if scenario.ids == "uneven":
        return _uneven_ids(random, count)
    first, largest_step = {
        "dense": (1, 1),
        "gaps": (1_000, 9),
        "wide_gaps": (5, 100_000),
        "large": (2**40, 3),
    }[scenario.ids]
    ids = []
    for _ in range(count):
        first += random.randint(1, largest_step)
        ids.append(first)
    return ids


def _uneven_ids(random: Random, count: int) -> list[int]:
    """Blocks of neighbours, with up to a thousand million unused ids between one and the next."""
    ids: list[int] = []
    first = 0
    while len(ids) < count:
        first += int(10 ** random.uniform(0, 9))
        block = int(10 ** random.uniform(0, 2.7))
        ids += range(first, first + block)
        first += block
    return ids[:count]


def _moments(scenario: Scenario, random: Random, count: int, now: datetime) -> list[datetime]:
    moments = [_moment(scenario, random, now) for _ in range(count)]
    if scenario.times == "like_ids" and moments:
        moments.sort()
        displaced = moments.pop(random.randrange(count))
        moments.insert(random.randrange(count), displaced)
    return moments


def _moment(scenario: Scenario, random: Random, now: datetime) -> datetime:
    newest = now.replace(microsecond=0) - timedelta(seconds=1)
    kind = scenario.times
    if kind == "one_time" and random.random() < 0.9:
        moment = newest - timedelta(days=40)
    elif kind == "daylight_saving":
        moment = random.choice(_TURNS) + timedelta(seconds=random.randint(-5_400, 5_400))
    elif kind == "recent":
        moment = newest - timedelta(seconds=random.randint(0, SPAN[kind] * 86_400))
    elif kind in ("one_day", "like_ids"):
        moment = newest - timedelta(seconds=random.randint(0, 86_400))
    elif kind == "ancient":
        moment = newest - timedelta(days=random.choice((1, 300, 5_000, 8_000)))
    else:
        moment = newest - timedelta(seconds=random.randint(0, SPAN["even"] * 86_400))
    return min(moment, newest)


class Life:
    """Edits of Coupa's users while a sync runs. Safe for threads.

    Attributes:
        changes: how many of each kind were made.
        deleted: list -> ids.
        uncertain: list -> ids whose `updated_at` may lie before what a sync has read by then:
            they are stored late.
    """

    def __init__(self, scenario: Scenario, clock: Callable[[], datetime]) -> None:
        edits = ("inserts", "edits", "deletes", "late", "mass", "nulls", "future", "rows")
        kinds = (*edits, "restores", "renumbers")
        self.changes = dict.fromkeys(kinds, 0)
        self.revocations = 0
        self.deleted: dict[str, set[int]] = {stream: set() for stream in scenario.rows}
        self.uncertain: dict[str, set[int]] = {stream: set() for stream in scenario.rows}
        self._scenario = scenario
        self._random = Random(f"{scenario.seed}/life")
        self._clock = clock
        self._lock = threading.Lock()
        self._plan = EditPlan()
        self._revocations = 0.0

    def during(self, sync: SyncPlan) -> None:
        """Takes up the plan of the next sync."""
        self._plan, self._revocations = sync.edits, sync.revocations

    def __call__(self, sandbox: Sandbox, request: RequestRecord) -> None:
        """Before each response: time passes, and things change."""
        with self._lock:
            if isinstance(self._clock, SimulatedClock) and self._plan.tick:
                self._clock.pass_by(self._random.randint(0, self._plan.tick))
            while self._random.random() < self._plan.chance:
                self._change(sandbox, self._plan)
            if self._random.random() < self._revocations:
                sandbox.expire_tokens()
                self.revocations += 1

    def between_syncs(self, sandbox: Sandbox, number: int) -> None:
        """Inserts, edits and deletions while nothing reads."""
        rows = float(self._scenario.edits_rows)
        plan = EditPlan(inserts=1.0, edits=3.0, deletes=0.5, future=0.1, rows=rows)
        if self._scenario.deleted_every:
            plan = replace(plan, deletes=1.0, restores=0.5, renumbers=0.2)
        with self._lock:
            for _ in range(number):
                self._change(sandbox, plan)

    def _change(self, sandbox: Sandbox, plan: EditPlan) -> None:
        kinds = tuple(self.changes)
        (kind,) = self._random.choices(kinds, [getattr(plan, kind) for kind in kinds])
        if kind == "rows":
            self._edit_row(sandbox)
            return
        stream = self._random.choice(tuple(self._scenario.rows))
        table = sandbox.tables[RESOURCE_OF[stream]]
        ids = table.ids()
        if kind == "late":
            back = timedelta(hours=self._random.uniform(0, plan.late_hours))
            moment = (self._clock() - back).replace(microsecond=0)
            self.uncertain[stream].add(table.add(updated_at=moment, created_at=moment))
        elif kind == "nulls":
            table.add(updated_at=None, created_at=None)
        elif kind == "future":
            table.add(updated_at=_to_come(self._random, self._clock()))
        elif kind == "inserts" or not ids:
            table.add()
        elif kind == "deletes":
            id = self._random.choice(ids)
            table.delete(id)
            self.deleted[stream].add(id)
        elif kind == "renumbers":
            id = self._random.choice(ids)
            table.renumber(id)
            self.deleted[stream].add(id)
        elif kind == "restores":
            if self.deleted[stream]:
                id = self._random.choice(sorted(self.deleted[stream]))
                table.restore(id, touch=True)
                self.deleted[stream].discard(id)
        else:
            number = len(ids) // 3 + 1 if kind == "mass" else 1
            text = f"edit {sum(self.changes.values())}"
            for id in self._random.sample(ids, number):
                table.edit(id, {table.resource.edited_key: text, **self._fewer_rows(table.get(id))})
        self.changes[kind] += 1

    def _edit_row(self, sandbox: Sandbox) -> None:
        """A row of a record changes, and the record does not: but for one without a time, which no
        filter finds."""
        tables = [name for name in self._scenario.streams if STREAMS[name].parent is not None]
        stream = STREAMS[self._random.choice(tables)]
        table = sandbox.tables[stream.resource]
        for id in self._random.sample(table.ids(), min(len(table), 20)):
            record = table.get(id)
            rows = stream.rows_of(record)
            if rows and record["updated-at"] is not None:
                place = self._random.randrange(len(rows))
                table.edit_row(id, stream.path, place)
                self.changes["rows"] += 1
                return

    def _fewer_rows(self, record: Record) -> Record:
        """Sometimes, one of the rows that come with a record is removed; not in a second in which
        the record was changed already, for then nothing shows that the row is of an older version.
        """
        key = next((key for key in ("invoice-lines", "roles") if record.get(key)), None)
        time = record["updated-at"]
        is_new = time is not None and second(time) == int(self._clock().timestamp())
        if key is None or is_new or self._random.random() < 0.7:
            return {}
        rows = list(record[key])
        rows.pop(self._random.randrange(len(rows)))
        return {key: rows}
