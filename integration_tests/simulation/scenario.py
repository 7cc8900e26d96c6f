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

Times = Literal["even", "recent", "one_time", "daylight_saving", "one_day", "like_ids", "ancient"]
"""When rows were changed last; "like_ids": in the order of their ids, but for one."""

Ids = Literal["dense", "gaps", "wide_gaps", "uneven", "large"]
"""How ids are spread; "uneven": dense here, and millions apart there."""

StopKind = Literal["cut", "SIGKILL", "SIGTERM"]
Mode = Literal["incremental", "full_refresh"]

SPAN: Mapping[Times, int] = {
    "even": 500,
    "recent": 150,
    "one_time": 120,
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
class IllRecords:
    """Records of one list with which something is wrong during a sync.

    Attributes:
        fault: what comes instead of a page that holds too many of them.
        places: which rows, as shares of the list, in order of id.
        bearable: how many of them a page may hold. None are borne by a page that cannot be read
            whatever its size.
    """

    fault: FaultPlan
    places: tuple[float, ...]
    bearable: int = 0


@dataclass(frozen=True)
class EditPlan:
    """What goes on in Coupa while a sync reads.

    Attributes:
        chance: of a change before each response; several follow one another with the same chance.
        inserts, edits, deletes, late, mass, nulls, future, rows, restores, renumbers: weights.
            `late` adds a record whose `updated_at` lies up to `late_hours` back, `mass` edits a
            third of a table in the same second, `nulls` adds a record without times, `future` one
            dated ahead, `rows` edits a row of a record and leaves the record as it is; `restores`
            brings back one that was deleted, `renumbers` gives one another id.
        tick: the most seconds that pass before a response.
    """

    chance: float = 0.0
    inserts: float = 1.0
    edits: float = 3.0
    deletes: float = 0.0
    late: float = 0.0
    mass: float = 0.0
    nulls: float = 0.0
    future: float = 0.0
    rows: float = 0.0
    restores: float = 0.0
    renumbers: float = 0.0
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

    streams: tuple[str, ...] = ()
    """What the connection selects by then."""
    pause_hours: float = 1.0
    edits_before: int = 0
    start_date: str | None = None
    lookback_hours: int = 2
    workers: int = 4
    edits: EditPlan = field(default_factory=EditPlan)
    faults: tuple[FaultPlan, ...] = ()
    ill: IllRecords | None = None
    token_lifetime: float = 86_399.0
    revocations: float = 0.0
    """Chance before each response that all tokens are revoked."""
    stop: Stop | None = None
    stall: float = 0.0
    """Seconds for which the destination takes nothing in the middle; of a process only."""

    def may_start_over(self, resource: str) -> bool:
        """Whether a list may be read again from its start: where rows change and their records do
        not, as if single columns came in another form, or where a query is refused for once."""
        faults = self.faults if self.ill is None else (*self.faults, self.ill.fault)
        is_refused = any(f.status == 400 and f.resource in (None, resource) for f in faults)
        return is_refused or bool(self.edits.rows and self.edits.chance)


@dataclass(frozen=True)
class Scenario:
    """A chain of syncs; the last one has neither faults nor edits."""

    seed: int
    is_process: bool
    """Each sync is a process of its own, under the real clock."""
    rows: dict[str, int]
    """Stream that reads a list -> its rows at the beginning."""
    streams: tuple[str, ...]
    """What is read in the end: these lists, or tables of the rows that come with their records."""
    selects_columns: bool
    """The connection leaves most columns of the lists out."""
    mode: Mode
    ids: Ids
    times: Times
    nulls: float
    """Share of the rows without times."""
    future: float
    """Share of the rows that a wrong clock has dated ahead."""
    dialect: dict[str, Any]
    clock_ahead: int
    """Seconds by which the connector's clock is ahead of Coupa's."""
    divides_early: bool
    """Lists of a few pages are divided among readers as long ones are."""
    marks_often: bool
    """States come each few pages."""
    syncs: tuple[SyncPlan, ...]
    record_bytes: int | None = None
    """Size of a record; None for small ones."""
    deleted_every: int = 0
    """Days after which deleted records are looked for; 0 for never."""

    @property
    def refuses_queries(self) -> bool:
        """Whether this instance takes no `order_by`, or no filter on update times."""
        return "refused" in (self.dialect.get("order_by_id"), self.dialect.get("updated_at_filter"))

    @property
    def may_fail_for_good(self) -> bool:
        """Whether this instance cannot be read at all, which has to be said."""
        dialect = self.dialect
        is_cut = dialect.get("page_cap", 50) < 50 or bool(dialect.get("page_caps"))
        is_ordered = dialect.get("default_order", "id") == "id"
        return (
            (dialect.get("order_by_id", "honoured") != "honoured" and not is_ordered)
            or dialect.get("id_filter", "honoured") != "honoured"
            or dialect.get("updated_at_filter") == "ignored"
            or dialect.get("filter_zone") is not None
            or (dialect.get("over_cap") == "refused" and is_cut)
        )

    @property
    def may_start_over(self) -> bool:
        """Whether a sync may find out in the middle that what it has read was not whole."""
        switches = ("fields", "nested", "blank", "updated_at")
        changes = any(name.startswith(switches) for name in self.dialect)
        # the second page of the search for nulls is refused, like the search itself might be
        refuses_ids = self.dialect.get("id_filter") == "refused"
        # an older custom field that only later records hold
        return changes or refuses_ids or self.selects_columns

    @property
    def is_quiet_in_the_end(self) -> bool:
        """Whether one more sync, in which nothing has changed, costs a request a list."""
        return (
            self.mode == "incremental"
            and not self.is_process
            and not self.may_start_over
            and not self.dialect.keys() & {"token_warmup", "rate_limit"}
            and not self.dialect.keys() & {"hidden_every", "token_limit", "order_by_id"}
        )

    @property
    def edits_rows(self) -> bool:
        """Whether rows are edited alone."""
        return any(sync.edits.rows for sync in self.syncs)

    @property
    def finds_edited_rows(self) -> bool:
        """Whether a row that is edited alone is always found: its table is selected in each sync,
        and the question for it is neither refused nor left out by a later start date."""
        return (
            self.mode == "incremental"
            and not self.dialect
            and any(STREAMS[name].parent is not None for name in self.streams)
            and all(set(sync.streams) == set(self.streams) for sync in self.syncs)
            and len({sync.start_date for sync in self.syncs}) == 1
            and not any(fault.status == 400 for sync in self.syncs for fault in sync.faults)
        )

    def as_json(self) -> str:
        """The whole plan in one line."""
        return json.dumps(asdict(self), separators=(",", ":"))


def draw(seed: int, *, process_share: float = 0.05) -> Scenario:
    """The scenario of a seed; the same seed and share give the same one."""
    random = Random(f"{seed}/scenario")
    is_process = random.random() < process_share
    times = random.choices(tuple(SPAN), (2, 4, 4, 2, 5, 3, 1))[0]
    rows = _rows(random, is_process)
    streams = _streams(random, rows)
    count = random.choice((2, 3, 3, 4, 4, 5))
    lookbacks = [random.choice((0, 1, 2, 2, 2, 24, 168)) for _ in range(count)]
    starts = _start_dates(random, count, times, is_process)
    nulls = random.choice((0.0, 0.0, 0.0, 0.02, 0.3))
    syncs = tuple(
        _sync(
            random,
            streams,
            rows,
            is_process=is_process,
            is_last=number == count - 1,
            is_first=number == 0,
            lookback=lookbacks[number],
            late_hours=min(lookbacks[number:]) * 0.9,
            start_date=starts[number],
            has_nulls=bool(nulls),
        )
        for number in range(count)
    )
    scenario = Scenario(
        seed=seed,
        is_process=is_process,
        rows=rows,
        streams=streams,
        selects_columns=random.random() < 0.2,
        mode="full_refresh" if random.random() < 0.2 else "incremental",
        ids=random.choice(("dense", "gaps", "gaps", "wide_gaps", "uneven", "large")),
        times=times,
        nulls=nulls,
        future=random.choice((0.0, 0.0, 0.0, 0.02)),
        dialect=_dialect(random),
        clock_ahead=0 if is_process else random.choice((0, 0, -300, -30, 30, 300, 7_200)),
        divides_early=random.random() < 0.5,
        marks_often=random.random() < 0.7,
        syncs=syncs,
        # drawn by itself: all else stays what it was
        deleted_every=Random(f"{seed}/deletions").choice((0, 0, 1, 30)),
    )
    return _with_edited_rows(Random(f"{seed}/rows"), scenario)


def _with_edited_rows(random: Random, scenario: Scenario) -> Scenario:
    """Rows that are edited alone where that is found, and instances that are asked about them."""
    has_rows = any(STREAMS[name].parent is not None for name in scenario.streams)
    if scenario.finds_edited_rows:
        syncs = [replace(sync, edits=replace(sync.edits, rows=1.0)) for sync in scenario.syncs]
        dialect = {"association_rows": random.choice(("all", "matching"))}
        return replace(scenario, syncs=tuple(syncs), dialect=dialect)
    if has_rows and not scenario.dialect and random.random() < 0.7:
        dialect = {"association_times": random.choice(("ignored", "refused"))}
        return replace(scenario, dialect=dialect)
    return scenario


def _rows(random: Random, is_process: bool) -> dict[str, int]:
    number = random.choice((1, 1, 1, 2, 3, 4))
    streams = random.sample(ALL_STREAMS, number)
    sizes = (0, 1, 49, 50, 51, 99, 100, 101)
    rows = {}
    for stream in streams:
        kind = random.random()
        if is_process:
            rows[stream] = random.randint(300, 1_500) if kind < 0.7 else random.choice(sizes)
        elif kind < 0.35:
            rows[stream] = random.choice(sizes)
        elif kind < 0.95:
            rows[stream] = random.randint(2, 600)
        else:
            rows[stream] = random.randint(1_000, 3_000)
    return rows


def _streams(random: Random, rows: Mapping[str, int]) -> tuple[str, ...]:
    """Child tables of some lists, with the list itself or in its place."""
    streams = list(rows)
    for name, stream in STREAMS.items():
        if stream.parent is not None and stream.list_ in rows and random.random() < 0.25:
            streams.append(name)
            if stream.list_ in streams and random.random() < 0.3:
                streams.remove(stream.list_)
    return tuple(streams)


def _start_dates(random: Random, count: int, times: Times, is_process: bool) -> list[str | None]:
    """None reads everything."""
    if times == "ancient" or random.random() < 0.4:
        return [None] * count
    begin = NOW - timedelta(days=SPAN[times] + 1)
    if is_process:
        begin = datetime.now(timezone.utc) - timedelta(days=SPAN[times] + 1)
        begin = begin.replace(minute=0, second=0)
    starts: list[str | None] = [_printed(random, begin)] * count
    if not is_process and random.random() < 0.25:
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
    streams: Sequence[str],
    rows: Mapping[str, int],
    *,
    is_process: bool,
    is_first: bool,
    is_last: bool,
    lookback: int,
    late_hours: float,
    start_date: str | None,
    has_nulls: bool,
) -> SyncPlan:
    common = SyncPlan(
        streams=tuple(streams),
        pause_hours=0.0 if is_process else random.choice((0.01, 1, 24, 24 * 40)),
        edits_before=0 if is_first else random.choice((0, 1, 5, 40)),
        start_date=start_date,
        lookback_hours=lookback,
        workers=random.choice((2, 3, 4, 8, 20)),
    )
    if is_last:
        return common
    stop = _stop(random, is_process)
    faults, ill = _trouble(random, rows)
    return replace(
        common,
        streams=_selected(random, streams),
        edits=_edits(random, late_hours, has_nulls=has_nulls),
        faults=faults,
        ill=ill,
        token_lifetime=random.choice((1.0, 2.0, 86_399.0, 86_399.0, 86_399.0, 86_399.0)),
        revocations=random.choice((0.0, 0.0, 0.0, 0.02)),
        stop=stop,
        stall=random.choice((0.0, 0.5)) if is_process else 0.0,
    )


def _selected(random: Random, streams: Sequence[str]) -> tuple[str, ...]:
    """What the connection selects before all is wanted: tables come and go."""
    if random.random() < 0.6:
        return tuple(streams)
    return tuple(random.sample(list(streams), random.randint(1, len(streams))))


def _edits(random: Random, late_hours: float, *, has_nulls: bool) -> EditPlan:
    return EditPlan(
        chance=random.choice((0.0, 0.2, 0.5, 0.8)),
        inserts=random.choice((0.0, 1.0)),
        edits=3.0,
        deletes=random.choice((0.0, 0.0, 1.0)),
        late=random.choice((0.0, 0.5)) if late_hours else 0.0,
        mass=random.choice((0.0, 0.0, 0.05)),
        nulls=random.choice((0.0, 0.5)) if has_nulls else 0.0,
        future=random.choice((0.0, 0.0, 0.0, 0.2)),
        late_hours=late_hours,
        tick=random.choice((0, 1, 1, 60)),
    )


def _stop(random: Random, is_process: bool) -> Stop | None:
    if is_process:
        kind: StopKind = random.choice(("SIGKILL", "SIGTERM"))
        lines = int(2 ** random.uniform(0, 10.5))
        return Stop(kind, lines=lines) if random.random() < 0.8 else None
    return Stop("cut", share=random.random()) if random.random() < 0.5 else None


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
"""After these a sync goes on, wherever they come; at high rates it may have to give up."""

DOUBTFUL: tuple[FaultPlan, ...] = (
    *(FaultPlan("status", status=code) for code in (400, 403, 404, 405, 418, 599)),
    FaultPlan("status", status=403, body="html"),
    FaultPlan("redirect", location="login"),
    FaultPlan("redirect", location="other"),
)
"""Settings from the first request on; blips where the list was fine before."""

NO_TOKENS = frozenset({"html_200", "xml_200", "invalid_json", "empty_body", "object", "null"})
"""Kinds of responses to the first token request that mean a wrong setting: it is no Coupa."""

ENDING: tuple[FaultPlan, ...] = (
    *(FaultPlan("status", status=code) for code in (204, 206)),
    FaultPlan("unordered"),
    FaultPlan("duplicated"),
    FaultPlan("missing_id"),
)
"""Each of these may end a stream's sync, but with an error."""

GIVEN_UP = 60.0
TIMED_OUT = 1_000.0
"""Seconds after which a server, or else the connector, gives up a response. Only the simulated
clock waits for them."""

HEAVY = FaultPlan("status", status=504, body="html")
POISONS: tuple[FaultPlan, ...] = (
    FaultPlan("status", status=500),
    FaultPlan("status", status=500, body="html"),
    *(FaultPlan("status", status=code) for code in (400, 403, 404, 410)),
    FaultPlan("invalid_json"),
    FaultPlan("drop"),
    FaultPlan("truncated"),
    FaultPlan("status", status=403, body="html"),
    FaultPlan("status", status=504, body="html", seconds=GIVEN_UP),
    FaultPlan("status", status=504, body="html", seconds=TIMED_OUT),
)
DEAD: tuple[FaultPlan, ...] = (
    FaultPlan("status", status=500),
    FaultPlan("status", status=403),
    FaultPlan("html_200"),
    FaultPlan("drop"),
)
"""What one list gives to everything."""


def _trouble(
    random: Random, rows: Mapping[str, int]
) -> tuple[tuple[FaultPlan, ...], IllRecords | None]:
    """What goes wrong in a sync: nothing, blips, noise that may end it, a list that is dead, or
    records that are ill."""
    resources = [RESOURCE_OF[stream] for stream in rows]
    kind = random.choices(("none", "blips", "noise", "dead", "heavy", "poison"), (3, 3, 3, 2, 2, 2))
    if kind == ["blips"]:
        return tuple(_blip(random, resources) for _ in range(random.choice((1, 2, 3)))), None
    if kind == ["noise"]:
        return tuple(_noise(random, resources) for _ in range(random.choice((1, 2, 3, 4)))), None
    if kind == ["dead"]:
        return (replace(random.choice(DEAD), resource=random.choice(resources)),), None
    resource = random.choice(resources)
    if kind == ["heavy"]:
        first = random.random()
        places = tuple(min(first + 0.002 * n, 1.0) for n in range(random.choice((20, 60, 200))))
        bearable = random.choice((1, 3, 10, 24))
        # drawn last: all else stays what it was
        seconds = random.choice((0.0, 0.0, GIVEN_UP, TIMED_OUT))
        return (), IllRecords(replace(HEAVY, resource=resource, seconds=seconds), places, bearable)
    if kind == ["poison"]:
        places = tuple(random.random() for _ in range(random.choice((1, 1, 2, 4))))
        fault = replace(random.choice(POISONS), resource=resource)
        # failures of many records that take so long end a list, which the next sync continues
        return (), IllRecords(fault, places[:2] if fault.seconds else places)
    return (), None


def _blip(random: Random, resources: Sequence[str]) -> FaultPlan:
    """Once or twice, at any place: the first request, the first page, the end of the list."""
    return replace(
        random.choice((*PASSING, *DOUBTFUL)),
        resource=random.choice((None, *resources, *resources, "oauth")),
        after=random.choice((0, 1, 2, 3, 5, 8, 13)),
        times=random.choice((1, 1, 2)),
    )


def _noise(random: Random, resources: Sequence[str]) -> FaultPlan:
    ends = random.random() < 0.2
    plan = random.choice((*DOUBTFUL, *ENDING) if ends else PASSING)
    return replace(
        plan,
        rate=random.choice((0.2, 1.0) if ends else (0.02, 0.05, 0.1, 0.2)),
        resource=random.choice((None, *resources, "oauth")),
        after=random.choice((0, 0, 0, 3, 10)),
        times=1 if ends else None,
    )


def _dialect(random: Random) -> dict[str, Any]:
    """Most instances are as documented; of the rest, each differs in one or more points."""
    dialect: dict[str, Any] = {}
    if random.random() < 0.4:
        return dialect
    switches: tuple[tuple[str, Any], ...] = (
        ("page_cap", 20),
        ("page_cap", 7),
        ("page_caps", {"users": 20, "invoices": 7}),
        ("hidden_every", random.choice((2, 3, 7))),
        ("no_match", "not_found"),
        ("order_by_id", "refused"),
        ("default_order", "shuffled"),
        ("blank_time", "refused"),
        ("blank_time", "ignored"),
        ("filter_zone", random.choice((-8.0, 1.0, 5.5))),
        ("fields", "refused"),
        ("fields", "ignored"),
        ("nested_fields", "ids"),
        ("nested_fields", "refused"),
        ("fields_depth", random.choice((0, 1))),
        ("unknown_parameter", "refused"),
        ("offsets", "per_response"),
        ("offsets", "utc"),
        ("compression", "gzip"),
        ("token_warmup", 0.005),
        ("token_shows_scope", True),
        ("newest_token_only", True),
        ("token_limit", {"per_second": 0.1, "burst": 4}),
        ("max_offset", 120),
        ("over_cap", "refused"),
        ("updated_at_filter", "refused"),
        ("updated_at_filter", "ignored"),
        ("id_filter", random.choice(("ignored", "refused"))),
        ("rate_limit", {"per_second": 25.0, "burst": 20}),
        ("retry_after", "seconds"),
        ("bad_scope", {"status": 401}),
        ("counts_token_requests", True),
    )
    for name, value in random.sample(switches, random.choice((1, 1, 2, 3))):
        dialect[name] = value
    if dialect.get("order_by_id") == "refused" and random.random() < 0.3:
        dialect["default_order"] = "updated_at"
    return dialect
