"""How a list is known to end: never by a single short page, and without needless requests.

Coupa documents pages of 50; an instance may serve fewer. The first short page of a stream is
confirmed by one more request. From then on, a page that is shorter than one before it is the last.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from integration_tests.harness import run_read
from integration_tests.sandbox import Dialect, RequestRecord, Sandbox

from .conftest import Present
from .truth import UNLIMITED, assert_whole

pytestmark = pytest.mark.usefixtures("no_budget")

START = "2026-11-01T00:00:00Z"


def pages_asked(
    present: Present, rows: int, dialect: Dialect = UNLIMITED
) -> list[tuple[int | None, str]]:
    """What a sync of one window asks for pages: rows that came, and by which bound. The requests
    that look for the other end of the list are left out."""
    moments = [present.now - timedelta(days=days) for days in (2, 3)]
    with Sandbox({"users": rows}, dialect=dialect, spread=moments, clock=present) as sandbox:
        assert_whole(run_read(sandbox, ["users"], start_date=START), sandbox, ["users"])
        return [
            (request.rows, paging(request))
            for request in sandbox.requests_for("users")
            if request.query["limit"] == "50" and request.status == 200
        ]


def paging(request: RequestRecord) -> str:
    """By what a page was asked for."""
    known = [name for name in ("id[gt]", "offset") if name in request.query]
    return known[0] if known else "first"


@pytest.mark.parametrize(
    ("rows", "pages"),
    [
        (0, [0]),
        (1, [1, 0]),
        (49, [49, 0]),
        (50, [50, 0]),
        (51, [50, 1, 0]),
        (99, [50, 49, 0]),
        (100, [50, 50, 0]),
        (101, [50, 50, 1, 0]),
    ],
)
def test_the_first_short_page_of_a_stream_is_confirmed(
    present: Present, rows: int, pages: list[int]
) -> None:
    assert [found for found, _ in pages_asked(present, rows)] == pages


@pytest.mark.parametrize(
    ("cap", "rows", "pages"),
    [
        (25, 24, [24, 0]),
        (25, 25, [25, 0]),
        (25, 26, [25, 1, 0]),
        (25, 60, [25, 25, 10, 0]),
        (25, 75, [25, 25, 25, 0]),
        (10, 35, [10, 10, 10, 5, 0]),
    ],
)
def test_an_instance_with_smaller_pages_is_read_until_a_page_is_empty(
    present: Present, cap: int, rows: int, pages: list[int]
) -> None:
    asked = pages_asked(present, rows, UNLIMITED.but(page_cap=cap))
    assert [found for found, _ in asked] == pages


@pytest.mark.parametrize("id_filter", ["honoured", "refused"])
@pytest.mark.parametrize("order", ["honoured", "refused"])
@pytest.mark.parametrize("cap", [50, 25, 2])
@pytest.mark.parametrize("rows", [1, 25, 51])
def test_each_way_of_paging_ends(
    present: Present, rows: int, cap: int, order: Any, id_filter: Any
) -> None:
    asked = pages_asked(
        present, rows, UNLIMITED.but(page_cap=cap, order_by_id=order, id_filter=id_filter)
    )
    is_by_offset = "refused" in (order, id_filter)
    smallest_step = cap - 1 if is_by_offset else cap
    assert len(asked) <= rows // max(smallest_step, 1) + 4
    ways = {way for _, way in asked[1:]}
    assert ways <= ({"offset"} if is_by_offset else {"id[gt]", "offset"})


@pytest.mark.parametrize(("moments", "checks"), [(1, 1), (2, 0)])
def test_the_end_of_a_list_is_looked_at_until_its_order_is_known(
    present: Present, moments: int, checks: int
) -> None:
    """Update times that never go back could be what the list is ordered by."""
    spread = [present.now - timedelta(days=2 + number) for number in range(moments)]
    with Sandbox({"users": 60}, dialect=UNLIMITED, spread=spread, clock=present) as sandbox:
        assert_whole(run_read(sandbox, ["users"], start_date=START), sandbox, ["users"])
        offsets = [r.query["offset"] for r in sandbox.requests if "offset" in r.query]
        assert offsets == ["60"] * checks


def test_later_short_pages_end_their_windows_without_another_request(present: Present) -> None:
    windows, workers = 8, 2
    newest = datetime(2026, 11, 20, tzinfo=timezone.utc)
    moments = [newest - timedelta(days=100 * number) for number in range(windows)]
    with Sandbox({"users": 500}, dialect=UNLIMITED, spread=moments, clock=present) as sandbox:
        assert_whole(run_read(sandbox, ["users"], num_workers=workers), sandbox, ["users"])
        pages = [r for r in sandbox.requests_for("users") if r.query["limit"] == "50"]
        short = [request for request in pages if 0 < (request.rows or 0) < 50]
        confirming = [r for r in pages if r.rows == 0 and "id[gt]" in r.query]
        assert len(short) == windows
        assert 1 <= len(confirming) <= workers
