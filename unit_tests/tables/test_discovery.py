"""Columns that no schema declares, from a look at the newest records of each list."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteStream, FailureType, SyncMode
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.records.fields import JsonRecord
from source_coupa.streams import StreamRow
from source_coupa.tables.columns import ADDITIONAL_FIELDS
from source_coupa.tables.discovery import look_at, with_columns

from .parts import STREAMS as PARTS

STREAMS = {stream.name: stream for stream in PARTS}
LINES = STREAMS["invoice_lines"]
HOSTILE = ("Cost Center", "COST_CENTER", "予算コード", "select", "", "a.b", "x" * 80, "ID")


def described(**properties: Any) -> AirbyteStream:
    return AirbyteStream(
        name="any",
        json_schema={"properties": {"id": {"type": "integer"}, **properties}},
        supported_sync_modes=[SyncMode.full_refresh],
    )


def columns(stream: StreamRow, *records: JsonRecord, **properties: Any) -> dict[str, Any]:
    """What is declared of a stream whose list holds these records."""
    seen = {stream.resource: list(records)}
    declared: dict[str, Any] = with_columns(described(**properties), stream, seen).json_schema[
        "properties"
    ]
    return declared


def looked(
    lists: Mapping[str, Any],
    streams: Iterable[StreamRow] = PARTS,
    *,
    seconds: float = 10.0,
    asked: list[str] | None = None,
) -> dict[str, list[JsonRecord]]:
    """A look at lists, of which each gives its records, or raises or does what it is."""

    def look(stream: StreamRow) -> list[JsonRecord]:
        if asked is not None:
            asked.append(stream.resource)
        records = lists.get(stream.resource, [])
        if isinstance(records, Exception):
            raise records
        if callable(records):
            return list(records())
        return list(records)

    return look_at(list(streams), look, seconds=seconds, parallel=2)


class TestLook:
    def test_each_list_is_asked_once_for_all_of_its_streams(self) -> None:
        asked: list[str] = []
        looked({}, asked=asked)
        assert sorted(asked) == ["currencies", "invoices", "users"]

    def test_names_have_underscores_at_every_depth(self) -> None:
        record = {"po-number": 1, "lines": [{"a-b": 1}]}
        seen = looked({"invoices": [record]})
        assert seen["invoices"] == [{"po_number": 1, "lines": [{"a_b": 1}]}]

    def test_a_list_of_records_in_a_shape_of_their_own_is_left_alone(self) -> None:
        asked: list[str] = []
        revisions = StreamRow("revisions", "revisions", ("s",), shape="revision")
        assert looked({}, [revisions], asked=asked) == {}
        assert asked == []

    def test_a_list_that_fails_is_left_out_and_named(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "airbyte"):
            seen = looked(
                {"invoices": AirbyteTracedException(message="HTTP 500"), "users": [{"id": 1}]}
            )
        assert seen.keys() == {"users", "currencies"}
        [line] = caplog.messages
        assert line.startswith("/api/invoices could not be looked at")

    @pytest.mark.parametrize(
        ("kind", "asked"), [(FailureType.transient_error, 2), (FailureType.system_error, 1)]
    )
    def test_a_failure_that_may_pass_is_looked_at_twice(
        self, kind: FailureType, asked: int
    ) -> None:
        names: list[str] = []
        failure = AirbyteTracedException(message="HTTP 503", failure_type=kind)
        looked({"invoices": failure}, [STREAMS["invoices"]], asked=names)
        assert len(names) == asked

    def test_a_record_that_is_nested_too_deep_costs_its_list_alone(self) -> None:
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        assert looked({"invoices": [{"a": deep}]}).keys() == {"users", "currencies"}
        while deep:
            deep = deep.pop()

    def test_a_list_that_is_late_is_left_out_and_named(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        is_over = threading.Event()
        late = {"invoices": lambda: is_over.wait(60) and [{"id": 1}]}
        with caplog.at_level("INFO", "airbyte"):
            seen = looked(late, [STREAMS["invoices"]], seconds=0.05)
        is_over.set()
        assert seen == {}
        assert caplog.messages == ["/api/invoices could not be looked at for more columns in time."]

    def test_a_list_that_is_late_does_not_keep_the_process(self) -> None:
        program = (
            "import time; from source_coupa.streams import StreamRow; "
            "from source_coupa.tables.discovery import look_at; "
            "look_at([StreamRow('a', 'a', ('s',))], lambda _: time.sleep(600), "
            "seconds=0.05, parallel=1)"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


class TestColumns:
    def test_a_field_that_the_schema_lacks_gets_a_column(self) -> None:
        found = columns(STREAMS["invoices"], {"id": 1, "gpo_entity": {"id": 3}, "pool": "A"})
        assert found["gpo_entity"]["type"] == ["null", "object"]
        assert found["pool"] == {"type": ["null", "string"]}

    @pytest.mark.parametrize("name", ["_ab_cdc_deleted_at", "_airbyte_raw_id", "_Airbyte_Meta"])
    def test_a_field_with_a_name_of_airbyte_gets_none(self, name: str) -> None:
        """A destination would delete rows that have a value in the first one."""
        record = {"id": 1, name: "2020-01-01T00:00:00Z"}
        for stream in (STREAMS["invoices"], LINES):
            seen = {"id": 1, "invoice_lines": [record], **record}
            assert name not in columns(stream, seen)

    def test_a_list_below_each_record_is_looked_at_where_the_records_show_it(self) -> None:
        addresses = [{"id": 1, "pool": "A", "user_id": 2}]
        users: list[JsonRecord] = [
            {"id": 1, "addresses": addresses, "own": 1},
            {"id": 2, "addresses": "x"},
            {"id": 3},
        ]
        found = columns(STREAMS["user_addresses"], *users, user_id={"type": "integer"})
        assert found.keys() == {"id", "user_id", "pool", ADDITIONAL_FIELDS}

    def test_what_the_schema_declares_stays_as_it_is(self) -> None:
        status = {"type": ["null", "string"], "description": "Its own."}
        found = columns(STREAMS["invoices"], {"id": "x", "status": 7}, status=status)
        assert found["id"] == {"type": "integer"}
        assert found["status"] == status

    def test_every_stream_has_the_column_for_all_others(self) -> None:
        for stream in PARTS:
            assert columns(stream)[ADDITIONAL_FIELDS]["type"] == ["null", "object"]

    def test_a_field_with_the_name_of_that_column_does_not_change_it(self) -> None:
        found = columns(STREAMS["invoices"], {"id": 1, ADDITIONAL_FIELDS: "theirs"})
        assert found[ADDITIONAL_FIELDS]["type"] == ["null", "object"]

    def test_fields_in_lists_are_columns_of_the_child_table(self) -> None:
        tax = {"id": 7, "tax_pool": "B"}
        record = {
            "id": 1,
            "updated_at": "2026-06-01T00:00:00Z",
            "gpo_entity": "x",
            "invoice_lines": [{"id": 5, "tax_lines": [tax]}, {"id": 6, "pool": 1}],
        }
        lines = columns(LINES, record)
        assert lines["pool"] == {"type": ["null", "number"]}
        assert "gpo_entity" not in lines
        taxes = columns(STREAMS["invoice_taxes"], record)
        assert taxes["tax_pool"] == {"type": ["null", "string"]}
        assert "pool" not in taxes

    @pytest.mark.parametrize("rows", ["x", {"id": 1}, [1], [{"id": 1}, None]])
    def test_odd_lists_leave_the_schema_of_the_child_table(self, rows: Any) -> None:
        found = columns(LINES, {"id": 1, "invoice_lines": rows})
        assert found.keys() == {"id", ADDITIONAL_FIELDS}

    def test_an_odd_list_hides_no_column_of_other_records(self) -> None:
        records = ({"id": 1, "invoice_lines": "x"}, {"id": 2, "invoice_lines": [{"pool": 1}]})
        for order in (records, records[::-1]):
            assert "pool" in columns(LINES, *order)

    @pytest.mark.parametrize("record", [{}, {"id": 1}, {"invoice_lines": [{"pool": 1}]}])
    def test_records_without_an_id_or_a_list_give_no_rows(self, record: JsonRecord) -> None:
        assert columns(LINES, record).keys() == {"id", ADDITIONAL_FIELDS}

    def test_a_list_below_single_records_is_not_that_of_its_parents(self) -> None:
        assert "pool" not in columns(STREAMS["user_addresses"], {"id": 1, "pool": 1})

    def test_a_list_that_could_not_be_looked_at_keeps_its_schema(self) -> None:
        found = with_columns(described(), STREAMS["invoices"], {}).json_schema["properties"]
        assert found.keys() == {"id", ADDITIONAL_FIELDS}

    @pytest.mark.parametrize("name", HOSTILE)
    def test_names_stay_as_they_are(self, name: str) -> None:
        assert name in columns(STREAMS["invoices"], {"id": 1, name: "x"})

    def test_twins_have_a_column_each(self) -> None:
        [record] = looked({"invoices": [{"a-b": 1, "a_b": "x", "A-B": True}]})["invoices"]
        found = columns(STREAMS["invoices"], record)
        assert [found[name]["type"][1] for name in ("a_b", "a_b_2", "A_B")] == [
            *("string", "number", "boolean")
        ]

    def test_the_same_records_give_the_same_catalog(self) -> None:
        records = [{"id": number, name: number} for number, name in enumerate(HOSTILE)]
        first = columns(STREAMS["invoices"], *records)
        second = columns(STREAMS["invoices"], *reversed(records))
        assert list(first.items()) == list(second.items())
