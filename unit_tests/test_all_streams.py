"""Every stream of the manifest brings what the sandbox holds, record for record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.full_records import add_full_records
from integration_tests.harness import records_by_stream, run_read
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import (
    RESOURCES,
    Sandbox,
    documented_records,
)

from .conftest import Present
from .truth import UNLIMITED, in_order, truth_of

ROWS = 6
DAYS = 9


@pytest.fixture(scope="module")
def read() -> Iterator[tuple[Sandbox, EntrypointOutput]]:
    """One sync of all streams, and where it read from."""
    with pytest.MonkeyPatch.context() as patch:
        present = Present.patched(patch)
        patch.setattr(
            "airbyte_cdk.sources.streams.call_rate.MovingWindowCallRatePolicy.try_acquire",
            lambda self, request, weight: None,
        )
        instants = [present.now - timedelta(days=day) for day in range(1, DAYS)]
        rows = dict.fromkeys(RESOURCES, ROWS)
        with Sandbox(rows, dialect=UNLIMITED, spread=instants, clock=present) as sandbox:
            add_full_records(sandbox, present.now - timedelta(days=1))
            start = (present.now - timedelta(days=DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
            names = [stream.name for stream in STREAMS]
            yield sandbox, run_read(sandbox, names, start_date=start)


@pytest.mark.parametrize("name", [stream.name for stream in STREAMS])
def test_a_stream_brings_every_record_of_its_list(
    read: tuple[Sandbox, EntrypointOutput], name: str
) -> None:
    sandbox, output = read
    assert output.errors == []
    brought = records_by_stream(output).get(name, [])
    expected = truth_of(sandbox, name)
    assert len(expected) >= 1

    assert sorted(brought, key=in_order) == sorted(expected, key=in_order)


def test_records_that_coupa_prints_are_read(no_budget: None) -> None:
    streams = [s.name for s in STREAMS if not s.rows and documented_records(s.path)]
    with Sandbox(dict.fromkeys(RESOURCES, 9), dialect=UNLIMITED, documented=True) as sandbox:
        brought = records_by_stream(run_read(sandbox, streams))
        for name in streams:
            expected = truth_of(sandbox, name)
            assert len(expected) == 9
            assert sorted(brought[name], key=in_order) == sorted(expected, key=in_order)
