"""The JSON files in this folder: what Airbyte's tools and newcomers take as examples."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteStateMessage, AirbyteStateMessageSerializer

from .harness import ALL_STREAMS, records_by_stream, run_read
from .sandbox import Sandbox
from .sandbox.instants import second_of

HERE = Path(__file__).parent


def _load(name: str) -> Any:
    return json.loads((HERE / name).read_text())


def _state(name: str) -> list[AirbyteStateMessage]:
    return [AirbyteStateMessageSerializer.load(message) for message in _load(name)]


def test_sample_config_opens_the_sandbox(small_sandbox: Sandbox) -> None:
    assert _load("sample_config.json") | {"instance_url": ""} == small_sandbox.config(
        instance_url=""
    )


def test_invalid_config_differs_in_the_secret_alone() -> None:
    sample, invalid = _load("sample_config.json"), _load("invalid_config.json")
    assert [key for key in sample if sample[key] != invalid[key]] == ["client_secret"]


def test_configured_catalog_selects_the_streams_to_begin_with() -> None:
    streams = [item["stream"]["name"] for item in _load("configured_catalog.json")["streams"]]
    assert streams == list(ALL_STREAMS)


def test_sample_state_brings_what_came_after() -> None:
    since = second_of(_load("sample_state.json")[0]["stream"]["stream_state"]["updated_at"])
    # records of the two years before a fixed day, so that the state divides them at any time
    clock = datetime(2026, 7, 1, tzinfo=timezone.utc)
    with Sandbox(rows={"invoices": 120}, clock=lambda: clock) as sandbox:
        output = run_read(
            sandbox, ["invoices"], _state("sample_state.json"), lookback_window_hours=0
        )
        stamps = sandbox.tables["invoices"].stamps()
    assert since is not None
    after = {id for id, stamp in stamps.items() if stamp is not None and stamp >= since}
    assert {record["id"] for record in records_by_stream(output)["invoices"]} == after
    assert 0 < len(after) < len(stamps)


@pytest.mark.parametrize("stream", ALL_STREAMS)
def test_abnormal_state_starts_over(small_sandbox: Sandbox, stream: str) -> None:
    output = run_read(small_sandbox, [stream], _state("abnormal_state.json"))
    assert output.errors == []
    assert records_by_stream(output) == records_by_stream(run_read(small_sandbox, [stream])) != {}
