"""Makes the tables of a sandbox: how many rows, how large, and when they were updated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Literal

from .blueprint import Blueprint, Record, padding
from .documented import documented_records
from .generators.complete import complete
from .resources import Resource
from .table import Pool, Row, Table

Spread = Literal["even", "mass_update"] | Sequence[datetime]
"""When rows were updated: evenly over the history; 80 % of them in one second; or at the given
instants, dealt out in turn."""

HISTORY = timedelta(days=730)
NEWEST = timedelta(minutes=5)
_POOL_BYTES = 2_000_000
_LARGEST_BODY = 100_000
_FIRST_ID = 1_000
_LARGEST_GAP = 9
_JITTER = 0.3


@dataclass(frozen=True)
class Plan:
    """What a table shall hold."""

    rows: int
    size: int | None = None
    """Bytes of a record; None for the resource's default. Of more than 100 KB (attachments printed
    as text, say), the rest is one long text."""
    spread: Spread = "even"
    documented: bool = False
    """Begin with the records Coupa documents; they count among `rows`."""


def make_table(
    resource: Resource,
    plan: Plan,
    *,
    clock: Callable[[], datetime],
    seed: int,
    parents: Table | None = None,
) -> Table:
    """A table after `plan`; the same seed and clock give the same rows.

    Ids ascend with gaps. `updated-at` lies in the two years up to five minutes before now and
    follows the ids only loosely.
    """
    random = Random(f"{seed}/{resource.path}")
    pool = _pool(resource, plan.size or resource.size, seed)
    documented = documented_records(resource.path)[: plan.rows] if plan.documented else []
    taken = frozenset(record["id"] for record in documented)
    rows = _rows(plan.rows - len(documented), plan.spread, pool, clock(), random, taken)
    if not resource.updates:
        rows = (replace(row, updated=None) for row in rows)
    table = Table(resource, pool=pool, rows=rows, clock=clock, seed=seed, parents=parents)
    for record in documented:
        table.add(record)
    return table


@lru_cache(maxsize=512)
def _pool(resource: Resource, size: int, seed: int) -> Pool:
    return Pool(lambda: [Blueprint(body) for body in _bodies(resource, size, seed)])


def _bodies(resource: Resource, size: int, seed: int) -> list[Record]:
    """Bodies of `size` bytes on average that together have every field of the schema."""
    if size > _LARGEST_BODY:
        rest = padding(size - _LARGEST_BODY)
        return [
            body | {resource.edited_key: rest} for body in _bodies(resource, _LARGEST_BODY, seed)
        ]
    number = max(4, min(64, _POOL_BYTES // size))
    room = size
    for _ in range(2):  # again with less room, where the missing fields take much
        random = Random(f"{seed}/{resource.path}/pool")
        bodies = [resource.generate(random, room) for _ in range(number)]
        grown = complete(bodies, resource.shape, resource.fields, random) // number
        if grown < size // 20:
            break
        room = size - grown
    return bodies


def _rows(
    count: int,
    spread: Spread,
    pool: Pool,
    now: datetime,
    random: Random,
    taken: frozenset[int],
) -> Iterable[Row]:
    """Rows with other ids than those that are `taken`."""
    newest = int((now - NEWEST).timestamp())
    oldest = newest - int(HISTORY.total_seconds())
    bodies = _in_turn(pool.blueprints, random) if count else iter(())
    id = _FIRST_ID
    for position in range(count):
        id += random.randint(1, _LARGEST_GAP)
        while id in taken:
            id += 1
        place = position / count
        updated = _updated(place, position, spread, oldest, newest, random)
        created = oldest + int((place - _JITTER) * (newest - oldest)) - 1
        yield Row(id, min(created, updated), updated, next(bodies))


def _in_turn(bodies: Sequence[Blueprint], random: Random) -> Iterator[Blueprint]:
    """All bodies before any comes again, each time in another order."""
    while True:
        yield from random.sample(bodies, len(bodies))


def _updated(
    place: float, position: int, spread: Spread, oldest: int, newest: int, random: Random
) -> int:
    jittered = place + random.uniform(-_JITTER, _JITTER)
    reflected = abs(jittered) if jittered < 1.0 else 2.0 - jittered
    if not isinstance(spread, str):
        return int(spread[position % len(spread)].timestamp())
    if spread == "mass_update" and random.random() < 0.8:
        return (oldest + newest) // 2
    return oldest + int(reflected * (newest - oldest))
