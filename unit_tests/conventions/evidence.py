"""What Coupa documents of its lists and of the fields of their records, as data.

Two tables in `resource/`, taken from Coupa's documentation pages (four digits, as in AGENTS.md) and
its Swagger files R21 to R39, independent of the manifest and of the schemas:

- `coupa_resources.tsv`: the lists, with the scopes of which any one opens them.
- `coupa_fields.tsv`: the fields of each object with their types. A type that pages and Swagger tell
  differently, or not at all, is `unclear`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TABLES = Path(__file__).resolve().parents[1] / "resource"


@dataclass(frozen=True)
class Endpoint:
    """A list that Coupa documents.

    Attributes:
        path: under /api/, `users/:user_id/addresses` for one below each record of another.
        scopes: any one of them opens it; none if no source names one.
        has_id: whether its records are documented with an `id`.
        has_updated_at: whether they are documented with an `updated-at`.
        object: the kind of its records, "" if there is no field table.
        path_source: which kind of source names the path.
    """

    path: str
    scopes: frozenset[str]
    has_id: bool
    has_updated_at: bool
    object: str
    path_source: str


@dataclass(frozen=True)
class Field:
    """A documented field; `of` is the kind of the objects that it holds, "" for others."""

    name: str
    type: str
    of: str


@lru_cache
def endpoints() -> Mapping[str, Endpoint]:
    """By path."""
    return {
        (path := row["endpoint"].removeprefix("/api/")): Endpoint(
            path=path,
            scopes=frozenset(row["scopes"].split(" | ")) if row["scopes"] else frozenset(),
            has_id=row["id"] == "yes",
            has_updated_at=row["updated_at"] == "yes",
            object=row["object"],
            path_source=row["path_source"],
        )
        for row in _rows("coupa_resources.tsv")
    }


@lru_cache
def fields() -> Mapping[str, Mapping[str, Field]]:
    """The fields of each object, by name with underscores."""
    found: dict[str, dict[str, Field]] = {}
    for row in _rows("coupa_fields.tsv"):
        kind, _, of = row["type"].partition(" ")
        found.setdefault(row["object"], {})[row["field"]] = Field(row["field"], kind, of)
    return found


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (TABLES / name).open(encoding="utf-8") as lines:
        yield from csv.DictReader(lines, delimiter="\t")
