"""Fields that no schema declares: what discover makes of them, and where a read puts them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import discover, records_by_stream, run_read
from integration_tests.reference.manifest import STREAMS, columns_of
from integration_tests.sandbox import Fault, Record, Sandbox
from integration_tests.sandbox.resources import ALL_SCOPES
from integration_tests.truth import UNLIMITED, messages_of, truth
from source_coupa import source
from source_coupa.tables.columns import ADDITIONAL_FIELDS

pytestmark = pytest.mark.usefixtures("no_budget")

SCOPES = ("core.user.read", "core.invoice.read", "core.expense.read")
OLDER = {"legacy-code": "A", "legacy-total": 7, "legacy-choice": {"id": 1}}
CHILD = {"pool": "B"}


def static(stream: str) -> list[str]:
    return list(columns_of(next(row for row in STREAMS if row.name == stream)))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    rows = {"users": 6, "invoices": 6}
    with Sandbox(rows, dialect=UNLIMITED) as sandbox:
        sandbox.revoke(*ALL_SCOPES)
        sandbox.grant(*SCOPES)
        for path in rows:
            table = sandbox.tables[path]
            for id in table.ids():
                lines = [{**line, **CHILD} for line in table.get(id).get("invoice-lines") or ()]
                added = {"invoice-lines": lines} if lines else {}
                table.edit(id, {**OLDER, **added}, touch=False)
        yield sandbox


def discovered(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Stream -> its columns."""
    run = discover(sandbox.config())
    assert (run.exit_code, run.errors) == (0, [])
    [message] = run.of_type("CATALOG")
    return {
        stream["name"]: stream["json_schema"]["properties"]
        for stream in message["catalog"]["streams"]
    }


def lacking(columns: Mapping[str, Any], stream: str) -> set[str]:
    """The columns that are not in the schema that the connector ships."""
    return columns.keys() - {*static(stream), ADDITIONAL_FIELDS}


class TestDiscover:
    def test_declares_what_the_lists_show(self, sandbox: Sandbox) -> None:
        found = discovered(sandbox)
        assert lacking(found["users"], "users") >= {"legacy_code", "legacy_total", "legacy_choice"}
        assert found["invoices"]["legacy_total"] == {"type": ["null", "number"]}
        assert "pool" in lacking(found["invoice_lines"], "invoice_lines")
        assert all(ADDITIONAL_FIELDS in columns for columns in found.values())

    def test_gives_the_same_catalog_for_the_same_records(self, sandbox: Sandbox) -> None:
        once, again = discovered(sandbox), discovered(sandbox)
        assert [(s, list(c.items())) for s, c in once.items()] == [
            (s, list(c.items())) for s, c in again.items()
        ]

    def test_asks_each_list_once(self, sandbox: Sandbox) -> None:
        discovered(sandbox)
        looks = [request.query for request in sandbox.requests_for("invoices")]
        assert looks == [{"order_by": "id", "dir": "desc", "limit": "50"}]

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("status", resource="invoices", status=500),
            Fault("status", resource="invoices", status=404),
            Fault("drop", resource="invoices"),
            Fault("invalid_json", resource="invoices"),
            Fault("object", resource="invoices"),
            Fault("html_200", resource="invoices"),
            Fault("status", resource="invoices", status=200, body=b"[1, null]"),
            Fault("status", resource="invoices", status=200, body=b'[{"a": "\xff"}]'),
        ],
        ids=lambda fault: f"{fault.kind} {fault.status} {fault.body}"[:40],
    )
    def test_keeps_the_schema_of_a_list_that_fails(self, sandbox: Sandbox, fault: Fault) -> None:
        sandbox.faults.add(fault)
        found = discovered(sandbox)
        assert lacking(found["invoices"], "invoices") == set()
        assert lacking(found["invoice_lines"], "invoice_lines") == set()
        assert lacking(found["users"], "users")

    def test_looks_again_where_a_list_failed_for_a_moment(self, sandbox: Sandbox) -> None:
        """Columns that go for a moment would be taken out of connections."""
        sandbox.faults.add(Fault("status", resource="invoices", status=503, times=1))
        assert "legacy_code" in discovered(sandbox)["invoices"]

    def test_keeps_the_schema_of_a_list_that_is_late(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        is_over = threading.Event()
        monkeypatch.setattr(source, "LOOK_SECONDS", 2.0)
        sandbox.before_each(lambda _, r: r.resource == "invoices" and is_over.wait(30))  # type: ignore[arg-type]
        try:
            found = discovered(sandbox)
        finally:
            is_over.set()
        assert lacking(found["invoices"], "invoices") == set()
        assert lacking(found["users"], "users")


def read(sandbox: Sandbox, stream: str, columns: Collection[str]) -> list[Record]:
    """The rows of a stream whose connection has these columns."""
    output = run_read(sandbox, [stream], columns={stream: columns})
    assert messages_of(output) == []
    return records_by_stream(output)[stream]


def lines_of(output: EntrypointOutput) -> list[str]:
    texts = [message.log.message for message in output.logs if message.log]
    return [text for text in texts if "have no column" in text]


class TestRead:
    def test_fills_the_columns_of_the_catalog(self, sandbox: Sandbox) -> None:
        columns = discovered(sandbox)["users"]
        rows = read(sandbox, "users", columns)
        expected = truth(sandbox, "users")
        assert {row["id"]: row for row in rows} == expected
        assert not any(ADDITIONAL_FIELDS in row for row in rows)

    def test_keeps_what_the_catalog_does_not_have(self, sandbox: Sandbox) -> None:
        rows = read(sandbox, "users", [*static("users"), ADDITIONAL_FIELDS])
        expected = truth(sandbox, "users")
        for row in rows:
            others = row.pop(ADDITIONAL_FIELDS)
            assert others["legacy_choice"] == {"id": 1}
            assert {**row, **others} == expected[row["id"]]
            assert not row.keys() & others.keys()

    def test_a_deselected_column_is_not_kept_elsewhere(self, sandbox: Sandbox) -> None:
        columns = set(discovered(sandbox)["users"]) - {"email", "custom_fields"}
        output = run_read(sandbox, ["users"], columns={"users": columns})
        assert not any(ADDITIONAL_FIELDS in row for row in records_by_stream(output)["users"])
        assert lines_of(output) == []

    def test_a_discovered_column_that_is_deselected_counts_as_unknown(
        self, sandbox: Sandbox
    ) -> None:
        """Nothing tells it from one that is new, and that must not be lost: to leave it out, the
        column for all others has to be deselected too."""
        columns = set(discovered(sandbox)["users"]) - {"legacy_code"}
        for row in read(sandbox, "users", columns):
            assert "legacy_code" not in row
            assert row[ADDITIONAL_FIELDS] == {"legacy_code": "A"}

    @pytest.mark.parametrize("columns", [(), static("users")], ids=["none", "older"])
    def test_a_catalog_without_that_column_gets_the_fields_as_they_are(
        self, sandbox: Sandbox, columns: Collection[str]
    ) -> None:
        """Such catalogs are older than the column; some destinations keep what no schema has."""
        rows = read(sandbox, "users", columns)
        assert {row["id"]: row for row in rows} == truth(sandbox, "users")

    def test_an_older_catalog_is_warned_that_the_fields_have_no_column(
        self, sandbox: Sandbox
    ) -> None:
        output = run_read(sandbox, ["users"], columns={"users": static("users")})
        [line] = lines_of(output)
        assert "legacy_choice, legacy_code, legacy_total" in line
        assert "cannot keep them" in line

    def test_child_rows_keep_what_their_catalog_does_not_have(self, sandbox: Sandbox) -> None:
        columns = [*static("invoice_lines"), ADDITIONAL_FIELDS]
        rows = read(sandbox, "invoice_lines", columns)
        assert rows
        assert all(row[ADDITIONAL_FIELDS]["pool"] == "B" for row in rows)
