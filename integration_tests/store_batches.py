"""Stores records with a cache of `sync/`: a program for the Python of .venv-sync.

It reads JSON: `cache` (the name of a class), `options` to make it with, and `schemas`: of
each the batches, which have `properties` of the stream `orders`, whose key is `id`, and `records`.
Prints JSON: schema -> what the cache says of values that it could not store as they came.
"""

from __future__ import annotations

import json
import sys
import tempfile
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
            said[schema] = cache.changes.sentences()
    print(json.dumps(said))


def _store(cache: Any, batch: dict[str, Any]) -> None:
    processor = cache.get_record_processor(
        source_name="source-orders", catalog_provider=CatalogProvider(_catalog(batch))
    )
    processor.process_airbyte_messages(
        map(_message, batch["records"]),
        progress_tracker=ProgressTracker(source=None, cache=cache, destination=None),
    )


def _catalog(batch: dict[str, Any]) -> Any:
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
    return ConfiguredAirbyteCatalog.model_validate({"streams": [configured]})


def _message(record: dict[str, Any]) -> Any:
    body = {"stream": STREAM, "data": record, "emitted_at": 0}
    return AirbyteMessage.model_validate({"type": "RECORD", "record": body})


if __name__ == "__main__":
    main(json.load(sys.stdin))
