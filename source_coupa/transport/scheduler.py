"""Decides which request is sent next, and when."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from source_coupa.transport.backpressure import Backpressure, Load
from source_coupa.transport.clock import Clock

_T = TypeVar("_T")

SPARE = 1.4
"""More requests under way than the budget needs on average, which keeps it full when some of them
take longer."""

FIRST_GUESS = 1.2
"""Seconds that a response takes until some were seen; in the field, pages took 0.7 to 1.2."""

_Task = tuple["Future[Any]", Callable[[Load], Any], int]


@dataclass
class Traffic:
    """The requests to all lists so far.

    Attributes:
        per_second: the request budget.
        sent: how many were sent.
        limited: how many of them met Coupa's request limit (HTTP 429).
    """

    per_second: int
    sent: int = 0
    limited: int = 0


class Scheduler:
    """Sends the requests of all lists, in the order in which they ask.

    It keeps as many requests under way as the budget needs at the latency that it sees, up to
    `max_workers`. A request that waits for its retry, or for memory, takes no thread. Its threads
    live while a list is open.

    Attributes:
        traffic: what was sent.
    """

    def __init__(
        self,
        *,
        max_workers: int,
        requests_per_second: int,
        clock: Clock,
        backpressure: Backpressure,
    ) -> None:
        self._max_workers = max_workers
        self.traffic = Traffic(requests_per_second)
        self._clock = clock
        self._backpressure = backpressure
        self._latency = FIRST_GUESS
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._running = 0
        self._open_lists = 0
        self._threads: ThreadPoolExecutor | None = None
        self._resume_at = float("-inf")
        backpressure.on_release = self._start_waiting

    @property
    def useful(self) -> int:
        """How many requests have to be under way to use the whole request budget."""
        wanted = round(self.traffic.per_second * self._latency * SPARE)
        return max(min(wanted, self._max_workers), 1)

    @property
    def room(self) -> int:
        """How many further requests would begin at once and help to use the budget."""
        return max(self.useful - self._running - len(self._waiting), 0)

    def observe(self, latency: float) -> None:
        """Takes note of the seconds that Coupa needed to respond to a request."""
        self._latency += (latency - self._latency) / 10

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keeps the threads while a list is read."""
        with self._lock:
            self._open_lists += 1
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._max_workers, thread_name_prefix="coupa")
        try:
            yield
        finally:
            with self._lock:
                self._open_lists -= 1
                if not self._open_lists and self._threads is not None:
                    self._threads.shutdown(wait=False)
                    self._threads = None
                    self._waiting.clear()

    def pause(self, seconds: float) -> None:
        """Sends nothing for a while, after a request that met the limit."""
        with self._lock:
            self.traffic.limited += 1
            self._resume_at = max(self._resume_at, self._clock.monotonic() + seconds)
        self._clock.call_later(seconds, self._start_waiting)

    def submit(
        self, task: Callable[[Load], _T], *, expected_bytes: int, delay: float = 0.0
    ) -> Future[_T]:
        """Runs `task` when its turn comes, after `delay` seconds at the earliest.

        Args:
            task: sends a request; gets the room that is reserved for its response, which is freed
                when whoever takes the result frees it.
            expected_bytes: the likely size of the response.
            delay: seconds.
        """
        future: Future[_T] = Future()
        queued: _Task = (future, task, expected_bytes)
        if delay > 0:
            self._clock.call_later(delay, lambda: self._enqueue(queued))
        else:
            self._enqueue(queued)
        return future

    def _enqueue(self, task: _Task) -> None:
        with self._lock:
            self._waiting.append(task)
            self._start_waiting()

    def _start_waiting(self) -> None:
        with self._lock:
            while self._waiting and self._running < self.useful and self._threads is not None:
                if self._clock.monotonic() < self._resume_at:
                    return
                future, task, expected_bytes = self._waiting[0]
                if future.cancelled():
                    self._waiting.popleft()
                    continue
                load = self._backpressure.reserve(expected_bytes)
                if load is None:
                    return
                self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    self._running += 1
                    self.traffic.sent += 1
                    self._threads.submit(self._run, future, task, load)

    def _run(self, future: Future[Any], task: Callable[[Load], Any], load: Load) -> None:
        try:
            result = task(load)
        except BaseException as error:
            load.release()
            self._finished()
            future.set_exception(error)
        else:
            self._finished()
            future.set_result(result)

    def _finished(self) -> None:
        with self._lock:
            self._running -= 1
            self._start_waiting()
