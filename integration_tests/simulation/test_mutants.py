"""The simulation finds every connector that breaks a rule, and none in the one that keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import pytest

from . import pace
from .mutants import MUTANTS, Mutant
from .player import play
from .scenario import Scenario, draw

pytestmark = pytest.mark.slow

MOST = 30
"""Scenarios that a mutant may survive."""


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with pace.quick():
        yield


def scenarios_for(mutant: Mutant) -> Iterator[Scenario]:
    """The first scenarios in which the rule matters."""
    drawn = (draw(seed, process_share=0.0) for seed in count(1))
    return islice(filter(mutant.matters_in, drawn), MOST)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_connector_that_breaks_a_rule_is_found_out(name: str) -> None:
    mutant = MUTANTS[name]
    survived = []
    for scenario in scenarios_for(mutant):
        with mutant.breaking():
            outcome = play(scenario)
        if outcome.broken:
            assert play(scenario).broken == [], "the connector itself keeps the rule"
            return
        survived.append(scenario.seed)
    pytest.fail(f"'{mutant.rule}' can be broken unseen; seeds {survived}")
