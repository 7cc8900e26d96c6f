"""Hyphens of keys become underscores at every depth, and that is all that happens to a record.

Custom fields may be inside `custom-fields` or at the top level (Coupa, page 0010), under any name.
Not even two keys that become equal cost one of the values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from integration_tests.harness import RESOURCE_OF, records_by_stream, run_read
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import HAND_MADE, Record, Sandbox, documented_records
from integration_tests.truth import UNLIMITED, as_message, assert_whole, messages_of, with_ids
from source_coupa.records.keys import with_underscores
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

RESPONSES = Path(__file__).resolve().parents[1] / "resource" / "http" / "response"
START = "2026-11-01T00:00:00Z"


def samples() -> Iterator[tuple[str, str, Record]]:
    """Stream, file and record of every documented record of a stream."""
    for stream, resource in RESOURCE_OF.items():
        for path in sorted(RESPONSES.glob(f"{resource}-*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            for record in content if isinstance(content, list) else [content]:
                yield stream, path.stem, record


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"created-at": 1}, {"created_at": 1}),
        ({"a-b-c": 1, "-": 2, "--x": 3, "x-": 4}, {"a_b_c": 1, "_": 2, "__x": 3, "x_": 4}),
        ({"a-b": {"c-d": {"e-f": 1}}}, {"a_b": {"c_d": {"e_f": 1}}}),
        ({"a-b": [{"c-d": 1}, {"c-d": 2}]}, {"a_b": [{"c_d": 1}, {"c_d": 2}]}),
        ({"a-b": [[{"c-d": [{"e-f": 1}]}]]}, {"a_b": [[{"c_d": [{"e_f": 1}]}]]}),
        ({"a": "x-y", "b": ["x-y"]}, {"a": "x-y", "b": ["x-y"]}),
        ({"active?": True, "CamelCase": 1, "": 2}, {"active?": True, "CamelCase": 1, "": 2}),
        ({"größe-1": "ß-ü"}, {"größe_1": "ß-ü"}),
        ({}, {}),
        ({"a-b": {}, "c-d": []}, {"a_b": {}, "c_d": []}),
    ],
)
def test_keys_get_underscores_at_every_depth_and_values_none(given: Any, expected: Any) -> None:
    assert with_underscores(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"po-number": 1, "po_number": 2}, {"po_number_2": 1, "po_number": 2}),
        ({"po_number": 2, "po-number": 1}, {"po_number": 2, "po_number_2": 1}),
        ({"a-b-c": 1, "a_b-c": 2, "a-b_c": 3}, {"a_b_c": 1, "a_b_c_2": 2, "a_b_c_3": 3}),
        ({"a-b": 1, "a_b": 2, "a_b_2": 3}, {"a_b_3": 1, "a_b": 2, "a_b_2": 3}),
        ({"a-b": 1, "a_b": 2, "a-b-2": 3}, {"a_b_2": 1, "a_b": 2, "a_b_2_2": 3}),
        ({"x": [{"a-b": {"c-d": 1}, "a_b": 2}]}, {"x": [{"a_b_2": {"c_d": 1}, "a_b": 2}]}),
    ],
)
def test_keys_that_become_equal_keep_both_values(given: Any, expected: Any) -> None:
    assert with_underscores(given) == expected


@pytest.mark.parametrize("seed", range(40))
def test_no_value_of_any_record_is_lost(seed: int) -> None:
    record = any_value(Random(seed), depth=4)
    renamed = with_underscores(record)
    assert leaves(renamed) == leaves(record)
    assert shape(renamed) == shape(record)
    assert not any("-" in key for key in keys(renamed))


def test_the_record_that_was_given_stays_as_it_is() -> None:
    record = {"a-b": [{"c-d": 1}]}
    with_underscores(record)
    assert record == {"a-b": [{"c-d": 1}]}


def test_every_documented_record_passes_unchanged(present: Present) -> None:
    """Coupa's printed users, expense reports and invoices, each served as a row."""
    served: dict[str, dict[int, tuple[str, Record]]] = {}
    yesterday = (present.now - timedelta(days=1)).isoformat()
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        for stream, name, record in samples():
            rows = served.setdefault(stream, {})
            row = {"created-at": yesterday, **record, "id": len(rows) + 1, "updated-at": yesterday}
            sandbox.tables[RESOURCE_OF[stream]].add(row)
            rows[row["id"]] = (name, row)
        output = run_read(sandbox, list(served), start_date=START)
    assert messages_of(output) == []
    assert {"users", "expenses", "invoices"} <= set(served)
    read = records_by_stream(output)
    of_name = {stream.name: stream for stream in STREAMS}
    for stream, rows in served.items():
        found = {record["id"]: record for record in read[stream]}
        assert found.keys() == rows.keys()
        for id, (name, row) in rows.items():
            printed = as_message(row)
            assert found[id] == with_ids(of_name[stream], printed), name
            own = {key: found[id][key] for key in printed}
            assert leaves(own) == leaves(without_nulls(row)), name


@pytest.mark.parametrize("stream", ["users", "expenses", "invoices"])
def test_the_documented_rows_of_the_sandbox_are_read(present: Present, stream: str) -> None:
    resource = RESOURCE_OF[stream]
    rows = {resource: len(documented_records(resource)) + 10}
    with Sandbox(rows, dialect=UNLIMITED, documented=True, clock=present) as sandbox:
        assert_whole(run_read(sandbox, [stream]), sandbox, [stream])


VALUES: dict[str, Any] = {
    "null": None,
    "empty": "",
    "blank": " \t\n",
    "decimal": "567.07",
    "long decimal": "12345678901234567890.123456789012345678901234567890",
    "trailing zeros": "20.0000",
    "number": 7,
    "largest number": 2**63 - 1,
    "float": 19.6,
    "small float": 1e-7,
    "true": True,
    "false": False,
    "text": 'She said "yes-no" \\ 50 % & <b>',
    "lines": "one\r\ntwo\u2028three\x85four",
    "other letters": "Ærø, 東京, Ελλάδα",
    "emoji": "🧾👩‍💻",
    "nul": "a\u0000b",
    "like a time": "2026-01-01T00:00:00+02:00",
    "long": "x" * 100_000,
    "object": {"id": 1, "external-ref-num": None, "external-ref-code": "A-1"},
    "list": ["a-b", None, {"lookup-value": []}],
    "empty object": {},
    "empty list": [],
}
RENAMED: dict[str, Any] = {
    "object": {"id": 1, "external_ref_num": None, "external_ref_code": "A-1"},
    "list": ["a-b", None, {"lookup_value": []}],
}
"""Those of the values that have keys with hyphens themselves."""


@pytest.mark.parametrize("resource", HAND_MADE)
def test_custom_fields_of_any_kind_are_kept_in_both_places(present: Present, resource: str) -> None:
    stream = next(name for name, path in RESOURCE_OF.items() if path == resource)
    names = {name: f"custom-{name.replace(' ', '-')}" for name in VALUES}
    fields = {names[name]: value for name, value in VALUES.items()}
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        yesterday = present.now - timedelta(days=1)
        sandbox.tables[resource].add(
            {"custom-fields": fields, **fields, "updated-at": yesterday.isoformat()}
        )
        output = run_read(sandbox, [stream], start_date=START)
        (record,) = records_by_stream(output)[stream]
    for name, value in VALUES.items():
        key = names[name].replace("-", "_")
        expected = RENAMED.get(name, value)
        assert record["custom_fields"][key] == expected, name
        assert type(record["custom_fields"][key]) is type(expected), name
        assert record.get(key) == expected, name


def without_nulls(record: Record) -> Record:
    """What a message leaves out is null at the top level, and nothing else."""
    return {key: value for key, value in record.items() if value is not None}


def any_value(random: Random, depth: int) -> Any:
    """A JSON value whose keys often become equal."""
    kind = random.choice(("object", "object", "list", "leaf")) if depth else "leaf"
    if kind == "object":
        keys = ("".join(random.choices("a-_2", k=random.randint(1, 4))) for _ in range(6))
        return {key: any_value(random, depth - 1) for key in keys}
    if kind == "list":
        return [any_value(random, depth - 1) for _ in range(random.randint(0, 3))]
    return random.choice((None, True, random.randint(0, 10**6), "a-b", f"{random.random()}", ""))


def leaves(value: Any) -> Counter[str]:
    """All values that are neither objects nor lists, with their types."""
    if isinstance(value, dict):
        return sum((leaves(item) for item in value.values()), Counter())
    if isinstance(value, list):
        return sum((leaves(item) for item in value), Counter())
    return Counter([f"{type(value).__name__} {value!r}"])


def shape(value: Any) -> Any:
    """The value without its names."""
    if isinstance(value, dict):
        return {"object": sorted(json.dumps(shape(item)) for item in value.values())}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)
