"""The Core API's read calls: from a request to a Reply, without HTTP details."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timezone, tzinfo

from .blueprint import Record, encode
from .dialect import Dialect
from .faults import OVER_PAGE_EXTRA, PAGES
from .oauth import Token
from .query import (
    DELETED,
    HAVE_DELETED_LINES,
    BadQuery,
    Query,
    is_hidden,
    parse_parameters,
    parse_query,
    project,
    select,
    shown,
)
from .reply import XML, Reply, bad_request, no_results, not_found, refuse
from .table import Row, Table
from .xml import list_to_xml, record_to_xml
from .zones import zone_of


@dataclass(frozen=True)
class Call:
    """One authorised-or-not call of a resource."""

    table: Table
    id: str | None
    """The id of a show call; None for a list call."""
    query: str
    """The raw query string."""
    accept: str
    token: Token | None
    dialect: Dialect
    owner: int | None
    """The id of the record below which the list is; None for a list of its own."""
    number: int
    """Counts the calls, for dialects whose responses differ from call to call."""
    page_fault: str | None = None
    """A kind of faults.PAGES."""


def response(call: Call) -> Reply:
    """The response to a GET of a resource."""
    refusal = _refusal(call)
    if refusal is not None:
        return refusal
    as_xml = "application/json" not in call.accept.lower()
    try:
        with call.table.lock:
            if call.owner is not None and not call.table.has_parent(call.owner):
                return not_found(as_xml=as_xml)
            query = _query(call)
            if call.id is not None:
                return _show(call, query, as_xml)
            return _list(call, query, as_xml)
    except BadQuery as error:
        return bad_request(call.table.resource.object_name, [error.text], as_xml=as_xml)


def held(call: Call) -> Collection[int]:
    """The ids of the records of which a call asks for more than the id; none if it is refused."""
    if _refusal(call) is not None:
        return ()
    try:
        with call.table.lock:
            query = _query(call)
            if query.asks_for_ids_alone:
                return ()
            if call.id is not None:
                return (int(call.id),)
            return [row.id for row in select(call.table, query, call.dialect)]
    except BadQuery:
        return ()


def _query(call: Call) -> Query:
    query = parse_query(parse_parameters(call.query), call.table, call.dialect)
    return replace(query, owner=call.owner)


def _refusal(call: Call) -> Reply | None:
    """401 or 403 for a call without a usable token or scope."""
    now = time.monotonic()
    token = call.token
    if token is None or not token.ready <= now < token.expires:
        reply = refuse(call.dialect.missing_token, "The access token is invalid")
        reply.headers["WWW-Authenticate"] = 'Bearer realm="Coupa", error="invalid_token"'
        return reply
    if not token.scopes & call.table.resource.scopes:
        return refuse(call.dialect.missing_scope, "You are not authorized to perform this action")
    return None


def _list(call: Call, query: Query, as_xml: bool) -> Reply:
    if query.return_object == "none":
        return Reply(200, b"", None, rows=0)
    if call.page_fault == "over_page":
        query = replace(query, limit=query.limit + OVER_PAGE_EXTRA)
    rows = select(call.table, query, call.dialect)
    plain = query.fields is None and query.return_object == "full" and query.kept is None
    plain = plain and call.dialect.association_rows == "all"
    if not rows and not as_xml and call.dialect.no_match == "not_found":
        return no_results()
    if plain and not as_xml and call.page_fault is None:
        printed = [_render(call, row) for row in rows]
        if not any(_has_deleted_lines(call, text) for text in printed):
            return Reply(200, b"[" + b",".join(printed) + b"]", rows=len(rows))
    whole = (shown(_record(call, row, query), query, call.dialect) for row in rows)
    records = [project(record, query) for record in whole]
    if call.page_fault is not None:
        records = PAGES[call.page_fault](records)
    if not as_xml:
        return Reply(200, encode(records), rows=len(records))
    if not records:
        return not_found(as_xml=True)
    return Reply(200, list_to_xml(call.table.resource.xml_root, records), XML, rows=len(records))


def _show(call: Call, query: Query, as_xml: bool) -> Reply:
    number = call.id or ""
    row = call.table.row(int(number)) if number.isdigit() else None
    if row is None or is_hidden(row, call.dialect):
        return not_found(as_xml=as_xml)
    record: Record = project(_record(call, row, query), query)
    if as_xml:
        return Reply(200, record_to_xml(call.table.resource.xml_root, record), XML, rows=1)
    return Reply(200, encode(record), rows=1)


def _has_deleted_lines(call: Call, printed: bytes) -> bool:
    return call.table.resource.path in HAVE_DELETED_LINES and DELETED in printed


def _record(call: Call, row: Row, query: Query) -> Record:
    """The row as the instance prints it in full; deleted order lines are left out or marked."""
    printed = _render(call, row)
    record: Record = json.loads(printed)
    if _has_deleted_lines(call, printed):
        if "order-lines" in record:
            lines = [_marked(call, ln) for ln in record["order-lines"] if _is_shown(ln, query)]
            record = {**record, "order-lines": lines}
        else:
            record = _marked(call, record)
    return record | _lists_inside(call, row, query)


def _lists_inside(call: Call, row: Row, query: Query) -> Record:
    """The lists below a row that `fields` asks for inside of it."""
    dialect, token = call.dialect, call.token
    found: Record = {}
    for name, inner in query.associations.items():
        below = call.table.below.get(name)
        if below is None or dialect.lists_inside == "ignored":
            continue
        if dialect.lists_inside == "refused":
            raise BadQuery(f"{name} is not a valid field")
        if token is None or not token.scopes & below.resource.scopes:
            continue
        with below.lock:
            records: list[Record] = [
                json.loads(below.render(own, _zone(call)))
                for own in below.rows_below(row.id)[: dialect.lists_inside_cap]
                if not is_hidden(own, dialect)
            ]
        only_ids = not inner and not dialect.lists_inside_whole
        found[name.replace("_", "-")] = [
            {
                key: {"id": value["id"]} if key in dialect.lists_inside_cut and value else value
                for key, value in record.items()
                if key not in dialect.lists_inside_lack and (key == "id" or not only_ids)
            }
            for record in records
        ]
    return found


def _is_shown(line: Record, query: Query) -> bool:
    return query.shows_deleted_lines or not line.get("deleted")


def _marked(call: Call, line: Record) -> Record:
    """An order line, with what says that it was deleted."""
    if call.dialect.deleted_lines != "status":
        return line
    status = {"status": "deleted"} if line.get("deleted") else {}
    return {key: line[key] for key in line if key != "deleted"} | status


def _render(call: Call, row: Row) -> bytes:
    body, printed = call.table.render(row, _zone(call)), call.table.resource.printed
    return body if printed is None else encode(printed(json.loads(body)))


def _zone(call: Call) -> tzinfo | None:
    offsets: Mapping[str, tzinfo | None] = {
        "per_response": zone_of(call.number),
        "utc": timezone.utc,
        "per_record": None,
    }
    return offsets[call.dialect.offsets]
