"""Windows of update times: what a slice of an incremental stream asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from source_coupa.records.fields import JsonRecord, instant, value_of

_TICK = timedelta(seconds=1)
"""Coupa prints times to the second; a rounded one may lie this far outside of its window."""


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


def _utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
