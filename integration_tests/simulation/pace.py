"""Lets a sync pass quickly: the one seam between the simulation and the connector.

Nothing of what the connector decides is changed, only how long it takes:

- waits between attempts are a thousandth as long, and the connector's clock runs on as if they had
  been whole, and so does that of the sandbox's request limit, which in no time would never be free
  again;
- a response may say how long it took, and moves that clock; beyond the connector's patience it
  counts as one that did not come;
- the request budget is lifted (`unit_tests/connector/test_budget.py` proves it);
- the manifest and the schemas are parsed once for all syncs of a process;
- if asked for, lists of a few pages are divided as long ones are, states come each few pages, and
  the time of day is that of the scenario.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import IO, Any
from unittest.mock import patch

import requests
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.schema.json_file_schema_loader import JsonFileSchemaLoader
from airbyte_cdk.sources.streams import call_rate
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from integration_tests.sandbox import rate_limit
from source_coupa import errors, source
from source_coupa.oauth import authorization_code, endpoint, scope_gate, tokens
from source_coupa.reading import division, sweep
from source_coupa.reading.id_ranges import PAGE_SIZE
from source_coupa.tables import fan_out
from source_coupa.transport import connection, instance, session
from source_coupa.transport.clock import Clock
from source_coupa.transport.scheduler import Scheduler

from .destination import MOST_REPEATED

SLEEPERS = (authorization_code, endpoint, tokens, scope_gate, rate_limit)
"""Modules that wait or measure time by themselves."""

PAGES_PER_STATE = 2
"""Where states come often."""

REPEATED_OFTEN = MOST_REPEATED * PAGES_PER_STATE // fan_out.PAGES_PER_STATE
"""Records that are repeated at the most after a sync that was stopped, where states come often."""

SECONDS = "X-Simulated-Seconds"
"""The header in which a response says how long it took."""

_SHORTER = 1_000


class QuickClock(Clock):
    """A clock that waits push forward.

    Attributes:
        present: gives the time of day; the real one without it.
    """

    def __init__(self) -> None:
        self.present: Callable[[], datetime] | None = None
        self._skipped = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """See `Clock`."""
        return self.present() if self.present is not None else super().now()

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic() + self._skipped

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """See `Clock`."""

        def call() -> None:
            self._skip(seconds)
            function()

        super().call_later(seconds / _SHORTER, call)

    def sleep(self, seconds: float) -> None:
        """Waits, as `time.sleep` does."""
        self._skip(seconds)
        time.sleep(seconds / _SHORTER)

    def run_to(self, moment: float) -> None:
        """Runs on to a moment at least."""
        with self._lock:
            self._skipped += max(moment - self.monotonic(), 0.0)

    def _skip(self, seconds: float) -> None:
        with self._lock:
            self._skipped += seconds


_CLOCK = QuickClock()


_exchange = session.exchange


def _slow_exchange(
    *sent: Any, host: str, timeout: tuple[float, float], **named: Any
) -> requests.Response:
    """Lets a response take as long as it says; those that wait at once do so together."""
    began = _CLOCK.monotonic()
    response = _exchange(*sent, host=host, timeout=timeout, **named)
    seconds, longest = float(response.headers.get(SECONDS, 0)), timeout[1]
    _CLOCK.run_to(began + min(seconds, longest))
    if seconds > longest:
        raise errors.unreachable(host, requests.ReadTimeout())
    return response


@contextmanager
def quick() -> Iterator[None]:
    """Shortens waits, lifts the budget, parses YAML once."""
    module = SimpleNamespace(**{**vars(time), "sleep": _CLOCK.sleep, "monotonic": _CLOCK.monotonic})
    parse = lru_cache(safe_load_yaml)

    def load(stream: str | bytes | IO[str]) -> Any:
        text = stream if isinstance(stream, (str, bytes)) else stream.read()
        return copy.deepcopy(parse(text))

    schemas: dict[str, Any] = {}
    load_schema = JsonFileSchemaLoader.get_json_schema

    def schema(loader: JsonFileSchemaLoader) -> Any:
        path = loader._get_json_filepath()
        if path not in schemas:
            schemas[path] = load_schema(loader)
        return schemas[path]

    with ExitStack() as stack:
        stack.enter_context(patch.object(instance, "new_clock", lambda: _CLOCK))
        stack.enter_context(patch.object(connection, "exchange", _slow_exchange))
        for sleeper in SLEEPERS:
            if hasattr(sleeper, "time"):
                stack.enter_context(patch.object(sleeper, "time", module))
        for method in ("try_acquire", "update"):
            stack.enter_context(
                patch.object(call_rate.MovingWindowCallRatePolicy, method, lambda *_, **__: None)
            )
        # each of them keeps a thread for as long as the process lives
        stack.enter_context(patch.object(call_rate, "Limiter", lambda bucket: None))
        stack.enter_context(patch.object(JsonFileSchemaLoader, "get_json_schema", schema))
        stack.enter_context(patch.object(concurrent_declarative_source, "safe_load_yaml", parse))
        stack.enter_context(patch.object(source, "safe_load_yaml", load))
        yield


@contextmanager
def dividing_early() -> Iterator[None]:
    """Divides lists that have more than a few pages."""
    with (
        patch.object(division, "WORTH_A_CUT", 2 * PAGE_SIZE),
        patch.object(division, "FIRST_PLACE", 3 * PAGE_SIZE),
        patch.object(Scheduler, "useful", 8),
    ):
        yield


@contextmanager
def marking_often() -> Iterator[None]:
    """Lets a state come each few pages."""
    with (
        patch.object(fan_out, "PAGES_PER_STATE", PAGES_PER_STATE),
        patch.object(sweep, "SECONDS_PER_MARK", 0.0),
    ):
        yield


@contextmanager
def at_the_time_of(now: Callable[[], datetime]) -> Iterator[None]:
    """Makes `now` the time of day for the connector."""
    with patch.object(_CLOCK, "present", now):
        yield
