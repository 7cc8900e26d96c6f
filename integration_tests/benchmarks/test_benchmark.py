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
from .measures.company import WITH_SUBSTREAMS, WITHOUT_SUBSTREAMS, company_figures
from .measures.plan import Plan
from .measures.reading import Sync
from .process import BenchmarkError, Run, Trouble, run
from .readers.reader import Reader, program
from .readers.source_coupa import Messages
from .readers.table import ONE_PAGE, OURS, READERS
from .report import report, table
from .result import (
    ColumnFigures,
    CommandFigures,
    CompanyFigures,
    CostFigures,
    KilledFigures,
    ListFigures,
    Result,
    Skipped,
    SpeedFigures,
    StalledFigures,
    TableFigures,
)
from .scale import FULL, PAGE_SIZE, QUICK, Load, Scale

SMALL = dataclasses.replace(QUICK, latency_ms=0, speed=Load(120, 2_000), part_rows=100)


def _speed(**changes: Any) -> SpeedFigures:
    figures = SpeedFigures(
        reader=OURS,
        data="even",
        latency_ms=400,
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
        tables=1,
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


def _tables(**changes: Any) -> TableFigures:
    figures = TableFigures(
        tables=1,
        rows=4_000,
        requests=100,
        answer_bytes=32_000_000,
        seconds=6.0,
        cpu_seconds=3.0,
        state_messages=5,
        most_state_messages=5,
        lost=0,
        duplicated=0,
        unknown=0,
    )
    return dataclasses.replace(figures, **changes)


def _list(**changes: Any) -> ListFigures:
    figures = ListFigures(
        resource="invoices",
        streams=2,
        rows=300,
        requests=2,
        least_requests=2,
        empty_answers=1,
    )
    return dataclasses.replace(figures, **changes)


def _company(**changes: Any) -> CompanyFigures:
    figures = CompanyFigures(
        what=WITHOUT_SUBSTREAMS,
        streams=158,
        rows=300_000,
        requests=3_299,
        tokens=1,
        least_requests=3_000,
        share_of_empty_answers=0.03,
        state_messages=400,
        seconds=165.0,
        cpu_seconds=60.0,
        peak_memory_mb=250.0,
        lists=(_list(),),
    )
    return dataclasses.replace(figures, **changes)


STALLED = StalledFigures(
    rows=300,
    record_bytes=1_000_000,
    stall_seconds=60.0,
    seconds=80.0,
    peak_memory_mb=444.0,
    lost=0,
    duplicated=0,
    unknown=0,
)
KILLED = KilledFigures(
    rows=30_000, before=10_000, repeated=3_000, most_repeated=2_000, lost=7, unknown=0
)


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
    result.cost.append(_cost(tables=14, record_bytes=50_000, rows_per_cpu_second=590.0))
    result.tables = [_tables(), _tables(tables=14, requests=105, seconds=9.0, state_messages=6)]
    result.company = [_company(), _company(what=WITH_SUBSTREAMS, requests=99_999)]
    result.unchanged = [_company(requests=44, tokens=3, lists=(_list(),) * 20)]
    result.stalled = [STALLED]
    result.killed = [KILLED]
    result.commands = [CommandFigures("spec", 2.0, (1.9, 2.0, 3.0))]
    found = {verdict.goal: (verdict.measured, verdict.is_met) for verdict in verdicts(result)}
    assert found == {
        "share of the ceiling, steady state": (0.90, False),
        "share of the ceiling, whole sync": (0.96, True),
        "times as fast as one page at a time": (6.0, False),
        "share of responses 429": (0.02, False),
        "all tables of a list: times the requests of the list": (1.05, True),
        "all tables of a list: times the time of the list": (1.5, False),
        "state messages, of one for each table and 20 pages and the last one": (1.2, False),
        "first sync of a company: times its full pages": (1.1, True),
        "nothing changed: requests for each list, but for child tables": (1.35, False),
        "records of 8 KB per CPU second, one table": (2_857.0, True),
        "records of 50 KB per CPU second, all tables": (590.0, False),
        "peak memory, MB": (444.0, False),
        "growth of memory with ten times the rows": (pytest.approx(0.15), False),
        "repeated after a killed sync, of what may be": (1.5, False),
        "spec, seconds": (2.0, True),
        "records lost, duplicated or unknown": (7, False),
    }


def test_what_a_list_costs_is_held_against_its_records_or_its_parents() -> None:
    path = "users/:user_id/addresses"
    messages = Messages()
    for stream in ("users", "users", "user_addresses"):
        messages(b'{"type":"RECORD","record":{"stream":"%s","data":{"a":1}}}' % stream.encode())
    log = [
        _request(resource="oauth", rows=None),
        _request(resource="users"),
        _request(resource="users", rows=0),
        _request(resource=path, rows=1),
        _request(resource=path, rows=0),
    ]
    done = Sync(Run(started=0.0, ended=13.0), messages, log)
    measured = company_figures(
        WITH_SUBSTREAMS, ["users", "user_addresses", "uoms"], {"users": 51}, done
    )
    assert measured.lists == (
        ListFigures("users", 1, 2, requests=2, least_requests=2, empty_answers=1),
        ListFigures(path, 1, 1, requests=2, least_requests=51, empty_answers=1),
        ListFigures("uoms", 1, 0, requests=0, least_requests=1, empty_answers=0),
    )
    assert (measured.requests, measured.tokens, measured.least_requests) == (4, 1, 54)
    assert (measured.rows, measured.share_of_empty_answers, measured.seconds) == (3, 0.5, 3.0)


def test_messages_of_a_sync_are_counted() -> None:
    messages = Messages()
    state = {"stream": {"stream_descriptor": {"name": "invoices"}, "stream_state": {"a": 2}}}
    lines = [
        '{"type":"RECORD","record":{"stream":"invoices","data":{"id":7,"x":1}}}',
        '{"type":"RECORD","record":{"stream":"invoices","data":{"x":1,"id":8}}}',
        '{"type":"RECORD","record":{"stream":"invoice_lines","data":{"invoice_id":7,"id":9}}}',
        '{"type":"LOG","log":{}}',
        '{"type":"STATE","state":{"stream":{"stream_descriptor":{"name":"invoices"}}}}',
        json.dumps({"type": "STATE", "state": state}, separators=(",", ":")),
    ]
    assert [id for line in lines for id in messages(line.encode())] == [7, 8]
    assert messages.records == {"invoices": 2, "invoice_lines": 1}
    assert messages.state_messages == {"invoices": 2}
    assert messages.states == {"invoices": state}


def test_goals_that_were_not_measured_are_left_out() -> None:
    assert verdicts(Result.begun(FULL)) == []


def test_report_shows_every_figure_and_what_is_missing() -> None:
    result = Result.begun(FULL)
    result.speed = [_speed(data="mass_update", lost=1_234)]
    result.cost = [_cost()]
    result.columns = [_columns()]
    result.tables = [_tables(requests=123)]
    result.company = [_company(requests=3_456, lists=(_list(resource="users"),))]
    result.stalled = [STALLED]
    result.killed = [KILLED]
    result.commands = [CommandFigures("discover", 3.25, (3.25,))]
    result.skipped = [Skipped("dlt rest_api", "it is not there")]
    text = report(result, verdicts(result))
    assert "NOT MET" in text
    for word in (
        "mass update",
        "96.0%",
        "99.0%",
        "1,234",
        "2,857",
        "23.5",
        "3.25",
        "123",
        "3,456",
        "users",
        "444",
    ):
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


def test_a_reader_that_fails_is_reported_and_the_others_are_measured() -> None:
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


PRINTING = "import time\nfor i in range(100): print(i, flush=True)\nprint('end')"


def test_a_process_can_be_killed_when_some_records_have_come() -> None:
    command = [sys.executable, "-c", PRINTING + "\ntime.sleep(60)"]
    done = run(
        command,
        lambda line: [int(line)] if line[:1] != b"e" else (),
        trouble=Trouble(50, is_killed=True),
    )
    assert done.ids[:50] == list(range(50))


def test_a_process_can_be_left_waiting_when_some_records_have_come() -> None:
    command = [sys.executable, "-c", PRINTING]
    done = run(
        command,
        lambda line: [int(line)] if line[:1] != b"e" else (),
        trouble=Trouble(50, seconds=0.5),
    )
    assert done.ids == list(range(100))
    assert done.times[50] - done.times[49] >= 0.5


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

    measured = {(s["reader"], s["data"], s["latency_ms"]) for s in result["speed"]}
    absent = {skipped["what"] for skipped in result["skipped"]}
    for name, reader in READERS.items():
        latencies = [QUICK.latency_ms, *([QUICK.slow_latency_ms] if name == OURS else [])]
        runs = {(name, data, latency) for data in speed.DATA for latency in latencies}
        assert runs <= measured or reader.label in absent, name
        assert reader.label in done.stdout
    assert {OURS, ONE_PAGE} <= {reader for reader, _, _ in measured}
    assert (tmp_path / "benchmark.png").exists() or "plot" in absent

    for read in result["speed"]:
        is_part = READERS[read["reader"]].is_sequential
        rows = QUICK.part_rows if is_part else QUICK.speed.rows
        if read["reader"] in (OURS, ONE_PAGE):
            assert (read["rows"], read["lost"], read["unknown"]) == (rows, 0, 0), read
        assert read["requests"] >= read["rows"] / PAGE_SIZE
    loads = [*QUICK.costs, *QUICK.costs_of_all_tables]
    for read, load in zip(result["cost"], loads, strict=True):
        assert (read["rows"], read["record_bytes"]) == (load.rows, load.record_bytes)
        assert (read["lost"], read["duplicated"], read["unknown"]) == (0, 0, 0)
        assert min(read["cpu_seconds"], read["startup_cpu_seconds"]) > 0
        assert read["output_bytes_per_row"] > load.record_bytes / 2
        assert read["peak_memory_mb"] > 1
    assert [read["tables"] for read in result["tables"]] == [1, 14]
    for read in result["tables"]:
        assert (read["rows"], read["lost"], read["duplicated"]) == (QUICK.tables.rows, 0, 0)
        assert 0 < read["state_messages"] <= read["most_state_messages"]
    company, with_substreams, unchanged = result["company"] + result["unchanged"]
    assert company["streams"] < with_substreams["streams"]
    for read in (company, with_substreams):
        assert read["requests"] >= read["least_requests"]
        assert read["rows"] > read["streams"]
    assert len(unchanged["lists"]) == 20 <= unchanged["requests"]
    for read, load in zip(result["stalled"], QUICK.stalled, strict=True):
        assert (read["rows"], read["lost"]) == (load.rows, 0)
        assert read["seconds"] > QUICK.stall_seconds
    (killed,) = result["killed"]
    assert QUICK.killed_after[0] <= killed["before"] <= QUICK.killed.rows == killed["rows"]
    assert (killed["lost"], killed["unknown"]) == (0, 0)
    (swept,) = result["sweep"]
    assert swept["rows"] == QUICK.swept.rows
    assert (swept["found"], swept["lost"]) == (swept["gone"], 0)
    whole, part = result["columns"]
    for read in (whole, part):
        assert (read["rows"], read["lost"], read["duplicated"]) == (QUICK.speed.rows, 0, 0)
    assert part["answer_bytes"] < whole["answer_bytes"] / 2
