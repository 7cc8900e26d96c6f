"""The streams of the manifest, as the rows of a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from source_coupa.config import AdditionalList, StreamFilter
from source_coupa.errors import config_error
from source_coupa.query_filter import ListFilter

NO_CURSOR = "no_cursor"
"""Takes the place of a cursor field in states of streams that have none."""

ADDITIONAL_SCHEMA = "additional_list"
"""The schema of lists that the settings name; `discover` adds what it sees."""


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
    def is_main(self) -> bool:
        """Whether its rows are the records of its list."""
        return self.rows is None and self.nested is None

    @property
    def state_field(self) -> str:
        """Its cursor field as it is named in its state."""
        return self.cursor_field or NO_CURSOR

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """One scope of each of these is needed."""
        return (self.scopes, self.parent_scopes) if self.parent_scopes else (self.scopes,)

    @property
    def can_be_swept(self) -> bool:
        """Whether its ids say which records are gone: it has the records of a list, as changes
        bring them."""
        has_records = self.is_main and not self.shape
        return has_records and self.cursor_field is not None and self.key == ("id",)

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


def additional_streams(
    lists: Iterable[AdditionalList], rows: Collection[StreamRow]
) -> list[dict[str, Any]]:
    """Streams of the manifest for lists that the settings name.

    Args:
        lists: of the settings.
        rows: the streams that the manifest has without them.

    Raises:
        AirbyteTracedException: `config_error` if one has the name or the list of another stream.
    """
    names = {row.name for row in rows}
    reader_of = {_plain(row.resource): row.name for row in rows if row.is_main}
    streams = []
    for entry in lists:
        if entry.name in names:
            raise config_error(
                f"Additional lists: there is already a stream {entry.name}. Choose another name."
            )
        if (reader := reader_of.get(_plain(entry.path))) is not None:
            raise config_error(
                f"Additional lists: the stream {reader} reads /api/{entry.path} already. Select "
                f"that stream, and remove the entry {entry.name}."
            )
        names.add(entry.name)
        reader_of[_plain(entry.path)] = entry.name
        base = "incremental_stream" if entry.incremental else "full_refresh_stream"
        parameters = {
            "name": entry.name,
            "resource": entry.path,
            "scope": entry.scope,
            "schema_file": ADDITIONAL_SCHEMA,
        }
        streams.append({"$ref": f"#/definitions/{base}", "$parameters": parameters})
    return streams


def filters_of(filters: Iterable[StreamFilter], rows: Iterable[StreamRow]) -> dict[str, ListFilter]:
    """What the settings ask of lists, by the list's name under /api/.

    Raises:
        AirbyteTracedException: `config_error` if an entry names no stream that has a list of its
            own, or one that another entry names.
    """
    known = {row.name: row for row in rows}
    main = {row.resource: row.name for row in known.values() if row.is_main}
    found: dict[str, ListFilter] = {}
    for number, entry in enumerate(filters, 1):
        row = known.get(entry.stream)
        if row is None:
            raise config_error(
                f"Filters, entry {number}: there is no stream of this name. Enter the name of a "
                "stream as Airbyte shows it, for example invoices."
            )
        if not row.is_main:
            raise config_error(
                f"Filters, entry {number}: {row.name} is made of what the stream "
                f"{main[row.resource]} reads. Enter {main[row.resource]}, whose filter holds for "
                f"{row.name} too."
            )
        if row.resource in found:
            raise config_error(
                f"Filters, entry {number}: {row.name} has a filter already. Join the conditions "
                "by & in one entry."
            )
        found[row.resource] = entry.of_list
    return found


def _plain(path: str) -> str:
    return path.lower().replace("-", "_")


def _row(stream: Mapping[str, Any], definitions: Mapping[str, Any]) -> StreamRow:
    parameters = stream["$parameters"]
    definition = _with_its_bases(stream, definitions)
    key = definition["primary_key"]
    cursor = _with_its_bases(definition.get("incremental_sync") or {}, definitions)
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
        lookback_hours=cursor.get("$parameters", {}).get("least_lookback_hours", 0),
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
