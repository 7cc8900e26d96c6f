"""The query parameters of one pass through a list."""

from __future__ import annotations

from collections.abc import Mapping

from source_coupa.reading.bookmark import text_of
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.id_ranges import IdRange
from source_coupa.reading.pages import Pass
from source_coupa.reading.requests import IDS_ALONE, IDS_AND_TIMES
from source_coupa.reading.row_changes import Watch
from source_coupa.records.fields import UPDATED_AT
from source_coupa.transport.capabilities import Capabilities, by_id


class Queries:
    """Says what to ask for, with what the instance has shown to take.

    Args:
        capabilities: of the instance.
        wanted: the pass.
        selection: what part of the records is asked for; None for all of them.
        fields: a query parameter that says so instead.
        ids_only: whether nothing but ids is wanted, and update times where they are checked.
        is_shaped: whether records are always asked for whole.
        watch: asks for records with changed rows.

    Attributes:
        is_filtered: whether records are asked for by their update times.
        takes_order_by: whether they are asked for in order of id; what a list that is refused tries
            is its own, until a page comes.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        wanted: Pass,
        *,
        selection: FieldSelection | None,
        fields: Mapping[str, str] | None,
        ids_only: bool,
        is_shaped: bool,
        watch: Watch | None,
    ) -> None:
        self._capabilities = capabilities
        self._wanted = wanted
        self._selection = selection
        self._fields = fields
        self._ids_only = ids_only
        self._is_shaped = is_shaped
        self._watch = watch
        self.is_filtered = wanted.since is not None
        self.takes_order_by = capabilities.takes_order_by

    def order(self, *, descending: bool = False) -> dict[str, str]:
        """By id; nothing where Coupa refuses `order_by`."""
        return by_id(descending=descending) if self.takes_order_by else {}

    def id_alone(self) -> Mapping[str, str]:
        """Leaves out all but the id, where Coupa takes `fields`."""
        return IDS_ALONE if self._capabilities.selects_fields and not self._is_shaped else {}

    def one(
        self, query: Mapping[str, str] | None = None, *, descending: bool = False
    ) -> dict[str, str]:
        """The id of one record, the first or the last one of those that `query` leaves."""
        order = self.order(descending=descending)
        return {**order, **self._bound(), **(query or {}), "limit": "1", **self.id_alone()}

    def page(self, range_: IdRange, size: int) -> dict[str, str]:
        """The next `size` records of a range."""
        filter_ = self._bound() if range_.nulls is None else range_.nulls
        if self._watch is not None and range_.watched is not None:
            filter_ = self._watch.query(range_)
        return {
            **self.order(),
            **filter_,
            "limit": str(size),
            **above(range_.after),
            **self._part(),
        }

    def ids(self, range_: IdRange, size: int) -> dict[str, str]:
        """The ids of these."""
        return {**self.page(range_, size), **self.id_alone()}

    def _bound(self) -> dict[str, str]:
        if not self.is_filtered or self._wanted.since is None:
            return {}
        return {f"{UPDATED_AT}[gt_or_eq]": text_of(self._wanted.since)}

    def _part(self) -> Mapping[str, str]:
        """What of the records is asked for."""
        if self._fields is not None:
            return self._fields
        if self._ids_only:
            id_alone = self.id_alone()
            return IDS_AND_TIMES if id_alone and self._wanted.checks_times else id_alone
        return self._selection.query if self._selection is not None else {}


def above(id_: int) -> dict[str, str]:
    """Leaves out records up to an id."""
    return {"id[gt]": str(id_)} if id_ else {}
