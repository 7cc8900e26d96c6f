"""Nested streams: lists of which each parent has one of its own, `/api/users/5/addresses`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import discover, final_states, records_by_stream, run_read
from integration_tests.sandbox import (
    Dialect,
    Fault,
    LiveEdits,
    Record,
    RequestRecord,
    Sandbox,
    interesting_dialects,
)
from integration_tests.truth import COMPLETE, UNLIMITED, last_status, messages_of, truth_of
from unit_tests.conftest import Waits

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

ADDRESSES = "users/:user_id/addresses"
COMMENTS = "invoices/:invoice_id/comments"
PENDING = "quote_requests/:quote_request_id/pending_quote_suppliers"
ALONE = UNLIMITED.but(lists_inside="ignored")
"""Lists below records come by themselves alone."""

SCOPES = ("core.sourcing.read", "core.sourcing.pending_supplier.read")

NOT_OFFERED = (
    "This Coupa instance does not offer /api/users/:user_id/addresses (HTTP 404): check the "
    "instance URL, or deselect the stream user_addresses."
)


def users(rows: int = 60, addresses: int = 150, dialect: Dialect = UNLIMITED) -> Sandbox:
    return Sandbox({"users": rows, ADDRESSES: addresses}, dialect=dialect, size={"users": 600})


def truth(sandbox: Sandbox, stream: str = "user_addresses") -> dict[int, Record]:
    return {row["id"]: row for row in truth_of(sandbox, stream)}


def assert_whole(output: EntrypointOutput, expected: Mapping[int, Record], stream: str) -> None:
    assert messages_of(output) == []
    read = records_by_stream(output).get(stream, [])
    assert sorted(record["id"] for record in read) == sorted(expected)
    for record in read:
        assert record == expected[record["id"]]
    assert last_status(output, stream) == COMPLETE


def lists_asked(sandbox: Sandbox, path: str = ADDRESSES) -> list[RequestRecord]:
    return sandbox.requests_for(path)


@pytest.mark.parametrize(
    ("stream", "path"), [("user_addresses", ADDRESSES), ("invoice_comments", COMMENTS)]
)
def test_each_record_comes_once_with_the_id_of_its_parent(stream: str, path: str) -> None:
    rows = {path.partition("/")[0]: 60, path: 150}
    with Sandbox(rows, dialect=UNLIMITED) as sandbox:
        output = run_read(sandbox, [stream])
        assert_whole(output, truth(sandbox, stream), stream)
        owners = set(sandbox.tables[path].owners.values())
        assert 10 < len(owners) < 60, "all parents have a list or hardly any: see other tests"


def test_each_list_costs_one_request_if_it_is_empty_and_two_at_most() -> None:
    with users(120, 0, ALONE) as sandbox:
        for id in sandbox.tables["users"].ids()[:60]:
            sandbox.tables[ADDRESSES].add(owner=id)
        assert_whole(run_read(sandbox, ["user_addresses"]), truth(sandbox), "user_addresses")
        assert len(lists_asked(sandbox)) <= 60 + 2 * 60
        of_parents = sandbox.requests_for("users")
        trials = [r for r in of_parents if "addresses" in r.query["fields"]]
        assert len(trials) <= 4
        assert len(of_parents) - len(trials) <= 8
        assert {r.query["fields"] for r in of_parents if r not in trials} == {'["id"]'}


@pytest.mark.parametrize("name", [name for name in interesting_dialects() if "token" not in name])
def test_each_dialect_brings_all_records_or_says_why_not(name: str) -> None:
    dialect = interesting_dialects()[name].but(rate_limit=None)
    with users(dialect=dialect) as sandbox:
        output = run_read(sandbox, ["user_addresses"])
        if messages := messages_of(output):
            assert "order_by=id ignored" in name or "id ranges" in name
            assert any("in order of id" in m or "HTTP 400" in m for m in messages)
            assert last_status(output, "user_addresses") != COMPLETE
        elif name == "lists inside of records capped":
            # what came before it showed comes again
            read = records_by_stream(output)["user_addresses"]
            assert {record["id"]: record for record in read} == truth(sandbox)
            assert last_status(output, "user_addresses") == COMPLETE
        elif name == "times in one zone per response":
            read = records_by_stream(output)["user_addresses"]
            assert sorted(record["id"] for record in read) == sorted(truth(sandbox))
        else:
            assert_whole(output, truth(sandbox), "user_addresses")


def test_a_parent_that_vanished_meanwhile_is_passed_by() -> None:
    with users(dialect=ALONE) as sandbox:
        table = sandbox.tables["users"]
        gone = table.ids()[3:6]

        def delete(sandbox: Sandbox, request: RequestRecord) -> None:
            for id in gone:
                if request.path == f"/api/users/{id}/addresses" and table.row(id):
                    table.delete(id)

        sandbox.before_each(delete)
        output = run_read(sandbox, ["user_addresses"])
        assert_whole(output, truth(sandbox), "user_addresses")
        assert len(table) == 57
        proofs = [r.query["id"] for r in sandbox.requests_for("users") if "id" in r.query]
        assert sorted(proofs) == sorted(map(str, gone))


@pytest.mark.parametrize("status", [404, 410])
def test_a_list_that_is_missing_below_a_parent_that_exists_is_an_error(status: int) -> None:
    with users() as sandbox:
        sandbox.faults.add(Fault("status", status=status, resource=ADDRESSES))
        output = run_read(sandbox, ["user_addresses"])
        assert NOT_OFFERED in messages_of(output)
        error = output.errors[0].trace.error  # type: ignore[union-attr]
        assert error is not None
        assert error.failure_type == FailureType.config_error
        assert last_status(output, "user_addresses") != COMPLETE


@pytest.mark.parametrize("status", [404, 409])
def test_after_a_list_that_failed_no_others_are_asked_for(status: int) -> None:
    with users(400, 10) as sandbox:
        sandbox.faults.add(Fault("status", status=status, resource=ADDRESSES))
        output = run_read(sandbox, ["user_addresses"], num_workers=2)
        assert messages_of(output)
        assert last_status(output, "user_addresses") != COMPLETE
        assert len(lists_asked(sandbox)) < 400, "all lists were asked for"


@pytest.mark.parametrize("resource", ["users", ADDRESSES])
@pytest.mark.parametrize("status", [403, 503])
def test_parents_or_lists_that_cannot_be_read_fail_the_stream(
    waits: Waits, resource: str, status: int
) -> None:
    with users() as sandbox:
        sandbox.faults.add(Fault("status", status=status, resource=resource))
        output = run_read(sandbox, ["user_addresses", "expenses"])
        assert any("user_addresses" in message for message in messages_of(output))
        assert last_status(output, "user_addresses") != COMPLETE
        assert last_status(output, "expenses") == COMPLETE


def test_requests_under_way_are_bounded_over_all_lists() -> None:
    with users() as sandbox:
        sandbox.latency = 0.02
        run_read(sandbox, ["user_addresses"], num_workers=3)
        assert 2 <= sandbox.peak_concurrency() <= 3


@pytest.mark.parametrize("dialect", [UNLIMITED, ALONE])
def test_no_untouched_record_is_lost_under_live_edits_of_both(dialect: Dialect) -> None:
    with users(80, 300, dialect) as sandbox:
        addresses = sandbox.tables[ADDRESSES]
        before = {id: addresses.owners[id] for id in addresses.ids()}
        edits = LiveEdits(3, 2, ["users", ADDRESSES], inserts=1.0, edits=2.0, deletes=1.0)
        sandbox.before_each(edits)
        output = run_read(sandbox, ["user_addresses"])
        assert messages_of(output) == []
        read = [record["id"] for record in records_by_stream(output)["user_addresses"]]
        assert len(read) == len(set(read))
        assert len(edits.deleted["users"]) > (5 if dialect == ALONE else 1), (
            "hardly any parent was deleted: this tests nothing"
        )
        touched = edits.edited[ADDRESSES] | edits.deleted[ADDRESSES]
        untouched = {
            id
            for id, owner in before.items()
            if id not in touched and owner not in edits.deleted["users"]
        }
        assert untouched <= set(read)


def test_a_second_sync_reads_all_lists_again() -> None:
    """Whether a change of a list shows in its parent's update time is not documented."""
    with users() as sandbox:
        first = run_read(sandbox, ["user_addresses"])
        table = sandbox.tables[ADDRESSES]
        table.edit(table.ids()[0], street2="moved")
        second = run_read(sandbox, ["user_addresses"], final_states(first))
        assert_whole(second, truth(sandbox), "user_addresses")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("stream", "path"), [("user_addresses", ADDRESSES), ("invoice_comments", COMMENTS)]
)
def test_lists_of_fifty_parents_cost_one_request(stream: str, path: str, whole: bool) -> None:
    parents = path.partition("/")[0]
    dialect = UNLIMITED.but(lists_inside_whole=whole)
    size = {"users": 600, "invoices": 600}
    with Sandbox({parents: 1_000, path: 600}, dialect=dialect, size=size) as sandbox:
        output = run_read(sandbox, [stream])
        assert_whole(output, truth(sandbox, stream), stream)
        assert len(sandbox.requests_for(parents)) < 1_000 / 50 + 30
        assert len(lists_asked(sandbox, path)) < 100


@pytest.mark.parametrize(
    "changes",
    [
        {"lists_inside": "ignored"},
        {"lists_inside": "refused"},
        {"fields": "ignored"},
        {"fields": "refused"},
        {"lists_inside_lack": frozenset({"city"})},
        {"lists_inside_lack": frozenset({"city", "id"})},
        {"lists_inside_cut": frozenset({"created-by"})},
        {"fields_depth": 1},
    ],
)
def test_where_lists_do_not_come_whole_each_costs_a_request(changes: Mapping[str, Any]) -> None:
    with users(200, 300, UNLIMITED.but(**changes)) as sandbox:
        output = run_read(sandbox, ["user_addresses"])
        assert_whole(output, truth(sandbox), "user_addresses")
        asked = {request.owner for request in lists_asked(sandbox)}
        assert asked == set(sandbox.tables["users"].ids())
        reported = [log for log in output.logs if log.log and "costs a request" in log.log.message]
        assert len(reported) == 1


def test_a_parent_that_cannot_be_printed_is_asked_for_its_list_alone(waits: Waits) -> None:
    with users(300, 600) as sandbox:
        table = sandbox.tables[ADDRESSES]
        poison = table.owners[table.ids()[0]]
        sandbox.faults.add(Fault("status", status=500, resource="users", ids=[poison]))
        output = run_read(sandbox, ["user_addresses"])
        assert_whole(output, truth(sandbox), "user_addresses")
        assert poison in {request.owner for request in lists_asked(sandbox)}
        assert len(lists_asked(sandbox)) < 100


def test_a_list_that_cannot_be_read_at_all_is_named_and_asked_for_again(waits: Waits) -> None:
    with users(300, 600) as sandbox:
        table = sandbox.tables[ADDRESSES]
        poison = table.owners[table.ids()[0]]
        sandbox.faults.add(
            Fault("status", status=500, resource="users", ids=[poison]),
            Fault("status", status=500, resource=ADDRESSES, owners=[poison]),
        )
        first = run_read(sandbox, ["user_addresses"])
        assert any(str(poison) in message for message in messages_of(first))
        read = {record["id"] for record in records_by_stream(first)["user_addresses"]}
        assert read == {id for id in truth(sandbox) if table.owners[id] != poison}
        sandbox.faults.clear()
        second = run_read(sandbox, ["user_addresses"], final_states(first))
        assert poison in {row["user_id"] for row in records_by_stream(second)["user_addresses"]}
        assert messages_of(second) == []


class TestParentsWithAnotherScope:
    """Pending suppliers have a scope of their own, and so have the quote requests above them."""

    @pytest.mark.parametrize("held", [SCOPES, SCOPES[:1], SCOPES[1:]])
    def test_discover_shows_the_stream_only_to_clients_with_both(
        self, held: tuple[str, ...]
    ) -> None:
        with Sandbox({}, dialect=UNLIMITED) as sandbox:
            sandbox.revoke(*SCOPES)
            sandbox.grant(*held)
            (catalog,) = discover(sandbox.config()).of_type("CATALOG")
            names = {stream["name"] for stream in catalog["catalog"]["streams"]}
        assert ("pending_quote_suppliers" in names) == (held == SCOPES)

    def test_each_list_is_read_with_a_token_that_has_its_scope(self) -> None:
        with Sandbox({"quote_requests": 12, PENDING: 30}, dialect=UNLIMITED) as sandbox:
            output = run_read(sandbox, ["pending_quote_suppliers"])
            expected = truth(sandbox, "pending_quote_suppliers")
            assert_whole(output, expected, "pending_quote_suppliers")
            for resource, scope in zip(("quote_requests", PENDING), SCOPES, strict=True):
                used = {request.scopes for request in sandbox.requests_for(resource)}
                assert all(scope in scopes for scopes in used)

    @pytest.mark.parametrize("missing", SCOPES)
    def test_a_scope_that_was_taken_away_is_named(self, missing: str) -> None:
        with Sandbox({"quote_requests": 3}, dialect=UNLIMITED) as sandbox:
            sandbox.revoke(missing)
            messages = messages_of(run_read(sandbox, ["pending_quote_suppliers"]))
            assert any(f"lacks the scope {missing}:" in message for message in messages)

    @pytest.mark.parametrize(
        ("resource", "scope"), list(zip(("quote_requests", PENDING), SCOPES, strict=True))
    )
    def test_a_refusal_names_the_scope_of_the_list_that_was_refused(
        self, resource: str, scope: str
    ) -> None:
        with Sandbox({"quote_requests": 3, PENDING: 3}, dialect=UNLIMITED) as sandbox:
            sandbox.faults.add(Fault("status", status=403, resource=resource))
            messages = messages_of(run_read(sandbox, ["pending_quote_suppliers"]))
            assert any(f"has the scope {scope}, or" in message for message in messages)
