"""Whatever a server sends: the right records, or a clear error, in bounded time.

`test_bad_bodies` has responses that are no list, `test_unusable_records` what an administrator can
cut off, `test_failures` the statuses and their messages. Here are responses that look like lists
but are odd inside, encodings, headers, sizes, and what the token endpoint can say.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from random import Random
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput

from integration_tests.harness import check, records_by_stream, run_read
from integration_tests.sandbox import Fault, Record, Sandbox
from integration_tests.truth import COMPLETE, UNLIMITED, cursors, last_status, messages_of, truth
from source_coupa.oauth import endpoint
from source_coupa.transport import connection, instance
from source_coupa.transport import session as http
from unit_tests.conftest import Waits
from unit_tests.failing import START_DATE, days_ago, traces

pytestmark = pytest.mark.usefixtures("no_budget", "waits")

ROWS = 30
Edit = Callable[[list[Record]], object]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """30 users on one page."""
    with Sandbox(
        {"users": ROWS}, dialect=UNLIMITED, size={"users": 300}, spread=[days_ago(1)]
    ) as running:
        yield running


def read_users(sandbox: Sandbox) -> EntrypointOutput:
    return run_read(sandbox, ["users"], start_date=START_DATE)


def responding(body: str | bytes, **options: Any) -> Fault:
    """Responds to the first request for users with `body`."""
    return always(
        body,
        when=lambda request: "id[gt]" not in request.query and request.query["limit"] == "50",
        **options,
    )


def always(body: str | bytes, **options: Any) -> Fault:
    """Responds to each request for users with `body`, however many are asked for."""
    return Fault("status", status=200, body=body, resource="users", **options)


def page_of(sandbox: Sandbox) -> list[Record]:
    return sandbox.tables["users"].records()


def read_ids(output: EntrypointOutput) -> set[Any]:
    return {record["id"] for record in records_by_stream(output).get("users", [])}


def assert_asked_again(sandbox: Sandbox, output: EntrypointOutput, times: int | None) -> None:
    """After one bad response, all records came; if all responses are bad, the stream fails."""
    if times == 1:
        assert messages_of(output) == []
        assert read_ids(output) == set(truth(sandbox, "users"))
    else:
        assert_failed(output, "localhost:")


def nested(depth: int) -> object:
    value: object = "leaf"
    for _ in range(depth):
        value = {"part": [value]}
    return value


def in_the_middle(place: int | None = None, **changes: Any) -> Edit:
    """Changes attributes of one record; a value of `...` takes the attribute away."""

    def edit(page: list[Record]) -> object:
        record = page[len(page) // 2 if place is None else place]
        for name, value in changes.items():
            key = name.replace("_", "-")
            record[key] = value
            if value is ...:
                del record[key]
        return page

    return edit


NO_NUMBER = "Coupa sent a record of /api/users whose id is no whole number."
NO_RANGE = "Coupa sent a record of /api/users whose id is not from 1 to "
NO_TIME = "Coupa sent a record of /api/users whose updated_at is no date and time"
NO_ID = "Records of /api/users come without id"
NO_CURSOR = "Records of /api/users come without updated_at"
NO_ORDER = "Coupa does not list /api/users in order of id"
NO_FILTER = "Coupa does not apply the filter on updated_at"
NO_JSON = "Coupa sends invalid JSON instead of a JSON list for /api/users"
NO_LIST = "Coupa sends a list with other things than objects"
TOO_DEEP = "Coupa sent a record of /api/users whose parts are nested too deep"

ODD_RECORDS: dict[str, tuple[Edit, str]] = {
    "id is text": (in_the_middle(id="7"), NO_NUMBER),
    "id is a float": (in_the_middle(id=7.0), NO_NUMBER),
    "id is true": (in_the_middle(id=True), NO_NUMBER),
    "id is beyond all numbers": (in_the_middle(id=2**70), NO_NUMBER),
    "id is beyond all ranges of ids": (in_the_middle(-1, id=2**62 + 1), NO_RANGE),
    "id is zero": (in_the_middle(0, id=0), NO_RANGE),
    "id is below zero": (in_the_middle(0, id=-3), NO_RANGE),
    "id is an object": (in_the_middle(id={}), NO_NUMBER),
    "id is null": (in_the_middle(id=None), NO_ID),
    "id is absent": (in_the_middle(id=...), NO_ID),
    "id is negative": (in_the_middle(id=-7), NO_ORDER),
    "ids descend": (lambda page: page[::-1], NO_ORDER),
    "two change places": (lambda page: [page[1], page[0], *page[2:]], NO_ORDER),
    "one comes twice": (lambda page: [page[0], *page], NO_ORDER),
    "all cursors are absent": (lambda page: [{"id": record["id"]} for record in page], NO_CURSOR),
    "cursor is a number": (in_the_middle(updated_at=1_780_000_000), NO_TIME),
    "cursor is empty": (in_the_middle(updated_at=""), NO_TIME),
    "cursor is a day": (in_the_middle(updated_at="2026-11-01"), NO_TIME),
    "cursor has no zone": (in_the_middle(updated_at="2026-11-20T00:00:00"), NO_TIME),
    "cursor is another month": (in_the_middle(updated_at="2024-13-01T00:00:00Z"), NO_TIME),
    "cursor is long ago": (in_the_middle(updated_at="1970-01-01T00:00:00Z"), NO_FILTER),
    "nested 500 deep": (in_the_middle(part=nested(250)), TOO_DEEP),
    "a record is a list": (lambda page: [*page, []], NO_LIST),
    "a record is null": (lambda page: [None, *page], NO_LIST),
}


def assert_failed(output: EntrypointOutput, sentence: str) -> None:
    assert last_status(output, "users") != COMPLETE
    assert messages_of(output)[0].startswith(sentence)
    for error in traces(output):
        assert error.message.endswith(".")
        assert error.failure_type is not None
        assert "unexpected error" not in error.message


@pytest.mark.parametrize(("edit", "sentence"), ODD_RECORDS.values(), ids=ODD_RECORDS)
def test_a_page_with_one_odd_record_fails_its_stream(
    sandbox: Sandbox, edit: Edit, sentence: str
) -> None:
    body = json.dumps(edit(page_of(sandbox)))
    sandbox.faults.add(always(body, when=lambda r: "updated_at[blank]" not in r.query))
    output = read_users(sandbox)
    if sentence is TOO_DEEP and last_status(output, "users") == COMPLETE:
        # later Pythons go deeper; what is read is read whole
        assert read_ids(output) == set(truth(sandbox, "users"))
        return
    assert_failed(output, sentence)


@pytest.mark.parametrize("place", [0, ROWS // 2, ROWS - 1])
@pytest.mark.parametrize(
    "time",
    [
        None,
        ...,
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-12:00",
        "2099-01-01T00:00:00+14:00",
    ],
)
def test_a_record_with_an_odd_time_comes_and_moves_no_state(
    sandbox: Sandbox, time: Any, place: int
) -> None:
    """Coupa prints times that are null, and a wrong clock any that are ahead."""
    page = page_of(sandbox)
    page[place]["updated-at"] = time
    if time is ...:
        del page[place]["updated-at"]
    sandbox.faults.add(responding(json.dumps(page)))
    output = read_users(sandbox)
    assert messages_of(output) == []
    assert read_ids(output) == set(truth(sandbox, "users"))
    assert cursors(output)["users"] <= datetime.now(timezone.utc)


@pytest.mark.parametrize("place", [0, ROWS - 1])
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:30"])
def test_no_time_is_too_long_ago(sandbox: Sandbox, time: str, place: int) -> None:
    page = page_of(sandbox)
    page[place]["updated-at"] = time
    sandbox.faults.add(responding(json.dumps(page)))
    output = run_read(sandbox, ["users"])
    assert messages_of(output) == []
    assert read_ids(output) == set(truth(sandbox, "users"))


def with_text(old: str, new: str) -> Callable[[str], bytes]:
    """Replaces the first occurrence in the text of a page."""
    return lambda text: text.replace(old, new, 1).encode()


NO_JSONS: dict[str, Callable[[str], bytes]] = {
    "NaN": with_text('"id": ', '"rate": NaN, "id": '),
    "Infinity": with_text('"id": ', '"rate": -Infinity, "id": '),
    "half a surrogate": with_text('"id": ', '"name": "\\ud800", "id": '),
    "a raw line break": with_text('"id": ', '"name": "a\nb", "id": '),
    "single quotes": lambda text: text.replace('"', "'").encode(),
    "a comma at the end": lambda text: f"{text[:-1]},]".encode(),
    "a comment": lambda text: f"/* page 1 */ {text}".encode(),
    "no UTF-8": lambda text: text.replace("User", "\xdcser").encode("latin-1", "replace"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "nested 2,000 deep": lambda text: b"[" * 2_000 + b"]" * 2_000,
    "one bracket too few": lambda text: text[:-1].encode(),
    "one bracket too many": lambda text: f"{text}]".encode(),
    "zero bytes": lambda text: b"\x00" * 500,
}


@pytest.mark.parametrize("spoil", NO_JSONS.values(), ids=NO_JSONS)
def test_a_page_that_is_no_proper_json_fails_its_stream(
    sandbox: Sandbox, spoil: Callable[[str], bytes]
) -> None:
    sandbox.faults.add(always(spoil(json.dumps(page_of(sandbox), ensure_ascii=False))))
    assert_failed(read_users(sandbox), NO_JSON)


HARMLESS: dict[str, tuple[Callable[[str], bytes], dict[str, str]]] = {
    "blanks around": (lambda text: f"\r\n\t {text}\n".encode(), {}),
    "no content type": (str.encode, {"Content-Type": ""}),
    "called plain text in another charset": (
        str.encode,
        {"Content-Type": "text/plain; charset=utf-16"},
    ),
    "compressed": (lambda text: gzip.compress(text.encode()), {"Content-Encoding": "gzip"}),
    "called compressed in an unknown way": (str.encode, {"Content-Encoding": "x-own"}),
    "a key twice": (with_text('"id": ', '"id": 1, "id": '), {}),
    "numbers of many digits": (
        with_text('"id": ', '"rate": 1e-300, "count": 123456789, "id": '),
        {},
    ),
    "nested 100 deep": (
        lambda text: json.dumps(in_the_middle(part=nested(50))(json.loads(text))).encode(),
        {},
    ),
    "a header of 60,000 letters": (str.encode, {"X-Long": "a" * 60_000}),
    "cookies": (str.encode, {"Set-Cookie": "session=1; Secure"}),
}


@pytest.mark.parametrize(("dress", "headers"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_only_odd_is_read(
    sandbox: Sandbox, dress: Callable[[str], bytes], headers: dict[str, str]
) -> None:
    sandbox.faults.add(responding(dress(json.dumps(page_of(sandbox))), headers=headers))
    output = read_users(sandbox)
    assert messages_of(output) == []
    assert read_ids(output) == set(truth(sandbox, "users"))


UNREADABLE: dict[str, dict[str, str]] = {
    "called gzip and is not": {"Content-Encoding": "gzip"},
    "called deflate and is not": {"Content-Encoding": "deflate"},
    "a header line without end": {"X-Long": "a" * 70_000},
    "hundreds of headers": {f"X-{number}": "1" for number in range(200)},
}


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("headers", UNREADABLE.values(), ids=UNREADABLE)
def test_a_response_that_cannot_be_read_is_asked_for_again(
    sandbox: Sandbox, headers: dict[str, str], times: int | None
) -> None:
    body = json.dumps(page_of(sandbox))
    sandbox.faults.add(always(body, headers=headers, times=times))
    assert_asked_again(sandbox, read_users(sandbox), times)


def test_an_invoice_of_15_megabytes_is_read(sandbox: Sandbox) -> None:
    letters = "0123456789abcdef" * 2**10
    lines = [{"line-num": number, "description": letters} for number in range(900)]
    id = sandbox.tables["invoices"].add({"invoice-lines": lines}, updated_at=days_ago(1))
    output = run_read(sandbox, ["invoices"], start_date=START_DATE)
    assert messages_of(output) == []
    (record,) = records_by_stream(output)["invoices"]
    assert record == truth(sandbox, "invoices")[id]
    assert len(json.dumps(record)) > 14_000_000


@pytest.mark.parametrize("status", [*range(201, 208), 226, 300, *range(400, 431, 3), 444, 460, 499])
@pytest.mark.parametrize("body", ["[]", "html"])
def test_no_status_but_200_makes_a_table_look_empty(
    sandbox: Sandbox, status: int, body: str
) -> None:
    sandbox.faults.add(Fault("status", status=status, body=body, resource="users"))
    output = read_users(sandbox)
    assert last_status(output, "users") != COMPLETE
    assert not output.records
    assert traces(output)


@pytest.mark.parametrize("seed", range(30))
def test_a_page_with_damage_in_any_place_is_whole_or_an_error(sandbox: Sandbox, seed: int) -> None:
    """Bytes are lost, doubled or changed, as by a broken proxy. What still reads as a list of
    records with ids and times looks like a good response; nothing else may pass."""
    random = Random(f"{seed}/damage")
    body = bytearray(json.dumps(page_of(sandbox)).encode())
    for _ in range(random.choice((1, 3, 30))):
        start = random.randrange(len(body))
        end = start + random.choice((1, 2, 50, 2_000))
        piece = body[start:end]
        body[start:end] = random.choice((b"", piece * 2, bytes(random.randbytes(len(piece)))))
    sandbox.faults.add(always(bytes(body), when=lambda request: "id[gt]" not in request.query))
    output = read_users(sandbox)
    try:
        expected = {record["id"] for record in json.loads(body)}
    except (ValueError, TypeError, KeyError):
        expected = None
    if last_status(output, "users") == COMPLETE:
        assert read_ids(output) == expected
    else:
        assert traces(output)


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("resource", ["users", "oauth"])
@pytest.mark.parametrize("part", ["slow_head", "slow_drip"])
def test_a_response_that_drips_without_end_is_given_up(
    sandbox: Sandbox,
    waits: Waits,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    resource: str,
    times: int | None,
) -> None:
    """Each byte comes in time, the last one never."""
    monkeypatch.setattr(http, "LONGEST_RESPONSE", 0.2)
    monkeypatch.setattr(endpoint, "new_session", lambda: http.new_session(longest_response=0.2))
    for module in (connection, instance):
        monkeypatch.setattr(module, "LONGEST_RESPONSE", 0.2)
    sandbox.faults.add(Fault(part, seconds=60, resource=resource, times=times))
    output = read_users(sandbox)
    assert_asked_again(sandbox, output, times)
    if times is None:
        expected = {"slow_head": "did not respond in time", "slow_drip": "could not be reached"}
        assert expected[part] in messages_of(output)[0]


NO_TOKEN = "localhost:[0-9]+ does not respond like a Coupa instance"
TOKENS_REFUSED: dict[str, str | bytes] = {
    "null": "null",
    "list": "[]",
    "no token": '{"token_type":"bearer"}',
    "token is null": '{"access_token":null}',
    "token is a number": '{"access_token":17}',
    "token is empty": '{"access_token":""}',
    "token is an object": '{"access_token":{"value":"x"}}',
    "token with a line break": '{"access_token":"abc\\r\\nX-Other: 1"}',
    "token with a blank": '{"access_token":"abc def"}',
    "token beyond latin-1": '{"access_token":"abc\\u4e2d"}',
    "token with a zero": '{"access_token":"abc\\u0000"}',
    "lifetime is null": '{"access_token":"abc","expires_in":null}',
    "lifetime is negative": '{"access_token":"abc","expires_in":-1}',
    "lifetime is nought": '{"access_token":"abc","expires_in":0}',
    "lifetime is text": '{"access_token":"abc","expires_in":"soon"}',
    "lifetime is NaN": '{"access_token":"abc","expires_in":NaN}',
    "lifetime is a list": '{"access_token":"abc","expires_in":[1]}',
    "nested deep": b'{"access_token":' + b"[" * 5_000,
    "no UTF-8": b'{"access_token":"\xff"}',
    "a web page": "<html>",
}


@pytest.mark.parametrize("body", TOKENS_REFUSED.values(), ids=TOKENS_REFUSED)
def test_no_strange_token_is_used(sandbox: Sandbox, body: str | bytes) -> None:
    sandbox.faults.add(Fault("status", status=200, body=body, resource="oauth"))
    output = read_users(sandbox)
    assert re.match(NO_TOKEN, messages_of(output)[0])
    assert sandbox.requests_for("users") == []
    status = check(sandbox.config()).connection_status
    assert status["status"] == "FAILED"
    assert re.match(NO_TOKEN, status["message"])


@pytest.mark.parametrize(
    "lifetime", ["86399.5", '"86399"', "1e300", "1e999", "0.001", "9" * 400], ids=lambda t: t[:9]
)
def test_a_lifetime_of_any_length_will_do(sandbox: Sandbox, lifetime: str) -> None:
    real = sandbox.desk.issue

    def issue(**arguments: Any) -> tuple[dict[str, object], Any]:
        body, token = real(**arguments)
        return {**body, "expires_in": float(lifetime.strip('"'))}, token

    sandbox.desk.issue = issue  # type: ignore[method-assign]
    output = read_users(sandbox)
    if last_status(output, "users") == COMPLETE:
        assert read_ids(output) == set(truth(sandbox, "users"))
    else:
        assert re.match(NO_TOKEN, messages_of(output)[0])


@pytest.mark.parametrize("edit", [edit for edit, _ in ODD_RECORDS.values()], ids=ODD_RECORDS)
def test_check_always_has_a_response(sandbox: Sandbox, edit: Edit) -> None:
    body = json.dumps(edit(page_of(sandbox)))
    sandbox.faults.add(Fault("status", status=200, body=body))
    run = check(sandbox.config())
    assert run.exit_code == 0
    assert run.errors == []
    assert run.connection_status["status"] in ("SUCCEEDED", "FAILED")
