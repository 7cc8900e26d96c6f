"""What all tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import backoff._sync
import pytest
from airbyte_cdk.sources.streams.http import rate_limiting

from integration_tests.harness import forget_shared_parts
from source_coupa import oauth, scopes
from source_coupa.components import fetchers, pages


@pytest.fixture(autouse=True)
def _nothing_shared_with_other_tests() -> Iterator[None]:
    forget_shared_parts()
    yield
    forget_shared_parts()


class Waits:
    """A clock that the sleeps of the connector push forward, in no time.

    Attributes:
        slept: the seconds of each sleep.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)

    def monotonic(self) -> float:
        with self._lock:
            return time.monotonic() + sum(self.slept)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Lets retries of the connector and of the CDK wait no time. The request budget and the
    sandbox keep their real clocks."""
    clock = Waits()
    module = SimpleNamespace(**{**vars(time), "sleep": clock.sleep, "monotonic": clock.monotonic})
    for sleeper in (oauth, scopes, pages, fetchers, rate_limiting, backoff._sync):
        monkeypatch.setattr(sleeper, "time", module)
    return clock
