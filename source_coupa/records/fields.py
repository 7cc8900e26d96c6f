"""Fields of records as Coupa prints them."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import Any

UPDATED_AT = "updated_at"

JsonRecord = dict[str, Any]

_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def value_of(record: JsonRecord, name: str) -> Any:
    """A field of a record as Coupa prints it, by its name with underscores; None without it."""
    return record.get(name, record.get(name.replace("_", "-")))


def instant(text: object) -> datetime:
    """Reads Coupa's ISO 8601 times, which carry the offset of the user's zone.

    Raises:
        ValueError: if `text` is no date and time with time zone.
    """
    if not isinstance(text, str):
        raise ValueError("no text")
    if sys.version_info < (3, 11):
        # its fromisoformat reads offsets with a colon only, and states have none
        text = _OFFSET.sub(r"\1:\2", text)
    moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment
