"""The memory of responses is bounded, and nobody waits for what they hold themselves."""

from __future__ import annotations

from random import Random

import pytest

from source_coupa.transport.backpressure import Backpressure, Load, TooMuchHeldError

LIMIT = 1_000


@pytest.fixture
def held() -> Backpressure:
    return Backpressure(LIMIT)


def reserved(backpressure: Backpressure, size: int) -> Load:
    load = backpressure.reserve(size)
    assert load is not None
    return load


def test_there_is_room_up_to_the_limit(held: Backpressure) -> None:
    first = reserved(held, 600)
    second = reserved(held, 400)
    assert held.reserve(1) is None
    first.release()
    third = reserved(held, 600)
    assert held.held == LIMIT == second.size + third.size


def test_one_response_always_has_room(held: Backpressure) -> None:
    load = reserved(held, 50 * LIMIT)
    assert held.reserve(1) is None
    load.release()
    assert held.held == 0


def test_a_response_counts_with_what_it_is(held: Backpressure) -> None:
    load = reserved(held, 900)
    load.resize(100)
    assert held.held == 100
    other = reserved(held, 900)
    assert other.size == 900


def test_a_response_that_grows_is_given_up_only_if_others_are_held() -> None:
    held = Backpressure()
    alone = reserved(held, 1)
    alone.resize(500_000_000)
    alone.resize(1_000_000)
    other = reserved(held, 1)
    with pytest.raises(TooMuchHeldError):
        other.resize(500_000_000)
    assert held.held == 1_000_001


def test_to_release_twice_does_no_harm(held: Backpressure) -> None:
    load = reserved(held, 600)
    reserved_too = reserved(held, 300)
    load.release()
    load.release()
    assert held.held == 300 == reserved_too.size


def test_whoever_waits_for_room_is_notified(held: Backpressure) -> None:
    released: list[int] = []
    held.on_release = lambda: released.append(held.held)
    load = reserved(held, 600)
    load.release()
    load.release()
    assert released == [0]


def test_a_response_that_nobody_knows_any_more_is_freed(held: Backpressure) -> None:
    load: Load | None = reserved(held, LIMIT)
    assert load is not None
    load = None
    assert reserved(held, LIMIT).size == LIMIT


@pytest.mark.parametrize("seed", range(10))
def test_what_is_held_stays_within_bounds(seed: int) -> None:
    random = Random(seed)
    held = Backpressure(LIMIT)
    loads: list[Load] = []
    for _ in range(1_000):
        if random.random() < 0.6 and (load := held.reserve(random.randint(1, 500))):
            loads.append(load)
        elif loads:
            loads.pop(random.randrange(len(loads))).release()
        assert held.held == sum(load.size for load in loads) <= LIMIT
