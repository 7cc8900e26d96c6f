"""Nothing that Coupa sends is lost because no column is there for it."""

from __future__ import annotations

import logging
from collections.abc import Collection

import pytest

from source_coupa.tables.columns import ADDITIONAL_FIELDS, Columns

KNOWN = ("id", "status", "total")


def columns(*configured: str, known: Collection[str] = KNOWN) -> Columns:
    return Columns("invoices", configured, known)


def test_a_row_whose_fields_all_have_columns_stays_as_it_is() -> None:
    row = {"id": 1, "status": "new"}
    assert columns("id", "status", ADDITIONAL_FIELDS).of(row) is row


def test_a_field_without_a_column_is_kept_beside_the_others() -> None:
    table = columns(*KNOWN, ADDITIONAL_FIELDS)
    assert table.of({"id": 1, "cost_pool": "A", "parts": [{"id": None}], "none": ""}) == {
        "id": 1,
        ADDITIONAL_FIELDS: {"cost_pool": "A", "parts": [{"id": None}], "none": ""},
    }


def test_a_field_that_holds_nothing_is_neither_kept_nor_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No refresh of the schema would give it a column: its type is not known."""
    table = columns(*KNOWN, ADDITIONAL_FIELDS)
    assert table.of({"id": 1, "cost_pool": None}) == {"id": 1}
    with caplog.at_level(logging.WARNING, "airbyte"):
        table.report()
    assert caplog.messages == []


def test_a_field_of_the_configured_catalog_has_a_column() -> None:
    """Discover may have declared more than the schemas of the connector."""
    row = {"id": 1, "cost_pool": "A"}
    assert columns("id", "cost_pool", ADDITIONAL_FIELDS).of(row) == row


def test_a_column_that_was_deselected_is_not_kept_elsewhere() -> None:
    kept = columns("id", ADDITIONAL_FIELDS).of({"id": 1, "status": "new", "cost_pool": "A"})
    assert kept[ADDITIONAL_FIELDS] == {"cost_pool": "A"}


@pytest.mark.parametrize("configured", [(), KNOWN])
def test_where_nothing_can_be_kept_nothing_is_taken_away(configured: Collection[str]) -> None:
    row = {"id": 1, "cost_pool": "A"}
    assert columns(*configured).of(row) == row


def test_one_line_names_all_fields_without_a_column(caplog: pytest.LogCaptureFixture) -> None:
    table = columns(*KNOWN, ADDITIONAL_FIELDS)
    with caplog.at_level(logging.WARNING, "airbyte"):
        for row in ({"a": 1, "c": 2}, {"b": 3}, {"b": 1, "c": 1}):
            table.of({"id": 1, **row})
        assert caplog.messages == []
        table.report()
    [line] = caplog.messages
    assert line.startswith("Stream invoices: Coupa sends fields that have no column: a, b, c. ")
    assert ADDITIONAL_FIELDS in line


def test_a_connection_without_the_column_is_warned_that_the_field_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = columns(*KNOWN)
    table.of({"id": 1, "a": 1})
    with caplog.at_level(logging.WARNING, "airbyte"):
        table.report()
    assert "cannot keep them" in caplog.text


def test_a_field_of_coupa_with_the_name_of_that_column_is_not_lost() -> None:
    row = {"id": 1, ADDITIONAL_FIELDS: "theirs", "cost_pool": "A"}
    kept = columns(*KNOWN, ADDITIONAL_FIELDS).of(row)
    assert "theirs" in str(kept[ADDITIONAL_FIELDS])
    assert "A" in str(kept[ADDITIONAL_FIELDS])


RESERVED = ("_ab_cdc_deleted_at", "_AB_CDC_DELETED_AT", "_airbyte_raw_id", "_airbyte_meta")


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("configured", [(), ("_ab_cdc_deleted_at", "_airbyte_meta")])
def test_a_field_with_a_name_of_airbyte_is_kept_beside_the_columns(
    name: str, configured: Collection[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A destination would delete the row, or take the field for a column of its own."""
    table = columns(*KNOWN, *configured, ADDITIONAL_FIELDS)
    assert table.of({"id": 1, name: "x"}) == {"id": 1, ADDITIONAL_FIELDS: {name: "x"}}
    with caplog.at_level(logging.WARNING, "airbyte"):
        table.report()
    [line] = caplog.messages
    assert name in line
    assert "Refresh" not in line


def test_a_field_with_a_name_of_airbyte_is_not_sent_where_it_cannot_be_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = columns(*KNOWN, "_ab_cdc_deleted_at")
    assert table.of({"id": 1, "_ab_cdc_deleted_at": "x", "new": 1}) == {"id": 1, "new": 1}
    with caplog.at_level(logging.WARNING, "airbyte"):
        table.report()
    assert "_ab_cdc_deleted_at. They are not sent." in caplog.messages[0]


def test_columns_that_the_connection_leaves_out_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A catalog that is older than the connector's schema looks like a selection."""
    with caplog.at_level(logging.INFO, "airbyte"):
        columns(*KNOWN, ADDITIONAL_FIELDS).report()
        assert caplog.messages == []
        columns("id", "status", ADDITIONAL_FIELDS).report()
    assert "leaves out the columns total" in caplog.text
