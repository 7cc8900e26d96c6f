"""Records with every field, which give each stream something to read.

`python -m integration_tests.full_records` serves a sandbox with them at the address that
sample_config.json names.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from random import Random

from .reference.manifest import STREAMS
from .sandbox import HAND_MADE, RESOURCES, Dialect, Record, Sandbox
from .sandbox.blueprint import Blueprint
from .sandbox.generators.from_schema import FromSchema


@contextmanager
def full_sandbox(port: int = 0) -> Iterator[Sandbox]:
    """A sandbox with something to read in every stream; port 0 takes a free one."""
    changed = datetime.now(timezone.utc) - timedelta(days=1)
    rows = dict.fromkeys(RESOURCES, 2)
    with Sandbox(rows, dialect=Dialect(rate_limit=None), port=port) as sandbox:
        add_full_records(sandbox, changed)
        yield sandbox


def add_full_records(sandbox: Sandbox, changed: datetime) -> None:
    """Adds one to each table that a stream reads, last changed at `changed`."""
    for path, resource in RESOURCES.items():
        table = sandbox.tables[path]
        record = full_record(path, max(table.ids(), default=0) + 1)
        times = {"updated-at": changed.isoformat()} if resource.updates else {}
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


if __name__ == "__main__":
    with full_sandbox(port=8080) as served:
        print(f"{served.url} until Ctrl-C", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
