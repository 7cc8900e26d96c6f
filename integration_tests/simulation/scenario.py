"""What happens in one chain of syncs, drawn from a seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, Literal

from integration_tests.harness import ALL_STREAMS, RESOURCE_OF

from .streams import STREAMS

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
"""When the first sync of a scenario in this process begins."""

WINDOW = timedelta(days=90)
"""The connector's windows of update times; rows are laid on their edges."""

Times = Literal[
    "even", "recent", "one_time", "edges", "daylight_saving", "one_day", "like_ids", "ancient"
]
"""When rows were changed last; "like_ids": in the order of their ids, but for one."""

Ids = Literal["dense", "gaps", "wide_gaps", "large"]
StopKind = Literal["cut", "SIGKILL", "SIGTERM"]
Mode = Literal["incremental", "full_refresh"]

SPAN: Mapping[Times, int] = {
    "even": 500,
    "recent": 150,
    "one_time": 120,
    "edges": 400,
    "daylight_saving": 640,
    "one_day": 2,
    "like_ids": 2,
    "ancient": 9_000,
}
"""Days within which rows were changed last; a start date lies just before."""


@dataclass(frozen=True)
class FaultPlan:
    """The fields of a sandbox fault."""

    kind: str
    rate: float = 1.0
    resource: str | None = None
    times: int | None = None
    after: int = 0
    status: int = 500
    body: str = "json"
    retry_after: int | str | None = None
    seconds: float = 0.0
    size: int = 0
    location: str = "same"


@dataclass(frozen=True)
class EditPlan:
    """What goes on in Coupa while a sync reads.

    Attributes:
        chance: of a change before each answer; several follow one another with the same chance.
        inserts, edits, deletes, late, mass: weights. `late` adds a record whose `updated_at` lies
            up to `late_hours` back, `mass` edits a third of a table in the same second.
        tick: the most seconds that pass before an answer.
    """

    chance: float = 0.0
    inserts: float = 1.0
    edits: float = 3.0
    deletes: float = 0.0
    late: float = 0.0
    mass: float = 0.0
    late_hours: float = 0.0
    tick: int = 1


@dataclass(frozen=True)
class Stop:
    """Where a sync is stopped: "cut" keeps the messages up to a share of all; a signal is sent
    once `lines` lines were read from the process."""

    kind: StopKind
    share: float = 0.0
    lines: int = 0


@dataclass(frozen=True)
class SyncPlan:
    """One sync, and the pause before it in which Coupa is edited too."""

    pause_hours: float = 1.0
    edits_before: int = 0
    start_date: str | None = None
    lookback_hours: int = 2
    workers: int = 4
    edits: EditPlan = field(default_factory=EditPlan)
    faults: tuple[FaultPlan, ...] = ()
    token_lifetime: float = 86_399.0
    revocations: float = 0.0
    """Chance before each answer that all tokens are revoked."""
    stop: Stop | None = None


@dataclass(frozen=True)
class Scenario:
    """A chain of syncs; the last one has neither faults nor edits."""

    seed: int
    is_process: bool
    """Each sync is a process of its own, under the real clock."""
    rows: dict[str, int]
    """Stream that reads a list -> its rows at the beginning."""
    streams: tuple[str, ...]
    """What is read: these lists, or tables of the rows that come with their records."""
    selects_columns: bool
    """The connection leaves most columns of the lists out."""
    mode: Mode
    ids: Ids
    times: Times
    creation: Literal["before", "any"]
    dialect: dict[str, Any]
    clock_ahead: int
    """Seconds by which the connector's clock is ahead of Coupa's."""
    divides_early: bool
    """Lists of a few pages are divided among readers as long ones are."""
    syncs: tuple[SyncPlan, ...]

    @property
    def is_without_order(self) -> bool:
        """Whether this instance does not take `order_by=id`."""
        return bool(self.dialect.get("order_by_id", "honoured") != "honoured")

    @property
    def may_fail_for_good(self) -> bool:
        """Whether this instance cannot be read at all, which has to be said."""
        dialect = self.dialect
        return (
            (self.is_without_order and dialect.get("default_order", "id") != "id")
            or dialect.get("updated_at_filter", "honoured") != "honoured"
            or dialect.get("over_cap") == "refused"
            or dialect.get("max_offset") is not None
        )

    def as_json(self) -> str:
        """The whole plan in one line."""
        return json.dumps(asdict(self), separators=(",", ":"))


def draw(seed: int, *, process_share: float = 0.05) -> Scenario:
    """The scenario of a seed; the same seed and share give the same one."""
    random = Random(f"{seed}/scenario")
    is_process = random.random() < process_share
    times = _times(random)
    rows = _rows(random, is_process)
    count = random.choice((2, 2, 3, 3, 4))
    lookbacks = [random.choice((0, 1, 2, 2, 2, 24, 168)) for _ in range(count)]
    if is_process:
        lookbacks = [max(hours, 1) for hours in lookbacks]
    tolerance = min(lookbacks)
    ahead = random.choice((0, 0, 0, -300, -30, 1, 30, min(tolerance, 1) * 1800))
    if tolerance == 0:
        ahead = min(ahead, 0)
    clock_ahead = 2 if is_process else ahead
    starts = _start_dates(random, count, times, is_process, changes=clock_ahead <= 0)
    syncs = tuple(
        _sync(
            random,
            is_process=is_process,
            is_last=number == count - 1,
            is_first=number == 0,
            lookback=lookbacks[number],
            late_hours=min(lookbacks[number:]) * 0.9,
            start_date=starts[number],
        )
        for number in range(count)
    )
    return _without_untold_order(
        Scenario(
            seed=seed,
            is_process=is_process,
            rows=rows,
            streams=_streams(random, rows),
            selects_columns=random.random() < 0.2,
            mode="full_refresh" if random.random() < 0.15 else "incremental",
            ids=random.choice(("dense", "gaps", "gaps", "wide_gaps", "large")),
            times=times,
            creation=random.choice(("before", "before", "before", "any")),
            dialect=_dialect(random),
            clock_ahead=clock_ahead,
            divides_early=random.random() < 0.5,
            syncs=syncs,
        )
    )


def _without_untold_order(scenario: Scenario) -> Scenario:
    """Leaves edits out where an instance lists by update times that look like ids: there, a record
    that leaves a list while it is read can hide one that was passed over (docs/reliability.md)."""
    dialect = scenario.dialect
    if (scenario.times, dialect.get("order_by_id"), dialect.get("default_order")) != (
        *("like_ids", "ignored", "updated_at"),
    ):
        return scenario
    syncs = (replace(sync, edits=replace(sync.edits, chance=0.0)) for sync in scenario.syncs)
    return replace(scenario, syncs=tuple(syncs))


def _times(random: Random) -> Times:
    kinds: Sequence[Times] = (
        "even",
        "recent",
        "one_time",
        "edges",
        "daylight_saving",
        "one_day",
        "like_ids",
        "ancient",
    )
    return random.choices(kinds, (2, 4, 4, 3, 2, 5, 3, 1))[0]


def _rows(random: Random, is_process: bool) -> dict[str, int]:
    number = random.choice((1, 1, 1, 2, 4))
    streams = random.sample(ALL_STREAMS, number)
    sizes = (0, 1, 49, 50, 51, 99, 100, 101)
    rows = {}
    for stream in streams:
        kind = random.random()
        if is_process:
            rows[stream] = random.randint(300, 1_500) if kind < 0.7 else random.choice(sizes)
        elif kind < 0.45:
            rows[stream] = random.choice(sizes)
        elif kind < 0.97:
            rows[stream] = random.randint(2, 420)
        else:
            rows[stream] = random.randint(1_000, 2_500)
    return rows


def _streams(random: Random, rows: Mapping[str, int]) -> tuple[str, ...]:
    """Child tables of some lists, with the list itself or in its place."""
    streams = list(rows)
    for name, stream in STREAMS.items():
        if stream.parent is not None and stream.list_ in rows and random.random() < 0.15:
            streams.append(name)
            if stream.list_ in streams and random.random() < 0.5:
                streams.remove(stream.list_)
    return tuple(streams)


def _start_dates(
    random: Random, count: int, times: Times, is_process: bool, *, changes: bool
) -> list[str | None]:
    """None reads everything; rows of one day need no windows before it."""
    if times == "ancient":
        return [None] * count
    begin = NOW - timedelta(days=SPAN[times] + 1)
    if is_process:
        begin = datetime.now(timezone.utc) - timedelta(days=SPAN[times] + 1)
        begin = begin.replace(minute=0, second=0)
    first = _printed(random, begin) if random.random() < 0.9 else None
    starts = [first] * count
    if changes and not is_process and random.random() < 0.25:
        for number in range(1, count):
            if random.random() < 0.5:
                moved = begin + timedelta(hours=random.uniform(-2_000, 2_000))
                starts[number] = _printed(random, min(moved, NOW - timedelta(minutes=1)))
    return starts


def _printed(random: Random, moment: datetime) -> str:
    zone = timezone(timedelta(minutes=random.choice((0, 0, 330, -210, 120))))
    text = moment.replace(microsecond=0).astimezone(zone).isoformat()
    return text.replace("+00:00", "Z")


def _sync(
    random: Random,
    *,
    is_process: bool,
    is_first: bool,
    is_last: bool,
    lookback: int,
    late_hours: float,
    start_date: str | None,
) -> SyncPlan:
    pause = random.choice((0.01, 1, 24, 24 * 40)) if not is_process else 0.0
    common = SyncPlan(
        pause_hours=pause,
        edits_before=0 if is_first else random.choice((0, 1, 5, 40)),
        start_date=start_date,
        lookback_hours=lookback,
        workers=random.choice((2, 3, 4, 8, 20)),
    )
    if is_last:
        return common
    return SyncPlan(
        **{
            **vars(common),
            "edits": _edits(random, late_hours),
            "faults": _faults(random),
            "token_lifetime": random.choice((1.0, 2.0, 86_399.0, 86_399.0, 86_399.0)),
            "revocations": random.choice((0.0, 0.0, 0.0, 0.02)),
            "stop": _stop(random, is_process),
        }
    )


def _edits(random: Random, late_hours: float) -> EditPlan:
    return EditPlan(
        chance=random.choice((0.0, 0.2, 0.5, 0.8)),
        inserts=random.choice((0.0, 1.0)),
        edits=3.0,
        deletes=random.choice((0.0, 0.0, 1.0)),
        late=random.choice((0.0, 0.5)) if late_hours else 0.0,
        mass=random.choice((0.0, 0.0, 0.05)),
        late_hours=late_hours,
        tick=random.choice((0, 1, 1, 60)),
    )


def _stop(random: Random, is_process: bool) -> Stop | None:
    if is_process:
        kind: StopKind = random.choice(("SIGKILL", "SIGTERM"))
        lines = int(2 ** random.uniform(0, 10.5))
        return Stop(kind, lines=lines) if random.random() < 0.8 else None
    return Stop("cut", share=random.random()) if random.random() < 0.4 else None


PASSING: tuple[FaultPlan, ...] = (
    FaultPlan("latency", seconds=0.01),
    *(FaultPlan("status", status=code) for code in (408, 500, 502, 504, 522)),
    FaultPlan("status", status=503, body="html"),
    FaultPlan("status", status=429, body="empty"),
    FaultPlan("status", status=429, retry_after=1),
    FaultPlan("status", status=429, retry_after="date"),
    FaultPlan("status", status=503, retry_after=2),
    FaultPlan("status", status=401),
    FaultPlan("html_200"),
    FaultPlan("xml_200"),
    FaultPlan("invalid_json"),
    FaultPlan("empty_body"),
    FaultPlan("object"),
    FaultPlan("null"),
    FaultPlan("wrong_content_type"),
    FaultPlan("truncated"),
    FaultPlan("drop"),
    FaultPlan("drop_midway"),
    FaultPlan("slow_head", seconds=0.05),
    FaultPlan("slow_drip", seconds=0.05),
    FaultPlan("over_page"),
    FaultPlan("oversized", size=100_000),
)
"""After these a sync can go on; at high rates it may still have to give up."""

ENDING: tuple[FaultPlan, ...] = (
    *(FaultPlan("status", status=code) for code in (400, 403, 404, 405, 418, 204, 206, 599)),
    FaultPlan("redirect", location="login"),
    FaultPlan("redirect", location="other"),
    FaultPlan("unordered"),
    FaultPlan("duplicated"),
    FaultPlan("missing_id"),
    FaultPlan("missing_cursor"),
)
"""Each of these may end a stream's sync, but with an error."""


def _faults(random: Random) -> tuple[FaultPlan, ...]:
    plans = []
    for _ in range(random.choice((0, 1, 2, 3, 4))):
        ends = random.random() < 0.2
        plan = random.choice(ENDING if ends else PASSING)
        changes = {
            "rate": random.choice((0.02, 0.05, 0.1, 0.1, 0.2, 0.2)),
            "resource": random.choice((None, None, None, *RESOURCE_OF.values(), "oauth")),
            "after": random.choice((0, 0, 0, 3, 10)),
            "times": 1 if ends else None,
        }
        if ends:
            changes["rate"] = random.choice((0.2, 1.0))
        plans.append(FaultPlan(**{**vars(plan), **changes}))
    return tuple(plans)


def _dialect(random: Random) -> dict[str, Any]:
    """Most instances are as documented; of the rest, each differs in one or more points."""
    dialect: dict[str, Any] = {}
    if random.random() < 0.5:
        return dialect
    switches: tuple[tuple[str, Any], ...] = (
        ("page_cap", 20),
        ("page_cap", 7),
        ("order_by_id", "refused"),
        ("order_by_id", "ignored"),
        ("default_order", "shuffled"),
        ("default_order", "updated_at"),
        ("id_filter", "refused"),
        ("id_filter", "ignored"),
        ("fields", "refused"),
        ("fields", "ignored"),
        ("nested_fields", "ids"),
        ("nested_fields", "refused"),
        ("unknown_parameter", "refused"),
        ("offsets", "per_answer"),
        ("offsets", "utc"),
        ("token_warmup", 0.005),
        ("token_shows_scope", True),
        ("max_offset", 120),
        ("over_cap", "refused"),
        ("updated_at_filter", "ignored"),
        ("updated_at_filter", "refused"),
        ("rate_limit", {"per_second": 25.0, "burst": 20}),
        ("retry_after", "seconds"),
        ("bad_scope", {"status": 401}),
        ("counts_token_requests", True),
    )
    for name, value in random.sample(switches, random.choice((1, 1, 2, 3))):
        dialect[name] = value
    if dialect.get("order_by_id") == "ignored" and random.random() < 0.3:
        dialect["default_order"] = "updated_at"
    return dialect
