"""What the tests of failures share: a small sandbox whose rows one window holds, and what a run
says about what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from airbyte_cdk.models import AirbyteErrorTraceMessage, FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import RESOURCE_OF
from integration_tests.sandbox import Dialect, Sandbox

ROWS = 3
Failure = tuple[str, FailureType]
"""Sentence and failure type."""


def days_ago(days: float) -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=days)


START_DATE = days_ago(2).strftime("%Y-%m-%dT%H:%M:%SZ")
"""All rows of `small_sandbox` were changed since; makes a first sync one window."""


@contextmanager
def small_sandbox(**dialect: Any) -> Iterator[Sandbox]:
    """Three rows for each stream, no request limit."""
    rows = dict.fromkeys(RESOURCE_OF.values(), ROWS)
    usual = Dialect(rate_limit=None)
    with Sandbox(rows=rows, dialect=usual.but(**dialect), spread=[days_ago(1)]) as sandbox:
        yield sandbox


def traces(output: EntrypointOutput) -> list[AirbyteErrorTraceMessage]:
    """The error traces of a read in their order."""
    found = [message.trace.error for message in output.errors if message.trace]
    return [error for error in found if error is not None]


def failures(output: EntrypointOutput) -> dict[str, Failure]:
    """Stream -> what is reported about it. Fails if anything is reported twice."""
    reported: dict[str, Failure] = {}
    for error in traces(output)[:-1]:
        assert error.stream_descriptor is not None
        assert error.stream_descriptor.name not in reported
        assert error.failure_type is not None
        reported[error.stream_descriptor.name] = error.message, error.failure_type
    return reported


def statuses(output: EntrypointOutput, stream: str) -> list[str]:
    """The stream's statuses in their order, those that only say how it is limited left out."""
    found: list[str] = []
    for message in output.trace_messages:
        status = message.trace.stream_status if message.trace else None
        if status is None or status.stream_descriptor.name != stream or status.reasons:
            continue
        found.append(status.status.value)
    return found
