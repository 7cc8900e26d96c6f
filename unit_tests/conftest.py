"""What all tests share."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from types import SimpleNamespace
from typing import IO, Any

import backoff._sync
import pytest
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.streams.call_rate import MovingWindowCallRatePolicy
from airbyte_cdk.sources.streams.concurrent.state_converters import datetime_stream_state_converter
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.utils.datetime_helpers import AirbyteDateTime
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from integration_tests.harness import forget_shared_parts
from source_coupa import source
from source_coupa.components import retriever
from source_coupa.oauth import authorization_code, endpoint, tokens
from source_coupa.oauth import scope_gate as scopes
from source_coupa.reading import id_ranges as ranges
from source_coupa.reading import pages, survey
from source_coupa.transport import circuit_breaker as outages
from source_coupa.transport import scheduler as fetchers


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
    for sleeper in (
        authorization_code,
        endpoint,
        tokens,
        scopes,
        pages,
        fetchers,
        outages,
        retriever,
        rate_limiting,
        backoff._sync,
    ):
        monkeypatch.setattr(sleeper, "time", module)
    return clock


class Present:
    """The time of day for a sandbox and the connector; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    @classmethod
    def patched(cls, patch: pytest.MonkeyPatch) -> Present:
        """What the CDK's windows and the connector take for now while `patch` lasts."""
        present = cls()
        clock = SimpleNamespace(fromisoformat=datetime.fromisoformat, now=lambda zone: present.now)
        patch.setattr(survey, "datetime", clock)
        patch.setattr(
            datetime_stream_state_converter,
            "ab_datetime_now",
            lambda: AirbyteDateTime.from_datetime(present.now),
        )
        return present

    def pass_by(self, **time: float) -> None:
        """Moves on by the keyword arguments of a timedelta."""
        self.now += timedelta(**time)


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> Present:
    """What the CDK's windows and the connector take for now; give it to a sandbox as `clock`."""
    return Present.patched(monkeypatch)


@pytest.fixture
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the connector send requests as fast as it can."""
    monkeypatch.setattr(
        MovingWindowCallRatePolicy, "try_acquire", lambda self, request, weight: None
    )


@pytest.fixture
def cut_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets lists of the size of tests be divided."""
    monkeypatch.setattr(ranges, "READ_FIRST", pages.PAGE_SIZE)
    monkeypatch.setattr(ranges, "WORTH_A_CUT", 2 * pages.PAGE_SIZE)
    monkeypatch.setattr(ranges, "FIRST_PLACE", 3 * pages.PAGE_SIZE)
    monkeypatch.setattr(fetchers.Fetchers, "useful", 8)
