"""Many clients at once, and edits while they read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import tzinfo
from threading import Thread

import pytest

from integration_tests.sandbox import LiveEdits, Record
from integration_tests.sandbox.table import Row
from unit_tests.sandbox.conftest import Api, Start


def walk(api: Api) -> list[Record]:
    """One reader with a connection of its own."""
    own = Api(api.sandbox)
    own.session.headers["Authorization"] = api.session.headers["Authorization"]
    try:
        return own.walk("invoices", limit=20)
    finally:
        own.session.close()


def test_parallel_readers_get_the_ground_truth(start: Start) -> None:
    api = start()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: walk(api), range(8)))
    truth = api.sandbox.tables["invoices"].records()
    assert all(result == truth for result in results)
    assert len(api.sandbox.requests_for("invoices")) == 8 * 7


def test_each_page_is_one_consistent_view(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit that comes while a page is being made shows on the whole page or not at all."""
    api = start(rows={"invoices": 40})
    table = api.sandbox.tables["invoices"]
    table.edit_many(table.ids(), internal_note="before")
    render = table.render
    edit = Thread(target=lambda: table.edit_many(table.ids(), internal_note="after"))

    def render_slowly(row: Row, zone: tzinfo | None = None) -> bytes:
        if not edit.ident:
            edit.start()
            edit.join(0.2)
        return render(row, zone)

    monkeypatch.setattr(table, "render", render_slowly)
    pages = [api.get("invoices").json()]
    edit.join()
    pages.append(api.get("invoices").json())
    notes = [{record["internal-note"] for record in page} for page in pages]
    assert notes == [{"before"}, {"after"}]


def test_keyset_readers_lose_nothing_to_live_edits(start: Start) -> None:
    api = start()
    edits = LiveEdits(1, 5, ["invoices"], inserts=1, edits=4, deletes=1)
    before = set(api.sandbox.tables["invoices"].ids())
    api.sandbox.before_each(edits)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: walk(api), range(4)))
    for result in results:
        ids = [record["id"] for record in result]
        assert ids == sorted(set(ids))
        assert set(ids) >= before - edits.deleted["invoices"]
