"""Whether a table holds every value of the records that it was made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from sync.caches.columns import Kind, MisfitError, as_stored

_OF_PYAIRBYTE = ("_airbyte_raw_id", "_airbyte_extracted_at")


def differences(
    records: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """What is missing, one message for each record: values wherever they lie, so that a field
    without a column of its own counts too."""
    found = {row["id"]: row for row in rows}
    for record in records:
        row = found.pop(record["id"], None)
        if row is None:
            yield f"record {record['id']} is missing"
            continue
        kept = {column: value for column, value in row.items() if column not in _OF_PYAIRBYTE}
        lost = Counter(_values(record)) - Counter(_values(kept))
        if lost:
            yield f"record {record['id']} lacks {', '.join(sorted(lost))}"
    yield from (f"record {id} is not in Coupa" for id in found)


def _values(value: Any) -> Iterator[str]:
    """The single values in a value, each in one form whatever type it is stored as."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        try:
            yield from _values(json.loads(value))
        except ValueError:
            yield value
    elif isinstance(value, datetime):
        yield value.astimezone(timezone.utc).isoformat()
    elif isinstance(value, str):
        try:
            yield str(as_stored(value, Kind.INSTANT))
        except MisfitError:
            # DuckDB gives JSON as its text
            yield value.strip('"')
    elif isinstance(value, bool):
        yield str(value).lower()
    elif value is not None:
        yield f"{Decimal(str(value)).normalize():f}"
