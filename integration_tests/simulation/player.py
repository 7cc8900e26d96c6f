"""Plays scenarios with the real connector."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.models import (
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    SyncMode,
)

from integration_tests.harness import RESOURCE_OF, configured_catalog, run_here
from integration_tests.sandbox import RequestRecord, Sandbox

from . import pace
from .coupa import BEHIND, Life, SimulatedClock, faults_of, ill_ids, make
from .destination import DELETED_AT, MOST_REPEATED, Destination, Message, Taking
from .process import run_until
from .scenario import DOUBTFUL, ENDING, NO_TOKENS, FaultPlan, Scenario, SyncPlan
from .streams import STREAMS, all_columns


@dataclass
class Outcome:
    """What became of a scenario.

    Attributes:
        broken: promises that were not kept; none if all is well.
        counts: figures for the report, by name.
        faults: faults that were played, by kind.
    """

    scenario: Scenario
    broken: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Sync:
    """What one sync printed, up to where it was stopped.

    Attributes:
        exit_code: None if it was stopped.
        peak: the most memory that a process took, in bytes.
    """

    messages: Sequence[Message]
    exit_code: int | None
    peak: int = 0

    @property
    def errors(self) -> list[dict[str, Any]]:
        traces = [m["trace"] for m in self.messages if m["type"] == "TRACE"]
        return [trace["error"] for trace in traces if trace["type"] == "ERROR"]

    def has_too_many_gone(self, list_: str) -> bool:
        """Whether so much of a list is gone at once that nothing of it was deleted."""
        return any(
            _TOO_MANY in error["message"] and error["stream_descriptor"]["name"] == list_
            for error in self.errors
        )

    def streams_that(self, status: str) -> set[str]:
        """The streams that reported a status."""
        found = set()
        for message in self.messages:
            ended = message.get("trace", {}).get("stream_status") or {}
            if ended.get("status") == status:
                found.add(ended["stream_descriptor"]["name"])
        return found


def play(scenario: Scenario) -> Outcome:
    """Plays one scenario; only within `pace.quick()`."""
    outcome = Outcome(scenario)
    clock: Callable[[], datetime] = _clock_behind if scenario.is_process else SimulatedClock()
    with _around(scenario, clock), make(scenario, clock) as sandbox:
        if scenario.is_process:
            sandbox.latency = 0.01
        life = Life(scenario, clock)
        sandbox.before_each(life)
        most = pace.REPEATED_OFTEN if scenario.marks_often else MOST_REPEATED
        destination = Destination(sandbox, scenario, most_repeated=most)
        player = _Player(scenario, sandbox, life, destination, outcome)
        for plan in scenario.syncs:
            player.play(plan, is_last=plan is scenario.syncs[-1])
        quiet = replace(scenario.syncs[-1], pause_hours=0.0, edits_before=0)
        if destination.goes_on and not outcome.counts["refused instances"]:
            player.play(quiet, is_last=True)
        if not outcome.counts["refused instances"]:
            destination.compare(life.deleted)
            if scenario.is_quiet_in_the_end:
                ahead = timedelta(seconds=scenario.clock_ahead)
                sweeps = destination.sweeps_due(clock() + ahead)
                player.look_at_requests(quiet, player.play(quiet, is_last=True), sweeps)
        outcome.broken += destination.broken
        outcome.counts.update(life.changes)
        outcome.counts["token revocations"] += life.revocations
        outcome.counts["rows checked"] += destination.checked
        outcome.counts["states checked"] += destination.states
        outcome.counts["records repeated"] += destination.repeated
    outcome.counts["scenarios"] += 1
    return outcome


MOST_MEMORY = 400_000_000
"""Bytes that a process may take."""

_KINDS = frozenset({"config_error", "transient_error", "system_error"})


@dataclass
class _Player:
    """Plays the syncs of a scenario, and looks at how each ends."""

    scenario: Scenario
    sandbox: Sandbox
    life: Life
    destination: Destination
    outcome: Outcome

    def play(self, plan: SyncPlan, *, is_last: bool) -> Sync:
        """Plays one sync; gives what it printed."""
        sandbox, destination, outcome = self.sandbox, self.destination, self.outcome
        self.life.between_syncs(sandbox, plan.edits_before)
        if isinstance(sandbox.clock, SimulatedClock):
            sandbox.clock.pass_by(plan.pause_hours * 3600 + 2)
        sandbox.dialect = sandbox.dialect.but(token_lifetime=plan.token_lifetime)
        sandbox.requests.clear()
        sandbox.faults.clear()
        sandbox.faults.add(*faults_of(plan, sandbox))
        ill = ill_ids(plan, sandbox)
        destination.begin(plan, self.life.uncertain)
        before = destination.versions()
        self.life.during(plan)
        sync = self._run(plan)
        takings = destination.take(
            plan, sync.messages, before=before, uncertain=self.life.uncertain
        )
        outcome.faults += Counter(r.fault for r in sandbox.requests if r.fault is not None)
        outcome.counts["requests"] += len(sandbox.requests)
        outcome.counts["deletions"] += sum(
            bool(m["record"]["data"].get(DELETED_AT))
            for m in sync.messages
            if m["type"] == "RECORD"
        )
        outcome.counts["records"] += sum(m["type"] == "RECORD" for m in sync.messages)
        outcome.counts["syncs"] += 1
        if sync.peak > MOST_MEMORY:
            outcome.broken.append(f"a sync took {sync.peak:,} bytes of memory")
        self._look_at_end(plan, sync, is_last=is_last)
        if sync.exit_code is not None:
            for stream in plan.streams:
                self._look_at_stream(plan, stream, sync, takings[stream], ill)
        return sync

    def look_at_requests(self, plan: SyncPlan, sync: Sync, sweeps: Collection[str]) -> None:
        """A sync in which nothing has changed asks each list once and little more.

        Args:
            plan: of the sync.
            sync: what it printed.
            sweeps: lists whose deleted records are looked for.
        """
        for list_ in self.scenario.rows:
            resource = RESOURCE_OF[list_]
            due = self.destination.due(list_, plan)
            cap = self.sandbox.dialect.page_caps.get(resource, self.sandbox.dialect.page_cap)
            # where columns are selected, one page is compared with its other form
            is_part = self.scenario.selects_columns or list_ not in plan.streams
            most = _requests_for(due, cap) + is_part
            if self.scenario.ids == "uneven" and due >= 2 * cap:
                # each reader may get a part without records, once
                most += plan.workers
            # what has too many gone is looked for in each sync, until that succeeds
            if list_ in sweeps or sync.has_too_many_gone(list_):
                swept, absent = self.destination.due_in_a_sweep(list_)
                most += _requests_for(swept, cap) + absent // _LOOKED_UP_AT_ONCE + 2
            watched = [
                name
                for name in plan.streams
                if STREAMS[name].list_ == list_ and STREAMS[name].parent is not None
            ]
            # one that is refused is asked again; one that shows changed rows alone, for the rest
            most += len(watched) * (2 if self.scenario.dialect else 1)
            if self.scenario.edits_rows:
                most += 2 * len(watched) * (self.life.changes["rows"] // cap + 1)
            requests = len(self.sandbox.requests_for(resource))
            if requests > most:
                self.outcome.broken.append(
                    f"{requests} requests for {due} records of {resource} that had not changed"
                )

    def _look_at_end(self, plan: SyncPlan, sync: Sync, *, is_last: bool) -> None:
        """Holds statuses, errors and exit code of one sync against each other."""
        counts, broken = self.outcome.counts, self.outcome.broken
        complete = sync.streams_that("COMPLETE")
        if sync.exit_code is None:
            counts[f"stopped by {plan.stop.kind}" if plan.stop else "stopped"] += 1
        elif sync.exit_code == 0:
            counts["complete syncs"] += 1
            if complete != set(plan.streams) or sync.errors:
                broken.append(
                    "a sync ended well with a stream that is not COMPLETE, or with an error"
                )
        else:
            counts["failed syncs"] += 1
            sentences = [error["message"] for error in sync.errors]
            for error in sync.errors:
                counts[f"reported as {error['failure_type']}"] += 1
            if not sentences:
                broken.append("a sync failed silently")
            if any(error["failure_type"] not in _KINDS for error in sync.errors):
                broken.append("an error without a failure type")
            if any("unexpected error" in sentence for sentence in sentences):
                broken.append(f"a failure that nobody foresaw: {sentences}")
            if complete == set(plan.streams):
                broken.append("a sync failed with all streams COMPLETE")
            if is_last and self.scenario.may_fail_for_good:
                counts["refused instances"] += 1

    def _look_at_stream(
        self, plan: SyncPlan, stream: str, sync: Sync, taking: Taking, ill: frozenset[int]
    ) -> None:
        """A stream completes whatever the others do, unless its own list gives it a reason; where
        single records cannot be read, all others arrive, and those are named."""
        broken, resource = self.outcome.broken, STREAMS[stream].resource
        if sync.has_too_many_gone(STREAMS[stream].list_):
            return
        is_complete = stream in sync.streams_that("COMPLETE")
        if self._may_fail(plan, resource):
            return
        own = plan.ill if plan.ill is not None and plan.ill.fault.resource == resource else None
        if own is None or own.bearable:
            if not is_complete:
                sentences = [error["message"] for error in sync.errors]
                broken.append(f"{stream} failed for no reason of its own: {sentences}")
            return
        self.outcome.counts["lists with records that cannot be read"] += 1
        given_up = self.destination.tables[stream].given_up
        others = taking.left().keys() - given_up
        # a record that is deleted between a page and the question for its id makes another one
        # look ill, which comes with the next sync
        are_there = ill <= self.sandbox.tables[resource].stamps().keys()
        if others or (given_up - ill and are_there):
            broken.append(
                f"{stream} lacks {sorted(others)[:5]} and calls {sorted(given_up)[:5]} missing, of "
                f"which only {sorted(ill)} cannot be read"
            )
        text = " ".join(error["message"] for error in sync.errors)
        if given_up and not any(str(id) in text for id in given_up):
            broken.append(f"{stream} names none of {sorted(given_up)}: {text}")

    def _may_fail(self, plan: SyncPlan, resource: str) -> bool:
        """Whether a list has a reason of its own to fail."""
        if plan.revocations or plan.token_lifetime < 10 or self.scenario.may_fail_for_good:
            return True
        if plan.ill is not None and self.scenario.dialect.keys() >= {"fields", "hidden_every"}:
            # a page of one record is empty, and ids do not come alone
            return not plan.ill.bearable and plan.ill.fault.resource == resource
        if plan.ill is not None and plan.ill.fault.status == 400 and self.scenario.refuses_queries:
            # the first page is refused in any case
            return plan.ill.fault.resource == resource
        faults = [fault for fault in plan.faults if fault.resource in (None, "oauth", resource)]
        played = [request for request in self.sandbox.requests if request.fault is not None]
        return (
            any(fault.times is None or _without_place(fault) in ENDING for fault in faults)
            or sum(fault.times or 0 for fault in faults if fault.status == 401) > _MOST_401
            or any(
                request.resource in ("oauth", resource) and self._is_setting(faults, request)
                for request in played
            )
        )

    def _is_setting(self, faults: Sequence[FaultPlan], request: RequestRecord) -> bool:
        """Whether a request met what counts as a wrong setting where nothing was fine before."""
        if not any(_is_doubtful(fault) and fault.kind == request.fault for fault in faults):
            return False
        return not any(
            other.resource == request.resource
            and other.status == 200
            and other.fault is None
            and other.ended is not None
            and other.ended
            < request.started - (_A_MOMENT if "id[gt]" in request.query else _A_WHILE)
            for other in self.sandbox.requests
        )

    def _run(self, plan: SyncPlan) -> Sync:
        scenario = self.scenario
        settings: dict[str, Any] = {
            "lookback_window_hours": plan.lookback_hours,
            "num_workers": plan.workers,
        }
        if scenario.deleted_every:
            settings["deleted_records_every_days"] = scenario.deleted_every
        if plan.start_date is not None:
            settings["start_date"] = plan.start_date
        with tempfile.TemporaryDirectory() as folder:
            arguments = _files(
                Path(folder),
                self.sandbox.config(**settings),
                catalog_of(scenario, plan.streams),
                self.destination.states_to_resume(plan.streams),
            )
            if scenario.is_process:
                ended = run_until(scenario, plan, arguments)
                return Sync(ended.messages, ended.code, ended.peak)
            run = run_here(arguments)
        if plan.stop is not None:
            return Sync(run.messages[: int(plan.stop.share * len(run.messages))], None)
        return Sync(run.messages, run.exit_code)


_TOO_MANY = "that earlier syncs have read are not there any more"
"""In the message on a list of which too much is gone at once."""

_LOOKED_UP_AT_ONCE = 48
"""Ids that may be gone, in one request."""

_MOST_401 = 3
"""Refusals of a token that one request outlives."""

_A_MOMENT = 0.005
"""Seconds within which a response may overtake another."""

_A_WHILE = 0.25
"""The same for requests that were perhaps sent before any response was looked at."""


def _is_doubtful(fault: FaultPlan) -> bool:
    """Whether it counts as a wrong setting where it comes first."""
    is_no_token = fault.resource == "oauth" and fault.kind in NO_TOKENS
    return is_no_token or _without_place(fault) in DOUBTFUL


def _requests_for(records: int, cap: int) -> int:
    """The most requests that so many records take, the proof of their end included."""
    return records // cap + (5 if records < 2 * cap else records // cap + 6)


def _without_place(fault: FaultPlan) -> FaultPlan:
    return replace(fault, rate=1.0, resource=None, times=None, after=0)


def catalog_of(scenario: Scenario, streams: Sequence[str]) -> ConfiguredAirbyteCatalog:
    """What the connection selects."""
    catalog = configured_catalog(*streams, sync_mode=SyncMode(scenario.mode))
    for configured in catalog.streams:
        stream = STREAMS[configured.stream.name]
        columns = stream.columns if scenario.selects_columns else ()
        if scenario.deleted_every and stream.parent is None:
            columns = (*(columns or all_columns(stream.name)), DELETED_AT)
        configured.stream.json_schema = {"properties": {name: {} for name in columns}}
    return catalog


def _files(
    folder: Path,
    config: dict[str, Any],
    catalog: ConfiguredAirbyteCatalog,
    states: list[Message],
) -> list[str]:
    (folder / "config.json").write_text(json.dumps(config))
    serialized = ConfiguredAirbyteCatalogSerializer.dump(catalog)
    (folder / "catalog.json").write_bytes(orjson.dumps(serialized))
    arguments = ["read", "--config", str(folder / "config.json")]
    arguments += ["--catalog", str(folder / "catalog.json")]
    if states:
        (folder / "state.json").write_text(json.dumps(states))
        arguments += ["--state", str(folder / "state.json")]
    return arguments


@contextmanager
def _around(scenario: Scenario, clock: Callable[[], datetime]) -> Iterator[None]:
    with ExitStack() as stack:
        if not scenario.is_process:
            ahead = timedelta(seconds=scenario.clock_ahead)
            stack.enter_context(pace.at_the_time_of(lambda: clock() + ahead))
            if scenario.divides_early:
                stack.enter_context(pace.dividing_early())
            if scenario.marks_often:
                stack.enter_context(pace.marking_often())
        yield


def _clock_behind() -> datetime:
    return datetime.now(timezone.utc) - BEHIND
