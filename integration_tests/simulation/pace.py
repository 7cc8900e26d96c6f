"""Lets a sync pass quickly: the one seam between the simulation and the connector.

Nothing of what the connector decides is changed, only how long it takes:

- waits between attempts are a thousandth as long, and the connector's clock for them runs on as if
  they had been whole, so that a token ages while others wait, and so does that of the sandbox's
  request limit, which in no time would never be free again;
- the request budget is lifted (`unit_tests/test_budget.py` proves it);
- the manifest and the schemas are parsed once for all syncs of a process;
- if asked for, lists of a few pages are divided as long ones are, so that small tables are read by
  many readers too, and the time of day is that of the scenario.
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

import backoff._sync
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.schema.json_file_schema_loader import JsonFileSchemaLoader
from airbyte_cdk.sources.streams import call_rate
from airbyte_cdk.sources.streams.concurrent.state_converters import datetime_stream_state_converter
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.utils.datetime_helpers import AirbyteDateTime
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from integration_tests.sandbox import rate_limit
from source_coupa import source
from source_coupa.components import retriever
from source_coupa.oauth import endpoint, tokens
from source_coupa.oauth import scope_gate as scopes
from source_coupa.reading import id_ranges as ranges
from source_coupa.reading import pages, survey
from source_coupa.transport import circuit_breaker as outages
from source_coupa.transport import scheduler as fetchers

CLOCKS = (endpoint, tokens, scopes, pages, fetchers, outages, retriever)
"""The connector's modules that wait or measure time."""

_SHORTER = 1_000


class _Clock:
    """A monotonic clock that waits push forward."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._skipped += seconds
        time.sleep(seconds / _SHORTER)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped


@contextmanager
def quick() -> Iterator[None]:
    """Shortens waits, lifts the budget, parses YAML once."""
    clock = _Clock()
    module = SimpleNamespace(**{**vars(time), "sleep": clock.sleep, "monotonic": clock.monotonic})
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
        for sleeper in (*CLOCKS, rate_limiting, backoff._sync, rate_limit):
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
    with ExitStack() as stack:
        for name, value in (
            ("FIRST_PLACE", 3 * pages.PAGE_SIZE),
            ("READ_FIRST", pages.PAGE_SIZE),
            ("WORTH_A_CUT", 2 * pages.PAGE_SIZE),
        ):
            stack.enter_context(patch.object(ranges, name, value))
        stack.enter_context(patch.object(fetchers.Fetchers, "useful", 6))
        yield


@contextmanager
def at_the_time_of(now: Callable[[], datetime]) -> Iterator[None]:
    """Makes `now` the time of day for the connector and the CDK's windows."""
    clock = SimpleNamespace(fromisoformat=datetime.fromisoformat, now=lambda zone: now())
    with (
        patch.object(survey, "datetime", clock),
        patch.object(
            datetime_stream_state_converter,
            "ab_datetime_now",
            lambda: AirbyteDateTime.from_datetime(now()),
        ),
    ):
        yield
