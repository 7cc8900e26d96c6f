"""The streams of the manifest, read from its text, without the connector."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "source_coupa" / "manifest.yaml").read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = yaml.load(TEXT, Loader=yaml.CSafeLoader)


@dataclass(frozen=True)
class StreamRow:
    """A row under `streams:`.

    Attributes:
        path: of its list under /api/; of a nested one `users/:user_id/addresses`.
        scopes: any one of them opens it.
        parent_scopes: of which one is needed besides.
        primary_key: its fields.
        cursor: the field by which changes are found; "" for a full refresh.
        rows: the path of the lists that a child table is made of, "" for others.
        nested: the name of a list below each parent, "" for others.
        parent: what one record of the resource is called, "" without one.
        base: the definition that it is based on.
        schema: the name of its schema file.
        area: the comment above it and its like.
    """

    name: str
    path: str
    scopes: tuple[str, ...]
    parent_scopes: tuple[str, ...]
    primary_key: tuple[str, ...]
    cursor: str
    rows: str
    nested: str
    parent: str
    base: str
    schema: str
    area: str

    @property
    def resource(self) -> str:
        """The list that is asked for first; of a nested stream, that of its parents."""
        return self.path.partition("/:")[0]


def _definition(name: str) -> dict[str, Any]:
    """A definition with what it refers to."""
    definition = MANIFEST["definitions"][name]
    base = definition.get("$ref")
    return {**_definition(base.rpartition("/")[2]), **definition} if base else definition


def _tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _row(stream: dict[str, Any]) -> StreamRow:
    parameters = stream["$parameters"]
    base = stream["$ref"].rpartition("/")[2]
    definition = _definition(base)
    cursor = definition.get("incremental_sync", {}).get("$ref", "").rpartition("/")[2]
    parent = parameters.get("parent", "")
    path = parameters["resource"]
    if "nested" in parameters:
        path = f"{path}/:{parent}_id/{parameters['nested']}"
    field = _definition(cursor)["cursor_field"] if cursor else ""
    return StreamRow(
        name=parameters["name"],
        path=path,
        scopes=_tuple(parameters["scope"]),
        parent_scopes=_tuple(parameters.get("parent_scope", [])),
        primary_key=_tuple(stream.get("primary_key", definition["primary_key"])),
        cursor=field.replace("{{ parameters['parent'] }}", parent),
        rows=parameters.get("rows", ""),
        nested=parameters.get("nested", ""),
        parent=parent,
        base=base,
        schema=parameters.get("schema_file", parameters["name"]),
        area=_AREAS[parameters["name"]],
    )


def _areas() -> dict[str, str]:
    """The comment above each stream, by the stream's name."""
    areas, area = {}, ""
    for line in TEXT.partition("\nstreams:\n")[2].partition("\n\n")[0].splitlines():
        if line.startswith("  # "):
            area = line.removeprefix("  # ")
        elif named := re.search(r"\{name: (\w+)", line):
            areas[named[1]] = area
    return areas


_AREAS = _areas()


STREAMS = tuple(_row(stream) for stream in MANIFEST["streams"])
"""In the manifest's order."""

SCOPES = tuple(
    dict.fromkeys(scope for stream in STREAMS for scope in (*stream.scopes, *stream.parent_scopes))
)
"""All scopes that any stream can use."""


@cache
def columns_of(stream: StreamRow) -> Mapping[str, dict[str, Any]]:
    """The columns of a stream: name -> JSON schema."""
    file = ROOT / "source_coupa" / "schemas" / f"{stream.schema}.json"
    columns: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["properties"]
    return columns
