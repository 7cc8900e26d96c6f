"""What all tests share."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import backoff._sync
import pytest
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.streams.call_rate import MovingWindowCallRatePolicy
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from integration_tests.harness import forget_shared_parts
from source_coupa import source
from source_coupa.oauth import authorization_code, endpoint, scope_gate, tokens
from source_coupa.reading import division, id_ranges
from source_coupa.transport import instance, scheduler
from source_coupa.transport.clock import Clock

FAST = ("reading", "tables", "transport")
"""Folders of tests that drive one room of the connector directly."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the fast tests by their folder."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in FAST:
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="session", autouse=True)
def _yaml_parsed_once() -> Iterator[None]:
    """The manifest and the CDK's schema of manifests, of which each command parses 5,000 lines."""
    parse = lru_cache(safe_load_yaml)

    def load(stream: str | bytes | IO[str]) -> Any:
        text = stream if isinstance(stream, (str, bytes)) else stream.read()
        return copy.deepcopy(parse(text))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concurrent_declarative_source, "safe_load_yaml", parse)
        patch.setattr(source, "safe_load_yaml", load)
        yield


@pytest.fixture(autouse=True)
def _nothing_shared_with_other_tests() -> Iterator[None]:
    forget_shared_parts()
    yield
    forget_shared_parts()


class Waits:
    """Seconds that the connector waited, in no time.

    Attributes:
        slept: the seconds of each wait.
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


class FakeClock(Clock):
    """A clock whose waits take no time and whose present is the test's, if these are given."""

    def __init__(self) -> None:
        self.waits: Waits | None = None
        self.present: Present | None = None

    def now(self) -> datetime:
        return self.present.now if self.present is not None else super().now()

    def monotonic(self) -> float:
        return self.waits.monotonic() if self.waits is not None else super().monotonic()

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        if self.waits is None:
            super().call_later(seconds, function)
            return
        self.waits.sleep(seconds)
        threading.Thread(target=function, daemon=True).start()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The connector's clock."""
    fake = FakeClock()
    monkeypatch.setattr(instance, "new_clock", lambda: fake)
    return fake


@pytest.fixture
def waits(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Lets retries of the connector and of the CDK wait no time. The request budget and the
    sandbox keep their real clocks."""
    clock.waits = Waits()
    module = SimpleNamespace(
        **{**vars(time), "sleep": clock.waits.sleep, "monotonic": clock.waits.monotonic}
    )
    # the CDK's are those of the Builder edition
    cdk = (rate_limiting, backoff._sync)
    for sleeper in (authorization_code, endpoint, tokens, scope_gate, *cdk):
        monkeypatch.setattr(sleeper, "time", module)
    return clock.waits


class Present:
    """The time of day for a sandbox and the connector; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    @classmethod
    def patched(cls, patch: pytest.MonkeyPatch) -> Present:
        """What the connector takes for now while `patch` lasts."""
        fake = FakeClock()
        fake.present = cls()
        patch.setattr(instance, "new_clock", lambda: fake)
        return fake.present

    def pass_by(self, **time: float) -> None:
        """Moves on by the keyword arguments of a timedelta."""
        self.now += timedelta(**time)


@pytest.fixture
def present(clock: FakeClock) -> Present:
    """What the connector takes for now; give it to a sandbox as `clock`."""
    clock.present = Present()
    return clock.present


@pytest.fixture
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the connector send requests as fast as it can."""
    monkeypatch.setattr(
        MovingWindowCallRatePolicy, "try_acquire", lambda self, request, weight: None
    )


@pytest.fixture
def cut_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets lists of the size of tests be divided."""
    monkeypatch.setattr(division, "WORTH_A_CUT", 2 * id_ranges.PAGE_SIZE)
    monkeypatch.setattr(division, "FIRST_PLACE", 3 * id_ranges.PAGE_SIZE)
    monkeypatch.setattr(scheduler.Scheduler, "useful", 8)
