"""Many readers at once stay within bounds: threads, requests under way, and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from airbyte_cdk.models import Type

from integration_tests.harness import configured_catalog, records_by_stream, run_read
from integration_tests.sandbox import Fault, Sandbox
from source_coupa import SourceCoupa
from source_coupa.components import ranges
from source_coupa.components.fetchers import Fetchers
from source_coupa.components.pages import PAGE_SIZE

from .truth import INCOMPLETE, UNLIMITED, ids, last_status, messages_of

ROWS = 1_500

pytestmark = pytest.mark.usefixtures("no_budget")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(
        {"invoices": ROWS}, dialect=UNLIMITED, spread="mass_update", size={"invoices": 1_000}
    ) as sandbox:
        yield sandbox


@pytest.fixture
def cut_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets lists of the size of tests be divided."""
    monkeypatch.setattr(ranges, "FIRST_CUT", 4 * PAGE_SIZE)
    monkeypatch.setattr(ranges, "READ_FIRST", PAGE_SIZE)
    monkeypatch.setattr(ranges, "WORTH_A_CUT", 2 * PAGE_SIZE)
    monkeypatch.setattr(Fetchers, "share", 8)


def fetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "coupa-fetcher" in thread.name]


def gone(patience: float = 10.0) -> bool:
    """Whether the pool's threads end; those whose request is under way end with it."""
    until = time.monotonic() + patience
    while fetchers() and time.monotonic() < until:
        time.sleep(0.01)
    return not fetchers()


@pytest.mark.usefixtures("cut_often")
def test_a_mass_update_is_read_by_many_at_once_and_none_stays_behind(sandbox: Sandbox) -> None:
    sandbox.latency = 0.02
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
def test_more_windows_than_threads_and_a_slow_consumer_do_not_deadlock() -> None:
    """The consumer is slower than the readers, so that every queue on the way fills up."""
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
def test_a_range_that_fails_fails_the_stream_and_leaves_no_thread(sandbox: Sandbox) -> None:
    late = Fault(
        "status",
        resource="invoices",
        status=403,
        when=lambda request: "id[lt_or_eq]" in request.query,
    )
    sandbox.faults.add(late)
    output = run_read(sandbox, ["invoices"], num_workers=8)
    assert last_status(output, "invoices") == INCOMPLETE
    assert gone()


def test_a_list_of_a_few_pages_costs_no_request_for_cuts() -> None:
    with Sandbox({"invoices": 3 * PAGE_SIZE}, dialect=UNLIMITED, spread="mass_update") as sandbox:
        run_read(sandbox, ["invoices"], start_date="2020-01-01T00:00:00Z")
        assert [r for r in sandbox.requests_for("invoices") if "fields" in r.query] == []


@pytest.mark.usefixtures("cut_often")
def test_cuts_ask_for_ids_alone(sandbox: Sandbox) -> None:
    run_read(sandbox, ["invoices"])
    cuts = [r for r in sandbox.requests_for("invoices") if "offset" in r.query]
    assert len(cuts) > 3
    assert all(cut.query["limit"] == "1" and cut.query["fields"] == '["id"]' for cut in cuts)
    assert all("updated_at[lt]" in cut.query for cut in cuts)
