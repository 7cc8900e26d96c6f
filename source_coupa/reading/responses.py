"""What a response of a list holds."""

from __future__ import annotations

from datetime import datetime

import orjson

from source_coupa import errors
from source_coupa.reading.bookmark import END
from source_coupa.records.fields import UPDATED_AT, JsonRecord, instant, value_of
from source_coupa.transport.connection import RequestFailedError, Response


class QueryRefusedError(Exception):
    """Coupa refused a query with 400; the text is Coupa's own."""


def records_of(resource: str, response: Response) -> list[JsonRecord]:
    """The records of a page.

    Raises:
        QueryRefusedError: if Coupa refused the query.
        RequestFailedError: if the response is no JSON list of objects. That is never "no records".
    """
    if response.status == 400:
        raise QueryRefusedError(errors.stated(response.body))
    if response.status != 200:
        # a list without matches, where Coupa says so by 404
        return []
    page = _parsed(response.body)
    if isinstance(page, str):
        raise RequestFailedError(errors.unreadable(resource, page))
    return page


def as_ill(resource: str, failure: Exception) -> RequestFailedError | None:
    """A failure that a record can be the cause of, whatever its status is; None for others."""
    if isinstance(failure, QueryRefusedError):
        return RequestFailedError(errors.refused_query(resource, str(failure)), is_final=True)
    return failure if isinstance(failure, RequestFailedError) and failure.is_page else None


def checked(resource: str, page: list[JsonRecord], after: int | None) -> list[JsonRecord]:
    """The page, if the ids of its records are whole numbers that ascend from above `after`.

    Those below 1 and above `END` are refused: no range of ids has them.

    Raises:
        AirbyteTracedException: if records could be passed over.
    """
    previous = after
    for record in page:
        id_ = record.get("id")
        if id_ is None:
            # where revisions have it, see `flat_revision`
            raise errors.trimmed(
                resource, "revision-record.id" if "revision_record" in record else "id"
            )
        if not isinstance(id_, int) or isinstance(id_, bool):
            raise errors.odd_id(resource)
        if previous is not None and id_ <= previous:
            raise errors.out_of_order(resource)
        previous = id_
    if page and not 0 < page[0]["id"] <= page[-1]["id"] <= END:
        raise errors.system_error(
            f"Coupa sent a record of /api/{resource} whose id is not from 1 to {END}."
        )
    return page


def moment_of(resource: str, record: JsonRecord) -> datetime | None:
    """The update time of a record; None if it has none.

    Raises:
        AirbyteTracedException: if it is no date and time with time zone.
    """
    value = value_of(record, UPDATED_AT)
    if value is None:
        return None
    try:
        return instant(value)
    except ValueError:
        raise errors.system_error(
            f"Coupa sent a record of /api/{resource} whose {UPDATED_AT} is no date and time with "
            "time zone.",
            f"id {record.get('id')}",
        ) from None


def _parsed(body: bytes) -> list[JsonRecord] | str:
    """The records of a page, or what there was instead, in words that show nothing of it."""
    try:
        page = orjson.loads(body)
    except orjson.JSONDecodeError:
        start = body[:200].lstrip().lower()
        if not start:
            return "an empty page"
        if start.startswith((b"<!doctype html", b"<html")):
            return "a web page"
        return "XML" if start.startswith(b"<") else "invalid JSON"
    if not isinstance(page, list):
        return f"a JSON {_JSON_KINDS.get(type(page), 'value')}"
    if not all(isinstance(record, dict) for record in page):
        return "a list with other things than objects"
    return page


_JSON_KINDS = {dict: "object", str: "string", type(None): "null"}
