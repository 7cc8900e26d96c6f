"""Zones in which an instance or its users may live, and so the offsets of printed times."""

from __future__ import annotations

from datetime import timezone, tzinfo
from zoneinfo import ZoneInfo

ZONES: tuple[tzinfo, ...] = (
    ZoneInfo("Europe/Helsinki"),
    ZoneInfo("America/Los_Angeles"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("America/St_Johns"),
    ZoneInfo("Australia/Adelaide"),
    timezone.utc,
    ZoneInfo("Europe/London"),
    ZoneInfo("Pacific/Auckland"),
)
"""Whole and half-hour offsets, with and without daylight saving, both hemispheres.

Coupa prints times with the offset of the instance's or user's zone, and the same record shows
different offsets in different calls (samples of doc 0015).
"""


def zone_of(number: int) -> tzinfo:
    """The zone of a record or of a response: stable for one `number`, mixed over many."""
    return ZONES[(number * 2_654_435_761 >> 7) % len(ZONES)]
