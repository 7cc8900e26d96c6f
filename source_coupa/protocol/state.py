"""States of earlier syncs: understood, or refused in one sentence, never guessed at."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from airbyte_cdk.models import AirbyteStateMessage, AirbyteStateType
from airbyte_cdk.sources.source import Source

from source_coupa import errors

FORMATS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z")
"""Of times in a state; the manifest's `cursor_datetime_formats`."""

_FUTURE = timedelta(days=1)

logger = logging.getLogger("airbyte")


def read_state(path: str) -> list[AirbyteStateMessage]:
    """The messages of a state file.

    Raises:
        AirbyteTracedException: `config_error` if the file does not hold messages of this connector.
    """
    try:
        states = Source.read_state(path)
        has_shared = any(s.global_ is not None and s.global_.shared_state for s in states)
    except Exception:
        # the CDK's words show what is in the file
        raise errors.unreadable_state() from None
    if has_shared:
        raise errors.unreadable_state()
    return states


def check_states(states: Sequence[AirbyteStateMessage], streams: Collection[str]) -> None:
    """Looks at the states of `streams` before anything is read; those of others do not matter.

    A state that lies in the future is kept, with a warning: nothing is newer.

    Raises:
        AirbyteTracedException: `config_error` naming the stream whose state cannot be read.
    """
    for name, state in _by_stream(states):
        if name not in streams:
            continue
        try:
            moment = _newest(state)
        except (KeyError, TypeError, ValueError, IndexError):
            raise errors.unreadable_stream_state(name) from None
        if moment is not None and moment > datetime.now(timezone.utc) + _FUTURE:
            logger.warning(
                f"The state of stream {name} lies in the future: nothing is read before that "
                "time has come; refresh the stream to sync it anew."
            )


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


def _newest(state: Mapping[str, Any]) -> datetime | None:
    """The time up to which a stream was read, None for a state that promises nothing."""
    if "state_type" in state:
        # a form of the CDK with the ranges that were read
        slices = [(_time(part["start"]), _time(part["end"])) for part in state["slices"]]
        return min(slices)[1]
    # a child table calls its cursor after its parent: `invoice_updated_at`
    times = [_time(value) for key, value in state.items() if key.endswith("updated_at")]
    return max(times, default=None)


def _time(text: object) -> datetime:
    if not isinstance(text, str):
        raise TypeError("no text")
    for form in FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError("no time")
