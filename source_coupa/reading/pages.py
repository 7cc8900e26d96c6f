"""What the reader of a list is given, and what it hands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.reading.bookmark import IdSet
from source_coupa.reading.known_ids import Ids, SweepMark
from source_coupa.records.fields import JsonRecord
from source_coupa.transport.backpressure import Load


@dataclass(frozen=True)
class RowChanges:
    """Records that hold a row which has changed, although they have not themselves.

    Attributes:
        paths: of the lists in them, such as `invoice-lines.tax-lines`.
        since: when a row has changed at the earliest.
        before: the record itself has changed before this; others come by their own time.
    """

    paths: Sequence[str]
    since: datetime
    before: datetime


@dataclass(frozen=True)
class Pass:
    """What is to be read of a list.

    Attributes:
        since: the lower bound of update times; None for all records.
        done: ids that need not be read, an earlier sync sent them.
        nulls_above: records without an update time are asked for above this id; None if the list
            has shown none.
        highest_id: the highest id that earlier syncs have seen, where the list has shown no record
            without an update time; None if that need not be known.
        asks_for_nulls: whether records without an update time have to be looked for, because the
            bound hides them.
        proves_filter: whether the filter on update times has yet to be proved.
        checks_times: whether records need update times at all.
        short_page: see `PageLengths`; None if nothing is known.
        missing: records that earlier syncs could not have.
        row_changes: records that are wanted because of changes in their rows; None if they are not
            looked for.
        follows_a_pass: whether the list was read in this sync before.
    """

    since: datetime | None = None
    done: IdSet = field(default_factory=IdSet)
    nulls_above: int | None = None
    highest_id: int | None = None
    asks_for_nulls: bool = False
    proves_filter: bool = False
    checks_times: bool = True
    short_page: int | None = None
    missing: frozenset[int] = frozenset()
    row_changes: RowChanges | None = None
    follows_a_pass: bool = False


@dataclass(frozen=True)
class Swept:
    """What a sweep has shown, see `sweep`.

    Attributes:
        at: before the first request of this sync's part of it, by Coupa's clock.
        began: the same, of its first part.
        seen: the ids that the list has.
        gone: those that it does not have any more.
        error: why it came to no end; then it has shown nothing.
    """

    at: datetime | None = None
    began: datetime | None = None
    seen: Ids = field(default_factory=Ids)
    gone: frozenset[int] = frozenset()
    error: AirbyteTracedException | None = None


@dataclass
class Page:
    """A part of a pass.

    Attributes:
        records: as Coupa sends them.
        began: when the pass began, by Coupa's clock; None while no response came.
        covers: the ids that are read with this page: above the first, up to and including the
            second; None for records that come out of turn.
        left: about how many records are still to be read; None if that is not known.
        load: the room that the records take; to be released when they are printed.
        missing: the id of a record that cannot be read.
        found: the id of one that an earlier sync could not have, and that came now or is gone.
        starts_over: whether what came so far was not whole, and everything comes again.
        is_last: whether the pass is complete.
        short_page: as in `Pass`, as it is known at the end; before that, 0 from where it is.
        nulls_above: up to which id records without an update time have come; None on a page of
            others, and if they were not asked for.
        is_of_row_changes: whether the records come because of changes in their rows.
        goes_on: whether the pass is complete, and a sweep of the list follows.
        is_back: whether its records were gone, and are there again.
        sweep: how far the sweep has come.
        swept: how the sweep has ended.
    """

    records: list[JsonRecord] = field(default_factory=list)
    began: datetime | None = None
    covers: tuple[int, int] | None = None
    left: int | None = None
    load: Load | None = None
    missing: int | None = None
    found: int | None = None
    starts_over: bool = False
    is_last: bool = False
    short_page: int | None = None
    nulls_above: int | None = None
    is_of_row_changes: bool = False
    goes_on: bool = False
    is_back: bool = False
    sweep: SweepMark | None = None
    swept: Swept | None = None
