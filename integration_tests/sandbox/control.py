"""The `/_sandbox/` calls with which a parent process drives a sandbox of its own.

Each is a POST with a JSON object and gets JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .blueprint import encode
from .dialect import RateLimit, Refusal
from .faults import Fault
from .instance import Instance
from .live_edits import LiveEdits
from .reply import Reply, not_found

Arguments = dict[str, Any]


class Control:
    """Responds to the calls in CALLS."""

    def __init__(self, sandbox: Instance) -> None:
        self._sandbox = sandbox

    def response(self, name: str, body: bytes) -> Reply:
        """The response to one call; 400 with the error's text if its arguments are wrong."""
        call = CALLS.get(name)
        if call is None:
            return not_found()
        try:
            return Reply(200, encode(call(self._sandbox, json.loads(body or b"{}"))))
        except (KeyError, TypeError, ValueError) as error:
            return Reply(400, encode({"error": f"{type(error).__name__}: {error}"}))


def _add(sandbox: Instance, arguments: Arguments) -> object:
    """{resource, count=1} or {resource, record} -> {ids}."""
    table = sandbox.tables[arguments["resource"]]
    if "record" in arguments:
        return {"ids": [table.add(arguments["record"])]}
    return {"ids": [table.add() for _ in range(arguments.get("count", 1))]}


def _edit(sandbox: Instance, arguments: Arguments) -> object:
    """{resource, count or ids, changes={}, touch=true} -> {ids}."""
    table = sandbox.tables[arguments["resource"]]
    changes = arguments.get("changes", {})
    which = arguments["ids"] if "ids" in arguments else int(arguments["count"])
    return {"ids": table.edit_many(which, changes, touch=arguments.get("touch", True))}


def _delete(sandbox: Instance, arguments: Arguments) -> object:
    """{resource, ids} -> {ids}."""
    for id in arguments["ids"]:
        sandbox.tables[arguments["resource"]].delete(id)
    return {"ids": arguments["ids"]}


def _counts(sandbox: Instance, arguments: Arguments) -> object:
    """{} -> {resource: rows}."""
    return {path: len(table) for path, table in sandbox.tables.items()}


def _records(sandbox: Instance, arguments: Arguments) -> object:
    """{resource} -> [record], the ground truth ordered by id."""
    return sandbox.tables[arguments["resource"]].records()


def _stamps(sandbox: Instance, arguments: Arguments) -> object:
    """{resource} -> {id: updated-at in seconds since 1970 or null}."""
    return sandbox.tables[arguments["resource"]].stamps()


def _requests(sandbox: Instance, arguments: Arguments) -> object:
    """{clear=false} -> {requests, peak_rate, peak_concurrency}."""
    response = {
        "requests": [request.as_json() for request in sandbox.requests],
        "peak_rate": sandbox.peak_rate(),
        "peak_concurrency": sandbox.peak_concurrency(),
    }
    if arguments.get("clear"):
        sandbox.requests.clear()
    return response


def _faults(sandbox: Instance, arguments: Arguments) -> object:
    """{clear=false, add=[fields of a Fault]} -> {added}."""
    faults = [Fault(**fields) for fields in arguments.get("add", [])]
    if arguments.get("clear"):
        sandbox.faults.clear()
    sandbox.faults.add(*faults)
    return {"added": len(faults)}


def _live_edits(sandbox: Instance, arguments: Arguments) -> object:
    """{seed, per_request, resources, inserts=1, edits=3, deletes=0} -> {}; per_request=0 ends them.

    See live_edits.LiveEdits.
    """
    sandbox.callbacks.clear()
    if arguments["per_request"]:
        sandbox.callbacks.append(partial(LiveEdits(**arguments), sandbox))
    return {}


def _dialect(sandbox: Instance, arguments: Arguments) -> object:
    """{switch: value} -> {}. Refusals and the rate limit are objects of their fields."""
    changes = dict(arguments)
    for name, value in changes.items():
        if name in ("rate_limit", "token_limit") and value is not None:
            changes[name] = RateLimit(**value)
        elif name == "response_filter":
            changes[name] = {path: frozenset(keys) for path, keys in value.items()}
        elif isinstance(value, Mapping) and name != "page_caps":
            changes[name] = Refusal(**value)
    sandbox.dialect = sandbox.dialect.but(**changes)
    return {}


def _latency(sandbox: Instance, arguments: Arguments) -> object:
    """{seconds} -> {}."""
    sandbox.latency = float(arguments["seconds"])
    return {}


def _scopes(sandbox: Instance, arguments: Arguments) -> object:
    """{grant=[], revoke=[]} -> {}; changes the default client."""
    sandbox.grant(*arguments.get("grant", []))
    sandbox.revoke(*arguments.get("revoke", []))
    return {}


def _expire_tokens(sandbox: Instance, arguments: Arguments) -> object:
    """{} -> {}."""
    sandbox.expire_tokens()
    return {}


def _end_sign_ins(sandbox: Instance, arguments: Arguments) -> object:
    """{} -> {}."""
    sandbox.end_sign_ins()
    return {}


CALLS: Mapping[str, Callable[[Instance, Arguments], object]] = {
    "add": _add,
    "edit": _edit,
    "delete": _delete,
    "counts": _counts,
    "records": _records,
    "stamps": _stamps,
    "requests": _requests,
    "faults": _faults,
    "dialect": _dialect,
    "latency": _latency,
    "live_edits": _live_edits,
    "scopes": _scopes,
    "expire_tokens": _expire_tokens,
    "end_sign_ins": _end_sign_ins,
}
