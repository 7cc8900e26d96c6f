"""Deleted lines of purchase orders come where Coupa shows them."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_cdk.models import SyncMode

from integration_tests.harness import final_states, records_by_stream, run_read
from integration_tests.sandbox import Fault, Sandbox
from integration_tests.truth import COMPLETE, UNLIMITED, last_status, messages_of
from source_coupa.tables.columns import DELETED_AT
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

LISTS = ("purchase_orders", "purchase_order_lines")


def with_deleted_lines(
    play: Any, clock: Present | None = None, **switches: Any
) -> tuple[Sandbox, int, int]:
    """A sandbox with an order of which the first line was deleted, and with a list of lines of
    which the second was; the ids of the two."""
    sandbox = Sandbox(
        dict.fromkeys(LISTS, 60),
        dialect=UNLIMITED.but(deleted_lines=play, **switches),
        clock=clock,
    )
    orders, lines = (sandbox.tables[list_] for list_ in LISTS)
    order = orders.ids()[0]
    orders.edit(order, {"order-lines": [{"id": 1, "deleted": True}, {"id": 2}]})
    lines.edit(lines.ids()[1], {"deleted": True})
    return sandbox, order, lines.ids()[1]


@pytest.mark.parametrize("play", ["flag", "status"])
@pytest.mark.parametrize("sync_mode", SyncMode)
def test_deleted_lines_come_with_their_mark(play: str, sync_mode: SyncMode) -> None:
    sandbox, order, line = with_deleted_lines(play)
    with sandbox:
        output = run_read(sandbox, LISTS, sync_mode=sync_mode)
        assert messages_of(output) == []
        read = records_by_stream(output)
        (first, *_) = next(r for r in read["purchase_orders"] if r["id"] == order)["order_lines"]
        own = next(row for row in read["purchase_order_lines"] if row["id"] == line)
        mark = {"flag": ("deleted", True), "status": ("status", "deleted")}[play]
        assert mark in first.items()
        assert mark in own.items()


@pytest.mark.parametrize("play", ["refused", "ignored"])
def test_an_instance_that_does_not_show_them_is_read_all_the_same(play: str) -> None:
    sandbox, _, line = with_deleted_lines(play)
    with sandbox:
        output = run_read(sandbox, LISTS)
        assert messages_of(output) == []
        assert {last_status(output, stream) for stream in LISTS} == {COMPLETE}
        read = records_by_stream(output)
        assert len(read["purchase_orders"]) == 60
        assert line not in [row["id"] for row in read["purchase_order_lines"]]
        lines = [m.log.message for m in output.logs if m.log and "show_deleted" in m.log.message]
        assert len(lines) == (2 if play == "refused" else 0)
        asked = [r for r in sandbox.requests if "show_deleted_lines" in r.query]
        assert {r.status for r in asked} == ({400} if play == "refused" else {200})
        if play == "refused":
            last = {list_: sandbox.requests_for(list_)[-1] for list_ in LISTS}
            assert all("show_deleted_lines" not in request.query for request in last.values())


def test_another_parameter_that_is_refused_hides_no_deleted_lines() -> None:
    sandbox, _, line = with_deleted_lines("flag", order_by_id="refused")
    with sandbox:
        output = run_read(sandbox, LISTS)
        assert messages_of(output) == []
        assert line in [row["id"] for row in records_by_stream(output)["purchase_order_lines"]]


def test_one_refusal_hides_no_deleted_line(present: Present) -> None:
    name = "purchase_order_lines"
    columns = {name: ("id", "updated_at", "status", DELETED_AT)}
    settings: dict[str, Any] = {"columns": columns, "deleted_records_every_days": 1}
    sandbox, _, line = with_deleted_lines("flag", present)
    with sandbox:
        first = run_read(sandbox, [name], **settings)
        present.pass_by(days=2)
        sandbox.tables[name].edit(line)
        sandbox.faults.add(Fault("status", status=400, resource=name, times=1))
        second = run_read(sandbox, [name], final_states(first), **settings)
        assert last_status(second, name) == COMPLETE
        [row] = [row for row in records_by_stream(second)[name] if row["id"] == line]
        assert not row.get(DELETED_AT)


def test_no_other_list_is_asked_for_deleted_lines() -> None:
    others = ("invoices", "receivable_purchase_order_lines", "purchase_order_comments")
    rows = {"invoices": 3, "receivable_purchase_order_lines": 3, "purchase_orders": 3}
    with Sandbox(rows, dialect=UNLIMITED) as sandbox:
        run_read(sandbox, others)
        assert not [r for r in sandbox.requests if "show_deleted_lines" in r.query]
