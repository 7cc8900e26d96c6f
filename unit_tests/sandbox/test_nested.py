"""Lists below the records of another: `/api/users/5/addresses`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from integration_tests.sandbox import Sandbox
from unit_tests.sandbox.conftest import UNLIMITED, Api, Start

ADDRESSES = "users/:user_id/addresses"
ROWS = {"users": 20, ADDRESSES: 90}


def test_each_parent_has_its_own_rows_and_some_have_none(start: Start) -> None:
    api = start(rows=ROWS, dialect=UNLIMITED.but(page_cap=100_000))
    table = api.sandbox.tables[ADDRESSES]
    served = {
        id: api.get(f"users/{id}/addresses", "limit=1000").json()
        for id in api.sandbox.tables["users"].ids()
    }
    assert [len(rows) == 0 for rows in served.values()].count(True) > 0
    assert sorted(row["id"] for rows in served.values() for row in rows) == table.ids()
    for id, rows in served.items():
        assert {table.owners[row["id"]] for row in rows} <= {id}
    records = {record["id"]: record for record in table.records()}
    assert all(records[row["id"]] == row for rows in served.values() for row in rows)


def test_filters_and_pages_hold_below_a_parent(start: Start) -> None:
    api = start(rows=ROWS)
    owner = api.sandbox.tables["users"].ids()[0]
    ids = [row["id"] for row in api.get(f"users/{owner}/addresses").json()]
    assert len(ids) > 4
    path = f"users/{owner}/addresses"
    assert [row["id"] for row in api.get(path, f"id[gt]={ids[1]}&limit=2").json()] == ids[2:4]
    assert [row["id"] for row in api.get(path, "dir=desc&order_by=id&limit=1").json()] == ids[-1:]
    assert [row["id"] for row in api.get(path, "offset=1&limit=1").json()] == ids[1:2]


def test_an_unknown_parent_or_list_is_not_found(start: Start) -> None:
    api = start(rows=ROWS)
    owner = api.sandbox.tables["users"].ids()[0]
    assert api.get("users/1/addresses").status_code == 404
    assert api.get(f"users/{owner}/no_such_list").status_code == 404
    assert api.get(f"invoices/{owner}/addresses").status_code == 404


def test_rows_of_a_parent_that_was_deleted_are_no_longer_there(start: Start) -> None:
    api = start(rows=ROWS)
    users, addresses = api.sandbox.tables["users"], api.sandbox.tables[ADDRESSES]
    owner = addresses.owners[addresses.ids()[0]]
    users.delete(owner)
    assert api.get(f"users/{owner}/addresses").status_code == 404
    assert all(addresses.owners[record["id"]] != owner for record in addresses.records())


def test_a_row_is_added_below_the_given_parent() -> None:
    sandbox = Sandbox(ROWS)
    owner = sandbox.tables["users"].ids()[-1]
    table = sandbox.tables[ADDRESSES]
    assert table.owners[table.add(owner=owner, street1="1 Example Street")] == owner
    assert table.owners[table.add()] in sandbox.tables["users"].ids()


def test_the_log_names_the_list_and_the_length_of_its_responses(start: Start) -> None:
    api = start(rows=ROWS)
    owner = api.sandbox.tables["users"].ids()[0]
    response = api.get(f"users/{owner}/addresses")
    (request,) = api.sandbox.requests_for(ADDRESSES)
    assert request.path == f"/api/users/{owner}/addresses"
    assert request.bytes == len(response.content)


def test_tables_without_parents_have_no_owners() -> None:
    with pytest.raises(KeyError):
        Sandbox({"users": 1}).tables["users"].owners[1]


def inside(api: Api, inner: list[Any], query: str = "limit=50") -> dict[int, Any]:
    """What comes for the addresses inside of users, by the user's id."""
    fields = quote(json.dumps(["id", {"addresses": inner}]))
    users = api.get("users", f"{query}&fields={fields}").json()
    return {user["id"]: user.get("addresses", "nothing") for user in users}


def test_lists_come_inside_of_their_parents_where_fields_names_them(start: Start) -> None:
    api = start(rows=ROWS)
    table = api.sandbox.tables[ADDRESSES]
    own = {
        id: [row for row in table.records() if table.owners[row["id"]] == id]
        for id in api.sandbox.tables["users"].ids()
    }
    assert inside(api, []) == own
    assert inside(api, ["id", "street1"]) == {
        id: [{key: row[key] for key in row if key in ("id", "street1")} for row in rows]
        for id, rows in own.items()
    }
    (plain,) = api.get("users", "limit=1&fields=" + quote('["id","addresses"]')).json()
    assert list(plain) == ["id"]
    with_some = inside(api, ["id"], "addresses[id][gt]=0")
    assert with_some.keys() == {id for id, rows in own.items() if rows} != own.keys()


def test_lists_inside_of_their_parents_may_be_ignored_refused_or_cut(start: Start) -> None:
    api = start(rows=ROWS, dialect=UNLIMITED.but(lists_inside="ignored"))
    assert set(inside(api, []).values()) == {"nothing"}
    assert len(inside(api, [], "addresses[id][gt]=0")) == 20
    api.sandbox.dialect = UNLIMITED.but(lists_inside="refused")
    fields = quote('["id",{"addresses":[]}]')
    assert api.get("users", f"fields={fields}").status_code == 400
    api.sandbox.dialect = UNLIMITED.but(lists_inside_cap=2)
    assert max(len(rows) for rows in inside(api, []).values()) == 2
    api.sandbox.dialect = UNLIMITED.but(lists_inside_whole=False)
    assert {tuple(row) for rows in inside(api, []).values() for row in rows} == {("id",)}
    assert any(len(row) == 2 for rows in inside(api, ["id", "city"]).values() for row in rows)
    api.sandbox.dialect = UNLIMITED.but(
        lists_inside_lack=frozenset({"city"}), lists_inside_cut=frozenset({"created-by"})
    )
    rows = [row for rows in inside(api, []).values() for row in rows]
    assert not any("city" in row for row in rows)
    assert {tuple(row["created-by"]) for row in rows if row.get("created-by")} == {("id",)}


def test_lists_inside_of_parents_need_their_own_scope(start: Start) -> None:
    path = "quote_requests/:quote_request_id/pending_quote_suppliers"
    api = start(rows={"quote_requests": 3, path: 9})
    fields = quote('["id",{"pending_quote_suppliers":["id"]}]')
    assert "pending-quote-suppliers" in api.get("quote_requests", f"fields={fields}").text
    only = api.log_in("core.sourcing.read")
    assert "pending-quote-suppliers" not in only.get("quote_requests", f"fields={fields}").text
