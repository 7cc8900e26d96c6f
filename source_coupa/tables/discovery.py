"""Finds the columns that no schema declares, by a look at the newest records of each list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from airbyte_cdk.models import AirbyteStream
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.records.fields import JsonRecord
from source_coupa.records.keys import with_underscores
from source_coupa.records.types import columns_of
from source_coupa.streams import StreamRow
from source_coupa.tables.columns import ADDITIONAL_FIELDS, SCHEMA
from source_coupa.tables.rows import Rows

Look = Callable[[StreamRow], list[JsonRecord]]
"""Gives the newest records of a stream's list.

Raises AirbyteTracedException if they cannot be had."""

logger = logging.getLogger("airbyte")


def look_at(
    streams: Sequence[StreamRow], look: Look, *, seconds: float, parallel: int
) -> dict[str, list[JsonRecord]]:
    """The newest records of the lists of `streams`, by the list's name, with underscores in their
    keys. A list that cannot be looked at in time is left out.

    Args:
        streams: that the client may read.
        look: asks for the records of one list.
        seconds: for all lists together.
        parallel: how many are asked for at once.
    """
    of_list = {stream.resource: stream for stream in reversed(streams) if not stream.shape}
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="look")
    looks = {pool.submit(look, stream): resource for resource, stream in of_list.items()}
    done, late = wait(looks, seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    found: dict[str, list[JsonRecord]] = {}
    for future in done:
        resource = looks[future]
        try:
            found[resource] = [with_underscores(record) for record in future.result()]
        except (AirbyteTracedException, RecursionError) as error:
            logger.info(f"/api/{resource} could not be looked at for more columns: {error}")
    for future in late:
        logger.info(f"/api/{looks[future]} could not be looked at for more columns in time.")
    return found


def with_columns(
    described: AirbyteStream, stream: StreamRow, seen: Mapping[str, list[JsonRecord]]
) -> AirbyteStream:
    """The same stream with the columns that its records show, and one for all others."""
    properties: dict[str, Any] = described.json_schema.setdefault("properties", {})
    records = [] if stream.nested else seen.get(stream.resource, [])
    properties.update(columns_of(_rows(stream, records), [*properties, ADDITIONAL_FIELDS]))
    properties[ADDITIONAL_FIELDS] = dict(SCHEMA)
    return described


def _rows(stream: StreamRow, records: list[JsonRecord]) -> list[JsonRecord]:
    if stream.rows is None or stream.parent is None:
        return records
    rows = Rows(
        resource=stream.resource,
        path=stream.rows,
        parent=stream.parent,
        need_ids=False,
        warns=False,
    )
    try:
        return [row for record in records if "id" in record for row in rows.of(record)]
    except AirbyteTracedException:
        # the read says what is wrong with it
        return []
