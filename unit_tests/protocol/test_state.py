"""A state that is not one of this connector is refused in one message, before any request.

Whatever else a state holds, the sync brings the right records: those since its time, or all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from integration_tests.harness import CliFiles, CliRun, configured_catalog, run_here
from integration_tests.sandbox import Sandbox
from integration_tests.truth import UNLIMITED, instant, truth
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

START = "2026-02-01T00:00:00Z"
CURSOR = "2026-06-01T00:00:00+0000"
STREAM = "The state of stream users is not one of this connector: refresh the stream"
FILE = "The state is not one of this connector: pass the state messages of an earlier sync"


def state_of(blob: Any, stream: str = "users") -> list[Any]:
    part = {"stream_descriptor": {"name": stream}, "stream_state": blob}
    return [{"type": "STREAM", "stream": part}]


def slices(*bounds: tuple[str, str]) -> dict[str, Any]:
    return {
        "state_type": "date-range",
        "slices": [{"start": start, "end": end} for start, end in bounds],
    }


REFUSED: dict[str, tuple[Any, str]] = {
    "no time": (state_of({"updated_at": "yesterday"}), STREAM),
    "empty": (state_of({"updated_at": ""}), STREAM),
    "number": (state_of({"updated_at": 1_780_000_000}), STREAM),
    "list": (state_of({"updated_at": [CURSOR]}), STREAM),
    "object": (state_of({"updated_at": {"max": CURSOR}}), STREAM),
    "day": (state_of({"updated_at": "2026-06-01"}), STREAM),
    "no zone": (state_of({"updated_at": "2026-06-01T00:00:00"}), STREAM),
    "a filter that is no text": (state_of({"updated_at": CURSOR, "filter": 7}), STREAM),
    "no such day": (state_of({"updated_at": "2026-02-30T00:00:00Z"}), STREAM),
    "no ranges": (state_of(slices()), STREAM),
    "ranges left out": (state_of({"state_type": "date-range"}), STREAM),
    "ranges of text": (state_of(slices(("a", "b"))), STREAM),
    "text for a state": (state_of("x"), FILE),
    "list for a state": (state_of([1]), FILE),
    "unknown type": ([{"type": "X"}], FILE),
    "no stream": ([{"type": "STREAM"}], FILE),
    "texts": (["a"], FILE),
    "older than messages": ({"users": {"updated_at": CURSOR}}, FILE),
    "shared": (
        [{"type": "GLOBAL", "global": {"shared_state": {"lsn": 1}, "stream_states": []}}],
        FILE,
    ),
}

PASS = {"began": CURSOR, "since": None, "done": [[0, 50]], "newest": None}
BROKEN_PASSES: list[Any] = [
    7,
    "x",
    [],
    {},
    {**PASS, "began": None},
    {**PASS, "began": "yesterday"},
    {**PASS, "since": 7},
    {**PASS, "done": None},
    {**PASS, "done": [[1]]},
    {**PASS, "done": [[1, "x"]]},
    {**PASS, "done": 7},
    {**PASS, "newest": "x"},
]

STARTS_OVER: dict[str, Any] = {
    "nothing": None,
    "an empty list": [],
    "an empty object": {},
    "an empty state": state_of({}),
    "a null state": state_of(None),
    "a null time": state_of({"updated_at": None}),
    "other keys": state_of({"created_at": "x"}),
    "another stream's": state_of({"updated_at": CURSOR}, "gone"),
    "another stream's, corrupt": state_of({"updated_at": 7}, "gone"),
    "that of a full refresh": state_of({"__ab_no_cursor_state_message": True}),
    "legacy": [{"type": "LEGACY", "data": {"users": {"updated_at": CURSOR}}}],
    "before the start date": state_of({"updated_at": "2010-01-01T00:00:00Z"}),
    "of year one": state_of({"updated_at": "0001-01-01T00:00:00+1400"}),
}

GOES_ON: dict[str, Any] = {
    "usual": state_of({"updated_at": CURSOR}),
    "with more keys": state_of({"updated_at": CURSOR, "note": "kept by another version"}),
    "for all streams": [
        {
            "type": "GLOBAL",
            "global": {"stream_states": [state_of({"updated_at": CURSOR})[0]["stream"]]},
        }
    ],
    "with one range": state_of(slices((START, CURSOR))),
}


@pytest.fixture
def sandbox(present: Present) -> Iterator[Sandbox]:
    size = {"users": 300}
    with Sandbox({"users": 80}, dialect=UNLIMITED, size=size, clock=present) as sandbox:
        yield sandbox


def read(sandbox: Sandbox, folder: Path, text: str) -> CliRun:
    config = sandbox.config(start_date=START, lookback_window_hours=0)
    arguments = CliFiles(folder, "read", config, configured_catalog("users"), []).arguments()
    (folder / "state.json").write_text(text)
    return run_here(arguments)


def ids_of(run: CliRun) -> set[int]:
    return {message["record"]["data"]["id"] for message in run.of_type("RECORD")}


def ids_since(sandbox: Sandbox, moment: str) -> set[int]:
    floor = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S%z")
    return {id for id, record in truth(sandbox, "users").items() if instant(record) >= floor}


def assert_refused(run: CliRun, sandbox: Sandbox, sentence: str) -> None:
    assert run.exit_code == 1
    (error,) = run.errors
    assert error["message"].startswith(sentence)
    assert error["failure_type"] == "config_error"
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize(("state", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_foreign_state_is_refused_before_any_request(
    sandbox: Sandbox, tmp_path: Path, state: Any, sentence: str
) -> None:
    assert_refused(read(sandbox, tmp_path, json.dumps(state)), sandbox, sentence)


@pytest.mark.parametrize("text", ["", "{", "null null", "\x00", "[{]"], ids=ascii)
def test_a_corrupt_file_is_refused_before_any_request(
    sandbox: Sandbox, tmp_path: Path, text: str
) -> None:
    run = read(sandbox, tmp_path, text)
    assert_refused(run, sandbox, f"The file {tmp_path / 'state.json'} is not valid JSON")


@pytest.mark.parametrize("state", STARTS_OVER.values(), ids=STARTS_OVER)
def test_a_state_that_promises_nothing_starts_again(
    sandbox: Sandbox, tmp_path: Path, state: Any
) -> None:
    run = read(sandbox, tmp_path, json.dumps(state))
    assert (run.exit_code, run.errors) == (0, [])
    assert ids_of(run) == ids_since(sandbox, START)


@pytest.mark.parametrize("state", GOES_ON.values(), ids=GOES_ON)
def test_a_state_in_any_wrapping_goes_on(sandbox: Sandbox, tmp_path: Path, state: Any) -> None:
    run = read(sandbox, tmp_path, json.dumps(state))
    assert (run.exit_code, run.errors) == (0, [])
    assert ids_of(run) == ids_since(sandbox, CURSOR)


def test_a_state_from_the_future_starts_over(sandbox: Sandbox, tmp_path: Path) -> None:
    run = read(sandbox, tmp_path, json.dumps(state_of({"updated_at": "2999-01-01T00:00:00Z"})))
    assert (run.exit_code, run.errors) == (0, [])
    assert ids_of(run) == ids_since(sandbox, START)
    logged = [message["log"]["message"] for message in run.of_type("LOG")]
    assert any(line.startswith("The state of stream users lies in the future") for line in logged)


@pytest.mark.parametrize("part", BROKEN_PASSES)
def test_a_pass_that_cannot_be_read_is_refused(sandbox: Sandbox, tmp_path: Path, part: Any) -> None:
    state = state_of({"updated_at": CURSOR, "pass": part})
    assert_refused(read(sandbox, tmp_path, json.dumps(state)), sandbox, STREAM)


def test_a_pass_continues_after_what_was_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    ids = sorted(ids_since(sandbox, START))
    middle = len(ids) // 2
    under_way = {"began": CURSOR, "since": START, "done": [[0, ids[middle]]], "newest": None}
    run = read(sandbox, tmp_path, json.dumps(state_of({"pass": under_way})))
    assert (run.exit_code, run.errors) == (0, [])
    assert ids_of(run) == set(ids[middle + 1 :])
