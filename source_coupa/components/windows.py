"""Windows of update times: what a slice of an incremental stream asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.components.pages import JsonRecord, logger

_TICK = timedelta(seconds=1)
"""Coupa prints times to the second; a rounded one may lie this far outside of its window."""

_LONG_AGO = timedelta(days=366)


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
    moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment


def _utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


FirstRecord = Callable[[Mapping[str, str]], JsonRecord | None]
"""The record with the lowest id that matches the filters."""


class Prehistory:
    """Spares a first sync the requests for the years before a stream's first record.

    A full sync starts in 2006, and most instances are younger. The oldest record's creation is a
    guess of where the stream begins; one request proves that nothing was changed before.
    """

    def __init__(self, first_record: FirstRecord) -> None:
        self._first_record = first_record
        self._lock = threading.Lock()
        self._is_explored = False
        self._empty: Window | None = None

    def contains(self, window: Window) -> bool:
        """Whether `window` is known to be empty. The first window that ended long ago costs two
        requests, all others none. If they fail, nothing is known, and the windows are read.
        """
        if window.end > datetime.now(timezone.utc) - _LONG_AGO:
            return False
        with self._lock:
            if not self._is_explored:
                self._empty = self._explore(window)
                self._is_explored = True
        return self._empty is not None and self._empty.contains(window)

    def _explore(self, first: Window) -> Window | None:
        try:
            return self._years_before_first_record(first)
        except AirbyteTracedException as error:
            if error.failure_type == FailureType.config_error:
                raise
            logger.info(f"Where the records begin could not be found out: {error.message}")
            return None

    def _years_before_first_record(self, first: Window) -> Window | None:
        all_that_follows = replace(first, end=datetime.now(timezone.utc).replace(microsecond=0))
        record = self._first_record(all_that_follows.filters)
        if record is None:
            return all_that_follows
        try:
            created = instant(record.get("created-at") or record.get("created_at"))
        except ValueError:
            return None
        before = replace(first, end=min(created, all_that_follows.end))
        return before if self._first_record(before.filters) is None else None
