"""Sends the requests that belong to no stream: for tokens, and to see what may be read."""

from __future__ import annotations

from functools import partial
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import requests
from airbyte_cdk.sources.streams.call_rate import APIBudget

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.transport.time_limits import limit_heads, over_after

TIMEOUT = (10.0, 60.0)
"""Seconds to connect and to wait for the next bytes: a first response can be slow."""

LONGEST_RESPONSE = 120.0
"""Seconds that the head of a response may take, and its body, however steadily they drip."""

PARALLEL_REQUESTS = 16
"""How many requests go out at once where one is needed for each scope."""


LARGEST_TOKEN = 1_000_000
"""Bytes of a response to a token request, unpacked."""

LARGEST_LIST = 256_000_000
"""Bytes of a list of one record, unpacked."""

USER_AGENT = f"source-coupa/{version('airbyte-source-coupa')}"

_CHUNK = 1 << 13
"""Bytes that are unpacked at once: they can become a thousand times as many."""


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.headers["User-Agent"] = USER_AGENT
        # neither kept nor sent
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def merge_environment_settings(self, url: Any, *settings: Any, **named: Any) -> Any:
        """As in requests, but a sandbox on this machine is not reached through a proxy."""
        merged = super().merge_environment_settings(url, *settings, **named)
        if urlsplit(str(url)).hostname == "localhost":
            merged["proxies"] = {}
        return merged

    def get_redirect_target(self, response: requests.Response) -> None:
        """Nothing: redirects are refused, and requests stumbles over some targets."""


def new_session(
    *, longest_response: float = LONGEST_RESPONSE, connections: int = PARALLEL_REQUESTS
) -> requests.Session:
    """A session that keeps so many connections to a host, and no cookies.

    Args:
        longest_response: seconds that the head of a response may take.
        connections: how many requests go out at once.
    """
    session = _Session()
    limit_heads(session, longest_response, connections=connections)
    return session


def send(
    session: requests.Session,
    request: requests.Request,
    *,
    config: CoupaConfig,
    budget: APIBudget | None,
) -> requests.Response:
    """Sends one request within the budget and gives its response, whatever its status.

    Raises:
        AirbyteTracedException: why there is no response, or that it is a redirect: these are not
            followed, for they lead to a login page or another host.
    """
    request.hooks["response"] += [
        partial(_refuse_redirect, config.host),
        partial(_read_at_once, config.host),
    ]
    prepared = session.prepare_request(request)
    if budget is not None:
        budget.acquire_call(prepared)
    # proxies and certificates of a company's network, as the CDK applies them to streams
    environment = session.merge_environment_settings(prepared.url, {}, None, None, None)
    try:
        return session.send(prepared, timeout=TIMEOUT, allow_redirects=False, **environment)
    except OSError as error:
        raise errors.unreachable(config.host, error) from None


def _read_at_once(host: str, response: requests.Response, **_: Any) -> None:
    """Reads the body, which `response.content` then gives."""
    largest = LARGEST_TOKEN if response.request.method == "POST" else LARGEST_LIST
    chunks: list[bytes] = []
    size = 0
    # closing alone, all that urllib3 before 2.3 can do, does not wake a thread that reads
    end = getattr(response.raw, "shutdown", response.close)
    try:
        with over_after(LONGEST_RESPONSE, end):
            for chunk in response.iter_content(_CHUNK):
                size += len(chunk)
                if size > largest:
                    raise errors.not_coupa(host, f"a response of more than {largest:,} bytes")
                chunks.append(chunk)
    except Exception:
        # a body that is not read to its end would keep its connection
        response.close()
        raise
    response._content = b"".join(chunks)


def _refuse_redirect(host: str, response: requests.Response, **_: Any) -> None:
    if response.is_redirect:
        response.close()
        raise errors.redirected(host, response)
