"""Filters in Coupa's query language, as a user writes them in the settings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, unquote

from source_coupa.records.fields import UPDATED_AT, JsonRecord, value_of

RESERVED = frozenset(
    """
    id updated_at limit offset order_by dir fields return_object filter format show_deleted_lines
    """.split()  # noqa: SIM905 (a literal would take a line for each)
)
"""Parameters that the connector sends itself, or that change what a page is."""

LONGEST = 2_000
"""Characters of a filter: it is a part of each address."""

_NAME = re.compile(r"[a-z][\w-]*(?:\[[a-z][\w-]*\]){0,3}", re.ASCII | re.IGNORECASE)
"""An attribute, perhaps below two associations, and an operator (pages 0009 and 0014)."""

_OPERATORS = frozenset(
    """
    contains starts_with ends_with gt lt gt_or_eq lt_or_eq not_eq in not_in blank
    """.split()  # noqa: SIM905
)
"""Those of pages 0007 and 0014; equality has no name."""

_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "1", "t", "yes"), True),
    **dict.fromkeys(("false", "0", "f", "no"), False),
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FAR = timedelta(days=2)
"""Dates may be printed in another zone, and mean midnight in a third one."""

_AHEAD: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, wanted: value <= wanted,
    "gt_or_eq": lambda value, wanted: value < wanted,
    "lt": lambda value, wanted: value >= wanted,
    "lt_or_eq": lambda value, wanted: value > wanted,
}
"""When a comparison is not met."""


@dataclass(frozen=True)
class Condition:
    """One `name=value` of a filter.

    Attributes:
        name: as it is written: `supplier[name]`.
        value: decoded.
        path: the attribute, outer first, with underscores.
        operator: "eq" without one.
    """

    name: str
    value: str
    path: tuple[str, ...]
    operator: str

    @property
    def text(self) -> str:
        """The same text for each way to write the condition."""
        names = self.path if self.operator == "eq" else (*self.path, self.operator)
        name = names[0] + "".join(f"[{inner}]" for inner in names[1:])
        return f"{name}={quote(self.value, safe=',:+/@ ')}"

    def is_contradicted_by(self, record: JsonRecord) -> bool:
        """Whether a record of Coupa cannot have met the condition. Only what is certain counts: a
        field of the record itself, compared as a word, a number, a date or a boolean."""
        if len(self.path) > 1:
            return False
        value = value_of(record, self.path[0])
        if value is None or isinstance(value, (list, dict)):
            return False
        if self.operator in ("eq", "in"):
            options = [self.value] if self.operator == "eq" else self.value.split(",")
            return all(_are_equal(value, option) is False for option in options)
        if self.operator in ("not_eq", "not_in"):
            options = [self.value] if self.operator == "not_eq" else self.value.split(",")
            return isinstance(value, str) and value in options
        if self.operator in _AHEAD:
            return _is_unmet(value, self.operator, self.value)
        return False


@dataclass(frozen=True)
class ListFilter:
    """What the settings ask of one list.

    Attributes:
        conditions: that its records have to meet, all of them.
        response_filter: the name of one of Coupa's API response filters, which decides what fields
            come; "" for none.
    """

    conditions: tuple[Condition, ...] = ()
    response_filter: str = ""

    @property
    def text(self) -> str:
        """The same text for each way to write the filter; "" for none."""
        texts = sorted(condition.text for condition in self.conditions)
        if self.response_filter:
            texts.append(f"filter={self.response_filter}")
        return "&".join(texts)

    @property
    def of_rows(self) -> ListFilter:
        """The part that decides which records come."""
        return ListFilter(self.conditions)

    def added_to(self, query: Mapping[str, str]) -> dict[str, str]:
        """A query of the list with the filter. Both `fields` and a response filter say what fields
        come, so a query has one of them."""
        added = {condition.name: condition.value for condition in self.conditions}
        if self.response_filter and "fields" not in query:
            added["filter"] = self.response_filter
        return {**query, **added}

    def contradicted_by(self, records: Iterable[JsonRecord]) -> tuple[Condition, JsonRecord] | None:
        """A condition and a record that cannot have met it; None without any."""
        for record in records:
            for condition in self.conditions:
                if condition.is_contradicted_by(record):
                    return condition, record
        return None


NO_FILTER = ListFilter()


def conditions_of(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter: `status[in]=approved,voided&supplier[name]=Acme`.

    Values are taken as they are, except for percent-encoding: a plus is a plus.

    Raises:
        ValueError: with a message for the user, that shows names of parameters at most.
    """
    text = text.strip().removeprefix("?")
    if len(text) > LONGEST:
        raise ValueError(f"a filter has at most {LONGEST:,} characters")
    conditions: list[Condition] = []
    for part in text.split("&") if text else ():
        condition = _condition(part)
        if condition.text.partition("=")[0] in {c.text.partition("=")[0] for c in conditions}:
            raise ValueError(f"{condition.name} stands there twice")
        conditions.append(condition)
    return tuple(conditions)


def _condition(part: str) -> Condition:
    name, has_value, value = part.partition("=")
    try:
        name, value = (unquote(text, errors="strict").strip() for text in (name, value))
    except UnicodeDecodeError:
        raise ValueError(
            "characters that are percent-encoded must be in UTF-8, and a % in a value is written "
            "%25; all others can stand there as they are"
        ) from None
    if not has_value or not _NAME.fullmatch(name):
        raise ValueError(
            "each part must have the form name=value, such as status[in]=approved,voided or "
            "supplier[name]=Acme, and an & in a value is written %26"
        )
    parts = [item.lower().replace("-", "_") for item in re.findall(r"[\w-]+", name)]
    operator = parts.pop() if len(parts) > 1 and parts[-1] in _OPERATORS else "eq"
    if used := [part for part in parts if part == UPDATED_AT or parts[0] in RESERVED]:
        # also below an association, whose rows are looked at for changes
        raise ValueError(f"the connector itself uses {used[0]}, so it cannot be part of a filter")
    if len(parts) > 3:
        raise ValueError(f"{name} goes through more than two associations")
    if not value:
        raise ValueError(f"{name} has no value; use {name}[blank]=true for an empty field")
    if not value.isprintable():
        raise ValueError(f"the value of {name} has characters that cannot be sent")
    if operator in ("in", "not_in"):
        value = ",".join(option.strip() for option in value.split(","))
    return Condition(name, value, tuple(parts), operator)


def _are_equal(value: Any, wanted: str) -> bool | None:
    """Whether a value is what a filter asks for; None if that is uncertain."""
    if isinstance(value, bool):
        known = _BOOLEANS.get(wanted.lower())
        return None if known is None else value == known
    one, other = _number(value), _number(wanted)
    if one is not None and other is not None:
        return one == other
    if not isinstance(value, str):
        return None
    if _DATE.match(value) or _DATE.match(wanted):
        first, second = _moment(value), _moment(wanted)
        return None if first is None or second is None else abs(first - second) <= _FAR
    if wanted.lower() in _BOOLEANS or not _word(value) or not _word(wanted):
        return None
    return _word(value) == _word(wanted)


def _is_unmet(value: Any, operator: str, wanted: str) -> bool:
    if isinstance(value, bool):
        return False
    is_unmet = _AHEAD[operator]
    one, other = _number(value), _number(wanted)
    if one is not None and other is not None:
        return is_unmet(one, other)
    first, second = _moment(value), _moment(wanted)
    if first is None or second is None:
        return False
    return abs(first - second) > _FAR and is_unmet(first, second)


def _number(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))
        # one without a zone is taken for UTC
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _word(text: str) -> str:
    """What is left of a text that a database may compare without regard to case and accents, or
    that may be printed as a label."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if character.isalnum())
