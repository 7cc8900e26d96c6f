"""A range of ids of a list, and how many of its records are asked for at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from source_coupa.reading.bookmark import END
from source_coupa.records.fields import JsonRecord

PAGE_SIZE = 50
"""Coupa's default and maximum page (pages 0006 and 0014)."""

WORTH_A_CUT = 3 * PAGE_SIZE
"""Fewer records are read faster than they are divided."""

FIRST_PLACE = 20 * PAGE_SIZE
"""Where a range is cut by rank first; each next place lies twice as far."""

GROW_AFTER = 4
"""Pages that have to come at a size before a larger one, which failed, is tried again."""


@dataclass(eq=False)
class IdRange:
    """The records with ids above `after`, up to and including `until`.

    Attributes:
        density: records per id, as on the last page.
        place: where it is cut next if that has to be by rank; None while the middle will do.
        cut_from: the range of which this one was a part, until its first page is there.
        is_being_cut: while a place to cut it is asked for.
        size: how many records the next page may have.
        failed_size: the smallest size at which a page failed; None if none did.
        pages_since: pages that came since then.
        failures: of the next page, one after another.
        refused_tokens: those of them that were 401.
        is_ill: whether the next page fails while other requests get responses.
        read: records so far.
        last_length: records of the last page, whatever range they belong to.
        last_size: how many that page could have had.
        hidden: the id of a record that came by its id alone, behind an empty page.
        nulls: for a range of records without an update time, what they are asked for by.
        watched: for a range of records with changed rows, the path of the list of these.
        ids: those of them that are read once more, in full; empty while they are looked for.
    """

    after: int
    until: int = END
    density: float = 1.0
    place: int | None = None
    cut_from: IdRange | None = None
    is_being_cut: bool = False
    size: int = PAGE_SIZE
    failed_size: int | None = None
    pages_since: int = 0
    failures: int = 0
    refused_tokens: int = 0
    is_ill: bool = False
    read: int = 0
    last_length: int = 0
    last_size: int = 0
    hidden: int | None = None
    nulls: Mapping[str, str] | None = None
    watched: str | None = None
    ids: frozenset[int] = frozenset()

    @property
    def is_of_all(self) -> bool:
        """Whether all records of these ids are wanted that the pass asks for."""
        return self.nulls is None and self.watched is None

    def left(self, end: int | None) -> float:
        """About how many records are still to be read, in a list whose highest id is `end`."""
        if end is not None:
            return self.density * max(min(end, self.until) - self.after, 0)
        is_long = self.last_length >= PAGE_SIZE or self.read > 2 * PAGE_SIZE
        return math.inf if is_long else 0.0

    def cut(self, at: int) -> IdRange:
        """Gives the records beyond the id `at` away, as a range of their own."""
        rest = IdRange(
            after=at,
            until=self.until,
            density=self.density,
            cut_from=self,
            size=self.size,
            failed_size=self.failed_size,
        )
        self.until = at
        return rest

    def shrink(self, size: int) -> None:
        """Takes note of a page that failed: the next one has so many records at most."""
        self.failed_size = self.size
        self.pages_since = 0
        self.size = max(size, 1)

    def pass_over(self, id_: int) -> None:
        """Continues after a record that cannot be read."""
        self.after = id_
        self.failures = 0
        self.is_ill = False
        self.failed_size = None

    def advance(self, page: list[JsonRecord]) -> None:
        """Takes note of records of this range that came."""
        last = page[-1]["id"]
        self.density = len(page) / max(last - self.after, 1)
        self.after = last
        self.read += len(page)
        self.failures = self.refused_tokens = 0
        self.is_ill = False
        self.pages_since += 1
        larger = min(2 * self.size, PAGE_SIZE)
        if self.failed_size is None or larger < self.failed_size or self.pages_since > GROW_AFTER:
            self.size = larger
            if larger == PAGE_SIZE:
                self.failed_size = None
