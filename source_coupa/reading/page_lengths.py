"""What the lengths of pages say about the end of a list."""

from __future__ import annotations

from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange


class PageLengths:
    """Whether a page that is shorter than it could be ends its list.

    An instance may serve fewer records than are asked for, or hide some after it has counted them.
    So a list ends at an empty page, or at one that is at most half as long as others of this list,
    where an earlier sync has seen these, and none that was shorter than it could be and not the
    last.

    Attributes:
        go_on: whether a page that was shorter than it could be was not the last.
        longest: records of the longest page.

    Args:
        known: one less than the longest page that an earlier sync has seen; 0 where a shorter one
            was not the last, and short pages end nothing for good; None where nothing is known.
        learns: whether what this sync has seen counts too: for many lists of one kind.
    """

    def __init__(self, known: int | None, *, learns: bool = False) -> None:
        self._known = known
        self._learns = learns
        self.longest = 0
        self.go_on = False

    def is_last(self, length: int, size: int) -> bool:
        """Whether a page of `length` records, of which `size` were asked for, is the last one."""
        if length == 0:
            return True
        if size < PAGE_SIZE:
            # half of few records is soon hidden
            return False
        known = self.short_page if self._learns else self._known
        return length < size and known is not None and 2 * length <= known + 1 and not self.go_on

    def note(self, range_: IdRange, length: int, size: int) -> None:
        """Takes note of a page and of the one before it in the same range."""
        before = range_.last_length
        if before and length and before < range_.last_size:
            self.go_on = True
        range_.last_length, range_.last_size = length, size
        self.longest = max(self.longest, length)

    @property
    def short_page(self) -> int | None:
        """What a later sync is to know, as `known`."""
        if self.go_on or self._known == 0:
            return 0
        return max(self._known or 0, self.longest - 1) or None
