"""States of earlier syncs: understood, or refused with one message, never guessed at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk.models import AirbyteStateMessage, AirbyteStateType
from airbyte_cdk.sources.source import Source

from source_coupa import errors
from source_coupa.protocol.files import read_json
from source_coupa.reading.bookmark import Bookmark
from source_coupa.records.fields import instant
from source_coupa.streams import StreamRow

AHEAD = timedelta(minutes=10)
"""What clocks may differ by."""

logger = logging.getLogger("airbyte")


def read_state(path: str) -> list[AirbyteStateMessage]:
    """The messages of a state file.

    Raises:
        AirbyteTracedException: `config_error` if the file does not hold messages of this connector.
    """
    read_json(path)
    try:
        states = Source.read_state(path)
        has_shared = any(s.global_ is not None and s.global_.shared_state for s in states)
    except Exception:
        # the CDK's words show what is in the file
        raise errors.unreadable_state() from None
    if has_shared:
        raise errors.unreadable_state()
    return states


def bookmarks(
    states: Sequence[AirbyteStateMessage], streams: Iterable[StreamRow], now: datetime
) -> dict[str, Bookmark]:
    """What the states of `streams` say, by stream; those of others do not matter.

    A state that lies in the future starts over, with a warning: it came from a wrong clock or
    start date, and what was changed before that time may never have been read.

    Raises:
        AirbyteTracedException: `config_error` naming the stream whose state cannot be read.
    """
    known = {stream.name: stream for stream in streams}
    found: dict[str, Bookmark] = {}
    for name, state in _by_stream(states):
        stream = known.get(name)
        if stream is None:
            continue
        try:
            bookmark = _bookmark(state, stream)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            raise errors.unreadable_stream_state(name) from None
        if bookmark.moment is not None and bookmark.moment > now + AHEAD:
            logger.warning(
                f"The state of stream {name} lies in the future, and changes may have "
                "been missed: the stream is synced again from the start."
            )
            bookmark = Bookmark()
        found[name] = bookmark
    return found


def _bookmark(state: Mapping[str, Any], stream: StreamRow) -> Bookmark:
    if "state_type" in state:
        # a form of the CDK with the ranges that were read
        slices = [(instant(part["start"]), part["end"]) for part in state["slices"]]
        updated_at = min(slices)[1]
        instant(updated_at)
        return Bookmark(updated_at=updated_at)
    return Bookmark.from_state(state, stream.state_field)


def _by_stream(states: Sequence[AirbyteStateMessage]) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for message in states:
        parts = [message.stream] if message.type == AirbyteStateType.STREAM else []
        if message.global_ is not None:
            parts = list(message.global_.stream_states)
        for part in parts:
            if part is not None and part.stream_state is not None:
                found.append((part.stream_descriptor.name, vars(part.stream_state)))
    return found
