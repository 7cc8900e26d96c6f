"""The parts of `bin/sync` that need no PyAirbyte. `test_sync_command` runs the whole."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from integration_tests.databases import schema_of
from integration_tests.reference.manifest import STREAMS as ROWS_OF_STREAMS
from sync import report
from sync.caches.columns import Kind, column_of, kind_of
from sync.changes import StreamResult, rank
from sync.comparison import differences
from sync.errors import SyncError
from sync.plain import plain
from sync.sandbox import EDITS, RESOURCE_OF_STREAM, ROWS
from sync.settings import load_config, schema_name, secrets_of, without_secrets
from sync.streams import named_streams, unknown_stream

STREAMS = [row.name for row in ROWS_OF_STREAMS]

HOSTILE = (
    "[/nope]",
    "[red]paid",
    ":smile:",
    "\x1b[2J\x1b]0;t\x07",
    "a\rb\x9b31m",
    "\u202eabc\u2066",
)
"""Values that a terminal, or a library that prints on it, may take for more than text."""


@pytest.mark.parametrize(
    ("instance_url", "schema"),
    [
        ("https://acme.coupahost.com", "acme_coupahost_com"),
        (" https://Acme.coupahost.com/ ", "acme_coupahost_com"),
        ("acme-test.coupacloud.com", "acme_test_coupacloud_com"),
        ("http://localhost:8080", "localhost_8080"),
        ("https://3m.coupahost.com", "coupa_3m_coupahost_com"),
        ("", "coupa"),
    ],
)
def test_schema_is_named_after_the_instance(instance_url: str, schema: str) -> None:
    assert schema_name({"instance_url": instance_url}) == schema


def test_instances_of_one_name_at_two_domains_have_two_schemas() -> None:
    domains = ("coupahost.com", "coupacloud.com")
    schemas = {schema_name({"instance_url": f"https://acme.{domain}"}) for domain in domains}
    assert len(schemas) == 2


def test_secrets_are_redacted() -> None:
    config = {
        "client_id": "an-id-4711",
        "client_secret": " a-secret-0815 ",
        "credentials": {"auth_type": "authorization_code", "refresh_token": "renew-1623"},
        "other": "kept",
    }
    text = "Coupa refuses a-secret-0815 of an-id-4711 and renew-1623, other is kept"
    struck_out = without_secrets(text, secrets_of(config))
    assert struck_out == "Coupa refuses **** of **** and ****, other is kept"


def test_settings_without_secrets_leave_a_text_alone() -> None:
    secrets = secrets_of({"client_secret": "", "client_id": None})
    assert without_secrets("text", secrets) == "text"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is not a JSON file"),
        (b"\xff\xfe", "is not a JSON file"),
        (b"[" * 100_000, "is not a JSON file"),
        (b'"text"', "must hold a JSON object"),
    ],
)
def test_config_that_is_no_json_object_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(SyncError, match=problem):
        load_config(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_config_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"client_id": "\u00e9"}', encoding=encoding)
    assert load_config(path) == {"client_id": "\u00e9"}


def test_folder_as_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SyncError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_demo_edits_and_serves_every_stream() -> None:
    assert list(EDITS) == list(RESOURCE_OF_STREAM)
    assert set(RESOURCE_OF_STREAM.values()) == set(ROWS)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 80 columns, as the command makes it."""
    output = io.StringIO()
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    return report.console()


def printed(console: Console) -> str:
    file: Any = console.file
    text: str = file.getvalue()
    return text


def test_values_are_shown_as_text(terminal: Console) -> None:
    rows = [{"status": value, "count": 1} for value in HOSTILE]
    report.show_query(terminal, "SELECT status", rows)
    note = SimpleNamespace(streams=[], notes=HOSTILE, failures=[])
    report.show_result(terminal, "Sync", note)  # type: ignore[arg-type]
    text = printed(terminal)
    for value in HOSTILE:
        assert text.count(plain(value)) == 2, value
    assert not [letter for letter in text if letter in "\x07\x9b\r\u202e\u2066"]
    assert "\x1b[2J" not in text


@pytest.mark.parametrize("value", HOSTILE)
def test_a_plain_text_has_no_control_or_bidirectional_characters(value: str) -> None:
    assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066"} & set(plain(value))


def test_a_plain_text_keeps_every_script() -> None:
    for text in (
        "发票",
        "\u0641\u0627\u062a",
        "\u0645\u06cc\u200c\u062e",
        "हिन्दी",
        "é",
        "👩\u200d💻",
    ):
        assert plain(text) == text


def a_result(stream: str) -> StreamResult:
    latest = datetime(2026, 11, 26, 1, 2, 3, tzinfo=timezone.utc)
    return StreamResult(
        stream, rows=4_770_123, new=104_000, updated=9_999, again=150, latest=latest
    )


def test_names_of_streams_are_never_cut(terminal: Console) -> None:
    streams = sorted(STREAMS, key=len)
    for longest in (streams[0], streams[len(streams) // 2], streams[-1]):
        result: Any = SimpleNamespace(streams=[a_result(longest)], notes=[], failures=[])
        report.show_result(terminal, "Sync", result)
        line = next(each for each in printed(terminal).splitlines() if longest in each)
        assert "4,770,123" in line
    assert max(map(len, printed(terminal).splitlines())) <= 80


def test_a_log_file_is_as_wide_as_the_longest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    console = report.console()
    longest = max(STREAMS, key=len)
    result: Any = SimpleNamespace(streams=[a_result(longest)], notes=[], failures=[])
    report.show_result(console, "Sync", result)
    assert f"{longest}  104,000" in printed(console)
    assert "2026-11-26 01:02:03" in printed(console)


@pytest.mark.parametrize(
    "arguments", [["users", "invoices"], ["users,invoices"], ["users,", " invoices , users"]]
)
def test_streams_are_named_with_blanks_or_commas(arguments: list[str]) -> None:
    assert named_streams(arguments) == ["users", "invoices"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("invoice", "invoices"),
        ("Users", "users"),
        ("purchase-orders", "purchase_orders"),
        ("supplers", "suppliers"),
        ("allocations", "invoice_line_allocations"),
    ],
)
def test_a_wrong_name_of_a_stream_brings_the_nearest(name: str, nearest: str) -> None:
    sentence = unknown_stream(name, STREAMS)
    assert f"no stream {name} that" in sentence
    assert nearest in sentence
    assert len(sentence) < 300


def test_a_name_like_no_other_brings_the_way_to_all() -> None:
    assert "leave out --streams" in unknown_stream("nothing", STREAMS).lower()


RECORD = {
    "id": 7,
    "total": "10.50",
    "rate": 1.0,
    "invoice-date": "2024-03-10T00:00:00+09:00",
    "supplier": {"name": "ACME", "tags": ["a", "a"]},
    "gpo-entity": "unknown to every schema",
}
ROW = {
    "_airbyte_raw_id": "x",
    "id": 7,
    "total": "10.50",
    "rate": Decimal("1.00"),
    "invoice_date": datetime(2024, 3, 9, 15, tzinfo=timezone.utc),
    "supplier": '{"name": "ACME", "tags": ["a", "a"]}',
    "_airbyte_meta": {"undeclared": {"gpo_entity": "unknown to every schema"}},
}


def test_a_row_that_holds_all_values_is_no_difference() -> None:
    assert list(differences([RECORD], [ROW])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"_airbyte_meta": {}},
        {"total": "10.5"},
        {"rate": None},
        {"supplier": '{"name": "ACME", "tags": ["a"]}'},
        {"invoice_date": datetime(2024, 3, 10, tzinfo=timezone.utc)},
    ],
)
def test_a_value_that_is_lost_or_changed_is_found(change: dict[str, Any]) -> None:
    [difference] = differences([RECORD], [{**ROW, **change}])
    assert difference.startswith("record 7 lacks ")


def test_a_record_that_is_missing_or_too_many_is_found() -> None:
    assert list(differences([RECORD], [])) == ["record 7 is missing"]
    assert list(differences([], [ROW])) == ["record 7 is not in Coupa"]


def test_columns_of_all_streams_have_the_names_of_their_fields() -> None:
    for row in ROWS_OF_STREAMS:
        for field in schema_of(row.name):
            assert column_of(field) == field


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ({"type": "integer"}, Kind.INTEGER),
        ({"type": ["null", "integer", "number"]}, Kind.NUMBER),
        ({"type": ["null", "array", "object"]}, Kind.JSON),
        ({"type": ["null", "string", "array"]}, Kind.TEXT),
        ({"type": ["null", "boolean", "integer"]}, Kind.TEXT),
        ({"type": ["null", "string"], "format": "date-time"}, Kind.INSTANT),
        ({"type": ["null", "string"], "format": "date"}, Kind.TEXT),
        ({"type": "null"}, Kind.TEXT),
        ({}, Kind.TEXT),
    ],
)
def test_a_column_of_mixed_types_takes_text(definition: dict[str, Any], kind: Kind) -> None:
    assert kind_of(definition) is kind


def test_the_query_joins_where_both_sides_have_rows() -> None:
    def query(**rows: int) -> str | None:
        streams = [SimpleNamespace(stream=name, rows=count) for name, count in rows.items()]
        return report.query_for(SimpleNamespace(streams=streams))  # type: ignore[arg-type]

    assert "JOIN suppliers_typed" in str(query(invoices=3, suppliers=1, users=1))
    assert "JOIN" not in str(query(invoices=3, suppliers=0))
    assert "JOIN users_typed" in str(query(expenses=3, users=1))
    assert query(projects=3) is None


def test_a_file_has_room_for_long_names_unless_its_width_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    assert report.console().width == 120
    monkeypatch.setenv("COLUMNS", "100")
    assert report.console().width == 100
    monkeypatch.setenv("COLUMNS", "40")
    assert report.console().width == 80


@pytest.mark.parametrize(
    ("columns", "first"),
    [
        (["account_type_id", "created_at", "currency_id", "number", "status"], "number"),
        (["archive", "created_at", "fullname", "manager_id", "updated_at"], "fullname"),
        (["created_at", "note", "user_id"], "note"),
    ],
)
def test_columns_that_tell_most_come_first(columns: list[str], first: str) -> None:
    ranked = sorted(columns, key=rank)
    assert ranked[0] == first
    ids = [name for name in columns if name.endswith("_id")]
    assert ranked[-len(ids) :] == ids
