"""Revisions of purchase orders: whose id counts, and what changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator

from integration_tests.harness import records_by_stream, run_read
from integration_tests.sandbox import Dialect, Sandbox
from integration_tests.truth import (
    COMPLETE,
    INCOMPLETE,
    in_order,
    last_status,
    messages_of,
    truth_of,
)
from source_coupa.records.revisions import flat_revision
from unit_tests.conventions.schemas import load
from unit_tests.conventions.test_schemas import SAMPLES, snake_case

REVISION = {"revision-record": {"id": 30, "created-at": "2010-12-11T14:27:15-08:00"}, "id": 2143}


def changed(**fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = flat_revision({**REVISION, **fields})["changed_fields"]
    return found


@pytest.fixture
def printed() -> dict[str, Any]:
    """The revision of page 0242."""
    file = SAMPLES / "purchase_order_revisions-0242-object.json"
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def test_the_id_is_that_of_the_revision_not_that_of_the_order(printed: dict[str, Any]) -> None:
    row = flat_revision(printed)
    assert (row["id"], row["purchase_order_id"]) == (30, 2143)
    assert row["created_at"] == "2010-12-11T14:27:15-08:00"
    assert row["revision_record"]["revision"] == 1


def test_all_that_coupa_prints_is_kept(printed: dict[str, Any]) -> None:
    row = flat_revision(printed)
    whole = {
        "revision_record": row["revision_record"],
        "id": row["purchase_order_id"],
        **row["changes"],
    }
    assert whole == snake_case(printed)


def test_each_pair_is_a_row_with_the_id_of_its_object(printed: dict[str, Any]) -> None:
    rows = {row["path"]: row for row in flat_revision(printed)["changed_fields"]}
    assert len(rows) == 15
    line = rows["/order_lines/1/need_by_date"]
    assert line == {
        "path": "/order_lines/1/need_by_date",
        "from_value": "2010-12-11T04:40:42-08:00",
        "to_value": "2010-12-11T00:00:00-08:00",
        "object_id": 3061,
    }
    assert (rows["/version"]["from_value"], rows["/version"]["to_value"]) == ("1", "2")
    assert rows["/version"]["object_id"] == 2143
    assert json.loads(rows["/ship_to_user"]["to_value"])["login"] == "user6"


def test_the_printed_revision_fits_the_schemas(printed: dict[str, Any]) -> None:
    row = flat_revision(printed)
    assert list(Draft7Validator(load("purchase_order_revisions")).iter_errors(row)) == []
    changes = Draft7Validator(load("purchase_order_revision_changes"))
    for change in row["changed_fields"]:
        assert list(changes.iter_errors({"purchase_order_revision_id": row["id"], **change})) == []


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), ("", ""), (1, "1"), ({"a": "é"}, '{"a":"é"}'), ([], "[]")]
)
def test_values_are_text(value: Any, text: str | None) -> None:
    assert changed(total={"from": value, "to": 2})[0]["from_value"] == text


def test_a_value_that_is_nested_deeply_is_text_too() -> None:
    text = "[" * 300 + "]" * 300
    assert changed(total={"from": json.loads(text)})[0]["from_value"] == text


def test_a_pair_may_lack_one_side() -> None:
    assert changed(note={"to": "new"}) == [
        {"path": "/note", "from_value": None, "to_value": "new", "object_id": 2143}
    ]


def test_no_two_changes_of_a_revision_have_one_path() -> None:
    pair = {"from": 1, "to": 2}
    rows = changed(**{"a-b": pair, "a_b": pair, "a/b": pair, "a": {"b": pair}, "a~1b": pair})
    assert len({row["path"] for row in rows}) == len(rows) == 5


@pytest.mark.parametrize("head", [{}, {"revision-record": None}, {"revision-record": {}}])
def test_a_revision_without_an_id_has_none(head: dict[str, Any]) -> None:
    assert flat_revision({**head, "id": 2143})["id"] is None


@pytest.mark.parametrize("head", [None, "text", [{"id": 3}], {"id": None}])
def test_a_revision_without_an_id_ends_its_tables_alone(no_budget: None, head: Any) -> None:
    streams = ("purchase_order_revisions", "purchase_order_revision_changes", "users")
    rows = {"purchase_order_revisions": 60, "users": 3}
    with Sandbox(rows, dialect=Dialect(rate_limit=None)) as sandbox:
        table = sandbox.tables["purchase_order_revisions"]
        table.edit(table.ids()[30], {"revision-record": head})
        output = run_read(sandbox, streams)
    assert [last_status(output, stream) for stream in streams] == [INCOMPLETE, INCOMPLETE, COMPLETE]
    assert "come without revision-record.id: an API response filter" in messages_of(output)[0]


@pytest.mark.parametrize("lines", [None, "none", ["a", None, [{"from": [], "to": None}]], {}])
def test_changes_in_any_form_lose_nothing(lines: Any) -> None:
    row = flat_revision({**REVISION, "order-lines": lines, "changes": [1], "from": 1})
    assert row["changes"] == {"order_lines": lines, "changes": [1], "from": 1}


def test_a_record_may_lack_the_id_of_its_order() -> None:
    assert flat_revision({"revision-record": {"id": 30}})["purchase_order_id"] is None


def test_revisions_are_read_by_their_own_ids(no_budget: None) -> None:
    with Sandbox({"purchase_order_revisions": 120}, dialect=Dialect(rate_limit=None)) as sandbox:
        table = sandbox.tables["purchase_order_revisions"]
        output = run_read(sandbox, ["purchase_order_revisions"])
        asked = [request.query for request in sandbox.requests_for("purchase_order_revisions")]
    rows = records_by_stream(output)["purchase_order_revisions"]
    assert [row["id"] for row in rows] == table.ids()
    assert {row["purchase_order_id"] for row in rows}.isdisjoint(table.ids())
    assert any(query.get("id[gt]") for query in asked)
    assert not any(query.get("fields") for query in asked), "an id alone would be that of an order"


def test_revisions_with_custom_fields_of_any_name_are_whole(no_budget: None) -> None:
    dialect = Dialect(rate_limit=None)
    name = "purchase_order_revisions"
    with Sandbox({name: 20}, dialect=dialect, custom_fields=True) as sandbox:
        rows = records_by_stream(run_read(sandbox, [name]))[name]
        assert sorted(rows, key=in_order) == sorted(truth_of(sandbox, name), key=in_order)
