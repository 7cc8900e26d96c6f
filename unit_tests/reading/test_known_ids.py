"""Ids that a state keeps: none is lost or added, and a dense million costs next to nothing."""

from __future__ import annotations

import zlib
from base64 import b64encode
from datetime import datetime, timezone
from random import Random

import pytest

from source_coupa.reading import known_ids
from source_coupa.reading.bookmark import Bookmark
from source_coupa.reading.known_ids import Ids, KnownIds, SweepMark

ODD = b64encode(zlib.compress(b"\x01")).decode()
HUGE = b64encode(zlib.compress(b"\xff" * 12 + b"\x01\x01")).decode()


def some_ids(random: Random) -> set[int]:
    kind = random.choice(("none", "dense", "gaps", "large"))
    if kind == "none":
        return set()
    if kind == "dense":
        first = random.randint(1, 50)
        return set(range(first, first + random.randint(1, 200)))
    most = 300 if kind == "gaps" else 2**62
    return {random.randint(1, most) for _ in range(random.randint(1, 200))}


@pytest.mark.parametrize("seed", range(50))
def test_they_are_sets(seed: int) -> None:
    random = Random(seed)
    one, other = some_ids(random), some_ids(random)
    mine, theirs = Ids.of(random.sample(sorted(one), len(one))), Ids.of(other)
    assert list(mine) == sorted(one)
    assert len(mine) == len(one)
    assert set(mine | theirs) == one | other
    assert set(mine - theirs) == one - other
    assert mine.ends == tuple(sorted({min(one), max(one)} if one else ()))
    assert all((id_ in mine) == (id_ in one) for id_ in {*one, *other, 7})
    assert Ids.from_text(mine.text()) == mine
    assert (mine | theirs) - theirs == Ids.of(one - other)


@pytest.mark.parametrize("seed", range(20))
def test_those_within_a_range_are_found(seed: int) -> None:
    random = Random(seed)
    own = some_ids(random)
    after, until = random.choice([0, *own]), random.choice([2**62, *own])
    for low, high in ((after, until), (after + 1, until - 1), (after, after)):
        found = list(Ids.of(own).within(low, high))
        assert found == sorted(id_ for id_ in own if low < id_ <= high)


def test_ids_that_coupa_does_not_give_are_left_out() -> None:
    assert list(Ids.of([3, 0, -5, 3])) == [3]


@pytest.mark.parametrize("text", ["?", "AAAA", "eJxrAACBAIE=", ODD, HUGE])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Ids.from_text(text)


def test_a_million_ids_are_small() -> None:
    dense = range(1, 1_000_001)
    assert len(Ids.of(dense).text()) < 100
    random = Random(1)
    with_gaps = Ids.of(id_ for id_ in dense if random.random() > 0.005)
    assert len(with_gaps.text()) < 15_000


def test_a_state_keeps_them_through_a_pass_and_after_it() -> None:
    moment = datetime(2026, 11, 26, 8, tzinfo=timezone.utc)
    mark = SweepMark(moment, Ids.of(range(1, 9)), Ids.of([4]), Ids.of([6, 7]))
    for sweep in (None, mark):
        known = KnownIds(Ids.of([4, 5, 9]), moment, moment, "2026-11-26T09:00:00+01:00", sweep)
        bookmark = Bookmark(updated_at="2026-11-26T08:00:00Z", highest_id=9, known=known)
        state = bookmark.to_state("updated_at")
        assert Bookmark.from_state(state, "updated_at") == bookmark
    assert Bookmark.from_state({"updated_at": "2026-11-26T08:00:00Z"}, "updated_at").known is None


def test_ids_that_would_make_a_state_too_long_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_ids, "LONGEST_TEXT", 20)
    random = Random(1)
    known = KnownIds(Ids.of(random.randint(1, 10**9) for _ in range(100)))
    written = known.to_state()
    assert written["ids"] is None
    assert KnownIds.from_state(written).ids is None


def test_a_sweep_that_would_make_a_state_too_long_starts_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_ids, "LONGEST_TEXT", 300)
    random = Random(1)
    moment = datetime(2026, 11, 26, 8, tzinfo=timezone.utc)
    scattered = Ids.of(random.randint(1, 10**9) for _ in range(100))
    mark = SweepMark(moment, Ids.of(range(1, 9)), scattered, scattered)
    written = KnownIds(Ids.of([4, 5]), sweep=mark).to_state()
    assert KnownIds.from_state(written) == KnownIds(Ids.of([4, 5]))
