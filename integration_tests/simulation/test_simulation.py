"""The short form of `bin/soak`: 200 chains of syncs, of which some are killed for real."""

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
from .scenario import ENDING, PASSING, draw

pytestmark = pytest.mark.slow

SCENARIOS = 200
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


def test_scenarios_play_every_fault_of_the_sandbox() -> None:
    assert {plan.kind for plan in (*PASSING, *ENDING)} == set(KINDS)
    drawn = Counter(
        (fault.kind, fault.status)
        for seed in range(1_000)
        for sync in draw(seed).syncs
        for fault in sync.faults
    )
    assert set(drawn) == {(plan.kind, plan.status) for plan in (*PASSING, *ENDING)}
