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
from source_coupa.reading.coupa_list import CoupaList
from source_coupa.reading.known_ids import Ids
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


@dataclass(frozen=True)
class Sweep:
    """What is known of a list before it is swept.

    Attributes:
        known: ids of the records that the table has.
        since: the bound of update times of these; None for all records.
        highest_id: the highest id that was ever seen. Records up to it that are not known, and were
            not read in this sync, have come back: they are read, whatever their update times are.
            None if nothing can be said about that.
    """

    known: Ids
    since: datetime | None = None
    highest_id: int | None = None


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
        seen, began = _seen(sweep, ids)
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
    yield Page(swept=Swept(at=began, seen=seen, gone=gone))


def _seen(sweep: Sweep, ids: CoupaList) -> tuple[Ids, datetime | None]:
    found = array("q")
    began: datetime | None = None
    wanted = Pass(since=sweep.since, checks_times=sweep.since is not None, follows_a_pass=True)
    for page in ids.read(wanted):
        began = began or page.began
        if page.missing is not None:
            # a record that cannot be read is there: its id was shown
            found.append(page.missing)
        for record in page.records:
            # where the bound is refused, the whole list comes
            if sweep.since is None or _is_within(sweep.since, ids.resource, record):
                found.append(record["id"])
        if page.load is not None:
            page.load.release()
    return Ids.of(found), began


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
