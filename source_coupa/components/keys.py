"""The keys of records as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.types import Config, StreamSlice, StreamState

from source_coupa.records.keys import with_underscores


@dataclass
class UnderscoreKeys(RecordTransformation):
    """Renames the keys of a record in place (the CDK's KeysToSnakeCase does not enter lists)."""

    def transform(
        self,
        record: dict[str, Any],
        config: Config | None = None,
        stream_state: StreamState | None = None,
        stream_slice: StreamSlice | None = None,
    ) -> None:
        renamed = with_underscores(record)
        record.clear()
        record.update(renamed)
