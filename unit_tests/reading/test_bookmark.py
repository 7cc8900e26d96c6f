"""How far a list was read, and what a state says of it."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from source_coupa.reading.bookmark import END, Bookmark, IdSet, PassMark, text_of

MOMENT = datetime(2026, 6, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("seed", range(50))
def test_a_set_of_ranges_holds_the_ids_that_were_added(seed: int) -> None:
    random = Random(seed)
    ids, wanted = IdSet(), set()
    for _ in range(random.randint(0, 12)):
        after, length = random.randint(0, 60), random.randint(0, 9)
        ids.add(after, after + length)
        wanted |= set(range(after + 1, after + length + 1))
    assert {id_ for id_ in range(80) if id_ in ids} == wanted
    pairs = list(ids)
    assert all(a < b for a, b in pairs)
    assert all(b < c for (_, b), (c, _) in pairwise(pairs)), "not merged"
    missing = {id_ for after, until in ids.gaps() for id_ in range(after + 1, min(until, 80) + 1)}
    assert missing == set(range(1, 81)) - wanted
    assert not ids.gaps() or ids.gaps()[-1][1] == END


@pytest.mark.parametrize("seed", range(20))
def test_what_two_sets_share(seed: int) -> None:
    random = Random(seed)

    def some() -> IdSet:
        starts = [random.randint(0, 60) for _ in range(random.randint(0, 8))]
        return IdSet((start, start + random.randint(0, 9)) for start in starts)

    one, other = some(), some()
    both = one.shared_with(other)
    for id_ in range(80):
        assert (id_ in both) == (id_ in one and id_ in other)


def test_a_set_that_reaches_the_end_has_no_gap() -> None:
    assert IdSet([(0, 5), (5, END)]).gaps() == []


FULL: dict[str, Any] = {
    "updated_at": "2026-06-01T02:00:00+02:00",
    "highest_id": 9,
    "null_times_above": 4,
    "short_page": 49,
    "missing": [3, 8],
    "filter": "status=paid",
    "pass": {
        "began": "2026-06-02T00:00:00Z",
        "since": "2026-05-31T22:00:00Z",
        "done": [[0, 1250], [4000, 4100]],
        "newest": "2026-06-01T02:00:00+02:00",
        "has_nulls": True,
        "full_refresh": True,
    },
}


@pytest.mark.parametrize("key", [None, *FULL])
def test_a_state_is_the_same_after_it_was_read(key: str | None) -> None:
    state = {name: value for name, value in FULL.items() if name != key}
    assert Bookmark.from_state(state, "updated_at").to_state("updated_at") == state


def test_a_state_of_a_child_table_has_the_parents_field() -> None:
    state = {"invoice_updated_at": "2026-06-01T00:00:00Z"}
    bookmark = Bookmark.from_state(state, "invoice_updated_at")
    assert bookmark.moment == MOMENT
    assert bookmark.to_state("invoice_updated_at") == state


@pytest.mark.parametrize("text", ["2026-06-01T00:00:00+0000", "2026-05-31T17:00:00-0700"])
def test_a_state_of_version_0_1_0_is_read(text: str) -> None:
    bookmark = Bookmark.from_state({"updated_at": text}, "updated_at")
    assert bookmark == Bookmark(updated_at=text)
    assert bookmark.moment == MOMENT


def test_a_bookmark_without_anything_is_an_empty_state() -> None:
    assert Bookmark().to_state("updated_at") == {}
    assert Bookmark.from_state({}, "updated_at") == Bookmark()


def test_times_are_in_utc() -> None:
    mark = PassMark(
        began=datetime.fromisoformat("2026-06-01T02:00:00+02:00"), since=None, done=IdSet()
    )
    state = Bookmark(under_way=mark).to_state("updated_at")
    assert state["pass"]["began"] == text_of(MOMENT) == "2026-06-01T00:00:00Z"
