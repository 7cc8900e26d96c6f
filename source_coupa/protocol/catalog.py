"""What `discover` says of each stream, without building the streams.

The CDK builds a stream with all of its requests before it describes it, which takes seconds for as
many streams. `test_catalog` proves that this description is the CDK's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.models import AirbyteStream, SyncMode

from source_coupa.streams import StreamRow

_SCHEMAS = Path(__file__).parents[1] / "schemas"


@cache
def _text_of(schema_file: str) -> bytes:
    return (_SCHEMAS / f"{schema_file}.json").read_bytes()


def schema_of(stream: StreamRow) -> dict[str, Any]:
    """The JSON schema of a stream, as the connector ships it."""
    schema: dict[str, Any] = orjson.loads(_text_of(stream.schema_file))
    return schema


def describe(stream: StreamRow) -> AirbyteStream:
    """The catalog's entry for a stream."""
    described = AirbyteStream(
        name=stream.name,
        json_schema=schema_of(stream),
        supported_sync_modes=[SyncMode.full_refresh],
        source_defined_primary_key=[[field] for field in stream.key],
        is_resumable=True,
        is_file_based=False,
    )
    if stream.cursor_field is not None:
        described.supported_sync_modes.append(SyncMode.incremental)
        described.source_defined_cursor = True
        described.default_cursor_field = [stream.cursor_field]
    return described
