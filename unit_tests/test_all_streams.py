"""Every stream of the manifest brings what the sandbox holds, record for record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.full_records import add_full_records
from integration_tests.harness import records_by_stream, run_read
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import (
    RESOURCES,
    Record,
    Sandbox,
    documented_records,
)

from .conftest import Present
from .truth import UNLIMITED, as_message

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


def lists_in(record: Record, path: list[str], added: Mapping[str, Any]) -> Iterator[Record]:
    """The rows that a child table makes of a record, with the columns that `added` names."""
    key, *rest = path
    for place, item in enumerate(record.get(key) or (), 1):
        if rest:
            outer = key.replace("-", "_").removesuffix("s")
            carried = {f"{outer}_id": item["id"], f"{outer}_position": place}
            yield from lists_in(item, rest, {**added, **carried})
        else:
            row = {**added, "list_position": place}
            for name, value in as_message(item).items():
                if name not in row:
                    row[name] = value
                elif row[name] != value:
                    row[f"{name}_2"] = value
            yield row


def truth_of(sandbox: Sandbox, name: str) -> list[Record]:
    """The records of a stream, as messages print them."""
    stream = next(stream for stream in STREAMS if stream.name == name)
    table = sandbox.tables[stream.path]
    if stream.rows:
        return [
            as_message(row)
            for record in table.records()
            for row in lists_in(
                record,
                stream.rows.split("."),
                {
                    f"{stream.parent}_id": record["id"],
                    f"{stream.parent}_updated_at": record["updated-at"],
                },
            )
        ]
    records = [as_message(record) for record in table.records()]
    if stream.nested:
        return [{f"{stream.parent}_id": table.owners[r["id"]], **r} for r in records]
    return records


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


def in_order(record: Record) -> str:
    return json.dumps(record, sort_keys=True)
