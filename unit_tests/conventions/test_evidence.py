"""The manifest and the schemas say what Coupa documents (see `evidence`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from jsonschema import Draft7Validator

from integration_tests.reference.manifest import STREAMS, StreamRow
from integration_tests.sandbox import HAND_MADE, documented_records
from source_coupa.tables.rows import Rows
from unit_tests.conventions.evidence import Field, endpoints, fields
from unit_tests.conventions.schemas import load, types
from unit_tests.conventions.test_schemas import snake_case

LISTED = {endpoint.object for path, endpoint in endpoints().items() if "/:" not in path}
"""Objects that have a list of their own: a record only refers to them. All others are parts of it.
"""

NAMES = ("code", "login", "line_num", "po_number", "invoice_number", "number", "name", "email")
"""Of an object that a record refers to, `id` and the first of these that is documented."""

NOT_READ: Mapping[tuple[str, str], str] = {
    ("User", "password"): "can only be written",
    ("User", "generate_password_and_notify"): "can only be written",
    ("ExpenseLine", "attach_preapproval"): "can only be written",
    ("ExpenseLine", "expense_attendee"): "the page's name for expense_attendees",
    ("InvoiceHeader", "requester_email"): "can only be written",
    ("InvoiceHeader", "requester_lookup_name"): "can only be written",
    ("InvoiceHeader", "requester_name"): "can only be written",
    ("Pcard", "cvv"): "a secret",
    ("DelegateApproval", "delegates"): "would go on without end",
    ("InventoryOrganization", "warehouses"): "setup data of its own",
    ("RemitToAddress", "order_header_confirmations"): "a slip of the page",
}
"""Documented fields that no schema declares, and why."""

JSON_TYPES: Mapping[str, set[str]] = {
    "boolean": {"boolean"},
    "date": {"string"},
    "date-time": {"string"},
    "decimal": {"string"},
    "float": {"number"},
    "integer": {"integer"},
    "list": {"array"},
    "object": {"object"},
    "string": {"string"},
}
"""Documented type -> how JSON responses hold it (doc 0011: decimals are strings)."""

OTHER_TYPES: Mapping[tuple[str, str], str] = {
    ("DelegateApproval", "delegate_id"): "an id like every other",
    ("ExpenseLineTax", "country"): "an object by the Swagger files, an integer by the page",
    ("InventoryBalance", "quantity"): "a decimal in the response of doc 0164",
    ("ItemizedExpenseLine", "has_preapproval"): "a boolean on expense lines",
    ("UploadError", "field_errors"): "a list in the responses of doc 0051",
    ("User", "allowed_invoice_inboxes"): "a list in the response of doc 0159",
    ("User", "can_expense_for"): "a list in the responses of doc 0015",
    ("User", "expenses_delegated_to"): "a list in the responses of doc 0015",
    ("WorkerAssignment", "close_authority"): "a word in the response of doc 0298",
    ("WorkerAssignment", "confirm_authority"): "a word in the response of doc 0298",
}
"""Fields that responses hold in another type than documented, and how that is known."""

SAME_AS: Mapping[str, str] = {"UserSimple": "User"}
"""Kinds of objects that stand for a record of another kind, with the same id."""

NO_REFERENCES: Mapping[str, str] = {
    "rfq_easy_form_response_id": "an object, whatever its name says",
}
"""Objects of kinds that streams read, and why they get no column for their id."""

WHO = frozenset({"created_by", "updated_by"})
"""Who made and changed the parts of a record; often left out of them."""


def object_of(stream: StreamRow) -> str:
    """The kind of a stream's records, by way of the lists that hold them for child tables."""
    kind = endpoints()[stream.path].object
    for key in filter(None, stream.rows.split(".")):
        field = fields()[kind][key.replace("-", "_")]
        assert field.type == "list", f"{stream.name}: {key} of {kind} is no list"
        kind = field.of
    return kind


@dataclass(frozen=True)
class Place:
    """Where a field is documented (`path`, and the object it is a field of), and its sub-schema,
    None without one."""

    path: str
    object: str
    field: Field
    schema: Mapping[str, Any] | None


def documented(stream: StreamRow) -> Iterator[Place]:
    """Each documented field of a record: all of the record and of its parts, what names the things
    that it refers to."""
    properties = load(stream.schema)["properties"]
    kind = object_of(stream)
    for field in fields()[kind].values():
        schema = properties.get(field.name)
        if (kind, field.name) in NOT_READ:
            assert schema is None, f"{field.name} is declared all the same"
            continue
        yield Place(field.name, kind, field, schema)
        below = (schema or {}).get("items", schema or {}).get("properties", {})
        for inner in _inner_fields(field):
            path = f"{field.name}/{inner.name}"
            yield Place(path, field.of, inner, below.get(inner.name))


def _inner_fields(field: Field) -> Iterator[Field]:
    inner = fields().get(field.of, {})
    is_part = field.type == "list" and field.of not in LISTED
    usual = {"id", next((name for name in NAMES if name in inner), "id")}
    for name in inner.keys() - WHO if is_part else inner.keys() & usual:
        if (field.of, name) not in NOT_READ:
            yield inner[name]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_reads_a_documented_list(stream: StreamRow) -> None:
    endpoint = endpoints()[stream.path]
    assert "inferred" not in endpoint.path_source
    assert endpoint.has_id
    assert set(stream.scopes) == endpoint.scopes
    assert "id" not in stream.primary_key or fields()[object_of(stream)]["id"].type == "integer"


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_key_begins_with_the_ids_of_what_holds_the_row(stream: StreamRow) -> None:
    """Coupa documents of no id below a record that it is used once among all records. Pages 0142,
    0125 and 0279 even say of clauses and lines that it is not unique; page 0109 says that ids of
    attachments are, but not that an attachment belongs to one record only."""
    parents = (stream.parent,) if stream.parent else ()
    outer = tuple(key.replace("-", "_").removesuffix("s") for key in stream.rows.split(".")[:-1])
    own = "path" if stream.name == "purchase_order_revision_changes" else "id"
    assert stream.primary_key == (*(f"{name}_id" for name in (*parents, *outer)), own)


def test_rows_whose_ids_repeat_below_other_lines_have_keys_of_their_own() -> None:
    stream = next(row for row in STREAMS if row.name == "invoice_line_allocations")
    rows = Rows(resource=stream.path, path=stream.rows, parent=stream.parent, need_ids=True)
    lines = [{"id": line, "account_allocations": [{"id": 1}, {"id": 2}]} for line in (1, 2)]
    found = [row for id in (7, 8) for row in rows.of({"id": id, "invoice_lines": lines})]
    assert len({tuple(row[key] for key in stream.primary_key) for row in found}) == len(found) == 8


def test_an_outer_object_without_its_id_is_an_error() -> None:
    rows = Rows(resource="orders", path="lines.taxes", parent="order", need_ids=True)
    with pytest.raises(AirbyteTracedException, match=r"come without lines\.id: "):
        rows.of({"id": 1, "lines": [{"taxes": [{"id": 5}]}]})


def refers_to_a_stream(stream: StreamRow) -> Iterator[str]:
    """Objects in its records that are the records of a stream, by their documented kinds; where
    that is not documented, by their names in other streams."""
    known, unclear = _objects_of(stream)
    yield from known
    yield from (name for name in unclear if name in _known_references())


def _objects_of(stream: StreamRow) -> tuple[list[str], list[str]]:
    """Names of objects of which a stream has the records, and of those without a known kind."""
    known, unclear = [], []
    documented_fields = fields()[object_of(stream)]
    for name, schema in load(stream.schema)["properties"].items():
        is_object = "object" in types(schema) and "array" not in types(schema)
        if not is_object or "id" not in schema.get("properties", {}) or name in NO_REFERENCES:
            continue
        kind = documented_fields[name].of if name in documented_fields else ""
        if SAME_AS.get(kind, kind) in _read_kinds():
            known.append(name)
        elif not kind:
            unclear.append(name)
    return known, unclear


@lru_cache
def _read_kinds() -> frozenset[str]:
    return frozenset(map(object_of, STREAMS))


@lru_cache
def _known_references() -> frozenset[str]:
    return frozenset(name for stream in STREAMS for name in _objects_of(stream)[0])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_what_a_record_refers_to_has_its_id_in_a_column(stream: StreamRow) -> None:
    properties = load(stream.schema)["properties"]
    wanted = {f"{name}_id" for name in refers_to_a_stream(stream)}
    assert wanted - properties.keys() == set()
    made = {
        name
        for name, schema in properties.items()
        if schema.get("description") == id_description(name)
    }
    assert made <= wanted, "columns without a reference"
    assert made.isdisjoint(fields()[object_of(stream)]), "Coupa has fields of these names"


def id_description(column: str) -> str:
    """What the schemas say of a column that the connector adds."""
    return f"The `id` in `{column.removesuffix('_id')}`."


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_cursor_is_a_documented_update_time(stream: StreamRow) -> None:
    if stream.cursor:
        assert endpoints()[stream.path].has_updated_at
        assert stream.cursor == (f"{stream.parent}_updated_at" if stream.rows else "updated_at")


@pytest.mark.parametrize("stream", [s for s in STREAMS if s.nested], ids=lambda s: s.name)
def test_a_nested_stream_knows_the_scopes_of_its_parents(stream: StreamRow) -> None:
    parents = endpoints()[stream.path.partition("/:")[0]]
    assert set(stream.parent_scopes or stream.scopes) == parents.scopes


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_record_with_every_documented_field_has_no_undeclared_path(stream: StreamRow) -> None:
    assert [place.path for place in documented(stream) if place.schema is None] == []


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_fields_have_their_documented_types(stream: StreamRow) -> None:
    wrong = [
        f"{place.path}: {types(place.schema)}, documented as {place.field.type}"
        for place in documented(stream)
        if place.schema is not None
        and (place.object, place.field.name) not in OTHER_TYPES
        and not JSON_TYPES.get(place.field.type, set()) <= set(types(place.schema))
    ]
    assert wrong == []


PRINTED = [
    stream
    for stream in STREAMS
    if not stream.rows and stream.path not in HAND_MADE and documented_records(stream.path)
]
"""The others are tested in `test_schemas`."""
CUSTOM_FIELDS = frozenset(
    """
    api_user attachment buyer custom_attach custom_field_2 custom_field_3 custom_field_4 date
    height_passthrough project2 received test_text_field
    """.split()  # noqa: SIM905
)
"""Fields of the printed orders, requisitions and items that their instances made themselves."""


@pytest.mark.parametrize("stream", PRINTED, ids=lambda stream: stream.name)
def test_a_printed_record_fits_the_schema(stream: StreamRow) -> None:
    schema = load(stream.schema)
    for record in map(snake_case, documented_records(stream.path)):
        assert [error.json_path for error in Draft7Validator(schema).iter_errors(record)] == []
        assert record.keys() - schema["properties"].keys() <= CUSTOM_FIELDS


def test_no_exception_is_out_of_date() -> None:
    known = {(kind, name) for kind, of in fields().items() for name in of}
    assert OTHER_TYPES.keys() <= known
    assert NOT_READ.keys() <= known
