"""What `discover` prints to a client with every scope, and what other files say of its streams.

The CDK's standard tests look at the catalog by itself: valid schemas, keys and cursors in them,
supported types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from integration_tests.harness import discover
from integration_tests.sandbox import Dialect, Sandbox

from .pages import Pages, table
from .project import ROOT
from .rules import GONE, Check, Problems, Tree


@lru_cache(maxsize=1)
def read() -> Tree:
    """The catalog, and the streams that other files name, with what they say of them."""
    with Sandbox({}, dialect=Dialect(rate_limit=None)) as sandbox:
        [message] = discover(sandbox.config()).of_type("CATALOG")
    rows = table(Pages.read().beside("streams"), "Stream", "Scope", "Key", "Cursor")
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]
    configured = json.loads(
        (ROOT / "integration_tests" / "configured_catalog.json").read_text(encoding="utf-8")
    )
    return Tree(
        {
            "streams": message["catalog"]["streams"],
            "page": rows,
            "suggested": metadata["suggestedStreams"]["streams"],
            "configured": configured["streams"],
        }
    )


def _streams(document: Tree) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for stream in document.root["streams"]:
        yield stream["name"], stream


def check_names(document: Tree) -> Problems:
    return [
        f"{name}: no plain lower-case name"
        for name, stream in _streams(document)
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or stream.get("namespace")
    ]


def check_keys(document: Tree) -> Problems:
    """Each stream has a primary key of fields that stand in the record itself."""
    return [
        f"{name}: primary key {stream.get('source_defined_primary_key')}"
        for name, stream in _streams(document)
        if not stream.get("source_defined_primary_key")
        or any(len(path) != 1 for path in stream["source_defined_primary_key"])
    ]


def check_sync_modes(document: Tree) -> Problems:
    """Incremental streams define their cursor, the others have none; each can be read in full."""
    problems = []
    for name, stream in _streams(document):
        modes = stream["supported_sync_modes"]
        cursor = stream.get("default_cursor_field") or []
        if "full_refresh" not in modes:
            problems.append(f"{name} cannot be read in full")
        if ("incremental" in modes) != (len(cursor) == 1):
            problems.append(f"{name}: cursor {cursor}, modes {modes}")
        if "incremental" in modes and not stream.get("source_defined_cursor"):
            problems.append(f"{name} lets users choose the cursor")
    return problems


def check_cursors(document: Tree) -> Problems:
    """A cursor is a time with its zone."""
    problems = []
    for name, stream in _streams(document):
        for cursor in stream.get("default_cursor_field") or []:
            field = stream["json_schema"]["properties"].get(cursor, {})
            if field.get("airbyte_type") != "timestamp_with_timezone":
                problems.append(f"{name}: {cursor} is no time with a zone")
    return problems


def check_page(document: Tree) -> Problems:
    """The stream reference names the same streams, in the same order, with keys and cursors."""
    shown = [(row["Stream"], row["Key"], row["Cursor"]) for row in document.root["page"]]
    wanted = [
        (
            name,
            ", ".join(path[0] for path in stream.get("source_defined_primary_key") or []),
            "".join(stream.get("default_cursor_field") or []),
        )
        for name, stream in _streams(document)
    ]
    return [] if shown == wanted else [f"the page differs by {sorted({*shown} ^ {*wanted})}"]


def check_suggestions(document: Tree) -> Problems:
    """Streams that metadata.yaml suggests are there."""
    names = {name for name, _ in _streams(document)}
    return [f"no stream {name}" for name in document.root["suggested"] if name not in names]


def check_configured_catalog(document: Tree) -> Problems:
    """The example of a configured catalog names streams, keys and cursors as they are."""
    streams = dict(_streams(document))
    problems = []
    for item in document.root["configured"]:
        stream = streams.get(item["stream"]["name"])
        if stream is None:
            problems.append(f"no stream {item['stream']['name']}")
        elif item["sync_mode"] not in stream["supported_sync_modes"]:
            problems.append(f"{stream['name']} cannot be read {item['sync_mode']}")
    return problems


_STREAM = {
    "name": "users",
    "json_schema": {
        "properties": {"updated_at": {"airbyte_type": "timestamp_with_timezone"}, "id": {}}
    },
    "supported_sync_modes": ["full_refresh", "incremental"],
    "source_defined_cursor": True,
    "default_cursor_field": ["updated_at"],
    "source_defined_primary_key": [["id"]],
}


def example() -> Tree:
    """A catalog of one stream, which the other files name as it is."""
    return Tree(
        {
            "streams": [_STREAM],
            "page": [{"Stream": "users", "Key": "id", "Cursor": "updated_at"}],
            "suggested": ["users"],
            "configured": [{"stream": {"name": "users"}, "sync_mode": "incremental"}],
        }
    )


_FIRST = "streams/0"

CHECKS: tuple[Check[Tree], ...] = (
    Check(check_names, (f"{_FIRST}/name", "Users"), (f"{_FIRST}/namespace", "coupa")),
    Check(
        check_keys,
        (f"{_FIRST}/source_defined_primary_key", []),
        (f"{_FIRST}/source_defined_primary_key", [["account", "id"]]),
    ),
    Check(
        check_sync_modes,
        (f"{_FIRST}/supported_sync_modes", ["incremental"]),
        (f"{_FIRST}/supported_sync_modes", ["full_refresh"]),
        (f"{_FIRST}/default_cursor_field", []),
        (f"{_FIRST}/source_defined_cursor", GONE),
    ),
    Check(
        check_cursors,
        (f"{_FIRST}/default_cursor_field", ["id"]),
        (f"{_FIRST}/json_schema/properties/updated_at", GONE),
    ),
    Check(
        check_page,
        (f"{_FIRST}/name", "people"),
        ("page", []),
        ("page/0/Key", "login"),
        ("page/0/Cursor", ""),
    ),
    Check(check_suggestions, ("suggested", ["people"])),
    Check(
        check_configured_catalog,
        ("configured/0/stream/name", "people"),
        ("configured/0/sync_mode", "backwards"),
    ),
)
