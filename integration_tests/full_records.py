"""Records with every field, so that each stream has something to read."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from random import Random

from .reference.manifest import STREAMS
from .sandbox import HAND_MADE, RESOURCES, Record, Sandbox
from .sandbox.blueprint import Blueprint
from .sandbox.generators.from_schema import FromSchema


def add_full_records(sandbox: Sandbox, changed: datetime) -> None:
    """Adds one to each table, last changed at `changed`."""
    for path, table in sandbox.tables.items():
        record = full_record(path, max(table.ids(), default=0) + 1)
        times = {"updated-at": changed.isoformat()} if RESOURCES[path].updates else {}
        table.add({**record, **times})


def full_record(path: str, id: int) -> Record:
    """A record of a resource with every field of its schema, lists filled."""
    generate = RESOURCES[path].generate
    if path in HAND_MADE:
        generate = FromSchema(next(stream.schema for stream in STREAMS if stream.path == path))
    for seed in range(1_000):
        record = generate(Random(seed), 0)
        if None not in record.values():
            body = Blueprint(record).render(id, None, None, timezone.utc)
            printed: Record = json.loads(body)
            return printed
    raise AssertionError(f"no record of {path} is full")
