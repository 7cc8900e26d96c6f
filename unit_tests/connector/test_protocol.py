"""Airbyte's protocol: statuses, states and counts of a sync, and what Coupa is asked for it.

The connector only ever reads: GET under /api/, POST for tokens, JSON throughout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType, SyncMode
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import (
    ALL_STREAMS,
    RESOURCE_OF,
    CliFiles,
    configured_catalog,
    final_states,
    records_by_stream,
    run_here,
    run_read,
    stream_state,
)
from integration_tests.sandbox import Dialect, Record, Sandbox, interesting_dialects
from source_coupa.records.fields import instant
from source_coupa.tables import fan_out
from unit_tests.failing import (
    ROWS,
    START_DATE,
    days_ago,
    failures,
    small_sandbox,
    statuses,
    traces,
)

pytestmark = pytest.mark.usefixtures("no_budget")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with small_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def spread_out() -> Iterator[Sandbox]:
    """A sandbox whose rows were changed over two years; its tests only read it."""
    rows = {"users": 90, "expense_reports": 60, "expense_lines": 60, "invoices": 90}
    with Sandbox(rows=rows, dialect=Dialect(rate_limit=None)) as running:
        yield running


def counts(output: EntrypointOutput) -> dict[str, int]:
    return {stream: len(records) for stream, records in records_by_stream(output).items()}


def by_id(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: int(record["id"]))


@pytest.mark.parametrize("mode", [SyncMode.incremental, SyncMode.full_refresh])
def test_each_stream_tells_its_statuses_in_order(spread_out: Sandbox, mode: SyncMode) -> None:
    output = run_read(spread_out, sync_mode=mode)
    assert output.errors == []
    for stream in ALL_STREAMS:
        assert statuses(output, stream) == ["STARTED", "RUNNING", "COMPLETE"]


def test_a_stream_without_records_completes() -> None:
    with Sandbox(rows={}, dialect=Dialect(rate_limit=None)) as sandbox:
        output = run_read(sandbox)
        assert output.errors == []
        assert output.records == []
        for stream in ALL_STREAMS:
            assert statuses(output, stream) == ["STARTED", "COMPLETE"]
            assert stream in state_values(output)


def state_values(output: EntrypointOutput) -> dict[str, dict[str, Any]]:
    """Stream -> its last state."""
    return {
        message.stream.stream_descriptor.name: dict(vars(message.stream.stream_state))
        for message in final_states(output)
        if message.stream and message.stream.stream_state
    }


@pytest.mark.parametrize("mode", [SyncMode.incremental, SyncMode.full_refresh])
def test_states_count_every_record_once(spread_out: Sandbox, mode: SyncMode) -> None:
    output = run_read(spread_out, sync_mode=mode)
    counted = dict.fromkeys(ALL_STREAMS, 0.0)
    for message in output.state_messages:
        assert message.state is not None
        assert message.state.stream is not None
        assert message.state.sourceStats is not None
        recorded = message.state.sourceStats.recordCount
        assert recorded is not None
        counted[message.state.stream.stream_descriptor.name] += recorded
    assert counted == counts(output)
    assert set(state_values(output)) == set(ALL_STREAMS)


def test_two_full_reads_are_equal(spread_out: Sandbox) -> None:
    first, second = (records_by_stream(run_read(spread_out)) for _ in range(2))
    for stream in ALL_STREAMS:
        assert by_id(first[stream]) == by_id(second[stream])


@pytest.mark.parametrize("hours", [0, 2, 168])
def test_a_sync_from_the_last_state_reads_only_what_is_not_older_than_the_look_back(
    spread_out: Sandbox, hours: int
) -> None:
    first = run_read(spread_out, lookback_window_hours=hours)
    second = run_read(spread_out, state=final_states(first), lookback_window_hours=hours)
    assert second.errors == []
    for stream in ALL_STREAMS:
        cursor = instant(state_values(first)[stream]["updated_at"])
        expected = [
            record["id"]
            for record in by_id(records_by_stream(first)[stream])
            if instant(record["updated_at"]) >= cursor - timedelta(hours=hours)
        ]
        again = [record["id"] for record in by_id(records_by_stream(second)[stream])]
        assert again == expected
        assert len(again) < len(records_by_stream(first)[stream])


def test_a_sync_from_each_state_brings_what_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the first sync had been stopped right behind any of its states."""
    monkeypatch.setattr(fan_out, "PAGES_PER_STATE", 1)
    streams = ("users", "invoices")
    rows = dict.fromkeys(streams, 190)
    with Sandbox(rows=rows, dialect=Dialect(rate_limit=None)) as sandbox:
        whole = run_read(sandbox, streams, num_workers=3)
        messages = whole.records_and_state_messages
        places = [number for number, message in enumerate(messages) if message.state]
        assert len(places) > 2 * len(streams)
        for place in places:
            reached = {}
            before: dict[str, list[int]] = {stream: [] for stream in streams}
            for message in messages[: place + 1]:
                if message.record:
                    before[message.record.stream].append(message.record.data["id"])
                if message.state and message.state.stream:
                    reached[message.state.stream.stream_descriptor.name] = message.state
            again = run_read(sandbox, streams, list(reached.values()), lookback_window_hours=0)
            assert again.errors == []
            for stream, records in records_by_stream(again).items():
                before[stream] += [record["id"] for record in records]
            for stream in streams:
                assert set(before[stream]) == set(sandbox.tables[stream].ids())
                assert len(before[stream]) < len(sandbox.tables[stream]) + 60, "it starts over"


def test_primary_keys_are_never_null(spread_out: Sandbox) -> None:
    for records in records_by_stream(run_read(spread_out)).values():
        assert all(isinstance(record["id"], int) for record in records)


def test_a_state_in_the_future_starts_over(sandbox: Sandbox) -> None:
    """It came from a wrong clock, or from a start date that was ahead."""
    states = {stream: {"updated_at": "2099-01-01T00:00:00+0000"} for stream in ALL_STREAMS}
    output = run_read(sandbox, state=stream_state(states))
    assert output.errors == []
    assert counts(output) == dict.fromkeys(ALL_STREAMS, ROWS)
    for stream in ALL_STREAMS:
        assert output.is_in_logs(f"The state of stream {stream} lies in the future")
        assert instant(state_values(output)[stream]["updated_at"]) < days_ago(0)


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%dT%H:%M:%S+0000",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%dT%H:%M:%S+00:00",
        "%Y-%m-%dT%H:%M:%S.000+0000",
        "%Y-%m-%dT%H:%M:%S.000000Z",
        "+0530",
        "-03:30",
    ],
)
def test_a_state_may_name_an_instant_in_any_of_these_forms(form: str) -> None:
    old, new = days_ago(20), days_ago(5)
    with Sandbox(rows={"users": 10}, spread=[old, new]) as sandbox:
        cursor = days_ago(10)
        if form[0] in "+-":
            sign = 1 if form[0] == "+" else -1
            hours, minutes = int(form[1:3]), int(form[-2:])
            local = cursor + sign * timedelta(hours=hours, minutes=minutes)
            text = local.strftime("%Y-%m-%dT%H:%M:%S") + form
        else:
            text = cursor.strftime(form)
        output = run_read(sandbox, ["users"], stream_state({"users": {"updated_at": text}}))
        assert output.errors == []
        assert counts(output) == {"users": 5}
        (lower,) = {
            request.query["updated_at[gt_or_eq]"]
            for request in sandbox.requests_for("users")
            if request.query["limit"] == "50" and "updated_at[blank]" not in request.query
        }
        assert instant(lower) == cursor - timedelta(hours=2)


def test_a_state_of_another_shape_starts_again(sandbox: Sandbox) -> None:
    state = stream_state({"users": {"some_other_key": 1}, "invoices": {}})
    output = run_read(sandbox, ["users", "invoices"], state, start_date=START_DATE)
    assert output.errors == []
    assert counts(output) == {"users": ROWS, "invoices": ROWS}


def test_a_stream_that_does_not_exist_fails_and_no_other(sandbox: Sandbox) -> None:
    output = run_read(sandbox, ["users", "purchase_unicorns"], start_date=START_DATE)
    ((stream, (message, failure_type)),) = failures(output).items()
    assert stream == "purchase_unicorns"
    assert message.startswith("Stream purchase_unicorns does not exist in this version")
    assert failure_type == FailureType.config_error
    assert statuses(output, "purchase_unicorns") == ["INCOMPLETE"]
    assert statuses(output, "users") == ["STARTED", "RUNNING", "COMPLETE"]
    assert counts(output) == {"users": ROWS}


def test_a_catalog_of_streams_that_do_not_exist_does_not_succeed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    catalog = configured_catalog("purchase_unicorns")
    run = run_here(CliFiles(tmp_path, "read", sandbox.config(), catalog).arguments())
    assert run.exit_code == 1
    assert "purchase_unicorns does not exist" in run.errors[0]["message"]
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"cursor_field": ["created_at"]},
        {"cursor_field": ["no", "such", "field"]},
        {"cursor_field": []},
        {"primary_key": [["login"]]},
        {"destination_sync_mode": "overwrite"},
        {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 1},
        {"stream": {"namespace": "finance"}},
        {"stream": {"json_schema": {}}},
        {"stream": {"json_schema": {"properties": {"id": {"type": "string"}}}}},
        {"stream": {"default_cursor_field": ["login"]}},
        {"a_key_of_a_later_protocol": True},
    ],
    ids=str,
)
def test_what_a_catalog_adds_changes_no_record(
    sandbox: Sandbox, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = sandbox.config(start_date=START_DATE)
    arguments = CliFiles(tmp_path, "read", config, configured_catalog("users")).arguments()
    path = tmp_path / "catalog.json"
    catalog = json.loads(path.read_text())
    (stream,) = catalog["streams"]
    stream |= {**changes, "stream": {**stream["stream"], **changes.get("stream", {})}}
    path.write_text(json.dumps(catalog))
    run = run_here(arguments)
    assert (run.exit_code, run.errors) == (0, [])
    read = [message["record"]["data"]["id"] for message in run.of_type("RECORD")]
    assert sorted(read) == sandbox.tables["users"].ids()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"streams": [{}]}', '{"streams": null}', "{"])
def test_a_catalog_that_is_none_fails(sandbox: Sandbox, tmp_path: Path, text: str) -> None:
    arguments = CliFiles(
        tmp_path, "read", sandbox.config(), configured_catalog("users")
    ).arguments()
    (tmp_path / "catalog.json").write_text(text)
    run = run_here(arguments)
    assert run.exit_code == 1
    assert run.errors
    assert run.of_type("RECORD") == []
    assert len(sandbox.requests) == 0


def test_a_catalog_without_streams_reads_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    run = run_here(CliFiles(tmp_path, "read", sandbox.config(), configured_catalog()).arguments())
    assert (run.exit_code, run.errors) == (0, [])
    assert run.of_type("RECORD") == run.of_type("STATE") == []
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize(
    "name",
    [
        "usual",
        "page cap 20",
        "order_by=id refused",
        "order_by=id ignored, shuffled",
        "id ranges refused",
        "unknown parameters refused",
        "updated_at refused",
        "fields refused",
    ],
)
def test_it_only_ever_reads_and_only_json(name: str, waits: object) -> None:
    rows = dict.fromkeys(RESOURCE_OF.values(), 120)
    dialect = interesting_dialects()[name].but(rate_limit=None, token_warmup=0.0)
    with Sandbox(rows=rows, dialect=dialect, spread=[days_ago(1)]) as sandbox:
        traces(run_read(sandbox, start_date=START_DATE))
        assert len(sandbox.requests) > len(ALL_STREAMS)
        for request in sandbox.requests:
            if request.resource == "oauth":
                assert (request.method, request.path) == ("POST", "/oauth2/token")
            else:
                assert request.method == "GET"
                assert request.path.removeprefix("/api/") in RESOURCE_OF.values()
                assert request.query["limit"].isdigit()
                assert int(request.query["limit"]) <= 50
                assert request.form == {}
            assert request.headers["accept"] == "application/json"
            assert "xml" not in str(request.headers.values()).lower()


def test_times_are_asked_for_in_utc(spread_out: Sandbox) -> None:
    """An offset's plus sign would have to survive every decoding on the way."""
    spread_out.requests.clear()
    run_read(spread_out, ["users"], start_date="2025-01-01T05:30:00+05:30")
    texts = [
        value
        for request in spread_out.requests_for("users")
        for name, value in request.query.items()
        if name.startswith("updated_at[") and name != "updated_at[blank]"
    ]
    for text in texts:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    assert min(texts) == "2025-01-01T00:00:00Z"
