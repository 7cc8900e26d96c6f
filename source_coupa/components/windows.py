"""Windows of update times: what a slice of an incremental stream asks for."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from source_coupa.components.pages import JsonRecord, value_of

_TICK = timedelta(seconds=1)
"""Coupa prints times to the second; a rounded one may lie this far outside of its window."""

_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


@dataclass(frozen=True)
class Window:
    """Update times from `start` (None: since ever) to before `end`.

    With the end excluded, windows that meet share no record and leave no gap between them, however
    finely an instance stores its times.
    """

    field: str
    start: datetime | None
    end: datetime

    @property
    def filters(self) -> dict[str, str]:
        """Query parameters, in UTC: an offset's plus sign would have to survive every decoding."""
        bounds = {f"{self.field}[lt]": _utc(self.end)}
        if self.start is not None:
            bounds |= since(self.field, self.start)
        return bounds

    def holds(self, moment: datetime) -> bool:
        """Whether a record that was changed at `moment` belongs here."""
        return (self.start is None or moment >= self.start - _TICK) and moment <= self.end

    def has(self, record: JsonRecord) -> bool:
        """Whether a record as Coupa sends it belongs here and in no window that meets this one."""
        try:
            moment = instant(value_of(record, self.field))
        except ValueError:
            return False
        return (self.start is None or moment >= self.start) and moment < self.end

    def contains(self, other: Window) -> bool:
        """Whether all of `other` lies within this window."""
        if self.start is not None and (other.start is None or other.start < self.start):
            return False
        return other.end <= self.end


def since(field: str, moment: datetime) -> dict[str, str]:
    """Query parameters for the records whose `field` is not before `moment`."""
    return {f"{field}[gt_or_eq]": _utc(moment)}


def instant(text: object) -> datetime:
    """Reads Coupa's ISO 8601 times, which carry the offset of the user's zone.

    Raises:
        ValueError: if `text` is no date and time with time zone.
    """
    if not isinstance(text, str):
        raise ValueError("no text")
    if sys.version_info < (3, 11):
        # its fromisoformat reads offsets with a colon only, and states have none
        text = _OFFSET.sub(r"\1:\2", text)
    moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment


def _utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
