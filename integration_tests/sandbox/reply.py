"""Responses before they go over the wire, with the error bodies of Coupa and of proxies."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import responses
from typing import Literal

from .blueprint import encode
from .dialect import Refusal
from .xml import errors_to_xml

JSON = "application/json; charset=utf-8"
XML = "application/xml; charset=utf-8"
HTML = "text/html; charset=utf-8"

Wire = Literal["whole", "truncated", "drop", "drop_midway", "slow_head", "slow_drip"]
"""How a response is sent: see the faults of the same names."""


@dataclass
class Reply:
    """One HTTP response."""

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: dict[str, str] = field(default_factory=dict)
    rows: int | None = None
    wire: Wire = "whole"
    seconds: float = 0.0
    """Duration of a slow drip."""


def refuse(refusal: Refusal, message: str, *, body: Mapping[str, object] | None = None) -> Reply:
    """A refusal in the dialect's status and body kind; `body` replaces the usual JSON."""
    if refusal.body == "html":
        return Reply(refusal.status, html_page(phrase_of(refusal.status)), HTML)
    if refusal.body == "empty":
        return Reply(refusal.status, b"", None)
    if refusal.body == "object":
        return Reply(refusal.status, b"{}")
    return Reply(refusal.status, encode(body or {"error": message}))


def bad_request(object_name: str, messages: Sequence[str], *, as_xml: bool = False) -> Reply:
    """400 with Coupa's documented `errors` body."""
    if as_xml:
        return Reply(400, errors_to_xml(messages), XML)
    return Reply(400, encode({"errors": {object_name: list(messages)}}))


NO_RESULTS = "No results match your search criteria."


def no_results() -> Reply:
    """404 for a JSON list without rows."""
    return Reply(404, encode({"errors": {"base": [NO_RESULTS]}}))


def not_found(*, as_xml: bool = False) -> Reply:
    """404 for an unknown path or id."""
    if as_xml:
        return Reply(404, errors_to_xml([NO_RESULTS]), XML)
    return Reply(404, encode({"errors": {"base": ["The record or page was not found."]}}))


def phrase_of(status: int) -> str:
    """The usual words for a status, or "Unknown" for one of a proxy's own making."""
    return responses.get(status, "Unknown")


def html_page(title: str, text: str = "") -> bytes:
    """A page such as a proxy or a login form sends."""
    return (
        "<!DOCTYPE html>\n<html><head><title>"
        f"{html.escape(title)}</title></head>\n<body><h1>{html.escape(title)}</h1>\n"
        f"<pre>{html.escape(text)}</pre></body></html>\n"
    ).encode()
