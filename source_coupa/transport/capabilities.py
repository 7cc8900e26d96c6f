"""What is learned about an instance, once in a sync for all of its lists."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Capabilities:
    """Only ever a shortcut: forgetting it costs requests, not records, so threads may write to it
    without a lock.

    Attributes:
        takes_order_by: whether it takes `order_by`; its default order is ascending id too (page
            0006).
        selects_fields: whether it takes `fields` (pages 0008 and 0023).
    """

    takes_order_by: bool = True
    selects_fields: bool = True

    def order(self, *, descending: bool = False) -> dict[str, str]:
        """The query parameters for an order by id; none where it refuses `order_by`."""
        return by_id(descending=descending) if self.takes_order_by else {}


def by_id(*, descending: bool = False) -> dict[str, str]:
    """The query parameters for an order by id."""
    return {"order_by": "id", "dir": "desc" if descending else "asc"}
