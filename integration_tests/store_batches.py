"""Stores records with a cache of `sync/`: a program for the Python of .venv-sync.

It reads JSON: `cache` (the name of a class), `options` to make it with, and `schemas`: of
each the batches. A batch has `properties` of the stream `orders`, whose key is `id`, and `records`;
or it names two files: `catalog`, a configured one, and `messages`, what a connector printed.
Prints JSON: schema -> what the cache says of values that it could not store as they came.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# `python FILE` puts the file's folder on the path; the packages are found beside it
sys.path[0] = str(Path(__file__).resolve().parents[1])

from airbyte.progress import ProgressTracker  # noqa: E402
from airbyte.shared.catalog_providers import CatalogProvider  # noqa: E402
from airbyte_protocol.models import AirbyteMessage, ConfiguredAirbyteCatalog  # noqa: E402

from sync.caches.duckdb import DuckDB  # noqa: E402
from sync.caches.postgres import PostgreSQL  # noqa: E402

STREAM = "orders"


def main(task: dict[str, Any]) -> None:
    cache_class: Any = {"DuckDB": DuckDB, "PostgreSQL": PostgreSQL}[task["cache"]]
    said = {}
    for schema, batches in task["schemas"].items():
        with (
            tempfile.TemporaryDirectory() as folder,
            cache_class(schema_name=schema, cache_dir=Path(folder), **task["options"]) as cache,
        ):
            for batch in batches:
                _store(cache, batch)
            said[schema] = cache.changes.notes()
    print(json.dumps(said))


def _store(cache: Any, batch: dict[str, Any]) -> None:
    messages: Iterable[Any]
    if "messages" in batch:
        catalog = json.loads(Path(batch["catalog"]).read_text(encoding="utf-8"))
        messages = _printed(Path(batch["messages"]))
    else:
        catalog = _catalog(batch)
        messages = map(_message, batch["records"])
    processor = cache.get_record_processor(
        source_name="source-orders",
        catalog_provider=CatalogProvider(ConfiguredAirbyteCatalog.model_validate(catalog)),
    )
    processor.process_airbyte_messages(
        messages, progress_tracker=ProgressTracker(source=None, cache=cache, destination=None)
    )


def _catalog(batch: dict[str, Any]) -> dict[str, Any]:
    stream = {
        "name": STREAM,
        "json_schema": {"properties": batch["properties"]},
        "supported_sync_modes": ["full_refresh"],
    }
    configured = {
        "stream": stream,
        "sync_mode": "full_refresh",
        "destination_sync_mode": "append_dedup",
        "primary_key": [["id"]],
    }
    return {"streams": [configured]}


def _message(record: dict[str, Any]) -> Any:
    body = {"stream": STREAM, "data": record, "emitted_at": 0}
    return AirbyteMessage.model_validate({"type": "RECORD", "record": body})


def _printed(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield AirbyteMessage.model_validate_json(line)


if __name__ == "__main__":
    main(json.load(sys.stdin))
