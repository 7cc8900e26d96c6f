"""Faults: what can go wrong between a client and Coupa, played on chosen requests.

Each kind is one small function in one of three tables: RESPONSES replace the response, PAGES change
the rows of a page, WIRES change how the response is sent. The kind "latency" only waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from random import Random

from .blueprint import Record, encode
from .reply import HTML, XML, Reply, Wire, html_page, phrase_of
from .request_log import RequestRecord


@dataclass(frozen=True)
class Fault:
    """One fault.

    Kinds: latency (waits `seconds`, combines with others); status (`status`, `body`,
    `retry_after`); html_200, xml_200, invalid_json, empty_body, object, null, wrong_content_type;
    oversized (the response, with `size` blanks behind it); redirect (to `location`: "same", "other"
    for another host, "login", or an URL); truncated, drop, drop_midway; slow_head, slow_drip (take
    `seconds`); over_page, unordered, duplicated, missing_id, missing_cursor.

    `body` is a kind (json, html, empty, echo: a page that shows the request with its headers) or,
    if it is none of these, the body itself. `headers` are added to the response.
    """

    kind: str
    _: KW_ONLY
    resource: str | None = None
    """A resource path, "oauth" for token requests, None for every resource request."""
    times: int | None = None
    """How often at most; None for always."""
    rate: float = 1.0
    """Share of the requests, drawn from the seed."""
    after: int = 0
    """Leave that many matching requests alone first."""
    when: Callable[[RequestRecord], bool] | None = None
    """Which requests; sees them as they arrive, before there is a status."""
    ids: Collection[int] = ()
    """Only requests for records of which more than `bearable` have these ids, be it as a page or as
    one record. Requests for ids alone do not count. Heavy documents have a `bearable`, a record
    that cannot be printed has none."""
    bearable: int = 0
    owners: Collection[int] = ()
    """Only the lists below these records."""
    seconds: float = 0.0
    size: int = 0
    status: int = 500
    retry_after: int | str | None = None
    """Seconds, or "date" for a date two seconds ahead, or the header's text."""
    body: str | bytes = "json"
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "same"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind} is none of {', '.join(sorted(KINDS))}")


@dataclass(frozen=True)
class Scene:
    """What a function for responses may use besides the fault."""

    target: str
    """Path and query as sent."""
    raw_request: str
    """Request line, headers and body with their secrets, for pages that echo them."""
    origin: str
    """The sandbox's own `http://localhost:PORT`."""
    real: Callable[[], Reply]
    """Makes the response that would be given without the fault."""
    now: datetime
    """The present by the sandbox's clock."""


class Faults:
    """The faults in force, in order; the first that applies is played. Safe for threads."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = Random(f"{seed}/faults")
        self._armed: list[_Armed] = []

    def add(self, *faults: Fault) -> None:
        """Put faults in force."""
        with self._lock:
            self._armed.extend(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        """Lift all faults."""
        with self._lock:
            self._armed.clear()

    def draw(
        self, request: RequestRecord, held: Callable[[], Collection[int]] = tuple
    ) -> tuple[float, Fault | None]:
        """Seconds to wait before the response to this request, and the other fault to play on it.

        `held` gives the ids of the records that the request asks for in more than their ids.
        """
        wait = 0.0
        chosen: Fault | None = None
        with self._lock:
            for armed in self._armed:
                latency = armed.fault.kind == "latency"
                if (latency or chosen is None) and armed.applies(request, held, self._random):
                    if latency:
                        wait += armed.fault.seconds
                    else:
                        chosen = armed.fault
        return wait, chosen


class _Armed:
    """A fault with its counts."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.played = 0

    def applies(
        self, request: RequestRecord, held: Callable[[], Collection[int]], random: Random
    ) -> bool:
        fault = self.fault
        if fault.resource is None:
            mine = request.resource is not None and request.resource != "oauth"
        else:
            mine = request.resource == fault.resource
        if not mine or (fault.when is not None and not fault.when(request)):
            return False
        if fault.owners and request.owner not in fault.owners:
            return False
        if fault.times is not None and self.played >= fault.times:
            return False
        if fault.ids and sum(id in fault.ids for id in held()) <= fault.bearable:
            return False
        self.seen += 1
        if self.seen <= fault.after or (fault.rate < 1.0 and random.random() >= fault.rate):
            return False
        self.played += 1
        return True


# Responses instead of the real one.


def _status(fault: Fault, scene: Scene) -> Reply:
    phrase = phrase_of(fault.status)
    if fault.body == "json":
        reply = Reply(fault.status, encode({"error": phrase}))
    elif fault.body == "html":
        reply = Reply(fault.status, html_page(f"{fault.status} {phrase}"), HTML)
    elif fault.body == "empty":
        reply = Reply(fault.status, b"", None)
    elif fault.body == "echo":
        page = html_page(f"{fault.status} {phrase}", scene.raw_request)
        reply = Reply(fault.status, page, HTML)
    else:
        body = fault.body if isinstance(fault.body, bytes) else fault.body.encode()
        reply = Reply(fault.status, body)
    if fault.retry_after is not None:
        reply.headers["Retry-After"] = retry_after_text(fault.retry_after, scene.now)
    return reply


def retry_after_text(value: int | str, now: datetime, *, ahead: float = 2.0) -> str:
    """The value of a Retry-After header; "date" means that many seconds ahead, as an HTTP date."""
    if value == "date":
        moment = now.astimezone(timezone.utc) + timedelta(seconds=ahead + 0.999)
        return format_datetime(moment.replace(microsecond=0), usegmt=True)
    return str(value)


def _html_200(fault: Fault, scene: Scene) -> Reply:
    return Reply(200, html_page("Sign in"), HTML)


def _xml_200(fault: Fault, scene: Scene) -> Reply:
    return Reply(200, b"<?xml version='1.0' encoding='UTF-8'?>\n<users type=\"array\"/>\n", XML)


def _invalid_json(fault: Fault, scene: Scene) -> Reply:
    body = scene.real().body
    return Reply(200, body[: max(1, len(body) // 2)] + b'{"id": 1,,')


def _empty_body(fault: Fault, scene: Scene) -> Reply:
    return Reply(200, b"")


def _object(fault: Fault, scene: Scene) -> Reply:
    return Reply(200, b'{"results":' + scene.real().body + b"}")


def _null(fault: Fault, scene: Scene) -> Reply:
    return Reply(200, b"null")


def _wrong_content_type(fault: Fault, scene: Scene) -> Reply:
    reply = scene.real()
    reply.content_type = HTML
    return reply


def _oversized(fault: Fault, scene: Scene) -> Reply:
    reply = scene.real()
    reply.body += b" " * fault.size
    return reply


def _redirect(fault: Fault, scene: Scene) -> Reply:
    places = {
        "same": scene.target,
        "other": scene.origin.replace("localhost", "127.0.0.1") + scene.target,
        "login": "/sessions/new",
    }
    location = places.get(fault.location, fault.location)
    return Reply(302, html_page("Found"), HTML, {"Location": location})


RESPONSES: Mapping[str, Callable[[Fault, Scene], Reply]] = {
    "status": _status,
    "html_200": _html_200,
    "xml_200": _xml_200,
    "invalid_json": _invalid_json,
    "empty_body": _empty_body,
    "object": _object,
    "null": _null,
    "wrong_content_type": _wrong_content_type,
    "oversized": _oversized,
    "redirect": _redirect,
}

# Changes to the rows of a page. Each gets the page and returns what is sent in its place.


def _unordered(page: list[Record]) -> list[Record]:
    return page[::-1]


def _duplicated(page: list[Record]) -> list[Record]:
    """The first row comes twice, instead of the last if the page has more than one."""
    return [*page[:1], *page[:1], *page[1:-1]]


def _without(key: str) -> Callable[[list[Record]], list[Record]]:
    def change(page: list[Record]) -> list[Record]:
        middle = len(page) // 2
        for record in page[middle : middle + 1]:
            record.pop(key, None)
        return page

    return change


def _over_page(page: list[Record]) -> list[Record]:
    return page


PAGES: Mapping[str, Callable[[list[Record]], list[Record]]] = {
    "over_page": _over_page,
    "unordered": _unordered,
    "duplicated": _duplicated,
    "missing_id": _without("id"),
    "missing_cursor": _without("updated-at"),
}
OVER_PAGE_EXTRA = 25
"""Rows that "over_page" sends beyond the asked limit."""

WIRES: Mapping[str, Wire] = {
    "truncated": "truncated",
    "drop": "drop",
    "drop_midway": "drop_midway",
    "slow_head": "slow_head",
    "slow_drip": "slow_drip",
}

KINDS: Sequence[str] = ("latency", *RESPONSES, *PAGES, *WIRES)
