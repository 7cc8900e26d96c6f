"""The threads that wait for Coupa's answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from source_coupa.config import CoupaConfig

_T = TypeVar("_T")

SPARE = 1.25
"""More requests under way than the budget needs on average, so that it is used when some of them
take longer."""


class Fetchers:
    """A pool of at most `size` threads, shared by all windows that are being read.

    It lives while a window is open, so that no thread outlasts the read. Its tasks never wait for
    one another: they cannot deadlock, however many windows share it.
    """

    def __init__(self, size: int, requests_per_second: int) -> None:
        self._size = size
        self._requests_per_second = requests_per_second
        self._latency = 0.2
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._windows = 0
        self._pool: ThreadPoolExecutor | None = None
        self._resume_at = 0.0

    @property
    def share(self) -> int:
        """How many requests one window should have under way, so that all windows together use the
        request budget and fit the pool."""
        useful = self._requests_per_second * self._latency * SPARE
        return max(round(min(useful, self._size) / max(self._windows, 1)), 1)

    def observe(self, latency: float) -> None:
        """Takes note of the seconds that Coupa needed to answer a request."""
        self._latency += (latency - self._latency) / 10

    @contextmanager
    def window(self) -> Iterator[None]:
        """Keeps the pool open while a window is read."""
        with self._lock:
            self._windows += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._size, thread_name_prefix="coupa-fetcher")
        try:
            yield
        finally:
            with self._lock:
                self._windows -= 1
                if self._windows == 0 and self._pool is not None:
                    self._pool.shutdown(wait=False, cancel_futures=True)
                    self._pool = None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Held by each request, in a thread of the pool or of the CDK, until it is answered. Waits
        for a free one and until a pause is over."""
        with self._slots:
            while (wait := self._resume_at - time.monotonic()) > 0:
                time.sleep(wait)
            yield

    def pause(self, seconds: float) -> None:
        """Keeps all requests that are not under way yet back for a while."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def submit(self, task: Callable[[], _T]) -> Future[_T]:
        """Runs `task` in the pool; only within `window()`."""
        if self._pool is None:
            raise RuntimeError("no window is open")
        return self._pool.submit(task)


@lru_cache(maxsize=8)
def shared_fetchers(config: CoupaConfig) -> Fetchers:
    """The pool of the process, for all streams together."""
    return Fetchers(config.num_workers, config.requests_per_second)
