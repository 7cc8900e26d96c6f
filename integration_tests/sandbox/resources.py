"""The resources the sandbox serves: every list that a row of the manifest reads.

Paths and scopes are those of the manifest, and records follow the schemas. So the sandbox cannot
show whether those are right: `unit_tests/conventions/test_evidence.py` compares them with what
Coupa documents.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import yaml

from .blueprint import Record
from .generators.custom_objects import object_instance
from .generators.expenses import expense_line, expense_report
from .generators.from_schema import FromSchema, Schema, schema, text_attribute
from .generators.invoices import invoice
from .generators.revisions import printed, revision
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
    shape: str
    """The schema of its records."""
    fields: Mapping[str, Schema] = field(hash=False, compare=False)
    """The properties of that schema, with those of the child tables that are made of its lists;
    without those that the connector adds."""
    updates: bool = True
    """Whether records have `updated-at`."""
    printed: Callable[[Record], Record] | None = None
    """Turns a record into Coupa's form, where that has its id in another place; None elsewhere."""

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
class Recipe:
    """How the records of a resource are made."""

    size: int
    generate: Callable[[Random, int], Record]
    edited_key: str
    printed: Callable[[Record], Record] | None = None


HAND_MADE: Mapping[str, Recipe] = MappingProxyType(
    {
        "users": Recipe(3_000, user, "middlename"),
        "expense_reports": Recipe(6_000, expense_report, "auditor-note"),
        "expense_lines": Recipe(4_000, expense_line, "description"),
        "invoices": Recipe(8_000, invoice, "internal-note"),
    }
)
"""By path: generators that know more than a schema says, from which all others are made."""

_MADE = {**HAND_MADE, "purchase_order_revisions": Recipe(3_000, revision, "comments", printed)}


def _resources() -> Iterator[Resource]:
    """One for each list in the manifest, in its order, lists below others last."""
    manifest = yaml.load(_MANIFEST.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    with _XML_ROOTS.open(encoding="utf-8") as lines:
        roots = {row["path"]: row["xml_root"] for row in csv.DictReader(lines, delimiter="\t")}
    rows = [stream["$parameters"] for stream in manifest["streams"]]
    lists = {_path(row): row for row in rows if "rows" not in row}
    for path in sorted(lists, key=lambda path: "/:" in path):
        root = roots.get(path, path.rpartition("/")[2].replace("_", "-"))
        children = [
            row for row in rows if "rows" in row and row["resource"] == path and "shape" not in row
        ]
        yield _resource(path, lists[path], children, root)


def _path(row: Mapping[str, Any]) -> str:
    if "nested" in row:
        return f"{row['resource']}/:{row['parent']}_id/{row['nested']}"
    return str(row["resource"])


def _added_columns(row: Mapping[str, Any]) -> frozenset[str]:
    """What the connector adds to the records of a list, or to the rows of a child table."""
    properties = schema(row.get("schema_file", row["name"]))["properties"]
    ids = {
        name
        for name, field in properties.items()
        if field.get("description") == f"The `id` in `{name.removesuffix('_id')}`."
    }
    return _added_to_rows(row) | ids


def _added_to_rows(row: Mapping[str, Any]) -> frozenset[str]:
    if row.get("shape") == "revision" and "rows" not in row:
        return frozenset({"changes", "changed_fields"})
    if "rows" in row:
        outer = [key.replace("-", "_").removesuffix("s") for key in row["rows"].split(".")[:-1]]
        added = {f"{row['parent']}_id", f"{row['parent']}_updated_at", "list_position"}
        return frozenset(added | {f"{key}_{name}" for key in outer for name in ("id", "position")})
    return frozenset({f"{row['parent']}_id"} if "nested" in row else ())


def _sent(row: Mapping[str, Any]) -> dict[str, Schema]:
    """The properties of a stream that Coupa sends."""
    properties = schema(row.get("schema_file", row["name"]))["properties"]
    added = _added_columns(row)
    return {key: value for key, value in properties.items() if key not in added}


def _joined(one: Mapping[str, Schema], other: Mapping[str, Schema]) -> dict[str, Schema]:
    """The properties of both, those of the objects in them too."""
    joined = {**other, **one}
    for key in one.keys() & other.keys():
        if "items" in one[key]:
            [items] = _joined({"": one[key]["items"]}, {"": other[key]["items"]}).values()
            joined[key] = {**one[key], "items": items}
        elif "properties" in other[key]:
            inner = _joined(one[key].get("properties", {}), other[key]["properties"])
            joined[key] = {**one[key], "properties": inner}
    return joined


def _in_list(path: str, properties: Mapping[str, Schema]) -> dict[str, Schema]:
    """The property that a list is, in other lists perhaps, with what is declared of its objects."""
    key, _, rest = path.replace("-", "_").partition(".")
    inner = _in_list(rest, properties) if rest else properties
    return {key: {"items": {"properties": inner}}}


def _resource(
    path: str, row: Mapping[str, Any], children: Sequence[Mapping[str, Any]], xml_root: str
) -> Resource:
    scope = row["scope"]
    scopes = frozenset({scope} if isinstance(scope, str) else scope)
    shape = row.get("schema_file", row["name"])
    fields = _sent(row)
    for child in children:
        fields = _joined(fields, _in_list(child["rows"], _sent(child)))
    made = _MADE.get(path) or Recipe(
        1_000,
        FromSchema(shape, without=_added_columns(row)),
        text_attribute(shape) or "custom-text",
    )
    return Resource(
        path=path,
        scopes=scopes,
        xml_root=xml_root,
        size=made.size,
        generate=made.generate,
        edited_key=made.edited_key,
        shape=shape,
        fields=fields,
        updates="updated_at" in fields,
        printed=made.printed,
    )


RESOURCES: Mapping[str, Resource] = MappingProxyType(
    {resource.path: resource for resource in _resources()}
)
"""By path."""

CUSTOM_OBJECTS = "custom_objects/12/object_instances"
"""The list of a custom object (doc 0163)."""

UNKNOWN: Mapping[str, Resource] = MappingProxyType(
    {
        CUSTOM_OBJECTS: Resource(
            path=CUSTOM_OBJECTS,
            scopes=frozenset({"core.common.read"}),
            xml_root="object-instances",
            size=1_000,
            generate=object_instance,
            edited_key="spaceship-name",
            shape="additional_list",
            fields=_sent({"name": "additional_list"}),
        )
    }
)
"""By path: lists that no stream of the manifest reads."""

ALL_SCOPES = frozenset().union(*(resource.scopes for resource in RESOURCES.values()))
