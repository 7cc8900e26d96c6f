"""Many readers at once stay within bounds: threads, requests under way, and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

import pytest
from airbyte_cdk.models import Type

from integration_tests.harness import configured_catalog, records_by_stream, run_read
from integration_tests.sandbox import Fault, Sandbox
from integration_tests.truth import (
    INCOMPLETE,
    UNLIMITED,
    assert_whole,
    ids,
    last_status,
    messages_of,
)
from source_coupa import SourceCoupa
from source_coupa.reading.id_ranges import PAGE_SIZE
from source_coupa.transport import instance
from source_coupa.transport.backpressure import Backpressure
from unit_tests.conftest import Waits

ROWS = 1_500
USEFUL = 8
"""Requests that `cut_often` wants to be under way."""

pytestmark = pytest.mark.usefixtures("no_budget")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(
        {"invoices": ROWS}, dialect=UNLIMITED, spread="mass_update", size={"invoices": 1_000}
    ) as sandbox:
        yield sandbox


def pool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("coupa")]


def gone(patience: float = 10.0) -> bool:
    """Whether the pool's threads end; those whose request is under way end with it."""
    until = time.monotonic() + patience
    while pool_threads() and time.monotonic() < until:
        time.sleep(0.01)
    return not pool_threads()


@pytest.mark.usefixtures("cut_often")
def test_a_mass_update_is_read_by_many_at_once_and_none_stays_behind(sandbox: Sandbox) -> None:
    # long enough that requests meet on a busy machine too
    sandbox.latency = 0.1
    output = run_read(sandbox, ["invoices"], num_workers=8)
    assert sorted(ids(records_by_stream(output)["invoices"])) == sandbox.tables["invoices"].ids()
    assert 4 <= sandbox.peak_concurrency() <= 8
    assert gone()


@pytest.mark.usefixtures("cut_often")
@pytest.mark.parametrize("workers", [2, 5])
def test_no_more_requests_are_under_way_than_there_are_workers(
    sandbox: Sandbox, workers: int
) -> None:
    sandbox.latency = 0.01
    output = run_read(sandbox, ["invoices"], num_workers=workers)
    assert messages_of(output) == []
    assert sandbox.peak_concurrency() <= workers


@pytest.mark.usefixtures("cut_often")
def test_more_readers_than_threads_and_a_slow_consumer_do_not_deadlock() -> None:
    """The consumer is slower than the readers: every queue on the way fills up."""
    with Sandbox({"invoices": ROWS}, dialect=UNLIMITED, size={"invoices": 1_000}) as sandbox:
        config = sandbox.config(num_workers=2, start_date="2020-01-01T00:00:00Z")
        catalog = configured_catalog("invoices")
        source = SourceCoupa(config=config, catalog=catalog, state=[])
        read = []
        for message in source.read(source.logger, config, catalog, []):
            if message.type == Type.RECORD and message.record is not None:
                read.append(message.record.data["id"])
                time.sleep(0.001)
        assert sorted(read) == sandbox.tables["invoices"].ids()
    assert gone()


@pytest.mark.usefixtures("cut_often")
def test_a_range_that_fails_fails_the_stream_and_leaves_no_thread(
    sandbox: Sandbox, waits: Waits
) -> None:
    late = Fault("status", resource="invoices", status=403, after=10)
    sandbox.faults.add(late)
    output = run_read(sandbox, ["invoices"], num_workers=8)
    assert last_status(output, "invoices") == INCOMPLETE
    assert gone()


def small_requests(sandbox: Sandbox) -> list[Mapping[str, str]]:
    """The queries for the id of one record that show where a list can be divided."""
    asked = [request.query for request in sandbox.requests_for("invoices")]
    return [q for q in asked if q["limit"] == "1" and "id" not in q]


def test_a_list_of_a_few_pages_costs_one_request_for_cuts_at_most() -> None:
    with Sandbox({"invoices": 3 * PAGE_SIZE}, dialect=UNLIMITED, spread="mass_update") as sandbox:
        run_read(sandbox, ["invoices"], start_date="2020-01-01T00:00:00Z")
        assert len(small_requests(sandbox)) <= 1


@pytest.mark.usefixtures("cut_often")
def test_a_list_is_divided_at_the_cost_of_one_small_request(sandbox: Sandbox) -> None:
    assert_whole(run_read(sandbox, ["invoices"]), sandbox, ["invoices"])
    (end,) = small_requests(sandbox)
    assert (end["dir"], end["fields"]) == ("desc", '["id"]')


@pytest.mark.usefixtures("cut_often")
def test_a_list_whose_ids_leave_wide_gaps_is_divided_by_rank() -> None:
    """The middle of its ids is far from the middle of its records."""
    moment = datetime(2026, 5, 1, tzinfo=timezone.utc)
    with Sandbox({}, dialect=UNLIMITED) as sandbox:
        for number in range(1_000):
            sandbox.tables["invoices"].add(id=1 + number, updated_at=moment)
        sandbox.tables["invoices"].add(id=2**40, updated_at=moment)
        output = run_read(sandbox, ["invoices"], start_date="2026-04-01T00:00:00Z")
        assert_whole(output, sandbox, ["invoices"])
        asked = sandbox.requests_for("invoices")
    assert len([r for r in asked if "offset" in r.query]) >= 1
    assert len([r for r in asked if r.rows == 0]) <= 2 * USEFUL + 2


def test_records_that_the_destination_has_not_taken_keep_readers_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever their size: the CDK's own queue counts records, not bytes."""
    monkeypatch.setattr(instance, "Backpressure", lambda: Backpressure(200_000))
    workers = 4
    with Sandbox({"invoices": ROWS}, dialect=UNLIMITED, size={"invoices": 2_000}) as sandbox:
        config = sandbox.config(num_workers=workers, start_date="2020-01-01T00:00:00Z")
        catalog = configured_catalog("invoices")
        source = SourceCoupa(config=config, catalog=catalog, state=[])
        read = ahead = 0
        for message in source.read(source.logger, config, catalog, []):
            if message.type == Type.RECORD:
                read += 1
                time.sleep(0.001)
                asked = sum(r.rows or 0 for r in sandbox.requests_for("invoices"))
                ahead = max(ahead, asked - read)
    assert read == ROWS
    # what fits the limit, and what is printed while the next page is asked for
    assert 0 < ahead <= 200_000 / 2_000 + workers * PAGE_SIZE
