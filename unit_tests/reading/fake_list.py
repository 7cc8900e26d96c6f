"""A Coupa list in memory, and what is needed to read it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from operator import eq, gt, itemgetter, le, lt
from typing import Any

import orjson

from source_coupa import errors
from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.pages import Page, Pass
from source_coupa.records.fields import instant
from source_coupa.transport.backpressure import Load
from source_coupa.transport.clock import Clock
from source_coupa.transport.connection import RequestFailedError, Response
from source_coupa.transport.instance import Instance

_COMPARISONS = {"id": eq, "id[gt]": gt, "id[lt]": lt, "id[lt_or_eq]": le}
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
Record = dict[str, Any]
Query = Mapping[str, str]


def record(id_: int, updated_at: str | None = "2026-01-01T00:00:00Z", **fields: Any) -> Record:
    """A record as Coupa prints it."""
    return {"id": id_, "updated-at": updated_at, **fields}


def failure(
    *,
    is_final: bool = False,
    is_limit: bool = False,
    too_large: int = 0,
    wait: float | None = None,
) -> RequestFailedError:
    """As if Coupa had responded with 503, or 403 if it is final."""
    error = errors.config_error("refused") if is_final else errors.transient_error("not available")
    return RequestFailedError(
        error, is_final=is_final, is_limit=is_limit, too_large=too_large, wait=wait
    )


class InstantClock(Clock):
    """A clock whose waits take no time.

    Attributes:
        waited: the seconds of each wait.
    """

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return sum(self.waited)

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        self.waited.append(seconds)
        threading.Thread(target=function, daemon=True).start()


def rows_at(record: Record, keys: Sequence[str]) -> list[Record]:
    """The objects in a list of a record, or in lists within it."""
    rows = [record]
    for key in keys:
        rows = [item for row in rows for item in row.get(key) or ()]
    return rows


def has_moved(row: Record, since: str) -> bool:
    """Whether a row has changed since a time."""
    return row["updated-at"] is not None and instant(row["updated-at"]) >= instant(since)


@dataclass
class FakeList:
    """Responds to queries as Coupa documents, from the records that it holds.

    Attributes:
        records: by id.
        cap: the largest page.
        before: called with each query before its response; may raise or change records.
        refuses: parameters that get a 400.
        ignores: parameters that are passed over.
        associations: what comes for `fields` that name one with what is wanted of it, made of the
            record's id and these fields.
        zone: hours by which filter times are misread.
        default_order: the key by which records are sorted where nothing is asked for; None for ids.
        queries: all that came.
    """

    records: dict[int, Record]
    cap: int = 50
    before: Callable[[Query], None] = lambda _: None
    refuses: Sequence[str] = ()
    ignores: Sequence[str] = ()
    associations: Mapping[str, Callable[[int, list[Any]], Any]] = field(default_factory=dict)
    zone: float = 0.0
    default_order: Callable[[Record], Any] | None = None
    hidden: Sequence[int] = ()
    queries: list[Query] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, query: Query, load: Load, *, records: int) -> Response:
        with self.lock:
            self.queries.append(query)
            self.before(query)
            if any(name.startswith(refused) for refused in self.refuses for name in query):
                return Response(400, b'{"errors":{"x":["not supported"]}}', NOW)
            page = self._page({k: v for k, v in query.items() if k not in self.ignores})
            body = orjson.dumps(page)
            load.resize(len(body))
            return Response(200, body, NOW)

    def _page(self, query: Query) -> list[Record]:
        is_default = "order_by" not in query
        order = (is_default and self.default_order) or itemgetter("id")
        rows = sorted(self.records.values(), key=order)
        for name, value in query.items():
            rows = [row for row in rows if self._matches(row, name, value)]
        if query.get("dir") == "desc":
            rows.reverse()
        start = int(query.get("offset", "0"))
        rows = rows[start : start + min(int(query.get("limit", "50")), self.cap)]
        rows = [row for row in rows if row["id"] not in self.hidden]
        if "fields" in query:
            fields: dict[str, list[Any]] = {}
            for name in json.loads(query["fields"]):
                fields |= {name: []} if isinstance(name, str) else name
            return [
                {
                    **{key: value for key, value in row.items() if key.replace("-", "_") in fields},
                    **{
                        name: make(row["id"], fields[name])
                        for name, make in self.associations.items()
                        if name in fields
                    },
                }
                for row in rows
            ]
        return rows

    def _matches(self, row: Record, name: str, value: str) -> bool:
        if name in _COMPARISONS:
            return bool(_COMPARISONS[name](row["id"], int(value)))
        if name == "id[in]":
            return str(row["id"]) in value.split(",")
        if name.endswith("[updated-at][gt_or_eq]"):
            keys = re.findall(r"[\w-]+", name.removesuffix("[updated-at][gt_or_eq]"))
            return any(has_moved(item, value) for item in rows_at(row, keys))
        if name == "updated_at[blank]":
            return row["updated-at"] is None
        if name.startswith("updated_at"):
            if row["updated-at"] is None:
                return False
            own, bound = instant(row["updated-at"]), instant(value) + timedelta(hours=self.zone)
            return own >= bound if name == "updated_at[gt_or_eq]" else own < bound
        return True


@dataclass
class Reader:
    """A CoupaList over a FakeList.

    Attributes:
        clock: the one that it waits with.
        useful: requests that are under way at the same time.
    """

    source: FakeList
    selection: FieldSelection | None = None
    useful: int = 1
    clock: InstantClock = field(default_factory=InstantClock)

    def __post_init__(self) -> None:
        self.instance = Instance(self.clock, max_workers=self.useful, requests_per_second=1_000)

    def coupa_list(self, *, ids_only: bool = False) -> CoupaList:
        """The list."""
        return CoupaList(
            resource="things",
            connection=self.source,
            instance=self.instance,
            selection=self.selection,
            ids_only=ids_only,
        )

    def pages(self, wanted: Pass | None = None) -> list[Page]:
        """All pages of a pass, their records printed."""
        found = []
        for page in self.coupa_list().read(wanted or Pass()):
            if page.load is not None:
                page.load.release()
            found.append(page)
        return found

    def ids(self, wanted: Pass | None = None) -> list[int]:
        """The ids of all records that came, in their order."""
        return [row["id"] for page in self.pages(wanted) for row in page.records]


def of_ids(ids: Iterable[int], **fields: Any) -> FakeList:
    """A list with records of these ids."""
    return FakeList({id_: record(id_, **fields) for id_ in ids})
