"""Records that nobody touches are read, whatever happens to the others during the sync.

Date windows and offset paging, the usual way, lose some: a record that is edited leaves its window,
all later ones move up by a place, and the first of the next page is on no page at all. The same
edits are played on that way too, so that these tests are known to see such a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import requests
from airbyte_cdk.models import SyncMode

from integration_tests.harness import records_by_stream, run_read
from integration_tests.sandbox import Dialect, LiveEdits, Sandbox
from integration_tests.truth import UNLIMITED, ids, messages_of
from unit_tests.conftest import Present

pytestmark = pytest.mark.usefixtures("no_budget")

ROWS = 700

DIALECTS = {
    "id filter and order": UNLIMITED,
    "order_by=id refused": UNLIMITED.but(order_by_id="refused"),
    "pages of 20": UNLIMITED.but(page_cap=20),
}

EDITS = {
    "edits and inserts": {"inserts": 1.0, "edits": 3.0, "deletes": 0.0},
    "deletions too": {"inserts": 1.0, "edits": 2.0, "deletes": 2.0},
    "deletions alone": {"inserts": 0.0, "edits": 0.0, "deletes": 1.0},
}


def lost(
    present: Present,
    dialect: Dialect,
    weights: Mapping[str, float],
    read: Callable[[Sandbox], list[int]] | None = None,
) -> tuple[int, int]:
    """How many untouched records are missed under live edits, and how many there are.

    They are read by the connector, if `read` names no other way.
    """
    with Sandbox(
        {"invoices": ROWS},
        dialect=dialect,
        spread="mass_update",
        size={"invoices": 1_000},
        clock=present,
    ) as sandbox:
        before = set(sandbox.tables["invoices"].ids())
        edits = LiveEdits(11, per_request=10, resources=["invoices"], **weights)
        sandbox.before_each(edits)
        came = (read or by_the_connector)(sandbox)
        if read is None:
            assert len(came) == len(set(came)), "no record comes twice"
        touched = edits.edited["invoices"] | edits.deleted["invoices"]
        assert len(touched) > 50, "the table was hardly edited: this test tests nothing"
        untouched = before - touched
        return len(untouched - set(came)), len(untouched)


@pytest.mark.parametrize("weights", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_no_untouched_record_is_lost(
    present: Present, dialect: Dialect, weights: Mapping[str, float]
) -> None:
    missing, _ = lost(present, dialect, weights)
    assert missing == 0


@pytest.mark.usefixtures("cut_often")
@pytest.mark.parametrize("weights", EDITS.values(), ids=EDITS)
def test_readers_of_ranges_lose_none_either(present: Present, weights: Mapping[str, float]) -> None:
    missing, _ = lost(present, UNLIMITED, weights)
    assert missing == 0


@pytest.mark.parametrize("start_date", [None, "2025-06-01T00:00:00Z"])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_full_refresh_brings_what_is_edited_meanwhile_too(
    present: Present, name: str, start_date: str | None
) -> None:
    """A destination that overwrites has nothing else of it until the next refresh. With a start
    date, old records that are edited enter the list."""
    with Sandbox(
        {"invoices": ROWS},
        dialect=DIALECTS[name].but(offsets="utc"),
        size={"invoices": 1_000},
        clock=present,
    ) as sandbox:
        table = sandbox.tables["invoices"]
        floor = start_date or "2000"
        before = {id for id in table.ids() if table.get(id)["updated-at"] >= floor}
        edits = LiveEdits(11, per_request=5, resources=["invoices"])
        sandbox.before_each(edits)
        output = run_read(
            sandbox, ["invoices"], sync_mode=SyncMode.full_refresh, start_date=start_date
        )
        assert messages_of(output) == []
        assert len(edits.edited["invoices"] & before) > 20
        read = ids(records_by_stream(output)["invoices"])
        assert before <= set(read)
        assert len(read) == len(set(read))
        if start_date is not None:
            assert len(read) < len(table)


@pytest.mark.parametrize("weights", EDITS.values(), ids=EDITS)
def test_offset_paging_loses_records_under_the_same_edits(
    present: Present, weights: Mapping[str, float]
) -> None:
    missing, untouched = lost(present, UNLIMITED, weights, read=by_offset)
    print(f"offset paging loses {missing} of {untouched} untouched invoices, keyset none")
    assert missing > 5


def by_the_connector(sandbox: Sandbox) -> list[int]:
    """The ids that a sync brings."""
    output = run_read(sandbox, ["invoices"])
    assert messages_of(output) == []
    return ids(records_by_stream(output)["invoices"])


def by_offset(sandbox: Sandbox) -> list[int]:
    """The ids that a reader gets that counts records within a window of time."""
    config = sandbox.config()
    form = {name: config[name] for name in ("client_id", "client_secret")}
    form |= {"grant_type": "client_credentials", "scope": "core.invoice.read"}
    token = requests.post(f"{sandbox.url}/oauth2/token", data=form).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    until = f"{sandbox.clock():%Y-%m-%dT%H:%M:%SZ}"
    read: list[int] = []
    while True:
        query = {"updated_at[lt]": until, "offset": str(len(read)), "order_by": "id"}
        page = requests.get(f"{sandbox.url}/api/invoices", query, headers=headers).json()
        if not page:
            return read
        read += [record["id"] for record in page]
