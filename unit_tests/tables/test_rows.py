"""Rows of child tables, taken out of the records that hold them."""

from __future__ import annotations

import logging

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.records.fields import JsonRecord
from source_coupa.tables.rows import Rows


def rows(
    path: str = "order-lines", parent: str = "order", need_ids: bool = True, warns: bool = True
) -> Rows:
    return Rows(resource="orders", path=path, parent=parent, need_ids=need_ids, warns=warns)


def order(**fields: object) -> JsonRecord:
    return {"id": 1, "updated_at": "2026-01-01T00:00:00Z", **fields}


def test_a_row_names_its_parent_and_its_place() -> None:
    assert rows().of(order(order_lines=[{"id": 5}, {"id": 4}])) == [
        {
            "order_id": 1,
            "order_updated_at": "2026-01-01T00:00:00Z",
            "list_position": place,
            "id": id_,
        }
        for place, id_ in ((1, 5), (2, 4))
    ]


@pytest.mark.parametrize("value", [{"id": 1}, "", "1", 1, False, [{"id": 1}, 2], [[{"id": 1}]]])
def test_a_list_in_another_form_is_an_error(value: object) -> None:
    with pytest.raises(AirbyteTracedException) as caught:
        rows().of(order(order_lines=value))
    assert caught.value.message == (
        "Coupa sent order-lines of /api/orders in another form than a list of objects: the stream "
        "was stopped."
    )
    assert caught.value.failure_type == FailureType.system_error
    assert caught.value.internal_message == "id 1"


def test_a_row_without_its_key_is_an_error() -> None:
    odd = order(order_lines=[{"id": 5}, {"description": "no id"}])
    with pytest.raises(AirbyteTracedException) as caught:
        rows().of(odd)
    assert caught.value.message is not None
    assert caught.value.message.startswith(
        "Records of /api/orders come without order-lines.id: an API response filter in "
        "Coupa cuts it off"
    )
    assert len(rows(need_ids=False).of(odd)) == 2


def test_a_row_without_the_id_of_the_outer_object_is_an_error() -> None:
    with pytest.raises(AirbyteTracedException, match=r"come without order-lines\.id: "):
        rows("order-lines.taxes").of(order(order_lines=[{"taxes": [{"id": 5}]}]))


@pytest.mark.parametrize("id_", ["t7", "7", "", 7.0, True, {}])
def test_a_row_whose_id_makes_no_key_is_an_error(id_: object) -> None:
    """A column of whole numbers is null for it, and such rows take each other's place."""
    with pytest.raises(AirbyteTracedException) as caught:
        rows().of(order(order_lines=[{"id": 5}, {"id": id_}]))
    assert caught.value.message == (
        "Coupa sent an object in order-lines of /api/orders whose id is no whole number: the "
        "stream was stopped."
    )
    with pytest.raises(AirbyteTracedException, match=r"in order-lines of"):
        rows("order-lines.taxes").of(order(order_lines=[{"id": id_, "taxes": [{"id": 5}]}]))


def test_rows_that_have_one_key_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    table = rows("order-lines.taxes")
    lines = [{"id": 1, "taxes": [{"id": 5}]}, {"id": 2, "taxes": [{"id": 5}]}]
    with caplog.at_level(logging.WARNING, "airbyte"):
        assert len(table.of(order(order_lines=lines))) == 2
        assert caplog.messages == []
        for _ in range(2):
            assert len(table.of(order(order_lines=[*lines, lines[0]]))) == 3
    [line] = caplog.messages
    assert line.startswith(
        "Record 1 of /api/orders has several objects with the same id in order-lines.taxes. "
    )


@pytest.mark.parametrize("value", [None, []])
def test_empty_lists_give_no_rows(value: object) -> None:
    assert rows().of(order(order_lines=value)) == []
    assert rows("order-lines.taxes").of(order(order_lines=[{"id": 1, "taxes": value}])) == []


@pytest.mark.parametrize("warns", [True, False])
def test_a_list_that_is_missing_is_reported_once(
    warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    table = rows(warns=warns)
    with caplog.at_level(logging.WARNING, "airbyte"):
        assert table.of(order()) == table.of(order()) == []
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "Records of /api/orders come without order-lines"
    ] * warns


def test_a_list_that_was_there_before_may_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    table = rows()
    with caplog.at_level(logging.WARNING, "airbyte"):
        assert len(table.of(order(order_lines=[{"id": 1}]))) == 1
        assert table.of(order()) == []
    assert caplog.messages == []


def test_fields_of_a_row_that_have_the_name_of_an_added_one_are_not_lost() -> None:
    line = {
        "id": 5,
        "order_id": 1,
        "list_position": 9,
        "order_updated_at": None,
        "position": 3,
        "list_position_2": 10,
    }
    (row,) = rows().of(order(order_lines=[line]))
    assert row == {
        "order_id": 1,
        "order_updated_at": "2026-01-01T00:00:00Z",
        "list_position": 1,
        "id": 5,
        "list_position_2": 10,
        "list_position_3": 9,
        "position": 3,
    }


@pytest.mark.parametrize(
    ("outer", "columns"),
    [
        ("order-lines", {"order_line_id": 7, "order_line_position": 1}),
        ("policies", {"policy_id": 7, "policy_position": 1}),
        ("addresses", {"address_id": 7, "address_position": 1}),
    ],
)
def test_rows_of_a_list_within_a_list_name_the_outer_object(
    outer: str, columns: dict[str, int]
) -> None:
    held = {outer.replace("-", "_"): [{"id": 7, "parts": [{"id": 8}]}]}
    (row,) = rows(f"{outer}.parts").of(order(**held))
    assert row.items() >= columns.items()


def test_the_record_stays_as_it_is() -> None:
    line = {"id": 5, "order_id": 2}
    record = order(order_lines=[line])
    rows().of(record)
    assert record == order(order_lines=[{"id": 5, "order_id": 2}])
