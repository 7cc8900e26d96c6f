"""Sends the requests that belong to no stream: for tokens, and to see what may be read."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import requests
from airbyte_cdk.sources.streams.call_rate import APIBudget

from source_coupa import errors
from source_coupa.config import CoupaConfig

TIMEOUT = (5.0, 8.0)
"""Seconds to connect and to wait for the next bytes."""

LONGEST_ANSWER = 30.0
"""Seconds that a body may take, however steadily it drips."""


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
    except requests.RequestException as error:
        raise errors.unreachable(config.host, error) from None


def read_within(response: requests.Response, seconds: float) -> None:
    """Reads the body of an answer, which `response.content` then gives. Timeouts of requests count
    from one byte to the next, so that an answer could drip for ever.

    Raises:
        requests.RequestException: if the answer breaks off, or is not complete in time.
    """
    # closing alone, all that urllib3 before 2.3 can do, does not wake a thread that reads
    end = getattr(response.raw, "shutdown", response.close)
    ending = threading.Timer(seconds, end)
    ending.daemon = True
    ending.start()
    try:
        _ = response.content
    except requests.RequestException:
        # a body that cannot be unpacked would keep its connection
        response.close()
        raise
    finally:
        ending.cancel()


def _read_at_once(response: requests.Response, **_: Any) -> None:
    read_within(response, LONGEST_ANSWER)


def _refuse_redirect(host: str, response: requests.Response, **_: Any) -> None:
    if response.is_redirect:
        response.close()
        raise errors.redirected(host, response)
