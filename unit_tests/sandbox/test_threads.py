"""Many clients at once, and edits while they read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from integration_tests.sandbox import LiveEdits, Record
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


def test_each_page_is_one_consistent_view(start: Start) -> None:
    """Every call first gives all rows one new note, so a page with two notes would be torn."""
    api = start(rows={"invoices": 40})
    table = api.sandbox.tables["invoices"]

    def renumber(*_: object) -> None:
        with table.lock:
            table.edit_many(table.ids(), internal_note=f"note {table.version}")

    api.sandbox.before_each(renumber)
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda _: api.get("invoices").json(), range(12)))
    for page in pages:
        assert len(page) == 40
        assert len({record["internal-note"] for record in page}) == 1


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
