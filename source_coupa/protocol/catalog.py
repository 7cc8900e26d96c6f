"""What `discover` says of each stream, without building the streams.

The CDK builds a stream with all of its requests before it describes it, which takes seconds for as
many streams. `test_catalog` proves that this description is the CDK's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.models import AirbyteStream, SyncMode

_SCHEMAS = Path(__file__).parents[1] / "schemas"


def describe(stream: Mapping[str, Any], definitions: Mapping[str, Any]) -> AirbyteStream:
    """The catalog's entry for a stream of the manifest.

    Args:
        stream: its row, `$ref` and all.
        definitions: those of the manifest.
    """
    parameters = stream["$parameters"]
    definition = _with_its_bases(stream, definitions)
    schema = parameters.get("schema_file", parameters["name"])
    key = definition["primary_key"]
    described = AirbyteStream(
        name=parameters["name"],
        json_schema=orjson.loads((_SCHEMAS / f"{schema}.json").read_bytes()),
        supported_sync_modes=[SyncMode.full_refresh],
        source_defined_primary_key=[[field] for field in ([key] if isinstance(key, str) else key)],
        is_resumable=False,
        is_file_based=False,
    )
    cursor = definition.get("incremental_sync")
    if cursor is not None:
        field = _with_its_bases(cursor, definitions)["cursor_field"]
        parent = parameters.get("parent", "")
        described.supported_sync_modes.append(SyncMode.incremental)
        described.source_defined_cursor = True
        described.default_cursor_field = [field.replace("{{ parameters['parent'] }}", parent)]
        described.is_resumable = True
    return described


def _with_its_bases(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the manifest with what it takes over from the definition that it refers to."""
    reference = part.get("$ref")
    if reference is None:
        return dict(part)
    base = _with_its_bases(definitions[reference.rpartition("/")[2]], definitions)
    return {**base, **part}
