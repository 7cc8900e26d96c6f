"""The rows of one resource: what the sandbox knows, and the ground truth of every test."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from functools import cached_property
from random import Random
from typing import Any

from .blueprint import Blueprint, Record, created, updated
from .instants import second_of
from .resources import Resource
from .zones import zone_of

_CACHED_ORDERS = 32


@dataclass(slots=True)
class Row:
    """One row. Times are seconds since 1970; `blueprint` is shared by many rows until an edit."""

    id: int
    created: int | None
    updated: int | None
    blueprint: Blueprint


class Pool:
    """The bodies that the generated rows of a table share, made when the first one is needed.

    Most tests leave most of the tables empty.
    """

    def __init__(self, make: Callable[[], Iterable[Blueprint]]) -> None:
        self._make = make

    @cached_property
    def blueprints(self) -> tuple[Blueprint, ...]:
        """The bodies; they never change."""
        return tuple(self._make())

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Every attribute path in them: see _attributes."""
        return frozenset().union(
            *(
                _attributes(json.loads(body.render(1, 0, 0, timezone.utc)))
                for body in self.blueprints
            )
        )


class Table:
    """The rows of one resource, ordered by id. Safe for threads; every edit is atomic.

    Records go in and come out in Coupa's JSON form (dashed keys). Keyword arguments name attributes
    with underscores: `edit(7, invoice_number="X")` changes `invoice-number`.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        pool: Pool,
        rows: Iterable[Row] = (),
        clock: Callable[[], datetime],
        seed: int = 0,
        parents: Table | None = None,
    ) -> None:
        """`parents` is the table of the resource's parent, if it has one: each row then belongs to
        one of its rows, chosen at random so that some have many and others none."""
        self.resource = resource
        self.lock = threading.RLock()
        self.version = 0
        """Grows with every change."""
        self.utc = False
        """Print times in UTC instead of each record's own zone."""
        self._pool = pool
        self._rows = {row.id: row for row in rows}
        self._ids = sorted(self._rows)
        self._gone: dict[int, Row] = {}
        self._highest = max(self._ids, default=0)
        self._clock = clock
        self._random = Random(f"{seed}/{resource.path}/edits")
        self._orders: OrderedDict[object, list[Row]] = OrderedDict()
        self._attributes: set[str] = set()
        self._parents = parents
        self.owners: dict[int, int] = (
            {id: self._some_parent() for id in self._ids} if parents else {}
        )
        """The id of the parent that each row belongs to."""
        self.below: dict[str, Table] = {}
        """The tables of the lists below each row, by name (underscored)."""
        self._by_owner: dict[int, list[Row]] | None = None
        if parents is not None:
            parents.below[resource.path.rpartition("/")[2]] = self

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> list[int]:
        """All ids, ascending."""
        with self.lock:
            return self._ids.copy()

    def id_at(self, position: int) -> int:
        """The id of the row at a position in id order."""
        return self._ids[position]

    def get(self, id: int) -> Record:
        """The record with this id; KeyError if there is none."""
        with self.lock:
            return self._record(self._rows[id])

    def records(self) -> list[Record]:
        """The ground truth: every record as the API prints it in full, ordered by id; without
        those whose parent is gone.

        Times are printed in the record's own zone, or in UTC if `utc` is set; under the dialect
        "per_response" compare them as instants.
        """
        with self.lock:
            return [self._record(self._rows[id]) for id in self._ids if self._is_reachable(id)]

    def stamps(self) -> dict[int, int | None]:
        """`updated-at` of every row, in seconds since 1970, by id: a cheap ground truth."""
        with self.lock:
            return {id: self._rows[id].updated for id in self._ids}

    def load(self, rows: Iterable[tuple[int, datetime | None, datetime | None]]) -> None:
        """Replace all rows by (id, created, updated); their bodies are drawn from the pool.

        A time may be None: SQL's null, which satisfies no comparison.
        """
        with self.lock:
            self._rows = {
                id: Row(
                    id,
                    second_of(created),
                    second_of(updated),
                    self._random.choice(self._pool.blueprints),
                )
                for id, created, updated in rows
            }
            self._ids = sorted(self._rows)
            self._highest = max(self._ids, default=0)
            self._changed()

    def rework(self, change: Callable[[Record, int], Record]) -> None:
        """Change the bodies that generated rows share, each with its number, before all edits."""
        with self.lock:
            old = self._pool.blueprints
            new = [Blueprint(change(body.record(), number)) for number, body in enumerate(old)]
            made = dict(zip(map(id, old), new, strict=True))
            for row in self._rows.values():
                row.blueprint = made.get(id(row.blueprint), row.blueprint)
            self._pool = Pool(lambda: new)
            self._changed()

    def versions(self) -> dict[int, tuple[int | None, object]]:
        """`updated-at` in seconds since 1970 and a body, by id; both are the same as long as the
        row is."""
        with self.lock:
            return {id: (row.updated, row.blueprint) for id, row in self._rows.items()}

    def add(
        self,
        record: Mapping[str, Any] | None = None,
        /,
        *,
        owner: int | None = None,
        **changes: Any,
    ) -> int:
        """Add a row and return its id.

        Without `record` the body is generated. What `record` lacks is filled in: the id is one that
        no row has had, `created-at` and `updated-at` are now. A time is a text, printed as given,
        or an aware datetime, printed in the record's zone. `owner` is the parent's id, one at
        random without it.
        """
        with self.lock:
            now = self._now()
            free = self._highest + 1
            body: Record = {"id": free, "created-at": now, "updated-at": now}
            if record is None:
                second = int(now.timestamp())
                body = self._body(
                    Row(free, second, second, self._random.choice(self._pool.blueprints))
                )
            body |= {**(record or {}), **_dashed(changes)}
            if body["id"] in self._rows:
                raise ValueError(f"{self.resource.path} already has a row {body['id']}")
            row = _row(body)
            self._rows[row.id] = row
            insort(self._ids, row.id)
            self._highest = max(self._highest, row.id)
            if self._parents is not None:
                self.owners[row.id] = self._some_parent() if owner is None else owner
            self._attributes |= _attributes(body)
            self._changed()
            return row.id

    def edit(
        self,
        id: int,
        /,
        changes: Mapping[str, Any] | None = None,
        *,
        touch: bool = True,
        **attributes: Any,
    ) -> None:
        """Change attributes of a row; sets `updated-at` to now unless `touch` is False.

        KeyError if there is no such row. An `updated-at` among the changes wins.
        """
        changes = {**(changes or {}), **_dashed(attributes)}
        with self.lock:
            row = self._rows[id]
            if changes.get("id", id) != id:
                raise ValueError("an id does not change")
            if touch:
                changes.setdefault("updated-at", self._now())
            body = self._body(row) | changes
            if changes.keys() == {"updated-at"} and row.blueprint.prints_updated:
                row.updated = second_of(body["updated-at"])
            else:
                new = _row(body)
                row.created, row.updated, row.blueprint = new.created, new.updated, new.blueprint
                self._attributes |= _attributes(changes)
            self._changed()

    def edit_row(self, id: int, /, path: str, place: int = 0, **attributes: Any) -> None:
        """Change one row of a list in a record, `invoice-lines.tax-lines`, and set its `updated-at`
        to now; that of the record stays.

        `place` counts the rows of the record. KeyError or IndexError if there is none.
        """
        with self.lock:
            *outer, last = path.split(".")
            body = self._body(self._rows[id])
            holders = [body]
            for key in outer:
                holders = [item for holder in holders for item in holder.get(key) or ()]
            rows = [row for holder in holders for row in holder.get(last) or ()]
            rows[place].update({"updated-at": self._now().isoformat(), **_dashed(attributes)})
            self.edit(id, {(*outer, last)[0]: body[(*outer, last)[0]]}, touch=False)

    def edit_many(
        self,
        which: int | Iterable[int],
        /,
        changes: Mapping[str, Any] | None = None,
        *,
        touch: bool = True,
        **attributes: Any,
    ) -> list[int]:
        """Edit the given rows, or that many rows chosen at random (seeded); returns their ids."""
        with self.lock:
            ids = self._some(which) if isinstance(which, int) else list(which)
            for id in ids:
                self.edit(id, changes, touch=touch, **attributes)
            return ids

    def delete(self, id: int) -> None:
        """Remove a row; KeyError if there is none."""
        with self.lock:
            self._gone[id] = self._rows.pop(id)
            del self._ids[bisect_left(self._ids, id)]
            self._changed()

    def restore(self, id: int, *, touch: bool = False) -> None:
        """Bring back a row that was removed, as it was, or with a new update time: it was only
        hidden, or was restored. KeyError if there is none."""
        with self.lock:
            self._rows[id] = self._gone.pop(id)
            insort(self._ids, id)
            if touch:
                self.edit(id)
            self._changed()

    def renumber(self, id: int) -> int:
        """Remove a row and add it under a new id; returns that."""
        with self.lock:
            record = self.get(id)
            self.delete(id)
            del record["id"], record["updated-at"]
            return self.add(record)

    def _some(self, count: int) -> list[int]:
        return self._random.sample(self._ids, min(count, len(self._ids)))

    # What the query language needs.

    def has_parent(self, id: int) -> bool:
        """Whether the parents' table has this row."""
        return self._parents is not None and self._parents.row(id) is not None

    def knows(self, path: Sequence[str]) -> bool:
        """Whether a record of this table has this attribute (underscored names, outer first)."""
        name = "/".join(path)
        return name in self._attributes or name in self._pool.attributes

    def is_association(self, name: str) -> bool:
        """Whether an attribute (underscored) holds objects in some record of this table."""
        prefix = f"{name}/"
        known = (*self._attributes, *self._pool.attributes)
        return any(path.startswith(prefix) for path in known)

    def row(self, id: int) -> Row | None:
        """The row with this id."""
        return self._rows.get(id)

    def between(self, above: int | None, up_to: int | None) -> Iterable[Row]:
        """Rows with `above` < id <= `up_to`, ascending by id."""
        first = 0 if above is None else bisect_right(self._ids, above)
        last = len(self._ids) if up_to is None else bisect_right(self._ids, up_to)
        return map(self._rows.__getitem__, self._ids[first:last])

    def rows_below(self, owner: int) -> list[Row]:
        """The rows that belong to a parent, ascending by id."""
        with self.lock:
            if self._by_owner is None:
                self._by_owner = {}
                for id in self._ids:
                    self._by_owner.setdefault(self.owners[id], []).append(self._rows[id])
            return self._by_owner.get(owner, [])

    def ordered(self, key: object, build: Callable[[], list[Row]]) -> list[Row]:
        """The list that `build` makes, kept under `key` until the table changes."""
        rows = self._orders.get(key)
        if rows is None:
            rows = self._orders[key] = build()
            while len(self._orders) > _CACHED_ORDERS:
                self._orders.popitem(last=False)
        else:
            self._orders.move_to_end(key)
        return rows

    def render(self, row: Row, zone: tzinfo | None = None) -> bytes:
        """The row as JSON bytes, times in `zone` or the table's rule."""
        if zone is None:
            zone = timezone.utc if self.utc else zone_of(row.id)
        return row.blueprint.render(row.id, row.created, row.updated, zone)

    def _is_reachable(self, id: int) -> bool:
        return self._parents is None or self.has_parent(self.owners[id])

    def _some_parent(self) -> int:
        assert self._parents is not None
        return self._parents.id_at(int(self._random.random() ** 3 * len(self._parents)))

    def _record(self, row: Row) -> Record:
        record: Record = json.loads(self.render(row))
        return record

    def _body(self, row: Row) -> Record:
        """The record, its own times as datetimes where they are printed in the record's zone."""
        body = self._record(row)
        for key, second, slot in (
            ("created-at", row.created, row.blueprint.prints_created),
            ("updated-at", row.updated, row.blueprint.prints_updated),
        ):
            if slot and second is not None:
                body[key] = datetime.fromtimestamp(second, timezone.utc)
        return body

    def _changed(self) -> None:
        self.version += 1
        self._orders.clear()
        self._by_owner = None

    def _now(self) -> datetime:
        return self._clock().replace(microsecond=0)


def _attributes(value: Any, prefix: str = "", depth: int = 1) -> set[str]:
    """The paths ("supplier/name") of a record's attributes, through two levels of associations."""
    if isinstance(value, list):
        return {name for item in value for name in _attributes(item, prefix, depth)}
    names: set[str] = set()
    if isinstance(value, Mapping) and depth <= 3:
        for key, child in value.items():
            name = prefix + key.replace("-", "_")
            names.add(name)
            names |= _attributes(child, name + "/", depth + 1)
    return names


def _dashed(attributes: Mapping[str, Any]) -> Record:
    return {name.replace("_", "-"): value for name, value in attributes.items()}


def _row(body: Record) -> Row:
    """The row of a record; a datetime among its own times becomes a slot."""
    record = dict(body)
    for key, slot in (("created-at", created()), ("updated-at", updated())):
        if isinstance(record.get(key), datetime):
            record[key] = slot
    return Row(
        int(record["id"]),
        second_of(body.get("created-at")),
        second_of(body.get("updated-at")),
        Blueprint(record),
    )
