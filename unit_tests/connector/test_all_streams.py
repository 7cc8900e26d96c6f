"""Every stream of the manifest brings what the sandbox holds, record for record.

The rows of a stream together fill every field that its schema declares, and hold no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import records_by_stream, run_read
from integration_tests.reference.manifest import STREAMS, StreamRow
from integration_tests.sandbox import (
    RESOURCES,
    Record,
    Sandbox,
    documented_records,
)
from integration_tests.truth import UNLIMITED, in_order, truth_of
from unit_tests.conftest import Present
from unit_tests.conventions.schemas import load, nodes, types

ROWS = 64
"""Of each list: as many as the sandbox has bodies of 1,000 to 8,000 bytes, so that each comes."""
DAYS = 9

OLD_CUSTOM_FIELDS = frozenset({"gpo_entity", "custom_field_7", "radio_button_test"})
"""Custom fields beside Coupa's own, which no schema can declare (doc 0010)."""

JSON_TYPES: Mapping[type, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    type(None): "null",
}


@dataclass(frozen=True)
class Read:
    """One sync of all streams, where it read from, and its records by stream."""

    sandbox: Sandbox
    output: EntrypointOutput
    records: Mapping[str, list[Record]]


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    with pytest.MonkeyPatch.context() as patch:
        present = Present.patched(patch)
        patch.setattr(
            "airbyte_cdk.sources.streams.call_rate.MovingWindowCallRatePolicy.try_acquire",
            lambda self, request, weight: None,
        )
        instants = [present.now - timedelta(days=day) for day in range(1, DAYS)]
        rows = dict.fromkeys(RESOURCES, ROWS)
        with Sandbox(rows, dialect=UNLIMITED, spread=instants, clock=present) as sandbox:
            start = (present.now - timedelta(days=DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
            names = [stream.name for stream in STREAMS]
            output = run_read(sandbox, names, start_date=start)
            yield Read(sandbox, output, records_by_stream(output))


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_no_two_rows_of_a_stream_have_the_same_key(read: Read, stream: StreamRow) -> None:
    """A destination that merges by key would keep one of them."""
    keys = [tuple(row.get(key) for key in stream.primary_key) for row in read.records[stream.name]]
    assert not any(None in key for key in keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", [stream.name for stream in STREAMS])
def test_a_stream_brings_every_record_of_its_list(read: Read, name: str) -> None:
    assert read.output.errors == []
    expected = truth_of(read.sandbox, name)
    assert len(expected) >= 1

    assert sorted(read.records.get(name, []), key=in_order) == sorted(expected, key=in_order)


@dataclass(frozen=True)
class Fields:
    """What the rows of a stream hold, as paths such as `/lines/[]/id`."""

    filled: set[str] = field(default_factory=set)
    undeclared: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)

    def look(self, value: Any, schema: Mapping[str, Any], path: str = "") -> None:
        """Takes down what is in a value; below an object without declared fields all is free."""
        kind = JSON_TYPES[type(value)]
        if kind not in types(schema):
            self.wrong.add(f"{path}: {kind}")
        elif schema.get("format") == "date-time" and value is not None and not TIME.match(value):
            self.wrong.add(f"{path}: {value}")
        if value not in (None, {}, []):
            self.filled.add(path)
        if kind == "array":
            for item in value:
                self.look(item, schema["items"], f"{path}/[]")
        elif kind == "object" and "properties" in schema:
            declared = schema["properties"]
            for key, inner in value.items():
                first = key.removesuffix("_2")  # a second field of one name has a number
                name = key if key in declared or first not in value else first
                if name in declared:
                    self.look(inner, declared[name], f"{path}/{name}")
                elif name not in OLD_CUSTOM_FIELDS or path:
                    self.undeclared.add(f"{path}/{name}")


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_the_rows_of_a_stream_have_the_fields_of_its_schema_and_no_others(
    read: Read, stream: StreamRow
) -> None:
    seen, schema = Fields(), load(stream.schema)
    for record in read.records[stream.name]:
        seen.look(record, schema)
    assert {node.path for node in nodes(schema)} - seen.filled == set()
    assert seen.undeclared - told_by_child_tables(stream) == set()
    assert seen.wrong == set()


def told_by_child_tables(stream: StreamRow) -> set[str]:
    """Fields in the lists of a stream that the tables made of these lists declare."""
    outer = f"{stream.rows}." if stream.rows else ""
    declared = set()
    for child in STREAMS:
        if child.path == stream.path and child.rows.startswith(outer) and child.rows > outer:
            keys = child.rows.removeprefix(outer).replace("-", "_").split(".")
            place = "".join(f"/{key}/[]" for key in keys)
            declared |= {place + node.path for node in nodes(load(child.schema))}
    return declared


def test_records_that_coupa_prints_are_read(no_budget: None) -> None:
    streams = [s.name for s in STREAMS if not s.rows and documented_records(s.path)]
    with Sandbox(dict.fromkeys(RESOURCES, 9), dialect=UNLIMITED, documented=True) as sandbox:
        brought = records_by_stream(run_read(sandbox, streams))
        for name in streams:
            expected = truth_of(sandbox, name)
            assert len(expected) == 9
            assert sorted(brought[name], key=in_order) == sorted(expected, key=in_order)
