"""Dialects: every open question about Coupa can be played both ways, also while serving."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from integration_tests.sandbox import Client, Dialect, RateLimit, Refusal, interesting_dialects
from unit_tests.sandbox.conftest import UNLIMITED, Start
from unit_tests.sandbox.test_query import instant


def test_order_by_id_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(order_by_id="ignored", default_order="updated_at"))
    table = api.sandbox.tables["users"]
    stamps = table.stamps()
    by_update = sorted(table.ids(), key=lambda id: (stamps[id] or 0, id))[:50]
    assert by_update != table.ids()[:50]
    assert api.ids("users", "order_by=id&dir=asc") == by_update
    api.sandbox.dialect = UNLIMITED.but(order_by_id="refused")
    assert api.get("users", "order_by=id&dir=asc").status_code == 400
    assert api.ids("users") == table.ids()[:50]


def test_other_orders_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(order_by="ignored"))
    assert api.ids("users", "order_by=updated_at") == api.sandbox.tables["users"].ids()[:50]
    api.sandbox.dialect = UNLIMITED.but(order_by="refused")
    assert api.get("users", "order_by=updated_at").status_code == 400


def test_a_shuffled_default_order_is_stable_and_complete(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(default_order="shuffled"))
    ids = api.sandbox.tables["users"].ids()
    pages = [api.ids("users", f"offset={offset}") for offset in (0, 50)]
    assert pages[0] == api.ids("users")
    assert sorted(pages[0] + pages[1]) == ids
    assert pages[0] != ids[:50]
    assert api.ids("users", "order_by=id") == ids[:50]


def test_id_ranges_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(id_filter="ignored"))
    ids = api.sandbox.tables["users"].ids()
    assert api.ids("users", f"id[gt]={ids[9]}") == ids[:50]
    assert api.ids("users", f"id={ids[9]}") == [ids[9]]
    api.sandbox.dialect = UNLIMITED.but(id_filter="refused")
    assert api.get("users", f"id[gt]={ids[9]}").status_code == 400


def test_updated_at_may_be_ignored_or_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(updated_at_filter="refused"))
    assert api.get("users", "updated_at[gt]=2999-01-01").status_code == 400
    assert api.ids("users", "created_at[gt]=2999-01-01") == []
    api.sandbox.dialect = UNLIMITED.but(updated_at_filter="ignored")
    assert len(api.ids("users", "updated-at[gt]=2999-01-01")) == 50


def test_offsets_beyond_a_limit_are_refused(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(max_offset=50))
    assert len(api.ids("invoices", "offset=50")) == 50
    assert api.get("invoices", "offset=51").status_code == 400


def test_offsets_of_printed_times(start: Start) -> None:
    api = start()
    truth = api.sandbox.tables["invoices"].records()[:50]

    def times() -> list[str]:
        return [record["updated-at"] for record in api.get("invoices").json()]

    def offsets(texts: list[str]) -> set[str]:
        return {text[19:] for text in texts}

    own = times()
    assert own == [record["updated-at"] for record in truth] == times()
    assert {"+05:30", "Z"} < offsets(own)
    assert offsets(own) & {"-03:30", "-02:30"}
    assert all(len(text) in (20, 25) for text in own), "to the second"

    api.sandbox.dialect = UNLIMITED.but(offsets="utc")
    utc = times()
    assert offsets(utc) == {"Z"}
    assert utc == [record["updated-at"] for record in api.sandbox.tables["invoices"].records()[:50]]

    api.sandbox.dialect = UNLIMITED.but(offsets="per_response")
    responses = [times() for _ in range(12)]
    assert len({offset for texts in responses for offset in offsets(texts)}) > 3
    assert all(len(offsets(texts)) <= 2 for texts in responses), "one zone, summer and winter"
    for texts in (utc, *responses):
        assert list(map(instant, texts)) == list(map(instant, own))


def test_the_rate_limit_refuses_what_exceeds_the_burst(start: Start) -> None:
    api = start(dialect=Dialect(rate_limit=RateLimit(per_second=0.001, burst=5)))
    assert [api.get("users", "limit=1").status_code for _ in range(7)] == [200] * 5 + [429] * 2
    refused = api.sandbox.requests[-1]
    assert (refused.status, refused.rows) == (429, None)
    assert api.token(scope="core.user.read").status_code == 200, "tokens do not count"
    api.sandbox.dialect = UNLIMITED
    assert api.get("users", "limit=1").status_code == 200


def test_token_requests_may_count_for_the_rate_limit(start: Start) -> None:
    limit = RateLimit(per_second=0.001, burst=2)
    api = start(dialect=Dialect(rate_limit=limit, counts_token_requests=True))
    assert api.get("users").status_code == 200
    assert api.token(scope="core.user.read").status_code == 429


def test_the_bucket_fills_again(start: Start) -> None:
    api = start(dialect=Dialect(rate_limit=RateLimit(per_second=1_000_000.0, burst=1)))
    assert {api.get("users", "limit=1").status_code for _ in range(5)} == {200}


@pytest.mark.parametrize(
    ("refusal", "content"),
    [
        (Refusal(429), b'{"error":"Too many requests"}'),
        (Refusal(429, "empty"), b""),
        (Refusal(503, "object"), b"{}"),
    ],
)
def test_how_the_rate_limit_responds(start: Start, refusal: Refusal, content: bytes) -> None:
    none_at_all = RateLimit(per_second=0.001, burst=0)
    api = start(dialect=Dialect(rate_limit=none_at_all, rate_limited=refusal))
    response = api.get("users")
    assert (response.status_code, response.content) == (refusal.status, content)
    assert "Retry-After" not in response.headers
    api.sandbox.dialect = api.sandbox.dialect.but(retry_after="seconds")
    assert api.get("users").headers["Retry-After"] == "1"
    api.sandbox.dialect = api.sandbox.dialect.but(retry_after="date")
    response = api.get("users")
    said = parsedate_to_datetime(response.headers["Retry-After"])
    assert said > parsedate_to_datetime(response.headers["Date"])


@pytest.mark.parametrize("name", interesting_dialects())
def test_interesting_dialects_differ_from_the_usual_one(name: str) -> None:
    dialects = interesting_dialects()
    assert (dialects[name] == Dialect()) == (name == "usual")
    assert sum(other == dialects[name] for other in dialects.values()) == 1


def test_each_list_may_have_a_cap_of_its_own(start: Start) -> None:
    addresses = "users/:user_id/addresses"
    api = start(
        rows={"users": 30, "invoices": 30, addresses: 90},
        dialect=UNLIMITED.but(page_caps={"users": 20, addresses: 2}),
    )
    first = api.sandbox.tables["users"].ids()[0]
    assert len(api.ids("users", "limit=50")) == len(api.ids("users")) == 20
    assert len(api.ids("invoices", "limit=50")) == 30
    assert len(api.ids(f"users/{first}/addresses", "limit=50")) == 2
    api.sandbox.dialect = api.sandbox.dialect.but(over_cap="refused")
    assert api.get("users", "limit=21").status_code == 400
    assert api.get("invoices", "limit=21").status_code == 200


def test_rows_may_be_hidden_after_they_were_counted(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(hidden_every=3))
    ids = api.sandbox.tables["invoices"].ids()
    seen = [id for id in ids[:50] if id % 3]
    assert 25 < len(seen) < 50
    assert api.ids("invoices") == seen
    assert api.ids("invoices", "order_by=updated_at&dir=desc&limit=20") != []
    hidden = next(id for id in ids if id % 3 == 0)
    assert api.get(f"invoices/{hidden}").status_code == 404
    assert api.get(f"invoices/{seen[0]}").status_code == 200


def test_no_match_may_be_not_found(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(no_match="not_found"))
    last = api.sandbox.tables["invoices"].ids()[-1]
    response = api.get("invoices", f"id[gt]={last}")
    assert response.status_code == 404
    assert "No results match your search criteria." in response.text
    assert api.ids("invoices", f"id[gt_or_eq]={last}") == [last]


def test_filter_times_may_be_read_in_a_zone_of_the_instance(start: Start) -> None:
    api = start(rows={}, dialect=UNLIMITED.but(filter_zone=5.5))
    table = api.sandbox.tables["users"]
    table.add({"id": 1, "updated-at": "2024-05-10T10:00:00Z"})
    for raw in ("2024-05-10T15:30:00Z", "2024-05-10T15:30:00-08:00"):
        assert api.ids("users", f"updated_at={raw}") == [1]
    assert api.ids("users", "updated_at[gt]=2024-05-10") == [1]
    api.sandbox.dialect = UNLIMITED
    assert api.ids("users", "updated_at=2024-05-10T15:30:00Z") == []


@pytest.mark.parametrize("operator", ["gt", "gt_or_eq", "lt", "lt_or_eq", "not_eq", "in", "not_in"])
def test_rows_without_times_satisfy_no_comparison(start: Start, operator: str) -> None:
    api = start(rows={"users": 3})
    table = api.sandbox.tables["users"]
    table.edit(table.ids()[1], {"updated-at": None, "created-at": None}, touch=False)
    other = datetime(2031, 1, 1, tzinfo=timezone.utc)
    table.load([*((id, other, other) for id in table.ids()), (99_999, None, None)])
    assert table.stamps()[99_999] is None
    (record,) = api.get("users", "id=99999").json()
    assert (record["created-at"], record["updated-at"]) == (None, None)
    for name in ("updated_at", "created-at"):
        for year in (2000, 2040):
            assert 99_999 not in api.ids("users", f"{name}[{operator}]={year}-01-01T00:00:00Z")
        assert api.ids("users", f"{name}[blank]=true") == [99_999]
        assert len(api.ids("users", f"{name}[blank]=false")) == 3
    assert len(api.ids("users", "order_by=updated_at")) == 4


def test_rows_may_be_dated_in_the_future(start: Start) -> None:
    api = start(rows={"users": 2})
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    id = api.sandbox.tables["users"].add(updated_at=tomorrow)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert api.ids("users", f"updated_at[gt]={now}") == [id]


def test_blank_may_be_refused_or_ignored_for_times(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(blank_time="refused"))
    assert api.get("users", "updated_at[blank]=true").status_code == 400
    assert api.get("users", "updated_at[gt]=2999-01-01").status_code == 200
    assert api.get("users", "login[blank]=true").status_code == 200
    api.sandbox.dialect = UNLIMITED.but(blank_time="ignored")
    assert len(api.ids("users", "updated-at[blank]=true")) == 50
    api.sandbox.dialect = UNLIMITED.but(updated_at_filter="refused")
    assert api.get("users", "updated_at[blank]=true").status_code == 400


def test_times_of_associations_can_be_filtered(start: Start) -> None:
    raw = "remit-to-addresses[updated-at][gt_or_eq]"
    api = start(rows={"suppliers": 3})
    table = api.sandbox.tables["suppliers"]
    first, second, third = table.ids()
    for id, times in ((first, [1, 5]), (second, [1, 2]), (third, [])):
        addresses = [
            {"id": n, "updated-at": f"2024-05-10T0{hour}:00:00+00:00"}
            for n, hour in enumerate(times)
        ]
        table.edit(id, {"remit-to-addresses": addresses}, touch=False)
    assert api.ids("suppliers", f"{raw}=2024-05-10T05:00:00Z") == [first]
    assert api.ids("suppliers", f"{raw}=2024-05-10T02:00:00Z") == [first, second]
    deeper = raw.replace("[updated-at]", "[country][code]").replace("[gt_or_eq]", "")
    table.edit(second, {"remit-to-addresses": [{"id": 7, "country": {"code": "NZ"}}]})
    assert api.ids("suppliers", f"{deeper}=NZ") == [second]


def test_only_the_newest_token_of_a_client_may_be_valid(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(newest_token_only=True))
    api.sandbox.clients["second"] = Client("other secret", {"core.user.read"})
    assert api.token(client_id="second", client_secret="other secret").status_code == 200
    assert api.get("users").status_code == 200, "another client's token ends none"
    assert api.token(scope="core.user.read").status_code == 200
    assert api.get("users").status_code == 401


def test_too_many_token_requests_may_be_denied(start: Start) -> None:
    limit = RateLimit(per_second=0.001, burst=3)
    api = start(dialect=UNLIMITED.but(token_limit=limit, too_many_tokens=Refusal(403)))
    responses = [api.token(scope="core.user.read") for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 403]
    assert responses[-1].json()["error"] == "access_denied"
    assert api.get("users").status_code == 200


def test_responses_may_be_compressed(start: Start) -> None:
    api = start(dialect=UNLIMITED.but(compression="gzip"))
    response = api.get("invoices")
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.json() == api.sandbox.tables["invoices"].records()[:50]
    plain = api.get("invoices", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.content == response.content
