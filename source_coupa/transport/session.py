"""Sends requests. `exchange` is for all, `send` for those that belong to no stream."""

from __future__ import annotations

from collections.abc import Callable
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

_CHUNK = 1 << 15
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

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        """As in requests, but an address of a proxy that it stumbles over is an error of its own
        kind too."""
        try:
            return super().send(request, **settings)
        except (TypeError, ValueError) as error:
            if isinstance(error, OSError) or not settings.get("proxies"):
                raise
            raise requests.exceptions.InvalidProxyURL from None

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
        AirbyteTracedException: see `exchange`.
    """
    prepared = session.prepare_request(request)
    if budget is not None:
        budget.acquire_call(prepared)
    largest = LARGEST_TOKEN if prepared.method == "POST" else LARGEST_LIST

    def take(size: int) -> None:
        if size > largest:
            raise errors.not_coupa(config.host, f"a response of more than {largest:,} bytes")

    return exchange(
        session, prepared, host=config.host, timeout=TIMEOUT, longest=LONGEST_RESPONSE, take=take
    )


def exchange(
    session: requests.Session,
    request: requests.PreparedRequest,
    *,
    host: str,
    timeout: tuple[float, float],
    longest: float,
    take: Callable[[int], None],
) -> requests.Response:
    """Sends one request, once, and reads the body of its response.

    Args:
        session: of `new_session`.
        request: signed and within the budget.
        host: for messages.
        timeout: seconds to connect and to wait for the next bytes.
        longest: seconds that the body may take.
        take: is called with the bytes that were unpacked so far; may raise.

    Raises:
        AirbyteTracedException: why there is no response, or that it is a redirect: these are not
            followed, for they lead to a login page or another host.
    """
    # proxies and certificates of a company's network, as the CDK applies them to streams
    environment = session.merge_environment_settings(request.url, {}, True, None, None)
    try:
        response = session.send(request, timeout=timeout, allow_redirects=False, **environment)
        # closed whatever happens: a body that is not read to its end would keep its connection
        with response:
            if response.is_redirect:
                raise errors.redirected(host, response)
            # closing alone, all that urllib3 before 2.3 can do, does not wake a thread that reads
            end = getattr(response.raw, "shutdown", response.close)
            chunks: list[bytes] = []
            size = 0
            with over_after(longest, end):
                for chunk in response.iter_content(_CHUNK):
                    size += len(chunk)
                    take(size)
                    chunks.append(chunk)
    except OSError as error:
        raise errors.unreachable(host, error) from None
    response._content = b"".join(chunks)
    return response
