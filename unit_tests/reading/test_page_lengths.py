"""What the lengths of pages say about the end of a list."""

from __future__ import annotations

from random import Random

import pytest

from source_coupa.reading.id_ranges import PAGE_SIZE, IdRange
from source_coupa.reading.page_lengths import PageLengths


def noted(lengths: PageLengths, *pages: int) -> IdRange:
    """Notes the pages of one range."""
    range_ = IdRange(0)
    for page in pages:
        lengths.note(range_, page, PAGE_SIZE)
    return range_


@pytest.mark.parametrize("learns", [False, True])
def test_only_an_empty_page_ends_a_list_that_is_not_known(learns: bool) -> None:
    lengths = PageLengths(None, learns=learns)
    noted(lengths, 20)
    assert lengths.is_last(0, PAGE_SIZE)
    assert not lengths.is_last(20, PAGE_SIZE)
    assert not lengths.is_last(19, PAGE_SIZE)


def test_a_page_that_is_as_long_as_it_may_be_ends_no_list() -> None:
    lengths = PageLengths(49)
    assert lengths.is_last(25, PAGE_SIZE)
    assert not lengths.is_last(26, PAGE_SIZE)
    assert not lengths.is_last(50, PAGE_SIZE)
    assert not lengths.is_last(25, 25)


@pytest.mark.parametrize(("cap", "known"), [(50, 49), (20, 0)])
def test_a_cap_is_never_taken_for_an_end(cap: int, known: int) -> None:
    """Nor believed: pages that are all equally short may hide the same share of their records."""
    lengths = PageLengths(None)
    noted(lengths, cap, cap, 0)
    noted(lengths, cap, 0)
    assert lengths.short_page == known


def test_a_short_page_in_the_middle_ends_the_knowledge() -> None:
    lengths = PageLengths(49)
    noted(lengths, 50, 48, 50)
    assert not lengths.is_last(10, PAGE_SIZE)
    assert lengths.short_page == 0


def test_it_ends_for_good() -> None:
    """A later sync may read nothing but whole pages."""
    lengths = PageLengths(0)
    noted(lengths, 50, 50, 20)
    assert not lengths.is_last(10, PAGE_SIZE)
    assert lengths.short_page == 0


@pytest.mark.parametrize("seed", range(30))
def test_lists_of_one_kind_end_where_they_do(seed: int) -> None:
    """Whatever an instance serves at most, and whatever it hides after it has counted."""
    random = Random(seed)
    cap, every = random.choice([20, 50]), random.choice([0, 2, 3, 7, 30])
    lengths = PageLengths(None, learns=True)
    for _ in range(60):
        left = random.choice([0, 1, 3, cap - 1, cap, cap + 1, 3 * cap])
        range_, offset = IdRange(0), random.randint(0, 30)
        while True:
            counted = min(left, cap)
            hidden = sum((offset + n) % every == 0 for n in range(counted)) if every else 0
            page, left = counted - hidden, left - counted
            if not page:
                break
            lengths.note(range_, page, PAGE_SIZE)
            if lengths.is_last(page, PAGE_SIZE):
                assert not left
                break
