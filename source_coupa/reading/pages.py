"""Asks Coupa for pages of a list and looks at what comes before anyone relies on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import orjson
import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.records.fields import JsonRecord

if TYPE_CHECKING:
    from source_coupa.reading.field_selection import Columns

PAGE_SIZE = 50
"""Coupa's default and maximum page (pages 0006 and 0014)."""

BAD_BODY_WAITS = (1.0, 5.0, 15.0)
"""Seconds between the attempts to get a list where Coupa answers 200 with something else."""

logger = logging.getLogger("airbyte")

Send = Callable[[Mapping[str, str]], requests.Response]
"""Sends one request with the given query parameters; raises for all but 200 and 400."""


class QueryRefusedError(Exception):
    """Coupa answered 400 to a query."""


@dataclass
class Dialect:
    """What is learned about an instance while one stream is read. Only ever a shortcut: forgetting
    it costs requests, not records, so threads may write to it without a lock.

    Attributes:
        orders: whether it takes and honours `order_by` and `dir`; None until it is known.
        filters_ids: whether it takes and honours `id[gt]`; None until it is known.
        selects_fields: whether it takes `fields`.
        tells_ends: whether it tells the highest id of a list.
        tells_ranks: whether it tells the id at some place of a list.
        times_go_back: whether update times were seen to descend on a page whose ids ascend, so that
            the order is not that of update times.
        longest_page: the most records seen on one page; only a shorter one can be a last page.
        short_pages_end: whether a short page was seen to be followed by nothing.
        short_pages_go_on: whether a short page was followed by more records.
    """

    orders: bool | None = None
    filters_ids: bool | None = None
    selects_fields: bool = True
    tells_ends: bool = True
    tells_ranks: bool = True
    times_go_back: bool = False
    longest_page: int = 0
    short_pages_end: bool = False
    short_pages_go_on: bool = False

    def is_last(self, page: list[JsonRecord]) -> bool:
        """Whether a page proves the end of the list by its length."""
        length = len(page)
        if length == 0:
            return True
        is_short = self.is_short(page)
        self.longest_page = max(self.longest_page, length)
        return is_short and self.short_pages_end and not self.short_pages_go_on

    def is_short(self, page: list[JsonRecord]) -> bool:
        """Whether a page has fewer records than another had."""
        return len(page) < min(self.longest_page, PAGE_SIZE)

    def learn_from(self, page: list[JsonRecord], short_before: bool) -> None:
        """Takes note of what came after a page that may have been short."""
        if short_before:
            self.short_pages_go_on = self.short_pages_go_on or bool(page)
            self.short_pages_end = self.short_pages_end or not page


class PageReader:
    """Asks for pages of one resource, in order of id; safe to share between threads.

    Args:
        resource: its name under /api/, for example `invoices`.
        send: sends one request.
        dialect: what is known about the instance; lists of one kind can share it.
        shape: what makes records with an `id` of those that Coupa prints; they are asked for whole.

    Attributes:
        columns: what part of the records is asked for where a list goes on; None for all of them.

    All methods raise an AirbyteTracedException if Coupa gives no list, or one in which records
    could be missed, and QueryRefusedError if it refuses the query.
    """

    def __init__(
        self,
        *,
        resource: str,
        send: Send,
        dialect: Dialect | None = None,
        shape: Callable[[JsonRecord], JsonRecord] | None = None,
    ) -> None:
        self.resource = resource
        self.dialect = dialect or Dialect(selects_fields=shape is None)
        self._shape = shape
        self.columns: Columns | None = None
        self.record_bytes = 0
        self._send = send
        self._order = threading.Lock()

    def first(self, filters: Mapping[str, str], limit: int = PAGE_SIZE) -> list[JsonRecord]:
        """The first page of the records that match `filters` (query parameters); a smaller one
        comes with all columns."""
        if limit < PAGE_SIZE:
            return self._ask_in_order({"limit": str(limit), **filters})
        page = self._ask(filters, {})
        if self.columns is not None and self._goes_on(page):
            self.columns.prove(page, partial(self._first_in_part, filters))
        return page

    def after(
        self, filters: Mapping[str, str], after: int, until: int | None = None
    ) -> list[JsonRecord]:
        """The page of ids above `after`, up to and including `until`, where ids can be filtered."""
        page = self._ask(filters, _between(after, until))
        if page and page[0]["id"] <= after:
            raise self.out_of_order()
        return page

    def after_if_possible(
        self, filters: Mapping[str, str], last_id: int
    ) -> list[JsonRecord] | None:
        """The page after `last_id`, or None if the instance does not filter by id."""
        if self.dialect.filters_ids is False:
            return None
        try:
            page = self._ask(filters, _between(last_id))
            if page:
                # an empty one proves nothing: all records may have left the list meanwhile
                self.dialect.filters_ids = page[0]["id"] > last_id
        except QueryRefusedError:
            self.dialect.filters_ids = False
        return None if self.dialect.filters_ids is False else page

    def at(self, filters: Mapping[str, str], offset: int) -> list[JsonRecord]:
        """The page that starts with the record at `offset`, counted from 0."""
        return self._ask(filters, {"offset": str(offset)})

    def id_at(
        self, filters: Mapping[str, str], after: int, until: int | None, place: int
    ) -> int | None:
        """The id of the record at `place`, counted from 1, between two ids; None if there are fewer
        records. Costs one small answer: only the id is asked for."""
        paging = {**_between(after, until), "offset": str(place - 1), "limit": "1"}
        fields = {"fields": '["id"]'} if self.dialect.selects_fields else {}
        try:
            page = self._ask(filters, {**paging, **fields})
        except QueryRefusedError:
            if not fields:
                raise
            page = self._ask(filters, paging)
            self.dialect.selects_fields = False
        return page[0]["id"] if page else None

    def last_id(self, filters: Mapping[str, str]) -> int | None:
        """The highest id among the records that match `filters`, or None if nothing matches, for an
        instance that honours `order_by` and `dir`; else the id of some record."""
        query = {**filters, "order_by": "id", "dir": "desc", "limit": "1"}
        fields = {"fields": '["id"]'} if self.dialect.selects_fields else {}
        try:
            page = self._list({**query, **fields})
        except QueryRefusedError:
            if not fields:
                raise
            page = self._list(query)
            self.dialect.selects_fields = False
        last = self._checked(page[:1])
        return last[0]["id"] if last else None

    def find_out_order(self, filters: Mapping[str, str], page: list[JsonRecord]) -> int | None:
        """Asks once for the other end of a list that begins with `page`, to see whether `order_by`
        has an effect, and returns the highest id if it asked. A list that is in order by chance on
        its first page would lose records on the next."""
        with self._order:
            if self.dialect.orders is not None:
                return None
            try:
                last = self.last_id(filters)
                if page and last is not None and last < page[-1]["id"]:
                    # the record at the end of the page may have left the list in between
                    page = self._ask(filters, {})
                    last = self.last_id(filters)
            except QueryRefusedError:
                self.dialect.orders = False
                return None
            self.dialect.orders = last is None or not page or last >= page[-1]["id"]
            return last if self.dialect.orders else None

    def _goes_on(self, page: list[JsonRecord]) -> bool:
        """Whether more records are likely to follow a first page."""
        is_longest = self.dialect.short_pages_go_on and len(page) >= self.dialect.longest_page
        return len(page) >= PAGE_SIZE or is_longest

    def _first_in_part(
        self, filters: Mapping[str, str], columns: Mapping[str, str]
    ) -> list[JsonRecord]:
        """The records of a first page with some of their columns, in any form that is a list."""
        try:
            order = {} if self.dialect.orders is False else {"order_by": "id", "dir": "asc"}
            return self._list({**order, "limit": str(PAGE_SIZE), **filters, **columns})
        except QueryRefusedError as refused:
            if self.columns is not None:
                self.columns.give_up(f"Coupa refuses to send some columns alone ({refused})")
            return []

    def _ask(self, filters: Mapping[str, str], paging: Mapping[str, str]) -> list[JsonRecord]:
        query = {"limit": str(PAGE_SIZE), **filters, **paging}
        if self.columns is None or not self.columns.query:
            return self._ask_in_order(query)
        try:
            return self._ask_in_order({**self.columns.query, **query})
        except QueryRefusedError as refused:
            page = self._ask_in_order(query)
            self.columns.give_up(f"Coupa refuses to send some columns alone ({refused})")
            return page

    def _ask_in_order(self, query: Mapping[str, str]) -> list[JsonRecord]:
        if self.dialect.orders is not False:
            try:
                return self._checked(self._list({"order_by": "id", "dir": "asc", **query}))
            except QueryRefusedError:
                if self.dialect.orders:
                    raise
        page = self._checked(self._list(query))
        self.dialect.orders = False
        return page

    def _list(self, query: Mapping[str, str]) -> list[JsonRecord]:
        """One answer; asks again if it is not a JSON list of objects, then gives up."""
        for wait in (*BAD_BODY_WAITS, None):
            response = self._send(query)
            if response.status_code == requests.codes.bad_request:
                raise QueryRefusedError(_stated_errors(response))
            page = _parse(response)
            if isinstance(page, list):
                self.record_bytes = len(response.content) // max(len(page), 1)
                return page if self._shape is None else list(map(self._shape, page))
            if wait is not None:
                logger.info(f"{self.resource}: Coupa answered {page}, asking again in {wait} s.")
                time.sleep(wait)
        raise errors.transient_error(
            f"Coupa answers {page} on /api/{self.resource} where a JSON list belongs, also after "
            f"{len(BAD_BODY_WAITS)} more attempts: see in a browser whether the instance is up, "
            "then sync again."
        )

    def _checked(self, page: list[JsonRecord]) -> list[JsonRecord]:
        """The page, if the ids of its records are whole numbers that ascend."""
        previous: int | None = None
        for record in page:
            id_ = record.get("id")
            if id_ is None:
                raise trimmed(self.resource, "id")
            if not isinstance(id_, int) or isinstance(id_, bool):
                raise errors.system_error(
                    f"Coupa sent a record of /api/{self.resource} whose id is no whole number."
                )
            if previous is not None and id_ <= previous:
                raise self.out_of_order()
            previous = id_
        return page

    def out_of_order(self) -> AirbyteTracedException:
        """The error for a list in which records could be passed over."""
        return errors.system_error(
            f"Coupa does not list /api/{self.resource} in order of id, so that records could be "
            "missed: the stream was stopped."
        )


def _between(after: int, until: int | None = None) -> dict[str, str]:
    bounds = {"id[gt]": str(after)}
    if until is not None:
        bounds["id[lt_or_eq]"] = str(until)
    return bounds


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
