"""Tables: edits and what they do to `updated-at`, the ground truth, and what the seed fixes."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from integration_tests.sandbox import LiveEdits, Record, Sandbox, documented_records
from unit_tests.sandbox.conftest import ROWS, Start
from unit_tests.sandbox.test_query import instant

NOW = datetime(2026, 3, 29, 0, 59, 30, tzinfo=timezone.utc)


def fixed(**options: object) -> Sandbox:
    return Sandbox(ROWS, clock=lambda: NOW, **options)  # type: ignore[arg-type]


def test_the_seed_fixes_every_record() -> None:
    for path in ROWS:
        first, same, other = (fixed(seed=seed).tables[path].records() for seed in (1, 1, 2))
        assert first == same
        assert first != other


def test_the_seed_fixes_edits() -> None:
    def edited() -> list[Record]:
        table = fixed(seed=3).tables["users"]
        table.edit_many(5, middlename="x")
        table.add()
        return table.records()

    assert edited() == edited()


def test_ids_ascend_with_gaps_and_updates_follow_loosely() -> None:
    table = fixed().tables["invoices"]
    ids = table.ids()
    assert len(ids) == len(table) == ROWS["invoices"]
    assert ids == sorted(set(ids))
    assert ids[-1] - ids[0] > 2 * len(ids)
    updates = list(table.stamps().values())
    assert updates != sorted(updates, key=lambda second: second or 0)
    for record in table.records():
        assert instant(record["created-at"]) <= instant(record["updated-at"]) <= NOW


def test_spread_of_updates() -> None:
    even = [second or 0 for second in fixed().tables["invoices"].stamps().values()]
    middle = NOW.timestamp() - 365 * 86_400
    assert 0.35 < sum(second < middle for second in even) / len(even) < 0.65
    mass = Counter(fixed(spread="mass_update").tables["invoices"].stamps().values())
    assert mass.most_common(1)[0][1] > 0.7 * ROWS["invoices"]
    times = [NOW - timedelta(days=1), NOW - timedelta(days=2)]
    dealt = fixed(spread={"users": times}).tables
    assert Counter(dealt["users"].stamps().values()) == {time.timestamp(): 30 for time in times}
    assert len(set(dealt["invoices"].stamps().values())) > 100


def test_an_edit_moves_updated_at_to_now() -> None:
    table = fixed().tables["users"]
    first, second, third = table.ids()[:3]
    before = table.records()[:3]
    table.edit(first, middlename="Edited")
    table.edit(second, middlename="Silent", touch=False)
    table.edit(third)
    after = table.records()[:3]
    assert [instant(record["updated-at"]) for record in after] == [
        NOW.replace(microsecond=0),
        instant(before[1]["updated-at"]),
        NOW.replace(microsecond=0),
    ]
    assert [record["middlename"] for record in after[:2]] == ["Edited", "Silent"]
    assert after[1] == before[1] | {"middlename": "Silent"}
    own = ("updated-at",)
    assert {k: v for k, v in after[2].items() if k not in own} == {
        k: v for k, v in before[2].items() if k not in own
    }


def test_an_explicit_updated_at_wins() -> None:
    table = fixed().tables["users"]
    first, second = table.ids()[:2]
    table.edit(first, updated_at="2020-01-02T03:04:05+05:30")
    table.edit(second, {"updated-at": datetime(2020, 1, 1, tzinfo=timezone.utc)})
    assert table.get(first)["updated-at"] == "2020-01-02T03:04:05+05:30"
    assert instant(table.get(second)["updated-at"]) == datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert table.stamps()[first] == datetime(2020, 1, 1, 21, 34, 5, tzinfo=timezone.utc).timestamp()


def test_adding_and_deleting() -> None:
    table = fixed().tables["users"]
    top = table.ids()[-1]
    assert table.add() == top + 1
    assert table.add(login="own") == top + 2
    assert table.get(top + 2)["login"] == "own"
    assert instant(table.get(top + 2)["updated-at"]) == NOW
    assert table.add({"id": 3, "odd_key": 1, "odd-key": 2}) == 3
    assert list(table.get(3)) == ["id", "created-at", "updated-at", "odd_key", "odd-key"]
    assert table.ids()[0] == 3
    table.delete(3)
    for call in (table.get, table.delete, table.edit):
        with pytest.raises(KeyError):
            call(3)
    with pytest.raises(ValueError, match="already has"):
        table.add({"id": top})
    with pytest.raises(ValueError, match="does not change"):
        table.edit(top, id=5)


def test_a_record_whose_update_time_is_a_change_is_added_and_edited() -> None:
    """Revisions print changed fields as pairs."""
    table = Sandbox({"purchase_order_revisions": 2}).tables["purchase_order_revisions"]
    id = table.add({**table.get(table.ids()[0]), "id": 9_999})
    table.edit(id, comments="x", touch=False)
    assert table.get(id)["comments"] == "x"


def test_ids_are_not_given_again() -> None:
    table = fixed().tables["users"]
    last = table.ids()[-1]
    table.delete(last)
    assert table.add() == last + 1


def test_edit_many(start: Start) -> None:
    table = start().sandbox.tables["invoices"]
    assert table.edit_many(table.ids()[:2], status="voided") == table.ids()[:2]
    chosen = table.edit_many(10, status="draft")
    assert len(set(chosen)) == 10
    assert {table.get(id)["status"] for id in chosen} == {"draft"}


def test_changes_show_in_the_next_response(start: Start) -> None:
    api = start()
    table = api.sandbox.tables["invoices"]
    raw = "order_by=updated_at&dir=desc&limit=1"
    api.ids("invoices", raw)
    id = table.ids()[7]
    table.edit(id)
    assert api.ids("invoices", raw) == [id]
    table.delete(id)
    assert api.ids("invoices", raw) != [id]
    assert id not in api.ids("invoices", f"id={id}")
    table.add({"new-attribute": "x"})
    assert api.ids("invoices", "new_attribute=x") == [table.ids()[-1]]


def test_documented_records_come_first_and_untouched() -> None:
    tables = Sandbox(ROWS, documented=True).tables
    for path in ("users", "expense_reports", "invoices"):
        documented = documented_records(path)
        assert documented
        ids = [record["id"] for record in documented]
        assert tables[path].records()[: len(ids)] == documented
        assert len(tables[path]) == ROWS[path]
    table = tables["users"]
    table.edit(5, middlename="x")
    assert instant(table.get(5)["updated-at"]).year > 2020


def test_live_edits_run_before_each_resource_request(start: Start) -> None:
    api = start()
    edits = LiveEdits(5, 3, ["users", "invoices"], inserts=1, edits=1, deletes=1)
    api.sandbox.before_each(edits)
    api.token(scope="core.user.read")
    assert [edits.inserted, edits.edited, edits.deleted] == [{}, {}, {}]
    before = {path: set(table.ids()) for path, table in api.sandbox.tables.items()}
    for _ in range(20):
        api.get("users")
    for path in ("users", "invoices"):
        after = set(api.sandbox.tables[path].ids())
        assert after == (before[path] | edits.inserted[path]) - edits.deleted[path]
        assert edits.edited[path]
    assert set(api.sandbox.tables["expense_lines"].ids()) == before["expense_lines"]


def test_callbacks_see_the_request_and_act_before_the_response(start: Start) -> None:
    api = start()
    table = api.sandbox.tables["users"]
    api.sandbox.before_each(lambda sandbox, request: table.delete(table.ids()[0]))
    ids = table.ids()
    assert api.ids("users", "limit=2") == ids[1:3]


def test_an_edit_of_a_row_leaves_its_record() -> None:
    table = fixed().tables["invoices"]
    id = next(r["id"] for r in table.records() if len(r["invoice-lines"]) > 1)
    before = table.get(id)
    table.edit_row(id, "invoice-lines", 1, description="Edited")
    after = table.get(id)
    first, second, *rest = before["invoice-lines"]
    edited = {
        **second,
        "description": "Edited",
        "updated-at": after["invoice-lines"][1]["updated-at"],
    }
    assert after == {**before, "invoice-lines": [first, edited, *rest]}
    assert instant(edited["updated-at"]) == NOW
    with pytest.raises(IndexError):
        table.edit_row(id, "invoice-lines.tax-lines", 1_000)
