"""Columns: their names, what they hold, and which value fits into them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson

LONGEST_NAME = 63
"""In bytes of UTF-8: what PostgreSQL takes."""

_TAKEN = {
    *("_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta"),
    # columns that each table of a database has
    *("rowid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid"),
}

DELETED_AT = "_ab_cdc_deleted_at"
"""The column by which a source says that a record is gone; it is null in all rows that stay."""


class Kind(Enum):
    """What a column holds. The value ends a sentence: a value that does not fit is no ..."""

    INTEGER = "whole number of at most 64 bits"
    NUMBER = "number that the column can hold"
    BOOLEAN = "true or false"
    INSTANT = "point in time"
    TEXT = "text"
    JSON = "JSON"


_KINDS = {
    frozenset({"integer"}): Kind.INTEGER,
    frozenset({"number"}): Kind.NUMBER,
    frozenset({"integer", "number"}): Kind.NUMBER,
    frozenset({"boolean"}): Kind.BOOLEAN,
    frozenset({"object"}): Kind.JSON,
    frozenset({"array"}): Kind.JSON,
    frozenset({"array", "object"}): Kind.JSON,
}

WIDER: Mapping[Kind, frozenset[Kind]] = {
    Kind.INTEGER: frozenset({Kind.NUMBER, Kind.TEXT, Kind.JSON}),
    Kind.NUMBER: frozenset({Kind.TEXT, Kind.JSON}),
    Kind.BOOLEAN: frozenset({Kind.TEXT, Kind.JSON}),
    Kind.INSTANT: frozenset({Kind.TEXT, Kind.JSON}),
    Kind.TEXT: frozenset(),
    Kind.JSON: frozenset(),
}
"""Kind -> the kinds that hold its values too."""


class MisfitError(ValueError):
    """A value that a column cannot hold."""


def kind_of(definition: Mapping[str, Any]) -> Kind:
    """What the column of a property of a stream's schema holds; text where types are mixed."""
    if (
        definition.get("airbyte_type") == "timestamp_with_timezone"
        or definition.get("format") == "date-time"
    ):
        return Kind.INSTANT
    types = definition.get("type") or ()
    single = frozenset([types] if isinstance(types, str) else types) - {"null"}
    return _KINDS.get(single, Kind.TEXT)


def is_amount(definition: Mapping[str, Any]) -> bool:
    """Whether a property is a decimal, which Coupa sends as a text."""
    return "decimal as text" in definition.get("description", "").lower()


def is_day(column: str) -> bool:
    """Whether a column of points in time holds days: Coupa sends one as its midnight in some
    zone."""
    return "date" in column.split("_")


def view_of(table: str) -> str:
    """The view that `bin/sync` makes beside a table."""
    return f"{table}_typed"


def column_of(field: str) -> str:
    """The column of a field of a record. Two fields never have the same one, whatever else a
    record holds: databases take `Status` for `status`, and cut long names.

    >>> column_of("invoice_number"), column_of("größe"), column_of("Cost Center")
    ('invoice_number', 'größe', 'cost_center_e905a99d')
    """
    name = re.sub(r"\W", "_", field.lower())
    if name == field and re.match(r"[^\W\d]", name) and _fits(name) and name not in _TAKEN:
        return name
    digest = hashlib.sha256(field.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    if not re.match(r"[^\W\d]", name):
        name = f"_{name}"
    while not _fits(f"{name}_{digest}"):
        name = name[:-1]
    return f"{name}_{digest}"


def _fits(name: str) -> bool:
    # surrogates are no letters: they are gone from a name
    return len(name.encode()) <= LONGEST_NAME


def as_json(value: Any) -> str:
    """A value as JSON, every digit of a number kept."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number of more than 64 bits, or nested deeper than orjson goes
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_stored(value: Any, kind: Kind, *, keeps_digits: bool = True) -> str | None:
    """A value as the text from which a database makes a column's value.

    What a column holds without a loss is converted: `1.0` for a whole number, "12" for a number,
    anything for a text.

    Args:
        value: of a record.
        kind: of the column.
        keeps_digits: whether a column of numbers holds as many digits as there are.

    Raises:
        MisfitError: if the column cannot hold it.
    """
    if value is None:
        return None
    if kind is Kind.JSON:
        return as_json(value)
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else as_json(value)
    text = value if isinstance(value, str) else as_json(value)
    if kind is Kind.BOOLEAN and text in ("true", "false"):
        return text
    if kind is Kind.INSTANT and isinstance(value, str):
        return _instant(value)
    if kind in (Kind.INTEGER, Kind.NUMBER) and _NUMBER.fullmatch(text):
        return _integer(text) if kind is Kind.INTEGER else _number(text, keeps_digits)
    raise MisfitError


_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def _integer(text: str) -> str:
    whole = re.fullmatch(r"(-?[0-9]{1,19})(\.0+)?", text)
    if not whole or not -(2**63) <= int(whole[1]) < 2**63:
        raise MisfitError
    return whole[1]


def _number(text: str, keeps_digits: bool) -> str:
    number = float(text)
    if not math.isfinite(number) or not (keeps_digits or Decimal(repr(number)) == Decimal(text)):
        raise MisfitError
    return text


_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,6})[0-9]*)?"
    r" ?(Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def _instant(text: str) -> str:
    """In UTC, as databases read a time without an offset in different zones."""
    parts = _INSTANT.fullmatch(text.strip())
    if not parts:
        raise MisfitError
    day, time, fraction, offset = parts.groups()
    if offset in (None, "Z", "UTC"):
        offset = "+0000"
    hours, minutes = offset[:3], offset[3:].replace(":", "") or "00"
    clock = time or "00:00"
    if len(clock) == len("00:00"):
        clock += ":00"
    try:
        found = datetime.fromisoformat(f"{day}T{clock}.{fraction or '':0<6}{hours}:{minutes}")
        return found.astimezone(timezone.utc).isoformat()
    except (ValueError, OverflowError):
        raise MisfitError from None
