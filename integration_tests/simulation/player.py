"""Plays scenarios with the real connector."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.models import (
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    SyncMode,
)

from integration_tests.harness import configured_catalog, run_here
from integration_tests.sandbox import Sandbox

from . import pace
from .coupa import BEHIND, Life, SimulatedClock, fault_of, make
from .destination import Destination, Message
from .process import run_until
from .scenario import Scenario, SyncPlan
from .streams import STREAMS


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

    `exit_code` is None if it was stopped.
    """

    messages: Sequence[Message]
    exit_code: int | None

    @property
    def errors(self) -> list[dict[str, Any]]:
        traces = [m["trace"] for m in self.messages if m["type"] == "TRACE"]
        return [trace["error"] for trace in traces if trace["type"] == "ERROR"]

    def streams_that(self, status: str) -> set[str]:
        """The streams that reported a status."""
        found = set()
        for message in self.messages:
            told = message.get("trace", {}).get("stream_status") or {}
            if told.get("status") == status:
                found.add(told["stream_descriptor"]["name"])
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
        destination = Destination(
            sandbox,
            scenario.streams,
            mode=scenario.mode,
            selects_columns=scenario.selects_columns,
        )
        for sync in scenario.syncs:
            _play_sync(scenario, sync, sandbox, life, destination, outcome)
        if not outcome.counts["refused instances"]:
            destination.compare(life.deleted)
        outcome.broken += destination.broken
        outcome.counts.update(life.changes)
        outcome.counts["token revocations"] += life.revocations
        outcome.counts["rows checked"] += destination.checked
        outcome.counts["states checked"] += destination.states
    outcome.counts["scenarios"] += 1
    return outcome


def _play_sync(
    scenario: Scenario,
    plan: SyncPlan,
    sandbox: Sandbox,
    life: Life,
    destination: Destination,
    outcome: Outcome,
) -> None:
    is_last = plan is scenario.syncs[-1]
    life.between_syncs(sandbox, plan.edits_before)
    clock = sandbox.clock
    if isinstance(clock, SimulatedClock):
        clock.pass_by(plan.pause_hours * 3600 + abs(scenario.clock_ahead) + 2)
    sandbox.dialect = sandbox.dialect.but(token_lifetime=plan.token_lifetime)
    sandbox.requests.clear()
    sandbox.faults.clear()
    sandbox.faults.add(*(fault_of(fault) for fault in plan.faults))
    destination.excuse(plan.start_date, life.uncertain)
    before = destination.versions()
    end = (clock() + timedelta(seconds=scenario.clock_ahead)).replace(microsecond=0)
    life.during(plan)
    sync = _run(scenario, plan, sandbox, destination)
    destination.take(sync.messages, before=before, end=end, uncertain=life.uncertain)
    played = Counter(r.fault for r in sandbox.requests if r.fault is not None)
    outcome.faults += played
    outcome.counts["requests"] += len(sandbox.requests)
    outcome.counts["records"] += sum(m["type"] == "RECORD" for m in sync.messages)
    outcome.counts["syncs"] += 1
    _look_at_end(scenario, plan, sync, is_last=is_last, outcome=outcome)


def _look_at_end(
    scenario: Scenario, plan: SyncPlan, sync: Sync, *, is_last: bool, outcome: Outcome
) -> None:
    """Holds statuses, errors and exit code of one sync against each other."""
    counts, broken = outcome.counts, outcome.broken
    complete = sync.streams_that("COMPLETE")
    if sync.exit_code is None:
        counts[f"stopped by {plan.stop.kind}" if plan.stop else "stopped"] += 1
    elif sync.exit_code == 0:
        counts["complete syncs"] += 1
        if complete != set(scenario.streams) or sync.errors:
            broken.append("a sync ended well with a stream that is not COMPLETE, or with an error")
    else:
        counts["failed syncs"] += 1
        sentences = [error["message"] for error in sync.errors]
        for error in sync.errors:
            counts[f"told as {error['failure_type']}"] += 1
        if not sentences:
            broken.append("a sync failed without a word")
        if any(error["failure_type"] not in _KINDS for error in sync.errors):
            broken.append("an error without a failure type")
        if any("unexpected error" in sentence for sentence in sentences):
            broken.append(f"a failure that nobody foresaw: {sentences}")
        if complete == set(scenario.streams):
            broken.append("a sync failed with all streams COMPLETE")
        if is_last and scenario.may_fail_for_good:
            counts["refused instances"] += 1
        elif not _may_fail(scenario, plan):
            broken.append(f"a sync failed for no reason: {sentences}")


_KINDS = frozenset({"config_error", "transient_error", "system_error"})


def _may_fail(scenario: Scenario, plan: SyncPlan) -> bool:
    """Whether the plan has a cause for a sync that fails."""
    return bool(
        plan.faults or plan.revocations or plan.token_lifetime < 10 or scenario.may_fail_for_good
    )


def _run(scenario: Scenario, plan: SyncPlan, sandbox: Sandbox, destination: Destination) -> Sync:
    settings: dict[str, Any] = {
        "lookback_window_hours": plan.lookback_hours,
        "num_workers": plan.workers,
    }
    if plan.start_date is not None:
        settings["start_date"] = plan.start_date
    with tempfile.TemporaryDirectory() as folder:
        arguments = _files(
            Path(folder),
            sandbox.config(**settings),
            catalog_of(scenario),
            destination.states_to_resume(),
        )
        if scenario.is_process:
            messages, code = run_until(arguments, plan.stop, early=scenario.divides_early)
            return Sync(messages, code)
        run = run_here(arguments)
    if plan.stop is not None:
        return Sync(run.messages[: int(plan.stop.share * len(run.messages))], None)
    return Sync(run.messages, run.exit_code)


def catalog_of(scenario: Scenario) -> ConfiguredAirbyteCatalog:
    """What the connection selects."""
    catalog = configured_catalog(*scenario.streams, sync_mode=SyncMode(scenario.mode))
    for configured in catalog.streams:
        columns = STREAMS[configured.stream.name].columns if scenario.selects_columns else ()
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
        yield


def _clock_behind() -> datetime:
    return datetime.now(timezone.utc) - BEHIND
