"""The threads that wait for Coupa's answers."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from source_coupa.config import CoupaConfig

_T = TypeVar("_T")

SPARE = 1.4
"""More requests under way than the budget needs on average, so that it is used when some of them
take longer."""

_Task = tuple[float, int, "Future[Any]", Callable[[], Any]]


class Fetchers:
    """A pool of at most `size` threads, shared by all lists that are being read.

    Each list has a turn, windows that of their time. Of the tasks that wait, those of the lowest
    turn come first: the state can only move past windows in their order, so that a sync that is
    interrupted has the more behind it. Tasks never wait for one another: they cannot deadlock,
    however many lists share the pool. It lives while a list is open, so that no thread outlasts
    the read.
    """

    def __init__(self, size: int, requests_per_second: int) -> None:
        self._size = size
        self._requests_per_second = requests_per_second
        self._latency = 0.4
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.RLock()
        self._turns: list[float] = []
        self._waiting: list[_Task] = []
        self._submitted = 0
        self._running = 0
        self._requests = 0
        self._threads: ThreadPoolExecutor | None = None
        self._resume_at = 0.0

    @property
    def useful(self) -> int:
        """How many requests have to be under way to use the whole request budget."""
        return max(round(min(self._requests_per_second * self._latency * SPARE, self._size)), 1)

    @property
    def room(self) -> int:
        """How many further requests would begin at once and help to use the budget."""
        under_way = max(self._running, self._requests) + len(self._waiting)
        return max(self.useful - under_way, 0)

    def observe(self, latency: float) -> None:
        """Takes note of the seconds that Coupa needed to answer a request."""
        self._latency += (latency - self._latency) / 10

    @contextmanager
    def open(self, turn: float) -> Iterator[None]:
        """Keeps the pool open while a list is read."""
        with self._lock:
            self._turns.append(turn)
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="coupa-fetcher")
        try:
            yield
        finally:
            with self._lock:
                self._turns.remove(turn)
                if not self._turns and self._threads is not None:
                    self._threads.shutdown(wait=False)
                    self._threads = None
                    self._waiting.clear()

    def is_first(self, turn: float) -> bool:
        """Whether no list of a lower turn is being read."""
        return turn <= min(self._turns, default=turn)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Held by each request, in a thread of the pool or of the CDK, until it is answered. Waits
        for a free one and until a pause is over."""
        with self._counted(), self._slots:
            while (wait := self._resume_at - time.monotonic()) > 0:
                time.sleep(wait)
            yield

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1

    def pause(self, seconds: float) -> None:
        """Keeps all requests that are not under way yet back for a while."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def submit(self, turn: float, task: Callable[[], _T]) -> Future[_T]:
        """Runs `task` in the pool; only while a list is open."""
        future: Future[_T] = Future()
        with self._lock:
            if self._threads is None:
                raise RuntimeError("no list is open")
            self._submitted += 1
            heapq.heappush(self._waiting, (turn, self._submitted, future, task))
            self._start_waiting()
        return future

    def _start_waiting(self) -> None:
        while self._waiting and self._running < self.useful and self._threads is not None:
            _, _, future, task = heapq.heappop(self._waiting)
            if future.set_running_or_notify_cancel():
                self._running += 1
                self._threads.submit(self._run, future, task)

    def _run(self, future: Future[Any], task: Callable[[], Any]) -> None:
        try:
            result = task()
        except BaseException as error:
            self._make_room()
            future.set_exception(error)
        else:
            self._make_room()
            future.set_result(result)

    def _make_room(self) -> None:
        with self._lock:
            self._running -= 1
            self._start_waiting()


@lru_cache(maxsize=8)
def shared_fetchers(config: CoupaConfig) -> Fetchers:
    """The pool of the process, for all streams together."""
    return Fetchers(config.num_workers, config.requests_per_second)
