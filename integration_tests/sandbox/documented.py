"""Records that Coupa prints in its documentation, as rows of the sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from .blueprint import Blueprint, Record
from .instants import second_of
from .resources import RESOURCES

_PAYLOADS = Path(__file__).parent / "payloads"


def payload(name: str) -> Any:
    """A JSON file of `payloads/`."""
    return json.loads((_PAYLOADS / name).read_text(encoding="utf-8"))


def documented_records(resource: str) -> list[Record]:
    """The documented records of a resource, complete; none if Coupa prints none.

    Users (doc 0015) are printed in full. The invoice (doc 0209) is printed as XML only; its JSON
    form follows the rule in payloads/README.md. An expense report (doc 0008) is printed only as
    `shallow`: its cut-down associations are filled up from a generated report.
    """
    if resource == "users":
        return [payload("users-0015-show.json"), *payload("users-0015-list.json")]
    if resource == "invoices":
        return [payload("invoices-0209-show.json")]
    if resource == "expense_reports":
        return [_full_report(payload("expense_reports-0008-shallow.json"))]
    files = sorted(_PAYLOADS.glob(f"{resource.replace('/', '_')}-[0-9]*.json"))
    return [record for file in files for record in payload(file.name)]


def _full_report(shallow: Record) -> Record:
    entry = RESOURCES["expense_reports"]
    body = Blueprint(entry.generate(Random(shallow["id"]), entry.size * 2)).render(
        shallow["id"],
        second_of(shallow["created-at"]),
        second_of(shallow["updated-at"]),
        ZoneInfo("America/Los_Angeles"),
    )
    report: Record = _filled(shallow, json.loads(body))
    return report


def _filled(printed: Any, full: Any) -> Any:
    """`printed`, with what it lacks taken from `full`."""
    if isinstance(printed, dict) and isinstance(full, dict):
        inner = {key: _filled(value, full.get(key)) for key, value in printed.items()}
        return {**full, **inner}
    if isinstance(printed, list) and isinstance(full, list) and full:
        return [_filled(value, full[index % len(full)]) for index, value in enumerate(printed)]
    return printed
