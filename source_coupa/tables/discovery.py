"""Finds the columns that no schema declares, by a look at the newest records of each list."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Thread
from typing import Any

from airbyte_cdk.models import AirbyteStream, FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.records.fields import JsonRecord
from source_coupa.records.keys import with_underscores
from source_coupa.records.types import columns_of
from source_coupa.streams import StreamRow
from source_coupa.tables.columns import (
    ADDITIONAL_FIELDS,
    DELETED_AT,
    DELETED_AT_SCHEMA,
    SCHEMA,
    is_reserved,
)
from source_coupa.tables.rows import Rows

Look = Callable[[StreamRow], list[JsonRecord]]
"""Gives the newest records of a stream's list.

Raises AirbyteTracedException if they cannot be read."""

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
    looks = {Future[list[JsonRecord]](): resource for resource in of_list}
    pending = deque(looks)

    def work() -> None:
        while pending:
            try:
                future = pending.popleft()
            except IndexError:
                return
            try:
                future.set_result(_looked(look, of_list[looks[future]]))
            except Exception as error:
                future.set_exception(error)

    for _ in range(parallel):
        # an executor would keep the process until the last response is there
        Thread(target=work, name="look", daemon=True).start()
    _, late = wait(looks, seconds)
    pending.clear()
    found: dict[str, list[JsonRecord]] = {}
    for future, resource in looks.items():
        if future in late:
            logger.info(f"/api/{resource} could not be looked at for more columns in time.")
            continue
        try:
            found[resource] = [with_underscores(record) for record in future.result()]
        except (AirbyteTracedException, RecursionError) as error:
            logger.info(f"/api/{resource} could not be looked at for more columns: {error}")
    return found


def with_columns(
    described: AirbyteStream,
    stream: StreamRow,
    seen: Mapping[str, list[JsonRecord]],
    *,
    marks_deleted: bool = False,
) -> AirbyteStream:
    """The same stream with the columns that its records show, one for all others, and one for
    deletions where these are looked for."""
    properties: dict[str, Any] = described.json_schema.setdefault("properties", {})
    found = columns_of(_rows(stream, seen.get(stream.resource, [])), properties)
    properties.update({name: found[name] for name in found if not is_reserved(name)})
    properties[ADDITIONAL_FIELDS] = dict(SCHEMA)
    if marks_deleted and stream.can_be_swept:
        properties[DELETED_AT] = dict(DELETED_AT_SCHEMA)
    return described


def _looked(look: Look, stream: StreamRow) -> list[JsonRecord]:
    """Looks twice at a list that fails for a moment: its columns would go for that long."""
    try:
        return look(stream)
    except AirbyteTracedException as error:
        if error.failure_type != FailureType.transient_error:
            raise
        return look(stream)


def _rows(stream: StreamRow, records: list[JsonRecord]) -> list[JsonRecord]:
    if stream.nested is not None:
        # some instances show such lists inside of their parents
        lists = (record.get(stream.nested.replace("-", "_")) for record in records)
        items = (item for items in lists if isinstance(items, list) for item in items)
        return [item for item in items if isinstance(item, dict)]
    if stream.rows is None or stream.parent is None:
        return records
    rows = Rows(
        resource=stream.resource,
        path=stream.rows,
        parent=stream.parent,
        need_ids=False,
        warns=False,
    )
    found: list[JsonRecord] = []
    for record in records:
        # the read says what is wrong with an odd one
        with suppress(AirbyteTracedException):
            found += rows.of(record) if "id" in record else ()
    return found
