"""The streams of the manifest, as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StreamRow:
    """A stream of the manifest.

    Attributes:
        name: of the stream.
        resource: the list it reads, its name under /api/.
        scopes: of which one opens the list.
        parent_scopes: of which one is needed too, where the parents of a list have others.
        rows: the path of the list within a record that makes its rows; None for the records.
        parent: what a record of `resource` is called, where the rows lie below one.
        nested: the name of the list below each record; None for a list of its own.
        key: the fields of its primary key.
        cursor_field: None where update times are not documented or not trusted.
        lookback_hours: at least so many hours are read again.
        schema_file: its schema.
        shape: what makes its records of those that Coupa prints; "" for most.
    """

    name: str
    resource: str
    scopes: tuple[str, ...]
    parent_scopes: tuple[str, ...] = ()
    rows: str | None = None
    parent: str | None = None
    nested: str | None = None
    key: tuple[str, ...] = ("id",)
    cursor_field: str | None = None
    lookback_hours: int = 0
    schema_file: str = ""
    shape: str = ""

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """One scope of each of these is needed."""
        return (self.scopes, self.parent_scopes) if self.parent_scopes else (self.scopes,)

    @property
    def can_be_swept(self) -> bool:
        """Whether its ids say which records are gone: it has the records of a list, as changes
        bring them."""
        is_main = self.rows is None and self.nested is None and not self.shape
        return is_main and self.cursor_field is not None and self.key == ("id",)

    def is_open_to(self, held: set[str]) -> bool:
        """Whether a client that holds these scopes may read the stream."""
        return all(held.intersection(scopes) for scopes in self.needs)


def alternatives(scope: str | Iterable[str]) -> tuple[str, ...]:
    """The scopes of a stream's `scope` parameter: one, or several of which any will do."""
    return (scope,) if isinstance(scope, str) else tuple(scope)


def scopes_of(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes of which one is needed for a request, from the `$parameters` that apply to it:
    `scope`, or where parents of a nested stream are read and have another one, `parent_scope`."""
    of_parents = parameters.get("of_parents") and parameters.get("parent_scope")
    return alternatives(of_parents or parameters["scope"])


def stream_rows(manifest: Mapping[str, Any]) -> list[StreamRow]:
    """The streams of the manifest as it is written, in its order."""
    return [_row(stream, manifest["definitions"]) for stream in manifest["streams"]]


def _row(stream: Mapping[str, Any], definitions: Mapping[str, Any]) -> StreamRow:
    parameters = stream["$parameters"]
    definition = _with_its_bases(stream, definitions)
    key = definition["primary_key"]
    cursor = definition.get("incremental_sync")
    cursor = cursor and _with_its_bases(cursor, definitions)
    parent = parameters.get("parent")
    return StreamRow(
        name=parameters["name"],
        resource=parameters["resource"],
        scopes=alternatives(parameters["scope"]),
        parent_scopes=alternatives(parameters.get("parent_scope", ())),
        rows=parameters.get("rows"),
        parent=parent,
        nested=parameters.get("nested"),
        key=(key,) if isinstance(key, str) else tuple(key),
        cursor_field=(
            cursor["cursor_field"].replace("{{ parameters['parent'] }}", parent or "")
            if cursor
            else None
        ),
        lookback_hours=cursor.get("$parameters", {}).get("least_lookback_hours", 0)
        if cursor
        else 0,
        schema_file=parameters.get("schema_file", parameters["name"]),
        shape=parameters.get("shape", ""),
    )


def _with_its_bases(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the manifest with what it takes over from the definition that it refers to."""
    reference = part.get("$ref")
    if reference is None:
        return dict(part)
    base = _with_its_bases(definitions[reference.rpartition("/")[2]], definitions)
    return {**base, **part}
