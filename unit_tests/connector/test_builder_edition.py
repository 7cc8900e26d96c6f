"""The Builder edition loses nothing either: it brings all, or the stream fails.

What it brings of each stream is in `integration_tests/test_builder_edition.py`, where Airbyte's own
commands read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.builder_edition import read_here
from integration_tests.harness import final_states, records_by_stream, run_read
from integration_tests.sandbox import (
    Dialect,
    Fault,
    LiveEdits,
    RequestRecord,
    Sandbox,
    interesting_dialects,
)
from integration_tests.truth import (
    COMPLETE,
    UNLIMITED,
    assert_stream_whole,
    ids,
    last_status,
    messages_of,
    truth,
)
from unit_tests.conftest import Present
from unit_tests.failing import traces

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

START = "2026-06-01T00:00:00Z"
"""Two windows."""

MANY = 150
"""Requests after which a read has no end."""


def reported_of(output: EntrypointOutput, stream: str) -> list[tuple[str, FailureType | None]]:
    """The messages about a stream, each once, and their kinds."""
    reported = [
        (error.message, error.failure_type)
        for error in traces(output)
        if error.stream_descriptor is not None and error.stream_descriptor.name == stream
    ]
    return list(dict.fromkeys(reported))


def stop_without_end(sandbox: Sandbox, request: RequestRecord) -> None:
    """A read that goes in circles ends as a failure of the test, not never."""
    if len(sandbox.requests) > MANY:
        sandbox.faults.add(Fault("status", status=418))


@pytest.mark.parametrize("rows", [0, 1, 49, 50, 51, 100, 130])
def test_a_list_of_any_length_is_read_to_its_end(rows: int, present: Present) -> None:
    """Also where one update time is on most records, and their ids have gaps."""
    with Sandbox(
        {"users": rows}, dialect=UNLIMITED, spread="mass_update", clock=present
    ) as sandbox:
        output = read_here(sandbox, ["users"], start_date="2024-01-01T00:00:00Z")
        assert messages_of(output) == []
        assert_stream_whole(output, sandbox, "users", adds_ids=False)


def test_an_instance_with_smaller_pages_is_read_until_a_page_is_empty(present: Present) -> None:
    dialect = UNLIMITED.but(page_cap=20)
    with Sandbox({"users": 130}, dialect=dialect, spread="mass_update", clock=present) as sandbox:
        assert_stream_whole(read_here(sandbox, ["users"]), sandbox, "users", adds_ids=False)


def test_records_at_the_edges_of_windows_come_once(present: Present) -> None:
    start = present.now - timedelta(days=180)
    edges = [start + timedelta(days=90), start, start + timedelta(days=90, seconds=-1)]
    with Sandbox({"users": 9}, dialect=UNLIMITED, spread=edges, clock=present) as sandbox:
        output = read_here(sandbox, ["users"], start_date=start.strftime("%Y-%m-%dT%H:%M:%SZ"))
        assert_stream_whole(output, sandbox, "users", adds_ids=False)
        ends = {r.query["updated_at[lt]"] for r in sandbox.requests_for("users")}
        edge = (start + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert edge in ends, "no window ends there: this tests nothing"


def test_the_first_window_has_no_lower_bound(present: Present) -> None:
    ancient = present.now - timedelta(days=365 * 30)
    with Sandbox({"users": 2}, dialect=UNLIMITED, spread=[ancient], clock=present) as sandbox:
        assert_stream_whole(read_here(sandbox, ["users"]), sandbox, "users", adds_ids=False)
        lower = [r.query.get("updated_at[gt_or_eq]") for r in sandbox.requests_for("users")]
        assert lower.count(None) == 2, "a page with both, and the empty one after it"


TELLING = "Coupa does not apply the filter on"

REFUSED = "Coupa refuses the query for stream"

DISORDER = "Coupa does not list /api/users in order of id"

OTHER_INSTANCES = {
    "order_by=id ignored": None,
    "order_by=id refused": REFUSED,
    "order_by=id ignored, ordered by updated_at": DISORDER,
    "order_by=id ignored, shuffled": DISORDER,
    "id ranges ignored": f"{TELLING} id",
    "id ranges refused": REFUSED,
    "updated_at ignored": f"{TELLING} updated_at",
    "updated_at refused": REFUSED,
    "unknown parameters refused": None,
    "times in one zone per response": None,
}
"""Instance -> how the log says why nothing was read, None where all must be."""


@pytest.mark.parametrize("stream", ["users", "user_roles"])
@pytest.mark.parametrize("name", OTHER_INSTANCES)
def test_it_brings_all_or_says_why_not(name: str, stream: str, present: Present) -> None:
    dialect = interesting_dialects()[name].but(rate_limit=None)
    days = [present.now - timedelta(days=day) for day in (3, 1, 170, 2)]
    with Sandbox({"users": 120}, dialect=dialect, spread=days, clock=present) as sandbox:
        sandbox.before_each(stop_without_end)
        output = read_here(sandbox, [stream], start_date=START)
        assert len(sandbox.requests) < MANY
        why = OTHER_INSTANCES[name]
        if why is None:
            assert messages_of(output) == []
            assert last_status(output, stream) == COMPLETE
            read = {row.get("user_id", row["id"]) for row in records_by_stream(output)[stream]}
            having_rows = [
                record["id"]
                for record in sandbox.tables["users"].records()
                if stream == "users" or record["roles"]
            ]
            assert read == set(having_rows)
        else:
            assert last_status(output, stream) != COMPLETE
            assert any(why in str(message.log) for message in output.logs) or any(
                why in message for message in messages_of(output)
            )


@pytest.mark.parametrize(
    ("fault", "sentence", "kind"),
    [
        ({"body": "html"}, "Coupa sends something else than a JSON list", None),
        ({"body": "object"}, "Coupa sends something else than a JSON list", None),
        ({"body": "empty"}, "Coupa sends something else than a JSON list", None),
        ({"status": 403}, "Coupa refuses access to /api/users", FailureType.config_error),
        ({"status": 404}, "This Coupa instance does not offer", FailureType.config_error),
        ({"status": 503}, "Coupa is not available for /api/users", FailureType.transient_error),
        ({"status": 429}, "API rate limit exceeded", FailureType.transient_error),
    ],
    ids=lambda value: str(value)[:30],
)
def test_no_bad_response_makes_a_table_look_empty(
    fault: dict[str, object], sentence: str, kind: FailureType | None
) -> None:
    with Sandbox({"users": 3}, dialect=UNLIMITED) as sandbox:
        sandbox.faults.add(Fault("status", **{"status": 200, "resource": "users", **fault}))  # type: ignore[arg-type]
        output = read_here(sandbox, ["users"], start_date=START)
    assert last_status(output, "users") != COMPLETE
    [(reported, failure_type)] = reported_of(output, "users")
    assert sentence in reported
    assert kind is None or failure_type == kind


@pytest.mark.parametrize("field", ["id", "updated-at"])
def test_records_that_a_filter_has_trimmed_fail_the_stream(field: str, present: Present) -> None:
    kept = frozenset({"id", "updated-at", "login"} - {field})
    dialect = UNLIMITED.but(response_filter={"users": kept})
    with Sandbox({"users": 3}, dialect=dialect, clock=present) as sandbox:
        output = read_here(sandbox, ["users"])
    [(reported, kind)] = reported_of(output, "users")
    assert "a default API response filter in Coupa cuts them off" in reported
    assert kind == FailureType.config_error
    assert "users" not in records_by_stream(output)


def test_no_untouched_record_is_lost(present: Present) -> None:
    with Sandbox(
        {"invoices": 400}, dialect=UNLIMITED, spread="mass_update", clock=present
    ) as sandbox:
        before = set(sandbox.tables["invoices"].ids())
        edits = LiveEdits(11, per_request=10, resources=["invoices"], deletes=2.0)
        sandbox.before_each(edits)
        output = read_here(sandbox, ["invoices"], start_date="2024-01-01T00:00:00Z")
        assert messages_of(output) == []
        touched = edits.edited["invoices"] | edits.deleted["invoices"]
        assert len(touched) > 50
        read = ids(records_by_stream(output)["invoices"])
        assert sorted(set(read) - touched) == sorted(id for id in read if id not in touched)
        assert before - touched <= set(read)


def test_three_syncs_under_live_edits_together_give_the_truth(present: Present) -> None:
    found: dict[int, dict[str, object]] = {}
    with Sandbox({"users": 150}, dialect=UNLIMITED, clock=present) as sandbox:
        edits = LiveEdits(5, per_request=4, resources=["users"])
        sandbox.before_each(edits)
        state = None
        for sync in range(3):
            if sync == 2:
                sandbox.callbacks.clear()
            present.pass_by(hours=1)
            output = read_here(sandbox, ["users"], state, start_date="2024-01-01T00:00:00Z")
            assert messages_of(output) == []
            found |= {record["id"]: record for record in records_by_stream(output)["users"]}
            state = final_states(output)
        assert edits.edited["users"]
        assert found == truth(sandbox, "users", adds_ids=False)


@pytest.mark.parametrize("first", ["the Builder edition", "the image"])
def test_a_state_of_one_edition_goes_on_in_the_other(first: str, present: Present) -> None:
    streams: Sequence[str] = ["users", "user_roles"]
    editions = [read_here, run_read] if first == "the Builder edition" else [run_read, read_here]
    days = [present.now - timedelta(days=day) for day in range(5, 60)]
    with Sandbox(
        {"users": 120}, dialect=UNLIMITED, spread=days, clock=present, size={"users": 4_000}
    ) as sandbox:
        table = sandbox.tables["users"]
        output = editions[0](sandbox, streams, start_date=START)
        state = final_states(output)
        present.pass_by(hours=1)
        edited = set(table.edit_many(4)) | {table.add()}
        present.pass_by(hours=1)
        sandbox.requests.clear()
        output = editions[1](sandbox, streams, state, start_date=START)
        assert messages_of(output) == []
        records = records_by_stream(output)
        assert edited <= set(ids(records["users"]))
        assert len(records["users"]) < 15
        assert {row["user_id"] for row in records["user_roles"]} <= set(ids(records["users"]))


def test_records_without_rows_do_not_hold_up_a_child_table(present: Present) -> None:
    """Pages go on after their last record, whether it has rows or not."""
    with Sandbox({"users": 120}, dialect=UNLIMITED, spread="mass_update", clock=present) as sandbox:
        table = sandbox.tables["users"]
        yesterday = (present.now - timedelta(days=1)).isoformat()
        table.edit_many(table.ids(), {"updated-at": yesterday, "roles": []})
        output = read_here(sandbox, ["user_roles"], start_date="2026-11-01T00:00:00Z")
        assert messages_of(output) == []
        assert records_by_stream(output) == {}
        assert len(sandbox.requests_for("users")) == 4, "three pages, and an empty one"


def test_a_list_in_another_form_is_an_error(present: Present) -> None:
    with Sandbox({"users": 3}, dialect=UNLIMITED, clock=present) as sandbox:
        table = sandbox.tables["users"]
        table.edit(table.ids()[1], roles={"id": 7})
        present.pass_by(hours=1)
        output = read_here(sandbox, ["user_roles"], start_date="2024-01-01T00:00:00Z")
        assert last_status(output, "user_roles") != COMPLETE


def test_each_stream_asks_for_a_token_for_its_scope_alone(present: Present) -> None:
    streams = ["users", "invoices", "pending_quote_suppliers"]
    rows = {"users": 2, "invoices": 2, "quote_requests": 2}
    with Sandbox(rows, dialect=UNLIMITED, clock=present) as sandbox:
        output = read_here(sandbox, streams, start_date=START)
        assert messages_of(output) == []
        asked = sorted(request.form["scope"] for request in sandbox.requests_for("oauth"))
        assert asked == [
            "core.invoice.read",
            "core.sourcing.pending_supplier.read",
            "core.sourcing.read",
            "core.user.read",
        ]


def test_a_stream_without_its_scope_fails_alone(present: Present) -> None:
    with Sandbox({"users": 2, "invoices": 2}, dialect=UNLIMITED, clock=present) as sandbox:
        sandbox.revoke("core.invoice.read")
        output = read_here(sandbox, ["users", "invoices"], start_date="2024-01-01T00:00:00Z")
        assert_stream_whole(output, sandbox, "users", adds_ids=False)
        assert last_status(output, "invoices") != COMPLETE


def assert_users_came(output: EntrypointOutput, sandbox: Sandbox) -> None:
    assert ids(records_by_stream(output)["users"]) == sandbox.tables["users"].ids()
    assert last_status(output, "users") == COMPLETE


@pytest.mark.parametrize(
    "secret",
    [
        "12345e10",
        "1_000",
        "0x1F",
        "True",
        "[1, 2]",
        "'quoted'",
        '"',
        "a'b\"c\\d",
        "<é&>%",
        "{{ 1 }}",
    ],
)
def test_credentials_are_sent_as_they_are(secret: str, present: Present) -> None:
    """Also those that look like a number, a list or a template."""
    yesterday = [present.now - timedelta(days=1)]
    with Sandbox({"users": 2}, dialect=UNLIMITED, spread=yesterday, clock=present) as sandbox:
        [client] = sandbox.clients.values()
        sandbox.clients[secret] = replace(client, secret=secret)
        output = read_here(
            sandbox, ["users"], client_id=secret, client_secret=secret, start_date=START
        )
        assert_users_came(output, sandbox)


def test_without_a_start_date_the_first_windows_of_a_test_hold_records(present: Present) -> None:
    """A test in the Builder reads five; of a small list they cost a few requests."""
    with Sandbox({"users": 2}, dialect=UNLIMITED, clock=present) as sandbox:
        assert_users_came(read_here(sandbox, ["users"]), sandbox)
        windows = {r.query.get("updated_at[gt_or_eq]") for r in sandbox.requests_for("users")}
        assert len(windows) <= 5


def test_a_wrong_secret_costs_a_token_request_for_each_window(present: Present) -> None:
    streams = ["users", "invoices", "expenses", "expense_lines"]
    with Sandbox({}, dialect=UNLIMITED, clock=present) as sandbox:
        output = read_here(sandbox, streams, client_secret="wrong")
        assert all(last_status(output, stream) != COMPLETE for stream in streams)
        assert len(sandbox.requests_for("oauth")) <= 5 * len(streams)


@pytest.mark.parametrize("debug", [False, True], ids=["usual log", "debug log"])
def test_neither_secret_nor_token_shows(debug: bool, present: Present) -> None:
    with Sandbox({"users": 2}, dialect=Dialect(rate_limit=None), clock=present) as sandbox:
        output = read_here(sandbox, ["users"], debug=debug, start_date=START)
        assert messages_of(output) == []
        printed = "\n".join(map(str, [*output.logs, *output.records, *output.trace_messages]))
        tokens = {
            request.headers["authorization"].removeprefix("Bearer ")
            for request in sandbox.requests_for("users")
        }
        assert tokens
        for secret in (sandbox.config()["client_secret"], *tokens):
            assert secret not in printed
