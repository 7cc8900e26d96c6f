"""What a few requests tell about all windows of a long sync."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.coupa_list import ListReader
from source_coupa.reading.pages import logger
from source_coupa.reading.windows import Window
from source_coupa.records.fields import JsonRecord, instant, value_of

_LONG_AGO = timedelta(days=366)


class Survey:
    """Spares a first sync the requests for windows about which three requests tell all.

    A full sync starts in 2006, but most instances are younger, and most lists fit on one page. The
    records of such a list are kept and dealt out to their windows. For a longer one, the creation
    of its first record is a guess of where it begins; one more request proves that nothing was
    changed before.
    """

    def __init__(self, lists: ListReader, start: datetime | None) -> None:
        """
        Args:
            lists: reads the stream.
            start: where the windows of a first sync begin; None if the first has no lower bound.
        """
        self._lists = lists
        self._start = start
        self._lock = threading.Lock()
        self._is_made = False
        self._known: Window | None = None
        self._records: list[JsonRecord] = []

    def records(self, window: Window) -> list[JsonRecord] | None:
        """All records of a window, or None if it has to be read. Whichever window that ended long
        ago comes first costs the requests, all others none. If they fail, nothing is known.
        """
        with self._lock:
            if not self._is_made:
                if window.end > datetime.now(timezone.utc) - _LONG_AGO:
                    return None
                self._make(replace(window, start=self._start))
                self._is_made = True
        if self._known is None or not self._known.contains(window):
            return None
        return [dict(record) for record in self._records if window.has(record)]

    def _make(self, first: Window) -> None:
        all_that_follows = replace(first, end=datetime.now(timezone.utc).replace(microsecond=0))
        try:
            overview = self._lists.overview(all_that_follows.filters)
            if overview.is_whole:
                if all(all_that_follows.has(record) for record in overview.page):
                    self._known, self._records = all_that_follows, overview.page
            elif (created := _creation(overview.page)) is not None:
                before = replace(first, end=min(created, all_that_follows.end))
                if self._lists.is_empty(before.filters):
                    self._known = before
        except AirbyteTracedException as error:
            if error.failure_type == FailureType.config_error:
                raise
            logger.info(f"Where the records begin could not be found out: {error.message}")


def _creation(page: list[JsonRecord]) -> datetime | None:
    try:
        return instant(value_of(page[0], "created_at"))
    except (IndexError, ValueError):
        return None
