"""Which lists a sync reads, for which tables, and since when."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_cdk.models import SyncMode

from source_coupa.reading.bookmark import END

from . import parts
from .parts import SCHEMAS, at, moment, planned

FULL, INCREMENTAL = SyncMode.full_refresh, SyncMode.incremental
TABLES = ("invoices", "invoice_lines", "invoice_taxes")


def state(day: int, **more: Any) -> dict[str, Any]:
    return {"updated_at": at(day), "highest_id": 100, **more}


def child_state(day: int, **more: Any) -> dict[str, Any]:
    return {"invoice_updated_at": at(day), "highest_id": 100, **more}


def test_a_list_is_read_once_for_all_of_its_tables() -> None:
    plans = planned([*TABLES, "currencies", "user_addresses"])
    assert [(p.name, [t.name for t in p.tables]) for p in plans] == [
        ("invoices", list(TABLES)),
        ("currencies", ["currencies"]),
        ("user_addresses", ["user_addresses"]),
    ]


def test_a_list_is_read_since_the_earliest_of_its_tables() -> None:
    (plan,) = planned(
        TABLES, dict(zip(TABLES, (state(9), child_state(3), child_state(5)), strict=True))
    )
    assert plan.wanted().since == moment(3)
    assert [table.since for table in plan.tables] == [moment(9), moment(3), moment(5)]


def test_a_new_table_makes_its_list_start_over() -> None:
    (plan,) = planned(TABLES, {"invoices": state(9), "invoice_lines": child_state(3)})
    wanted = plan.wanted()
    assert (wanted.since, wanted.asks_for_nulls, wanted.proves_filter) == (None, True, True)
    assert plan.tables[0].since == moment(9)


def test_a_full_refresh_among_the_tables_reads_the_whole_list() -> None:
    (plan,) = planned({"invoices": INCREMENTAL, "invoice_lines": FULL}, {"invoices": state(9)})
    assert plan.wanted().since is None
    assert [table.since for table in plan.tables] == [moment(9), None]


def test_a_start_date_bounds_full_refreshes_and_first_syncs() -> None:
    modes = {"invoices": FULL, "invoice_lines": INCREMENTAL, "currencies": FULL}
    invoices, currencies = planned(modes, start_date=at(2))
    assert invoices.wanted().since == moment(2)
    assert currencies.wanted().since is None, "its records may have no update times"
    assert not currencies.wanted().checks_times


def test_a_state_before_the_start_date_does_not_bring_older_records() -> None:
    (plan,) = planned(["invoices"], {"invoices": state(1)}, start_date=at(5))
    assert plan.wanted().since == moment(5)


def test_fractions_of_a_second_bound_nothing() -> None:
    """Coupa prints whole seconds, those of a record's fraction too."""
    (first,) = planned(["invoices"], start_date=at(2).replace("Z", ".25Z"))
    (later,) = planned(["invoices"], {"invoices": {"updated_at": at(9).replace("Z", ".25Z")}})
    assert first.tables[0].since == moment(2)
    assert later.tables[0].since == moment(9)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "0001-01-01T10:00:00+14:00"])
@pytest.mark.parametrize("hours", [0, 48])
def test_a_time_before_all_others_bounds_nothing(time: str, hours: int) -> None:
    """There is no hour before it; one list must not end the sync of all."""
    (later,) = planned(
        ["invoices"], {"invoices": {"updated_at": time}}, lookback_window_hours=hours
    )
    (first,) = planned(["invoices"], start_date="0001-01-01T00:00:00Z")
    assert later.wanted().since is None
    assert first.wanted().since is None


def test_the_look_back_is_subtracted_once_and_not_within_a_pass() -> None:
    (plan,) = planned(["invoices"], {"invoices": state(9)}, lookback_window_hours=48)
    assert plan.wanted().since == moment(7)
    under_way = {"began": at(10), "since": at(5), "done": [[0, 50]], "newest": at(9)}
    (plan,) = planned(
        ["invoices"], {"invoices": state(9, **{"pass": under_way})}, lookback_window_hours=48
    )
    assert plan.wanted().since == moment(5)
    assert plan.wanted().done.gaps() == [(50, END)]


def test_tables_that_stopped_at_different_ids_go_on_with_what_both_have() -> None:
    def mark(*done: list[int]) -> dict[str, Any]:
        return {"pass": {"began": at(1), "since": None, "done": list(done), "newest": None}}

    (plan,) = planned(
        ["invoices", "invoice_lines"],
        {"invoices": mark([0, 50], [80, 90]), "invoice_lines": mark([0, 60], [85, 99])},
    )
    assert plan.wanted().done.gaps() == [(50, 85), (90, END)]


@pytest.mark.parametrize(("was_full", "is_full"), [(True, False), (False, True)])
def test_a_pass_of_another_sync_mode_does_not_go_on(was_full: bool, is_full: bool) -> None:
    mark: dict[str, Any] = {"began": at(1), "since": None, "done": [[0, 50]], "newest": None}
    if was_full:
        mark["full_refresh"] = True
    modes = {"invoices": FULL if is_full else INCREMENTAL}
    (plan,) = planned(modes, {"invoices": {"pass": mark}})
    assert plan.wanted().done.gaps() == [(0, END)]


def test_a_full_refresh_goes_on_with_its_own_pass() -> None:
    mark = {"began": at(1), "since": None, "done": [[0, 50]], "full_refresh": True}
    (plan,) = planned({"currencies": FULL}, {"currencies": {"pass": mark}})
    assert plan.wanted().done.gaps() == [(50, END)]


def test_a_full_refresh_starts_over_behind_an_incremental_state() -> None:
    (plan,) = planned({"invoices": FULL}, {"invoices": state(9, missing=[7])})
    wanted = plan.wanted()
    assert (wanted.since, wanted.missing) == (None, frozenset())


def test_a_state_of_version_0_1_0_goes_on_and_proves_the_filter() -> None:
    (plan,) = planned(["invoices"], {"invoices": {"updated_at": "2026-06-09T00:00:00+0000"}})
    wanted = plan.wanted()
    assert wanted.since == moment(9)
    assert wanted.proves_filter
    assert wanted.asks_for_nulls


def test_a_known_list_is_neither_proved_nor_searched_for_nulls_again() -> None:
    (plan,) = planned(["invoices"], {"invoices": state(9)})
    wanted = plan.wanted()
    assert (wanted.proves_filter, wanted.asks_for_nulls, wanted.nulls_above) == (False, False, None)
    assert wanted.highest_id == 100, "above which the first of them may come"


def test_a_list_that_has_shown_nulls_is_asked_for_them_whatever_ids_come() -> None:
    (plan,) = planned(["invoices"], {"invoices": state(9, null_times_above=50)})
    assert (plan.wanted().nulls_above, plan.wanted().highest_id) == (50, None)


@pytest.mark.parametrize(
    ("lengths", "expected"), [((49, 19), 19), ((49, None), None), ((49, 0), 0), ((None, 0), 0)]
)
def test_the_tables_of_a_list_know_its_pages_together(
    lengths: tuple[int | None, int | None], expected: int | None
) -> None:
    first, second = ({} if length is None else {"short_page": length} for length in lengths)
    (plan,) = planned(
        ["invoices", "invoice_lines"],
        {"invoices": state(9, **first), "invoice_lines": child_state(9, **second)},
    )
    assert plan.wanted().short_page == expected


def test_what_any_table_misses_is_asked_for() -> None:
    (plan,) = planned(
        ["invoices", "invoice_lines"],
        {"invoices": state(9, missing=[7]), "invoice_lines": child_state(9, missing=[8])},
    )
    assert plan.wanted().missing == {7, 8}


def test_only_child_tables_ask_for_their_lists_alone() -> None:
    (plan,) = planned(["invoice_lines", "invoice_taxes"])
    selection = plan.selection({})
    assert selection is not None
    assert selection.fields() == {"fields": '["id","updated_at","invoice_lines"]'}
    # the one within the other has to be seen
    page = [{"id": 1, "updated_at": None, "invoice_lines": [{"id": 2, "tax_lines": []}]}]
    assert not selection.wants_comparison(page, is_part=False)


def test_a_plain_stream_with_all_columns_asks_for_whole_records() -> None:
    (plan,) = planned(["invoices", "invoice_lines"])
    assert plan.selection({"invoices": {"properties": {"id": {}}}}) is None


def test_the_column_for_all_others_needs_full_records() -> None:
    for columns, is_part in (["id"], True), (["id", "additional_fields"], False):
        (plan,) = planned(["invoices"], columns={"invoices": columns})
        assert (plan.selection(SCHEMAS) is not None) == is_part


def test_selected_columns_and_child_tables_are_asked_for_together() -> None:
    schemas: dict[str, Any] = {
        "invoices": {"properties": {name: {} for name in ("id", "updated_at", "a", "b")}}
    }
    (plan,) = planned(["invoices", "invoice_lines"], columns={"invoices": ["a"]})
    selection = plan.selection(schemas)
    assert selection is not None
    assert selection.fields() == {"fields": '["id","updated_at","a","invoice_lines"]'}


def test_a_stream_that_the_manifest_does_not_know_is_in_no_plan() -> None:
    assert planned(["gone"]) == []


# --- Changes of rows ---


def test_changes_of_rows_are_looked_for_since_the_last_sync() -> None:
    states = {
        "invoices": state(9),
        "invoice_lines": child_state(3),
        "invoice_taxes": child_state(5),
    }
    (found,) = planned(list(states), states)
    changes = found.wanted().row_changes
    assert changes is not None
    assert changes.paths == ["invoice-lines", "invoice-lines.tax-lines"]
    assert (changes.since, changes.before) == (moment(3), moment(9))


def test_the_look_back_is_looked_through_for_changes_of_rows() -> None:
    states = {"invoice_lines": child_state(3)}
    (found,) = planned(list(states), states, lookback_window_hours=24)
    changes = found.wanted().row_changes
    assert changes is not None
    assert changes.since == changes.before == moment(2)


@pytest.mark.parametrize("modes", [["invoice_lines"], {"invoice_lines": SyncMode.full_refresh}])
def test_a_pass_that_brings_everything_looks_for_no_changes_of_rows(modes: Any) -> None:
    (found,) = planned(modes, start_date="2026-01-01T00:00:00Z")
    assert found.wanted().row_changes is None


def test_a_first_pass_that_goes_on_looks_for_no_changes_of_rows() -> None:
    mark = {"began": at(9), "since": at(1), "done": [[0, 5]], "newest": at(8)}
    (found,) = planned(["invoice_lines"], {"invoice_lines": {"pass": mark}})
    assert found.wanted().row_changes is None


def test_a_later_pass_that_goes_on_looks_for_changes_since_its_bound() -> None:
    mark = {"began": at(9), "since": at(2), "done": [[0, 5]], "newest": at(8)}
    (found,) = planned(["invoice_lines"], {"invoice_lines": {**child_state(3), "pass": mark}})
    changes = found.wanted().row_changes
    assert changes is not None
    assert changes.since == moment(2)


def test_a_new_table_leaves_the_changes_that_others_look_for() -> None:
    (found,) = planned(["invoices", "invoice_lines"], {"invoices": state(9)})
    wanted = found.wanted()
    assert wanted.since is None
    assert wanted.row_changes is not None
    assert wanted.row_changes.since == moment(9)


def test_lists_whose_tables_are_not_selected_are_not_asked_about() -> None:
    (found,) = planned(["invoices"], {"invoices": state(9)})
    assert found.wanted().row_changes is None


def test_rows_without_update_times_are_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = {**SCHEMAS, "invoice_lines": {"properties": {"id": {"type": ["integer"]}}}}
    monkeypatch.setattr(parts, "SCHEMAS", schemas)
    (found,) = planned(["invoice_lines"], {"invoice_lines": child_state(3)})
    assert found.wanted().row_changes is None
