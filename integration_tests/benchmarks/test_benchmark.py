"""The benchmark measures what it says; how fast anything is, is not tested here."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import figures
from .goals import verdicts
from .instance import ROOT
from .measures import speed
from .measures.plan import Plan
from .process import BenchmarkError, run
from .readers.reader import Reader, program
from .readers.table import ONE_PAGE, OURS, READERS
from .report import report, table
from .result import (
    ColumnFigures,
    CommandFigures,
    CostFigures,
    Result,
    Skipped,
    SpeedFigures,
)
from .scale import FULL, PAGE_SIZE, QUICK, Load, Scale

SMALL = dataclasses.replace(QUICK, latency_ms=0, speed=Load(120, 2_000), part_rows=100)


def _speed(**changes: Any) -> SpeedFigures:
    figures = SpeedFigures(
        reader=OURS,
        data="even",
        rows=30_000,
        seconds=31.25,
        rows_per_second=960.0,
        share_of_ceiling=0.96,
        steady_rows_per_second=990.0,
        steady_share_of_ceiling=0.99,
        requests=650,
        share_of_429=0.0,
        cuts=20,
        empty_answers=12,
        peak_requests_per_second=20,
        lost=0,
        duplicated=0,
        unknown=0,
        startup_seconds=1.5,
        cpu_seconds=12.0,
        peak_memory_mb=190.0,
    )
    return dataclasses.replace(figures, **changes)


def _cost(**changes: Any) -> CostFigures:
    figures = CostFigures(
        rows=20_000,
        record_bytes=8_000,
        output_bytes_per_row=8_100.0,
        seconds=20.0,
        cpu_seconds=9.0,
        startup_cpu_seconds=2.0,
        rows_per_cpu_second=2_857.0,
        peak_memory_mb=200.0,
        lost=0,
        duplicated=0,
        unknown=0,
    )
    return dataclasses.replace(figures, **changes)


def _columns(**changes: Any) -> ColumnFigures:
    figures = ColumnFigures(
        columns="ten",
        rows=30_000,
        requests=612,
        answer_bytes=23_456_000,
        output_bytes=19_000_000,
        seconds=33.0,
        cpu_seconds=7.0,
        lost=0,
        duplicated=0,
        unknown=0,
    )
    return dataclasses.replace(figures, **changes)


def _request(**changes: Any) -> dict[str, Any]:
    usual = {"resource": "invoices", "status": 200, "rows": 50, "query": {}, "started": 10.0}
    return {**usual, **changes}


def test_requests_are_sorted() -> None:
    log = [
        _request(resource="oauth", rows=None, started=4.0),
        _request(),
        _request(query={"fields": '["id"]', "limit": "1"}, rows=1),
        _request(query={"fields": '["id"]', "limit": "1"}, rows=0),
        _request(query={"fields": '["id","status"]', "limit": "50"}),
        _request(status=429, rows=None),
        _request(rows=0),
        _request(status=None, rows=None),
    ]
    assert figures.count_requests(log) == figures.Requests(total=7, refused=1, cuts=2, empty=2)
    assert figures.first_request(log) == 4.0


def test_records_that_are_missing_or_come_again_are_counted() -> None:
    complete = figures.compare([1, 2, 3, 4], [4, 2, 2, 9, 2])
    assert complete == figures.Completeness(lost=2, duplicated=2, unknown=1)


def test_steady_rate_leaves_out_the_start_and_the_end() -> None:
    middle = [100.0 + row / 30 for row in range(60)]
    times = [*range(20), *middle, *range(200, 220)]
    assert figures.steady_rate(times) == pytest.approx(60 / (200 - 100))
    even = [row / 25 for row in range(100)]
    assert figures.steady_rate(even) == pytest.approx(25)
    assert figures.steady_rate([1.0] * 50) == 0.0
    assert figures.steady_rate([]) == 0.0


def test_cpu_of_the_start_does_not_count() -> None:
    assert figures.per_cpu_second(20_000, 9.0, 1.0) == 2_500
    assert figures.per_cpu_second(10, 1.0, 1.5) == 0.0


def test_goals_hold_for_the_worse_of_all_runs() -> None:
    result = Result.begun(FULL)
    result.speed = [
        _speed(),
        _speed(data="mass_update", steady_share_of_ceiling=0.90, share_of_429=0.02),
        _speed(reader=ONE_PAGE, rows_per_second=120.0, share_of_ceiling=0.12),
        _speed(reader=ONE_PAGE, data="mass_update", rows_per_second=160.0),
    ]
    result.cost = [_cost(rows=200_000, peak_memory_mb=230.0), _cost(lost=1)]
    result.commands = [CommandFigures("spec", 2.0, (1.9, 2.0, 3.0))]
    found = {verdict.goal: (verdict.measured, verdict.is_met) for verdict in verdicts(result)}
    assert found == {
        "share of the ceiling, steady state": (0.90, False),
        "share of the ceiling, whole sync": (0.96, True),
        "times as fast as one page at a time": (6.0, False),
        "share of answers 429": (0.02, False),
        "records of 8 KB per CPU second": (2_857.0, True),
        "peak memory, MB": (230.0, True),
        "growth of memory with ten times the rows": (pytest.approx(0.15), False),
        "spec, seconds": (2.0, True),
        "records lost, duplicated or unknown": (1, False),
    }


def test_goals_that_were_not_measured_are_left_out() -> None:
    assert verdicts(Result.begun(FULL)) == []


def test_report_shows_every_figure_and_what_is_missing() -> None:
    result = Result.begun(FULL)
    result.speed = [_speed(data="mass_update", lost=1_234)]
    result.cost = [_cost()]
    result.columns = [_columns()]
    result.commands = [CommandFigures("discover", 3.25, (3.25,))]
    result.skipped = [Skipped("dlt rest_api", "it is not there")]
    text = report(result, verdicts(result))
    for word in ("mass update", "96.0%", "99.0%", "1,234", "2,857", "23.5", "3.25", "NOT MET"):
        assert word in text
    assert "dlt rest_api: it is not there" in text


def test_table_aligns_numbers_to_the_right() -> None:
    assert table(("name", "rows"), [("a", "1,000"), ("long name", "5")]) == (
        "name        rows\n---------  -----\na          1,000\nlong name      5"
    )


def _reader(code: str) -> Reader:
    """A reader that runs `code`, in which `read(job, page_came)` is the plain one's."""
    usual = program("", "script")
    prelude = (
        "from integration_tests.benchmarks.readers.one_page import read\n"
        "from integration_tests.benchmarks.readers.reader import run_program\n"
    )
    return dataclasses.replace(
        usual,
        command=lambda job, folder: [
            *(sys.executable, "-c", prelude + code, usual.command(job, folder)[-1])
        ],
    )


def _measured(scale: Scale, **readers: Reader) -> Result:
    result = Result.begun(scale)
    speed.measure(Plan(scale, readers, tell=lambda text: None), result)
    return result


def test_lost_and_repeated_records_are_found() -> None:
    lossy = _reader(
        "run_program(lambda job, came: read(job, lambda ids: came([*ids[:-1], ids[0]])))"
    )
    result = _measured(SMALL, lossy=lossy)
    assert result.skipped == []
    assert [(s.data, s.rows, s.requests, s.lost, s.duplicated) for s in result.speed] == [
        ("even", 120, 3, 3, 3),
        ("mass_update", 120, 3, 3, 3),
    ]


def test_a_part_is_compared_with_that_part() -> None:
    [even, _] = _measured(SMALL, plain=READERS[ONE_PAGE]).speed
    assert (even.rows, even.lost, even.duplicated, even.unknown) == (100, 0, 0, 0)


def test_a_reader_that_fails_is_told_and_the_others_are_measured() -> None:
    result = _measured(
        SMALL, broken=_reader("raise SystemExit('no way')"), plain=_reader("run_program(read)")
    )
    assert [s.reader for s in result.speed] == ["plain", "plain"]
    assert [s.is_failure for s in result.skipped] == [True, True]
    assert "exit code 1" in result.skipped[0].reason
    assert "no way" in result.skipped[0].reason
    assert result.has_failures


def test_a_reader_without_its_package_is_skipped_with_the_reason() -> None:
    absent = program("", "absent", package="no_such_package_anywhere")
    result = _measured(SMALL, absent=absent)
    assert result.speed == []
    assert "no_such_package_anywhere" in result.skipped[0].reason
    assert not result.has_failures


def test_a_process_that_does_not_end_is_ended() -> None:
    endless = [sys.executable, "-c", "import signal; signal.pause()"]
    with pytest.raises(BenchmarkError, match="exit code -9"):
        run(endless, longest_seconds=0.1)


@pytest.mark.slow
def test_a_quick_run_gives_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "integration_tests.benchmarks", "--quick"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "benchmark.json").read_text())
    assert result["machine"]["cores"]
    assert [c["command"] for c in result["commands"]] == ["spec", "check", "discover"]

    measured = {(s["reader"], s["data"]) for s in result["speed"]}
    absent = {skipped["what"] for skipped in result["skipped"]}
    for name, reader in READERS.items():
        runs = {(name, data) for data in speed.DATA}
        assert runs <= measured or reader.label in absent, name
        assert reader.label in done.stdout
    assert {OURS, ONE_PAGE} <= {reader for reader, _ in measured}
    assert (tmp_path / "benchmark.png").exists() or "plot" in absent

    for read in result["speed"]:
        is_part = READERS[read["reader"]].is_sequential
        rows = QUICK.part_rows if is_part else QUICK.speed.rows
        if read["reader"] in (OURS, ONE_PAGE):
            assert (read["rows"], read["lost"], read["unknown"]) == (rows, 0, 0), read
        assert read["requests"] >= read["rows"] / PAGE_SIZE
    for read, load in zip(result["cost"], QUICK.costs, strict=True):
        assert (read["rows"], read["record_bytes"]) == (load.rows, load.record_bytes)
        assert (read["lost"], read["duplicated"], read["unknown"]) == (0, 0, 0)
        assert min(read["cpu_seconds"], read["startup_cpu_seconds"]) > 0
        assert read["output_bytes_per_row"] > load.record_bytes / 2
        assert read["peak_memory_mb"] > 1
    whole, part = result["columns"]
    for read in (whole, part):
        assert (read["rows"], read["lost"], read["duplicated"]) == (QUICK.speed.rows, 0, 0)
    assert part["answer_bytes"] < whole["answer_bytes"] / 2
