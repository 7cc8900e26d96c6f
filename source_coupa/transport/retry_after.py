"""How long Coupa, or something in front of it, asks to wait."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import requests

LONGEST_WAIT = 600.0
"""Seconds; a Retry-After beyond it ends the list, the next sync goes on from its state."""

MOST_STATED = 24 * 3_600.0
"""Seconds; more of them say no more."""


def retry_after(response: requests.Response, now: datetime) -> float | None:
    """The seconds of a Retry-After header in either of its forms, None without a valid one.

    Coupa documents none; `now` is what a date in it is compared with.
    """
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            seconds = (moment - now).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MOST_STATED) if math.isfinite(seconds) else None
