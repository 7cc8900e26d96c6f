"""Date-times in and out of text, compared as instants."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?"
)


def parse_instant(text: str, *, zone: float | None = None) -> int | None:
    """Microseconds since 1970 of an ISO 8601 date-time, None if `text` is none.

    A date alone is midnight UTC (doc 0014); a time without zone is taken as UTC. `zone` is a number
    of hours east of UTC that takes the place of every offset in `text`.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    moment -= _offset(offset) if zone is None else timedelta(hours=zone)
    seconds = int(moment.replace(tzinfo=timezone.utc).timestamp())
    return seconds * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])


def second_of(time: object) -> int | None:
    """Whole seconds since 1970 of a date-time or its text; None for anything else."""
    if isinstance(time, str):
        instant = parse_instant(time)
        return None if instant is None else instant // 1_000_000
    return int(time.timestamp()) if isinstance(time, datetime) else None


def guess_instant(text: str) -> int | None:
    """What a lenient reader makes of a text that is not ISO 8601, None if nothing.

    A space before the last `hh:mm` was a `+` once; a text that only begins with a date is that date
    (doc 0014 speaks of a best effort for other forms).
    """
    repaired = re.sub(r" (\d{2}:?\d{2})$", r"+\1", text)
    instant = parse_instant(repaired)
    if instant is None and " " in repaired:
        instant = parse_instant(repaired.replace(" ", "T", 1))
    return parse_instant(text[:10]) if instant is None else instant


def _offset(zone: str | None) -> timedelta:
    if not zone or zone == "Z":
        return timedelta(0)
    sign = -1 if zone[0] == "-" else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
