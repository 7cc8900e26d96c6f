"""Which request is sent next, and when; nothing waits for what it holds itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

import pytest

from source_coupa.transport.backpressure import Backpressure, Load
from source_coupa.transport.clock import Clock
from source_coupa.transport.scheduler import Scheduler

PATIENCE = 10.0


class HeldClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.time

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        self.later.append((self.time + seconds, function))

    def pass_by(self, seconds: float) -> None:
        """Moves on and calls what is due."""
        self.time += seconds
        due = [function for at, function in self.later if at <= self.time]
        self.later = [(at, function) for at, function in self.later if at > self.time]
        for function in due:
            function()


def scheduler(workers: int = 1, clock: Clock | None = None, limit: int = 1_000) -> Scheduler:
    return Scheduler(
        max_workers=workers,
        requests_per_second=1_000,
        clock=clock or HeldClock(),
        backpressure=Backpressure(limit),
    )


def finished(*futures: Future[Any]) -> None:
    done, _ = wait(futures, PATIENCE)
    assert done == set(futures)


def freeing(result: Any) -> Callable[[Load], Any]:
    """A request whose response is printed at once."""

    def task(load: Load) -> Any:
        load.release()
        return result

    return task


def test_requests_are_sent_in_the_order_in_which_they_were_asked_for() -> None:
    sends = scheduler()
    begun: list[int] = []

    def task(number: int, load: Load) -> None:
        begun.append(number)
        load.release()

    with sends.open():
        finished(*(sends.submit(partial(task, n), expected_bytes=1) for n in range(20)))
    assert begun == list(range(20))


def test_no_more_requests_are_under_way_than_there_are_workers() -> None:
    sends = scheduler(workers=3)
    lock, under_way, most = threading.Lock(), 0, 0
    full = threading.Barrier(3)

    def task(load: Load) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        full.wait(PATIENCE)
        with lock:
            under_way -= 1
        load.release()

    with sends.open():
        finished(*(sends.submit(task, expected_bytes=1) for _ in range(30)))
    assert most == 3


def test_as_many_are_under_way_as_the_budget_needs_at_the_latency_that_is_seen() -> None:
    sends = Scheduler(
        max_workers=50, requests_per_second=20, clock=HeldClock(), backpressure=Backpressure()
    )
    assert 20 * 1.2 < sends.useful < 50
    for _ in range(100):
        sends.observe(0.1)
    assert 2 <= sends.useful <= 5
    for _ in range(100):
        sends.observe(30.0)
    assert sends.useful == 50


def test_more_than_the_budget_needs_are_not_under_way() -> None:
    sends = Scheduler(
        max_workers=50, requests_per_second=20, clock=HeldClock(), backpressure=Backpressure()
    )
    for _ in range(100):
        sends.observe(0.1)
    lock, gate, begun = threading.Lock(), threading.Event(), 0

    def task(load: Load) -> None:
        nonlocal begun
        with lock:
            begun += 1
        gate.wait(PATIENCE)
        load.release()

    with sends.open():
        futures = [sends.submit(task, expected_bytes=1) for _ in range(30)]
        assert sum(not future.running() for future in futures) == 30 - sends.useful
        gate.set()
        finished(*futures)
    assert begun == 30


def test_a_request_that_waits_for_its_retry_takes_no_thread() -> None:
    clock = HeldClock()
    sends = scheduler(clock=clock)
    with sends.open():
        late = sends.submit(freeing("late"), expected_bytes=1, delay=60.0)
        finished(sends.submit(freeing("now"), expected_bytes=1))
        assert not late.done()
        clock.pass_by(60.0)
        finished(late)


def test_a_pause_holds_all_requests_back() -> None:
    clock = HeldClock()
    sends = scheduler(workers=4, clock=clock)
    with sends.open():
        sends.pause(30.0)
        futures = [sends.submit(freeing(n), expected_bytes=1) for n in range(4)]
        clock.pass_by(29.0)
        assert not any(future.running() or future.done() for future in futures)
        clock.pass_by(1.0)
        finished(*futures)


def test_the_longer_of_two_pauses_counts() -> None:
    clock = HeldClock()
    sends = scheduler(clock=clock)
    with sends.open():
        sends.pause(60.0)
        sends.pause(5.0)
        future = sends.submit(freeing(1), expected_bytes=1)
        clock.pass_by(6.0)
        assert not future.running()
        assert not future.done()
        clock.pass_by(54.0)
        finished(future)


def test_a_request_that_is_cancelled_is_not_sent() -> None:
    clock = HeldClock()
    sends = scheduler(clock=clock)
    begun: list[int] = []
    with sends.open():
        sends.pause(1.0)
        cancelled = sends.submit(lambda load: begun.append(1), expected_bytes=1)
        last = sends.submit(freeing(2), expected_bytes=1)
        assert cancelled.cancel()
        clock.pass_by(1.0)
        finished(last)
    assert begun == []


def test_a_request_waits_until_there_is_room_for_its_response() -> None:
    sends = scheduler(workers=4)
    with sends.open():
        first = sends.submit(lambda load: load, expected_bytes=900)
        finished(first)
        second = sends.submit(freeing(2), expected_bytes=900)
        assert not second.running()
        assert not second.done()
        first.result().release()
        finished(second)


def test_a_response_that_is_larger_than_all_room_is_asked_for_alone() -> None:
    sends = scheduler(workers=4)
    with sends.open():
        finished(*(sends.submit(freeing(n), expected_bytes=10**9) for n in range(5)))


def test_a_request_that_fails_gives_its_room_back() -> None:
    sends = scheduler(workers=4)

    def fails(load: Load) -> None:
        raise ValueError("no response")

    with sends.open():
        futures = [sends.submit(fails, expected_bytes=900) for _ in range(10)]
        finished(*futures)
        assert all(isinstance(future.exception(), ValueError) for future in futures)
        finished(sends.submit(freeing(1), expected_bytes=1_000))


@pytest.mark.parametrize("fails", [False, True])
def test_threads_end_with_the_last_list(fails: bool) -> None:
    sends = scheduler(workers=3)
    threads: list[threading.Thread] = []

    def task(load: Load) -> None:
        threads.append(threading.current_thread())
        load.release()
        if fails:
            raise ValueError("no response")

    with sends.open(), sends.open():
        wait([sends.submit(task, expected_bytes=1) for _ in range(9)], PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    with sends.open():
        finished(sends.submit(freeing(1), expected_bytes=1))


def test_one_list_that_ends_leaves_the_requests_of_others() -> None:
    clock = HeldClock()
    sends = scheduler(clock=clock)
    with sends.open():
        with sends.open():
            future = sends.submit(freeing(1), expected_bytes=1, delay=5.0)
        clock.pass_by(5.0)
        finished(future)
