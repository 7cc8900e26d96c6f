"""What a sync must bring, from the tables of a sandbox, in other words than the connector's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airbyte_cdk.models import AirbyteStreamStatus
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import ALL_STREAMS, final_states, records_by_stream
from integration_tests.reference.manifest import STREAMS, StreamRow, columns_of
from integration_tests.sandbox import Dialect, Record, Sandbox

UNLIMITED = Dialect(rate_limit=None)

STARTED, RUNNING, COMPLETE, INCOMPLETE = (
    AirbyteStreamStatus.STARTED,
    AirbyteStreamStatus.RUNNING,
    AirbyteStreamStatus.COMPLETE,
    AirbyteStreamStatus.INCOMPLETE,
)


def underscored(value: Any) -> Any:
    """A JSON value the way a stream prints it: hyphens of keys as underscores, nothing else
    changed; the sandbox has the same name in both spellings on some rows."""
    if isinstance(value, list):
        return [underscored(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, item in value.items():
        name = key.replace("-", "_")
        if name != key and name in value:
            name += "_2"
        renamed[name] = underscored(item)
    return renamed


def truth(sandbox: Sandbox, stream: str, *, adds_ids: bool = True) -> dict[int, Record]:
    """The records of a stream by id, as they are now and as messages print them."""
    return {record["id"]: record for record in truth_of(sandbox, stream, adds_ids=adds_ids)}


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


def rows_of(stream: StreamRow, record: Record) -> list[Record]:
    """What a stream makes of a record of Coupa, as messages print it: rows of a child table, or the
    record itself."""
    return [with_ids(stream, row) for row in _rows_of(stream, record)]


def with_ids(stream: StreamRow, row: Record) -> Record:
    """A row with the ids of what it refers to, where the schema has columns for them."""
    properties = columns_of(stream)
    found = {
        f"{name}_id": value["id"]
        for name, value in row.items()
        if isinstance(value, dict)
        and isinstance(value.get("id"), int)
        and f"{name}_id" in properties
        and "id" in properties.get(name, {}).get("properties", {})
    }
    return {**found, **row}


def _rows_of(stream: StreamRow, record: Record) -> list[Record]:
    if stream.path == "purchase_order_revisions":
        record = revision(record)
    if not stream.rows:
        return [as_message(record)]
    added = {f"{stream.parent}_id": record["id"]}
    if stream.cursor:
        added[f"{stream.parent}_updated_at"] = record["updated-at"]
    return [as_message(row) for row in lists_in(record, stream.rows.split("."), added)]


def revision(record: Record) -> Record:
    """A revision of the sandbox's table with its changes in one column, and each as a row."""
    head = {"id", "created-at", "revision-record", "purchase-order-id"}
    changes = underscored({key: value for key, value in record.items() if key not in head})
    found: list[Record] = []

    def look(value: Any, path: str, id: Any) -> None:
        if isinstance(value, list):
            for place, item in enumerate(value):
                look(item, f"{path}/{place}", id)
        elif isinstance(value, dict) and value.keys() != {"from", "to"}:
            for key, item in value.items():
                look(item, f"{path}/{key}", value.get("id", id))
        elif isinstance(value, dict):
            texts = {
                side: text if text is None or isinstance(text, str) else compact(text)
                for side, text in value.items()
            }
            found.append(
                {
                    "path": path,
                    "from_value": texts["from"],
                    "to_value": texts["to"],
                    "object_id": id,
                }
            )

    look(changes, "", record["purchase-order-id"])
    row = {key: value for key, value in record.items() if key in head}
    return {**row, "changes": changes, "changed_fields": found}


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def truth_of(sandbox: Sandbox, name: str, *, adds_ids: bool = True) -> list[Record]:
    """The records of any stream, as they are now and as messages print them; `adds_ids` is False
    for the Builder edition, which has no columns for the ids of referenced records."""
    stream = next(stream for stream in STREAMS if stream.name == name)
    table = sandbox.tables[stream.path]
    rows = [row for record in table.records() for row in _rows_of(stream, record)]
    if stream.nested:
        rows = [{f"{stream.parent}_id": table.owners[row["id"]], **row} for row in rows]
    return [with_ids(stream, row) for row in rows] if adds_ids else rows


def in_order(record: Record) -> str:
    """A text by which records can be sorted."""
    return json.dumps(record, sort_keys=True)


def as_message(record: Record) -> Record:
    """A record of Coupa as it is printed: the CDK leaves out what is null at the top level."""
    return {key: value for key, value in underscored(record).items() if value is not None}


def instant(record: Record) -> datetime:
    """When a record was changed last."""
    return datetime.fromisoformat(record["updated_at"].replace("Z", "+00:00"))


def cursors(output: EntrypointOutput) -> dict[str, datetime]:
    """The cursor in the last state of each stream; a first sync that was stopped has none."""
    found = {}
    for message in final_states(output):
        assert message.stream is not None
        assert message.stream.stream_state is not None
        state = vars(message.stream.stream_state)
        if "updated_at" in state:
            found[message.stream.stream_descriptor.name] = datetime.strptime(
                state["updated_at"], "%Y-%m-%dT%H:%M:%S%z"
            )
    return found


def ids(records: Iterable[Record]) -> list[int]:
    """The ids of records, in their order."""
    return [record["id"] for record in records]


def last_status(output: EntrypointOutput, stream: str) -> AirbyteStreamStatus:
    """How the read of a stream ended."""
    return output.get_stream_statuses(stream)[-1]


def messages_of(output: EntrypointOutput) -> list[str]:
    """The messages of all errors."""
    return [error.trace.error.message for error in output.errors]  # type: ignore[union-attr]


def assert_whole(
    output: EntrypointOutput, sandbox: Sandbox, streams: Iterable[str] = ALL_STREAMS
) -> None:
    """The read brought every record of the tables once and unchanged, and says that it did."""
    assert messages_of(output) == []
    for stream in streams:
        assert_stream_whole(output, sandbox, stream)


def assert_stream_whole(
    output: EntrypointOutput, sandbox: Sandbox, stream: str, *, adds_ids: bool = True
) -> None:
    """The same of one stream, whatever became of the others."""
    records = records_by_stream(output).get(stream, [])
    expected = truth(sandbox, stream, adds_ids=adds_ids)
    assert sorted(ids(records)) == list(expected), stream
    for record in records:
        assert record == expected[record["id"]], stream
    assert last_status(output, stream) == COMPLETE
