"""The resources the sandbox serves: every list that a row of the manifest reads.

Paths and scopes are those of the manifest, and records follow the schemas. So the sandbox cannot
tell whether those are right: `unit_tests/test_evidence.py` compares them with what Coupa documents.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import yaml

from .blueprint import Record
from .generators.expenses import expense_line, expense_report
from .generators.from_schema import FromSchema, schema, text_attribute
from .generators.invoices import invoice
from .generators.users import user

_MANIFEST = Path(__file__).resolve().parents[2] / "source_coupa" / "manifest.yaml"
_XML_ROOTS = Path(__file__).parent / "xml_roots.tsv"


@dataclass(frozen=True)
class Resource:
    """One entry under `/api/`."""

    path: str
    """`invoices`; of a list below each record of another, `users/:user_id/addresses`."""
    scopes: frozenset[str]
    """Any one of them opens the resource."""
    xml_root: str
    """Root element of an XML list, from Coupa's Swagger files."""
    size: int
    """Default size of a record in bytes; at least what its schema makes of it."""
    generate: Callable[[Random, int], Record]
    edited_key: str
    """A text attribute that random edits change."""
    updates: bool = True
    """Whether records have `updated-at`."""

    @property
    def parent(self) -> str | None:
        """Path of the resource below whose records the lists are."""
        head, found, _ = self.path.partition("/:")
        return head if found else None

    @property
    def object_name(self) -> str:
        """Name of one record in error bodies: `invoice_header`."""
        return self.xml_root.removesuffix("s").replace("-", "_")


@dataclass(frozen=True)
class HandMade:
    """A generator that knows more about a resource than its schema says."""

    size: int
    generate: Callable[[Random, int], Record]
    edited_key: str


HAND_MADE: Mapping[str, HandMade] = MappingProxyType(
    {
        "users": HandMade(3_000, user, "middlename"),
        "expense_reports": HandMade(6_000, expense_report, "auditor-note"),
        "expense_lines": HandMade(3_000, expense_line, "description"),
        "invoices": HandMade(8_000, invoice, "internal-note"),
    }
)
"""By path; all other resources are made from their schemas."""


def _resources() -> Iterator[Resource]:
    """One for each list in the manifest, in its order, lists below others last."""
    manifest = yaml.load(_MANIFEST.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    with _XML_ROOTS.open(encoding="utf-8") as lines:
        roots = {row["path"]: row["xml_root"] for row in csv.DictReader(lines, delimiter="\t")}
    rows = (stream["$parameters"] for stream in manifest["streams"])
    lists = {_path(row): row for row in rows if "rows" not in row}
    for path in sorted(lists, key=lambda path: "/:" in path):
        root = roots.get(path, path.rpartition("/")[2].replace("_", "-"))
        yield _resource(path, lists[path], root)


def _path(row: Mapping[str, Any]) -> str:
    if "nested" in row:
        return f"{row['resource']}/:{row['parent']}_id/{row['nested']}"
    return str(row["resource"])


def _added_columns(row: Mapping[str, Any]) -> frozenset[str]:
    """What the connector adds to the records of a list."""
    return frozenset({f"{row['parent']}_id"} if "nested" in row else ())


def _resource(path: str, row: Mapping[str, Any], xml_root: str) -> Resource:
    scope = row["scope"]
    scopes = frozenset({scope} if isinstance(scope, str) else scope)
    shape = row.get("schema_file", row["name"])
    made = HAND_MADE.get(path)
    if made is not None:
        return Resource(path, scopes, xml_root, made.size, made.generate, made.edited_key)
    return Resource(
        path,
        scopes,
        xml_root,
        1_000,
        FromSchema(shape, without=_added_columns(row)),
        text_attribute(shape) or "custom-text",
        "updated_at" in schema(shape)["properties"],
    )


RESOURCES: Mapping[str, Resource] = MappingProxyType(
    {resource.path: resource for resource in _resources()}
)
"""By path."""

ALL_SCOPES = frozenset().union(*(resource.scopes for resource in RESOURCES.values()))
