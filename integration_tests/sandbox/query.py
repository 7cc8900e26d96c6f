"""Coupa's query language: filters, order, paging, projection (docs 0006 to 0009 and 0014)."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from .blueprint import Record, values_at
from .dialect import Dialect, Play
from .instants import guess_instant, parse_instant
from .table import Row, Table

_PARAMETER = re.compile(r"([\w-]+)((?:\[[\w-]*\])*)")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_RANGES = frozenset({"gt", "lt", "gt_or_eq", "lt_or_eq"})
_TIMES = (("updated_at",), ("created_at",))
_RESERVED = frozenset({"limit", "offset", "order_by", "dir", "fields", "return_object", "filter"})

Comparable = Any
Compare = Callable[[Comparable, Comparable], bool]

_COMPARE: Mapping[str, Compare] = {
    "eq": lambda value, wanted: bool(value == wanted),
    "not_eq": lambda value, wanted: bool(value != wanted),
    "gt": lambda value, wanted: bool(value > wanted),
    "lt": lambda value, wanted: bool(value < wanted),
    "gt_or_eq": lambda value, wanted: bool(value >= wanted),
    "lt_or_eq": lambda value, wanted: bool(value <= wanted),
}
_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda value, wanted: wanted in value,
    "starts_with": lambda value, wanted: value.startswith(wanted),
    "ends_with": lambda value, wanted: value.endswith(wanted),
}
DELETED = b'"deleted":true'
"""What marks an order line as deleted, as a table prints it."""
HAVE_DELETED_LINES = ("purchase_orders", "purchase_order_lines")
"""Lists that take `show_deleted_lines`: the first holds lines, the second is one of lines."""
OPERATORS = frozenset({*_COMPARE, *_TEXT, "in", "not_in", "blank"}) - {"eq"}
"""The operators of doc 0014; equality has no name."""


class BadQuery(Exception):
    """Coupa would respond with 400; `text` says why."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True)
class Condition:
    """One filter: an attribute path (underscored, outer first), an operator, the text to match."""

    path: tuple[str, ...]
    operator: str
    wanted: str


@dataclass(frozen=True)
class Query:
    """A parsed list call."""

    conditions: tuple[Condition, ...]
    limit: int
    offset: int
    order_by: str
    """Attribute (underscored), or "shuffled"."""
    descending: bool
    fields: tuple[Any, ...] | None
    return_object: str
    """"full", "limited", "shallow" or "none"."""
    owner: int | None = None
    """The record below which the list is; None for a list of its own."""
    nested_fields: str = "whole"
    """See Dialect."""
    fields_depth: int | None = None
    """See Dialect."""
    needed: tuple[str, ...] = ()
    """Associations (underscored) without which a record does not come."""
    shows_deleted_lines: bool = False
    kept: frozenset[str] | None = None
    """Top-level keys of the API response filter that holds; None if none does."""

    @property
    def associations(self) -> dict[str, Any]:
        """What `fields` names (underscored) with what of it shall come."""
        named = (entry for entry in self.fields or () if isinstance(entry, Mapping))
        return {name.replace("-", "_"): inner for entry in named for name, inner in entry.items()}

    @property
    def asks_for_ids_alone(self) -> bool:
        """Whether nothing but the ids of records is wanted."""
        return self.fields == ("id",) or self.return_object == "limited"


def parse_parameters(raw: str) -> list[tuple[str, str]]:
    """The parameters of a query string, decoded; a raw `+` is a space, as Coupa warns."""
    return parse_qsl(raw, keep_blank_values=True)


def parse_query(parameters: Sequence[tuple[str, str]], table: Table, dialect: Dialect) -> Query:
    """Read the parameters of a list call as `dialect` would; raises BadQuery."""
    single: dict[str, str] = {}
    conditions: list[Condition] = []
    for name, value in parameters:
        if name.replace("-", "_") in _RESERVED:
            single[name.replace("-", "_")] = value
            continue
        if name == "show_deleted_lines" and table.resource.path in HAVE_DELETED_LINES:
            if dialect.deleted_lines == "refused":
                raise BadQuery(f"{name} is not supported")
            single[name] = value
            continue
        condition = _condition(name, value)
        is_below = len(condition.path) > 1 and condition.path[0] in table.below
        is_below = is_below and dialect.lists_inside == "honoured"
        if not is_below and not table.knows(condition.path):
            if dialect.unknown_parameter == "refused":
                raise BadQuery(f"{name} is not a valid attribute")
            continue
        if condition.path[0] in dialect.ignored_filters:
            continue
        if _obeyed(_play_of(condition, dialect), name):
            conditions.append(condition)
    order_by, descending = _order(single, table, dialect)
    fields = _fields(single.get("fields"), dialect)
    return Query(
        conditions=tuple(conditions),
        limit=_limit(single.get("limit"), _page_cap(table, dialect), dialect),
        offset=_offset(single.get("offset"), dialect),
        order_by=order_by,
        descending=descending,
        fields=fields,
        return_object=_return_object(single.get("return_object"), dialect),
        nested_fields=dialect.nested_fields,
        fields_depth=dialect.fields_depth,
        needed=_needed(fields, table) if dialect.fields_join == "inner" else (),
        kept=_kept(single.get("filter"), table, dialect),
        shows_deleted_lines=single.get("show_deleted_lines") == "true"
        and dialect.deleted_lines != "ignored",
    )


def select(table: Table, query: Query, dialect: Dialect) -> list[Row]:
    """The rows of the page that `query` asks for. Call it with the table's lock held.

    Raises BadQuery for a value that cannot be compared.
    """
    is_of_lines = table.resource.path == "purchase_order_lines" and table.knows(("deleted",))
    hides_deleted = is_of_lines and not query.shows_deleted_lines

    def matching() -> Iterable[Row]:
        above, up_to, rest = _id_bounds(query.conditions)
        rows = table.between(above, up_to)
        if query.owner is not None:
            rows = filter(lambda row: table.owners[row.id] == query.owner, rows)
        for condition in rest:
            rows = filter(_row_test(condition, table, dialect), rows)
        if hides_deleted:
            rows = filter(lambda row: DELETED not in table.render(row), rows)
        if query.needed:
            rows = filter(lambda row: _has_all(json.loads(table.render(row)), query.needed), rows)
        return rows

    def ordered() -> list[Row]:
        if query.order_by == "id":
            return list(matching())[:: -1 if query.descending else 1]
        return sorted(matching(), key=_sort_key(query.order_by, table), reverse=query.descending)

    if query.order_by == "id" and not query.descending and not query.offset:
        page = list(islice(matching(), query.limit))
    else:
        order = (query.order_by, query.descending)
        key = (query.owner, query.conditions, query.needed, order, *_time_rules(dialect))
        key = (*key, hides_deleted)
        page = table.ordered(key, ordered)[query.offset : query.offset + query.limit]
    return [row for row in page if not is_hidden(row, dialect)]


def is_hidden(row: Row, dialect: Dialect) -> bool:
    """Whether the user may not see a row."""
    return bool(dialect.hidden_every) and row.id % dialect.hidden_every == 0


def shown(record: Record, query: Query, dialect: Dialect) -> Record:
    """The record with those of its rows that an instance shows under the query's filters."""
    if dialect.association_rows == "all":
        return record
    for condition in filter(_is_time_below, query.conditions):
        record = _matching(record, condition.path, condition, dialect)
    return record


def _matching(value: Any, path: Sequence[str], condition: Condition, dialect: Dialect) -> Any:
    if not isinstance(value, Mapping):
        return value
    below = replace(condition, path=tuple(path[1:]))
    return {
        key: [
            _matching(item, path[1:], condition, dialect)
            for item in child
            if _matches(item, below, dialect)
        ]
        if len(path) > 1 and key.replace("-", "_") == path[0] and isinstance(child, list)
        else child
        for key, child in value.items()
    }


def project(record: Record, query: Query) -> Record:
    """The record as `fields`, `return_object` and the API response filter leave it.

    An explicit `fields` or `return_object` takes the place of that filter.
    """
    if query.fields is not None:
        picked = _pick(record, query.fields, query.nested_fields)
        return picked if query.fields_depth is None else _cut(picked, query.fields_depth)
    if query.return_object == "limited":
        return {"id": record["id"]} if "id" in record else {}
    if query.return_object == "shallow":
        return {key: _shallow(value) for key, value in record.items()}
    if query.kept is not None:
        return {key: value for key, value in record.items() if key in query.kept}
    return record


# Reading parameters.


def _condition(name: str, value: str) -> Condition:
    match = _PARAMETER.fullmatch(name)
    if match is None:
        raise BadQuery(f"{name} is not a valid parameter")
    parts = [match[1], *re.findall(r"\[([^\]]*)\]", match[2])]
    operator = parts.pop().replace("-", "_") if len(parts) > 1 and _is_operator(parts) else "eq"
    if len(parts) > 3 or "" in parts:
        raise BadQuery(f"{name} goes through more than two associations")
    return Condition(tuple(part.replace("-", "_") for part in parts), operator, value)


def _is_operator(parts: Sequence[str]) -> bool:
    return parts[-1].replace("-", "_") in OPERATORS


def _play_of(condition: Condition, dialect: Dialect) -> Play:
    if condition.path == ("id",) and condition.operator in _RANGES:
        return dialect.id_filter
    if condition.path == ("id",) and condition.operator == "in" and dialect.id_list != "first":
        return dialect.id_list
    if condition.path == ("updated_at",) and dialect.updated_at_filter != "honoured":
        return dialect.updated_at_filter
    if condition.path in _TIMES and condition.operator == "blank":
        return dialect.blank_time
    if _is_time_below(condition):
        return dialect.association_times
    return "honoured"


def _is_time_below(condition: Condition) -> bool:
    """Whether it compares a time of associated records."""
    is_time = len(condition.path) > 1 and condition.path[-1:] in _TIMES
    return is_time and condition.operator in _COMPARE


def _obeyed(play: Play, name: str) -> bool:
    if play == "refused":
        raise BadQuery(f"{name} is not supported")
    return play == "honoured"


def _page_cap(table: Table, dialect: Dialect) -> int:
    return dialect.page_caps.get(table.resource.path, dialect.page_cap)


def _limit(text: str | None, cap: int, dialect: Dialect) -> int:
    if text is None:
        return cap
    limit = _whole(text, "limit")
    if limit < 1:
        raise BadQuery("limit must be greater than 0")
    if limit > cap and dialect.over_cap == "refused":
        raise BadQuery(f"limit must be at most {cap}")
    return min(limit, cap)


def _offset(text: str | None, dialect: Dialect) -> int:
    offset = 0 if text is None else _whole(text, "offset")
    if offset < 0:
        raise BadQuery("offset must not be negative")
    if dialect.max_offset is not None and offset > dialect.max_offset:
        raise BadQuery(f"offset must be at most {dialect.max_offset}")
    return offset


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise BadQuery(f"{name} must be a whole number")
    return int(text)


def _order(single: Mapping[str, str], table: Table, dialect: Dialect) -> tuple[str, bool]:
    direction = single.get("dir", "asc")
    if direction not in ("asc", "desc"):
        raise BadQuery("dir must be asc or desc")
    name = single.get("order_by", "").replace("-", "_")
    if name:
        play = dialect.order_by_id if name == "id" else dialect.order_by
        if not table.knows((name,)):
            play = dialect.unknown_parameter
        if _obeyed(play, "order_by"):
            return name, direction == "desc"
    return dialect.default_order, direction == "desc"


def _fields(text: str | None, dialect: Dialect) -> tuple[Any, ...] | None:
    if text is None or not _obeyed(dialect.fields, "fields"):
        return None
    try:
        fields = json.loads(text)
    except json.JSONDecodeError:
        raise BadQuery("fields is not valid JSON") from None
    if not isinstance(fields, list):
        raise BadQuery("fields must be a list")
    return tuple(fields)


def _kept(name: str | None, table: Table, dialect: Dialect) -> frozenset[str] | None:
    path = table.resource.path
    if name is None:
        return dialect.response_filter.get(path)
    try:
        return dialect.response_filters.get(path, {})[name]
    except KeyError:
        raise BadQuery(f"{name} is not an API response filter of this resource") from None


def _needed(fields: Sequence[Any] | None, table: Table) -> tuple[str, ...]:
    names = {
        name for entry in fields or () for name in ([entry] if isinstance(entry, str) else entry)
    }
    dashless = {name.replace("-", "_") for name in names} - {"custom_fields"}
    return tuple(sorted(name for name in dashless if table.is_association(name)))


def _has_all(record: Record, names: Sequence[str]) -> bool:
    return all(
        any(value not in (None, [], {}) for value in values_at(record, (name,))) for name in names
    )


def _return_object(text: str | None, dialect: Dialect) -> str:
    if text is None or not _obeyed(dialect.return_object, "return_object"):
        return "full"
    if text not in ("limited", "shallow", "none"):
        raise BadQuery("return_object must be limited, shallow or none")
    return text


# Comparing.


def _id_bounds(
    conditions: Sequence[Condition],
) -> tuple[int | None, int | None, list[Condition]]:
    """The id range (above, up to) of the conditions, and the other conditions."""
    above: int | None = None
    up_to: int | None = None
    rest = []
    for condition in conditions:
        if condition.path == ("id",) and condition.operator in _RANGES:
            number = _whole(condition.wanted, "id")
            if condition.operator in ("gt", "gt_or_eq"):
                bound = number - (condition.operator == "gt_or_eq")
                above = bound if above is None else max(above, bound)
            else:
                bound = number - (condition.operator == "lt")
                up_to = bound if up_to is None else min(up_to, bound)
        else:
            rest.append(condition)
    return above, up_to, rest


def _row_test(condition: Condition, table: Table, dialect: Dialect) -> Callable[[Row], bool]:
    below = table.below.get(condition.path[0])
    if below is not None and len(condition.path) > 1:
        test = _row_test(replace(condition, path=condition.path[1:]), below, dialect)
        return lambda row: any(map(test, below.rows_below(row.id)))
    compare = _COMPARE.get(condition.operator)
    if compare is not None and condition.path in _TIMES:
        wanted = _instant(condition.wanted, dialect)
        if condition.path == ("updated_at",):
            return lambda row: row.updated is not None and compare(row.updated * 1_000_000, wanted)
        return lambda row: row.created is not None and compare(row.created * 1_000_000, wanted)
    if compare is not None and _is_time_below(condition):
        wanted, path = _instant(condition.wanted, dialect), condition.path
        return lambda row: any(
            compare(second * 1_000_000, wanted)
            for second in row.blueprint.seconds_at(path, row.created, row.updated)
        )
    if condition.path == ("id",) and condition.operator in ("eq", "in"):
        texts = condition.wanted.split(",")
        ids = {_whole(text, "id") for text in texts[: 1 if dialect.id_list == "first" else None]}
        return lambda row: row.id in ids
    return lambda row: _matches(json.loads(table.render(row)), condition, dialect)


def _matches(record: Record, condition: Condition, dialect: Dialect) -> bool:
    values = values_at(record, condition.path)
    if condition.operator == "blank":
        if condition.wanted not in ("true", "false"):
            raise BadQuery("blank must be true or false")
        blank = all(value is None or value in ("", [], {}) for value in values)
        return blank == (condition.wanted == "true")
    return any(_value_matches(value, condition, dialect) for value in values)


def _value_matches(value: Any, condition: Condition, dialect: Dialect) -> bool:
    """Null matches nothing but `blank`, as in SQL."""
    if value is None or isinstance(value, (list, Mapping)):
        return False
    operator, wanted = condition.operator, condition.wanted
    text = _TEXT.get(operator)
    if text is not None:
        return text(_as_text(value), wanted)
    if operator in ("in", "not_in"):
        found = any(_compare("eq", value, one, dialect) for one in wanted.split(","))
        return found == (operator == "in")
    return _compare(operator, value, wanted, dialect)


def _compare(operator: str, value: Any, wanted: str, dialect: Dialect) -> bool:
    return _COMPARE[operator](*_alike(value, wanted, dialect))


def _alike(value: Any, wanted: str, dialect: Dialect) -> tuple[Comparable, Comparable]:
    """Both sides as booleans, numbers, instants or text, after the kind of the record's value."""
    if isinstance(value, bool):
        if wanted not in ("true", "false", "1", "0"):
            raise BadQuery(f"{wanted} is not a boolean")
        return value, wanted in ("true", "1")
    if isinstance(value, (int, float)) or _DECIMAL.fullmatch(value):
        try:
            return Decimal(str(value)), Decimal(wanted)
        except InvalidOperation:
            raise BadQuery(f"{wanted} is not a number") from None
    instant = parse_instant(value)
    return (value, wanted) if instant is None else (instant, _instant(wanted, dialect))


def _time_rules(dialect: Dialect) -> tuple[object, ...]:
    """What decides how times of filters are read."""
    return dialect.bad_datetime, dialect.filter_zone


def _instant(text: str, dialect: Dialect) -> int:
    instant = parse_instant(text, zone=dialect.filter_zone)
    if instant is None and dialect.bad_datetime == "best_effort":
        instant = guess_instant(text)
    if instant is None:
        raise BadQuery(f"{text} is not a valid date and time")
    return instant


def _as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)


def _sort_key(name: str, table: Table) -> Callable[[Row], Any]:
    if name == "updated_at":
        return lambda row: (row.updated or 0, row.id)
    if name == "created_at":
        return lambda row: (row.created or 0, row.id)
    if name == "shuffled":
        return lambda row: (zlib.crc32(str(row.id).encode()), row.id)

    def by_value(row: Row) -> Any:
        values = values_at(json.loads(table.render(row)), (name,))
        value = values[0] if values else None
        number = isinstance(value, (int, float))
        return (value is not None, not number, value if number else str(value), row.id)

    return by_value


# Projecting.


def _pick(record: Record, fields: Sequence[Any], nested: str = "whole") -> Record:
    wanted: dict[str, Sequence[Any]] = {}
    for entry in fields:
        if isinstance(entry, str):
            name = entry.replace("-", "_")
            wanted[name] = ()
            if nested != "whole" and any(_is_object(value) for value in values_at(record, (name,))):
                if nested == "refused":
                    raise BadQuery(f"fields says nothing about {entry}")
                wanted[name] = ("id",)
        elif isinstance(entry, Mapping):
            for name, inner in entry.items():
                wanted[name.replace("-", "_")] = inner if isinstance(inner, list) else ()
        else:
            raise BadQuery("fields must hold names and objects")
    return {
        key: _pick_in(value, wanted[name])
        for key, value in record.items()
        if (name := key.replace("-", "_")) in wanted
    }


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
    )


def _pick_in(value: Any, fields: Sequence[Any]) -> Any:
    if not fields:
        return value
    if isinstance(value, list):
        return [_pick_in(element, fields) for element in value]
    return _pick(value, fields) if isinstance(value, dict) else value


def _cut(record: Record, depth: int) -> Record:
    """The record without what lies more than `depth` levels of objects below it."""
    cut = {}
    for key, value in record.items():
        if not _is_object(value):
            cut[key] = value
        elif depth and isinstance(value, list):
            cut[key] = [_cut(item, depth - 1) if isinstance(item, dict) else item for item in value]
        elif depth:
            cut[key] = _cut(value, depth - 1)
    return cut


_NATURAL_KEYS = ("id", "code", "login", "email", "number", "name", "external-src-ref")


def _shallow(value: Any) -> Any:
    """An association cut down to its id and natural keys (doc 0008)."""
    if isinstance(value, list):
        return [_shallow(element) for element in value]
    if isinstance(value, dict) and "id" in value:
        return {key: value[key] for key in _NATURAL_KEYS if key in value}
    return value
