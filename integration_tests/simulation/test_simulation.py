"""The short form of `bin/soak`: 40 chains of syncs, of which some are killed for real."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from integration_tests.sandbox.faults import KINDS

from . import pace
from .player import play
from .report import Report
from .scenario import DOUBTFUL, ENDING, PASSING, Scenario, SyncPlan, draw

pytestmark = pytest.mark.slow

SCENARIOS = 40
AT_ONCE = 40
PROCESSES = 0.02


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pace.quick():
        yield


@pytest.mark.parametrize("first", range(1, SCENARIOS + 1, AT_ONCE))
def test_no_chain_of_syncs_loses_a_record(first: int) -> None:
    report = Report()
    for seed in range(first, first + AT_ONCE):
        report.add(play(draw(seed, process_share=PROCESSES)))
    assert not report.broken, report.text()
    assert report.counts["rows checked"] > 1_000
    assert report.faults.total() > 10, "hardly a fault was played: this test tests little"
    assert report.counts["edits"] > 100
    assert report.counts["stopped by cut"]


def test_a_sync_that_is_killed_goes_on_from_its_last_state() -> None:
    report = Report()
    for seed in (1, 2, 3):
        report.add(play(draw(seed, process_share=1.0)))
    assert not report.broken, report.text()
    assert report.counts["stopped by SIGKILL"] + report.counts["stopped by SIGTERM"]


def test_a_scenario_follows_from_its_seed_alone() -> None:
    for seed in range(50):
        scenario = draw(seed, process_share=0.0)
        assert scenario == draw(seed, process_share=0.0)
        assert json.loads(scenario.as_json()) == json.loads(json.dumps(asdict(scenario)))


def test_memory_stays_below_its_bound_while_the_destination_stalls() -> None:
    scenario = Scenario(
        seed=1,
        is_process=True,
        rows={"invoices": 160},
        streams=("invoices", "invoice_lines"),
        selects_columns=False,
        mode="incremental",
        ids="gaps",
        times="recent",
        nulls=0.0,
        future=0.0,
        dialect={},
        clock_ahead=0,
        divides_early=True,
        marks_often=True,
        syncs=(SyncPlan(streams=("invoices", "invoice_lines"), workers=20, stall=3.0),),
        record_bytes=700_000,
    )
    outcome = play(scenario)
    assert outcome.broken == []
    assert outcome.counts["rows checked"] >= 2 * 160


def test_scenarios_play_every_fault_of_the_sandbox() -> None:
    kinds = {plan.kind for plan in (*PASSING, *DOUBTFUL, *ENDING)}
    # a record without its time counts as one whose time is null
    assert kinds == set(KINDS) - {"missing_cursor"}
    drawn = Counter(
        (fault.kind, fault.status)
        for seed in range(1_000)
        for sync in draw(seed).syncs
        for fault in sync.faults
    )
    assert set(drawn) == {(plan.kind, plan.status) for plan in (*PASSING, *DOUBTFUL, *ENDING)}
