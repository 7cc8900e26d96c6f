"""Finds out which records of a list are gone: compares its ids with those that a table has.

Coupa does not say what was deleted. So the ids of the whole list are read, in ascending order up to
an empty page, as records are. Each known id that did not come is looked up once more, by itself:
the list may have been read from a copy that lags behind, or the record may have left the bound of
update times. Only what a second, different question does not find either is gone.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.reading.bookmark import IdSet
from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.known_ids import Ids, SweepMark
from source_coupa.reading.look_up import LookUp, groups_of
from source_coupa.reading.pages import Page, Pass, Swept
from source_coupa.reading.responses import moment_of
from source_coupa.records.fields import JsonRecord

FEW_GONE = 100
"""Records that may be gone at once, however many there are."""

MOST_GONE = 0.1
"""The share of a list that may be gone at once, if it is more than a few."""

FEW_ALONE = 10
"""Records that may be gone if they were all that a list had."""

SECONDS_PER_MARK = 60.0
"""After which a state says how far a sweep has come: one that is stopped repeats no more."""


@dataclass(frozen=True)
class Sweep:
    """What is known of a list before it is swept.

    Attributes:
        known: ids of the records that the table has.
        since: the bound of update times of these; None for all records.
        highest_id: the highest id that was ever seen. Records up to it that are not known, and were
            not read in this sync, have come back: they are read, whatever their update times are.
            None if nothing can be said about that.
        mark: what earlier syncs have compared.
    """

    known: Ids
    since: datetime | None = None
    highest_id: int | None = None
    mark: SweepMark | None = None


def swept(
    sweep: Sweep, ids: CoupaList, records: CoupaList, read: Callable[[], Ids]
) -> Iterator[Page]:
    """Sweeps a list; the last page says what came of it.

    Args:
        sweep: what is known.
        ids: the list, of which ids alone are read.
        records: the same, with all that its records hold.
        read: the ids that were read in this sync.
    """
    try:
        part = _Part(sweep, ids)
        yield from part.pages()
        seen = sweep.known - part.absent | part.new
        gone = _gone(sweep, seen, ids)
        if sweep.highest_id is not None:
            back = seen - sweep.known - read()
            wanted = (id_ for id_ in back if id_ <= (sweep.highest_id or 0))
            for page in LookUp(records, seen.ends).pages(wanted):
                page.is_back = True
                yield page
    except AirbyteTracedException as error:
        yield Page(swept=Swept(error=error))
        return
    began = sweep.mark.began if sweep.mark is not None else part.began
    yield Page(swept=Swept(at=part.began, began=began, seen=seen, gone=gone))


class _Part:
    """What one sync compares of a list.

    Args:
        sweep: what is known, and what earlier syncs have compared.
        ids: the list.

    Attributes:
        began: before its first request, by Coupa's clock.
    """

    def __init__(self, sweep: Sweep, ids: CoupaList) -> None:
        self._sweep = sweep
        self._ids = ids
        self._absent = array("q", sweep.mark.absent if sweep.mark else ())
        self._shown = array("q", sweep.mark.new if sweep.mark else ())
        ranges = sweep.mark.done.ranges if sweep.mark else ()
        self._done = IdSet((first - 1, behind - 1) for first, behind in ranges)
        self._highest = max((until + 1 for _, until in self._done), default=0)
        self.began: datetime | None = None

    @property
    def absent(self) -> Ids:
        """Known ids that did not come."""
        return Ids.of(self._absent) - Ids.of(self._shown)

    @property
    def new(self) -> Ids:
        """Ids that came and are not known."""
        return Ids.of(self._shown) - self._sweep.known

    def pages(self) -> Iterator[Page]:
        """Compares what is left of the list; says now and then how far it has come."""
        since = self._sweep.since
        clock = self._ids.instance.clock
        said_at = clock.monotonic()
        wanted = Pass(
            since=since,
            done=IdSet(self._done),
            checks_times=since is not None,
            follows_a_pass=True,
        )
        for page in self._ids.read(wanted):
            self.began = self.began or page.began
            self._note(page)
            if page.load is not None:
                page.load.release()
            if clock.monotonic() - said_at >= SECONDS_PER_MARK and self.began is not None:
                yield Page(sweep=self._mark(self.began))
                said_at = clock.monotonic()

    def _note(self, page: Page) -> None:
        since, known = self._sweep.since, self._sweep.known
        if page.missing is not None:
            # a record that cannot be read is there: its id was shown
            self._shown.append(page.missing)
        # where the bound is refused, the whole list comes
        came = {
            record["id"]
            for record in page.records
            if since is None or _is_within(since, self._ids.resource, record)
        }
        self._highest = max(self._highest, *came, 0)
        self._shown.extend(id_ for id_ in came if id_ not in known)
        if page.covers is not None:
            self._done.add(*page.covers)
            self._absent.extend(id_ for id_ in known.within(*page.covers) if id_ not in came)

    def _mark(self, began: datetime) -> SweepMark:
        # the end is looked for again, which needs a record before it
        end = self._highest - 1
        bounds = (at + 1 for range_ in self._done if range_[0] < end for at in range_)
        done = Ids(min(bound, end + 1) for bound in bounds)
        mark = self._sweep.mark
        return SweepMark(mark.began if mark else began, done, self.absent, self.new)


def _is_within(since: datetime, resource: str, record: JsonRecord) -> bool:
    moment = moment_of(resource, record)
    return moment is not None and moment >= since


def _gone(sweep: Sweep, seen: Ids, ids: CoupaList) -> frozenset[int]:
    """The known ids that are gone for sure.

    Raises:
        AirbyteTracedException: if they are too many to be believed.
    """
    known = len(sweep.known)
    most = max(FEW_GONE, int(known * MOST_GONE)) if len(seen) else FEW_ALONE
    gone: set[int] = set()
    absent = sweep.known - seen
    for group in groups_of(absent, most + 1):
        look_up = LookUp(ids, seen.ends)
        gone.update(group)
        for page in look_up.pages(group):
            gone.difference_update(record["id"] for record in page.records)
            if page.load is not None:
                page.load.release()
        gone -= look_up.unclear
        if len(gone) > most:
            raise errors.too_many_gone(ids.resource, known, len(absent))
    return frozenset(gone)
