"""Dialects: every open question about Coupa can be played both ways, also while serving."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from integration_tests.sandbox import Dialect, RateLimit, Refusal, interesting_dialects
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

    api.sandbox.dialect = UNLIMITED.but(offsets="per_answer")
    answers = [times() for _ in range(12)]
    assert len({offset for texts in answers for offset in offsets(texts)}) > 3
    assert all(len(offsets(texts)) <= 2 for texts in answers), "one zone, summer and winter"
    for texts in (utc, *answers):
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
def test_how_the_rate_limit_answers(start: Start, refusal: Refusal, content: bytes) -> None:
    none_at_all = RateLimit(per_second=0.001, burst=0)
    api = start(dialect=Dialect(rate_limit=none_at_all, rate_limited=refusal))
    answer = api.get("users")
    assert (answer.status_code, answer.content) == (refusal.status, content)
    assert "Retry-After" not in answer.headers
    api.sandbox.dialect = api.sandbox.dialect.but(retry_after="seconds")
    assert api.get("users").headers["Retry-After"] == "1"
    api.sandbox.dialect = api.sandbox.dialect.but(retry_after="date")
    answer = api.get("users")
    said = parsedate_to_datetime(answer.headers["Retry-After"])
    assert said > parsedate_to_datetime(answer.headers["Date"])


@pytest.mark.parametrize("name", interesting_dialects())
def test_interesting_dialects_differ_from_the_usual_one(name: str) -> None:
    dialects = interesting_dialects()
    assert (dialects[name] == Dialect()) == (name == "usual")
    assert sum(other == dialects[name] for other in dialects.values()) == 1
