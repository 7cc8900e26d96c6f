"""Pages of a Coupa list in ascending order of id, so that none of its records can be missed.

Coupa's pages have no next link and no total. A walk by offset alone skips records when others leave
the list while it is read; a walk by id (`id[gt]=<last id>`) cannot. Coupa documents the operators,
`order_by` and `dir`, but not `order_by=id` by example, so that every page is checked, and what an
instance refuses is done without:

- refuses or ignores `order_by`: the default order is ascending id too (Coupa, page 0006); same
  checks, and one more at the end of a list.
- refuses or ignores `id[gt]`: by offset, each page starting with the last record of the one before.
  If that record is no longer there, records have left the list and the walk goes back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors

PAGE_SIZE = 50
"""Coupa's default and maximum page (pages 0006 and 0014)."""

BAD_BODY_WAITS = (1.0, 5.0, 15.0)
"""Seconds between the attempts to get a list where Coupa answers 200 with something else."""

_MAX_STALLS = 5

logger = logging.getLogger("airbyte")

JsonRecord = dict[str, Any]
Send = Callable[[Mapping[str, str]], requests.Response]
"""Sends one request with the given query parameters; raises for all but 200 and 400."""


class QueryRefusedError(Exception):
    """Coupa answered 400 to a query."""


@dataclass
class Dialect:
    """What is learned about an instance while one stream is read. Only ever a shortcut: forgetting
    it costs requests, not records, so threads may write to it without a lock.

    Attributes:
        orders: whether it takes and honours `order_by` and `dir`.
        order_is_known: whether `orders` has been found out.
        filters_ids: whether it takes and honours `id[gt]`.
        longest_page: the most records seen on one page; a shorter page is a last page.
        short_pages_go_on: whether a short page was followed by more records.
    """

    orders: bool = True
    order_is_known: bool = False
    filters_ids: bool = True
    longest_page: int = 0
    short_pages_go_on: bool = False

    def is_last(self, page: list[JsonRecord]) -> bool:
        """Whether a page proves the end of the list by its length."""
        length = len(page)
        if length == 0:
            return True
        proven = length < min(self.longest_page, PAGE_SIZE) and not self.short_pages_go_on
        self.longest_page = max(self.longest_page, length)
        return proven


class PageReader:
    """Reads lists of one resource; safe to share between threads.

    Args:
        resource: its name under /api/, for example `invoices`.
        send: sends one request.
    """

    def __init__(self, *, resource: str, send: Send) -> None:
        self._resource = resource
        self._send = send
        self._dialect = Dialect()

    def first_record(self, filters: Mapping[str, str]) -> JsonRecord | None:
        """The matching record with the lowest id (an instance that ignores `order_by` may give
        another one), or None if nothing matches.

        Raises:
            AirbyteTracedException: if Coupa refuses the query or gives no list.
        """
        with self._refusals_explained():
            page = self._ask(filters, {"limit": "1"})
        return page[0] if page else None

    def pages(self, filters: Mapping[str, str]) -> Iterator[list[JsonRecord]]:
        """Yields the records that match `filters` (query parameters), page by page, ids ascending.

        Raises:
            AirbyteTracedException: if the answers are such that records could be missed.
        """
        read = 0
        with self._refusals_explained():
            for page in self._by_id(filters):
                read += len(page)
                yield page
            if read > PAGE_SIZE and not self._dialect.orders:
                self._check_nothing_is_left(filters, read)

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        try:
            yield
        except QueryRefusedError as refused:
            raise errors.system_error(
                f"Coupa refuses the query for /api/{self._resource} (HTTP 400): {refused}."
            ) from None

    def _by_id(self, filters: Mapping[str, str]) -> Iterator[list[JsonRecord]]:
        page = self._checked(self._ask(filters))
        read = 0
        while page:
            yield page
            read += len(page)
            if self._dialect.is_last(page):
                return
            last_id: int = page[-1]["id"]
            self._find_out_order(filters, last_id)
            following = self._after(filters, last_id)
            if following is None:
                yield from self._by_offset(filters, last_id, read)
                return
            self._dialect.short_pages_go_on |= len(page) < PAGE_SIZE and bool(following)
            page = following

    def _by_offset(
        self, filters: Mapping[str, str], last_id: int, read: int
    ) -> Iterator[list[JsonRecord]]:
        """The records after `last_id`; about `read` others come before them."""
        logger.info(
            f"{self._resource}: this instance does not filter by id, reading on by offset with "
            "overlapping pages."
        )
        offset = read - 1
        stalls = 0
        while True:
            page = self._checked(self._ask(filters, {"offset": str(offset)}))
            if offset > 0 and (not page or page[0]["id"] > last_id):
                offset = max(offset - PAGE_SIZE, 0)
                continue
            fresh = [record for record in page if record["id"] > last_id]
            if fresh:
                yield fresh
                last_id, stalls = fresh[-1]["id"], 0
            elif len(page) <= 1:
                return
            elif (stalls := stalls + 1) > _MAX_STALLS:
                raise errors.system_error(
                    f"Coupa honours neither id filters nor offsets on /api/{self._resource}, so "
                    "that the list cannot be read beyond its first page."
                )
            if self._dialect.is_last(page):
                return
            offset += len(page) - 1

    def _after(self, filters: Mapping[str, str], last_id: int) -> list[JsonRecord] | None:
        """The page after `last_id`, or None if the instance does not filter by id."""
        if not self._dialect.filters_ids:
            return None
        try:
            page = self._checked(self._ask(filters, {"id[gt]": str(last_id)}))
        except QueryRefusedError:
            self._dialect.filters_ids = False
        else:
            self._dialect.filters_ids = not page or page[0]["id"] > last_id
        return page if self._dialect.filters_ids else None

    def _find_out_order(self, filters: Mapping[str, str], last_id: int) -> None:
        """Asks once for the list's other end, to see whether `order_by` has an effect.

        A list that is in order by chance on its first page would lose records on the next.
        """
        if self._dialect.order_is_known:
            return
        if self._dialect.orders:
            query = {**filters, "order_by": "id", "dir": "desc", "limit": "1"}
            try:
                last = self._list(query)
                self._dialect.orders = not last or last[0]["id"] >= last_id
            except QueryRefusedError:
                self._dialect.orders = False
        self._dialect.order_is_known = True

    def _check_nothing_is_left(self, filters: Mapping[str, str], read: int) -> None:
        """Where the order rests on Coupa's default alone, a longer list than the records read
        means that some were passed over."""
        if self._ask(filters, {"offset": str(read), "limit": "1"}):
            raise self._out_of_order()

    def _ask(
        self, filters: Mapping[str, str], paging: Mapping[str, str] = MappingProxyType({})
    ) -> list[JsonRecord]:
        query = {"limit": str(PAGE_SIZE), **filters, **paging}
        if self._dialect.orders:
            try:
                return self._list({"order_by": "id", "dir": "asc", **query})
            except QueryRefusedError:
                if self._dialect.order_is_known:
                    raise
        page = self._list(query)
        self._dialect.orders = False
        return page

    def _list(self, query: Mapping[str, str]) -> list[JsonRecord]:
        """One answer; asks again if it is not a JSON list of objects, then gives up."""
        for wait in (*BAD_BODY_WAITS, None):
            response = self._send(query)
            if response.status_code == requests.codes.bad_request:
                raise QueryRefusedError(_stated_errors(response))
            page = _parse(response)
            if isinstance(page, list):
                return page
            if wait is not None:
                logger.info(f"{self._resource}: Coupa answered {page}, asking again in {wait} s.")
                time.sleep(wait)
        raise errors.transient_error(
            f"Coupa answers {page} on /api/{self._resource} where a JSON list belongs, also after "
            f"{len(BAD_BODY_WAITS)} more attempts: see in a browser whether the instance is up, "
            "then sync again."
        )

    def _checked(self, page: list[JsonRecord]) -> list[JsonRecord]:
        """The page, if the ids of its records are whole numbers that ascend."""
        previous: int | None = None
        for record in page:
            id_ = record.get("id")
            if id_ is None:
                raise trimmed(self._resource, "id")
            if not isinstance(id_, int) or isinstance(id_, bool):
                raise errors.system_error(
                    f"Coupa sent a record of /api/{self._resource} whose id is no whole number."
                )
            if previous is not None and id_ <= previous:
                raise self._out_of_order()
            previous = id_
        return page

    def _out_of_order(self) -> AirbyteTracedException:
        return errors.system_error(
            f"Coupa does not list /api/{self._resource} in order of id, so that records could be "
            "missed: the stream was stopped."
        )


def trimmed(resource: str, field: str) -> AirbyteTracedException:
    """Records without `field`: an administrator can make an API response filter the default of a
    resource, which then cuts fields from every answer (Coupa's article on response filters)."""
    return errors.config_error(
        f"Records of /api/{resource} come without {field}: a default API response filter in Coupa "
        f"cuts it off. Add {field} to that filter, or remove the filter for the API user."
    )


def _parse(response: requests.Response) -> list[JsonRecord] | str:
    """The records of a page, or what there was instead, in words that show nothing of it."""
    body = response.content
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


def _stated_errors(response: requests.Response) -> str:
    """Coupa's own words from `{"errors": {"<object>": ["text", ...]}}` (pages 0011 and 0015), or
    from what other shapes are thinkable."""
    try:
        body = orjson.loads(response.content)
        stated = body.get("errors", body.get("error", ""))
        groups = stated.values() if isinstance(stated, dict) else [stated]
        texts = [
            text for group in groups for text in (group if isinstance(group, list) else [group])
        ]
    except (orjson.JSONDecodeError, AttributeError):
        texts = []
    return "; ".join(str(text) for text in texts if text)[:300] or "no reason given"
