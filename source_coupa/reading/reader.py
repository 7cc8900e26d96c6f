"""What reads the ranges of a list, as seen by those who help it where a page is no usual one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from source_coupa.reading.id_ranges import IdRange
from source_coupa.reading.pages import Page
from source_coupa.reading.requests import Question


class Reader(Protocol):
    """One pass through a list."""

    @property
    def has_pages(self) -> bool:
        """Whether a page of its records came."""

    def read(self, range_: IdRange, delay: float = 0.0) -> None:
        """Asks for the next page of a range, after so many seconds at the earliest."""

    def question(self, range_: IdRange) -> Question:
        """The request for that page."""

    def retry(self, range_: IdRange, failure: Exception) -> Iterable[Page]:
        """Asks for that page again later.

        Raises:
            AirbyteTracedException: if there is no use in it.
        """

    def confirm_end(self, range_: IdRange) -> None:
        """Finds out whether anything is left of a range of which nothing came."""

    def end(self, range_: IdRange) -> Iterable[Page]:
        """Takes note that nothing is."""
