"""Sends the requests that belong to no stream: for tokens, and to see what may be read."""

from __future__ import annotations

from functools import partial
from typing import Any

import requests
from airbyte_cdk.sources.streams.call_rate import APIBudget

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.transport.time_limits import limit_heads, read_within

TIMEOUT = (10.0, 60.0)
"""Seconds to connect and to wait for the next bytes: a first response can be slow."""

LONGEST_ANSWER = 120.0
"""Seconds that the head of an answer may take, and its body, however steadily they drip."""

PARALLEL_REQUESTS = 16
"""How many requests go out at once where one is needed for each scope."""


def new_session(
    *, longest_response: float = LONGEST_ANSWER, connections: int = PARALLEL_REQUESTS
) -> requests.Session:
    """A session that keeps so many connections to a host.

    Args:
        longest_response: seconds that the head of a response may take.
        connections: how many requests go out at once.
    """
    session = requests.Session()
    limit_heads(session, longest_response, connections=connections)
    return session


def send(
    session: requests.Session,
    request: requests.Request,
    *,
    config: CoupaConfig,
    budget: APIBudget | None,
) -> requests.Response:
    """Sends one request within the budget and gives its answer, whatever its status.

    Raises:
        AirbyteTracedException: why there is no answer, or that it is a redirect: these are not
            followed, for they lead to a login page or another host.
    """
    request.hooks["response"] += [partial(_refuse_redirect, config.host), _read_at_once]
    prepared = session.prepare_request(request)
    if budget is not None:
        budget.acquire_call(prepared)
    # proxies and certificates of a company's network, as the CDK applies them to streams
    environment = session.merge_environment_settings(prepared.url, {}, None, None, None)
    try:
        return session.send(prepared, timeout=TIMEOUT, allow_redirects=False, **environment)
    except OSError as error:
        raise errors.unreachable(config.host, error) from None


def _read_at_once(response: requests.Response, **_: Any) -> None:
    read_within(response, LONGEST_ANSWER)


def _refuse_redirect(host: str, response: requests.Response, **_: Any) -> None:
    if response.is_redirect:
        response.close()
        raise errors.redirected(host, response)
