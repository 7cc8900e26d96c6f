"""Signs requests with a token that holds just the stream's scope."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.streams.call_rate import APIBudget

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.oauth import Token, shared_store
from source_coupa.oauth.scope_gate import scopes_of
from source_coupa.transport.time_limits import read_within

MAX_REFUSALS = 4
"""How often a request may be answered with 401. A token that is some seconds old may need some more
before Coupa accepts it; only after these is one that was revoked that early renewed."""

LONGEST_ANSWER = 900.0
"""Seconds that the head of an answer may take, and its body, however steadily they drip: large
documents take Coupa minutes."""


@dataclass
class ScopedAuthenticator(DeclarativeAuthenticator):
    """Adds `Authorization: Bearer <token>` to requests to the configured instance, and to no other.

    Redirects are refused: Coupa's API has none, so one leads to a login page or another host.

    Attributes:
        config: the connection's settings.
        parameters: the stream's `$parameters`; `scope` names the scope, or a list of scopes of
            which any will do (see `scopes_of`).
        api_budget: set by the CDK; token requests count as well.
    """

    config: Mapping[str, Any]
    parameters: InitVar[Mapping[str, Any]]
    api_budget: APIBudget | None = None

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._scopes = scopes_of(parameters)

    auth_header = "Authorization"
    token = ""

    def get_auth_header(self) -> Mapping[str, Any]:
        """Nothing: the header is added when the request is signed, not when it is described."""
        return {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Signs a request, also before each of its retries.

        Raises:
            AirbyteTracedException: why no token could be had, with what to do.
        """
        config = CoupaConfig.parse(self.config)
        if urlsplit(request.url or "").netloc != config.host:
            raise errors.system_error(f"A request to a host other than {config.host} was stopped.")
        token = shared_store(config).token(self._scopes, self.api_budget)
        _Watch.over(request, token, config, self._scopes)
        return token(request)


@dataclass
class _Watch:
    """Looks at the answers to one request before requests or the CDK act on them."""

    token: Token
    config: CoupaConfig
    scopes: tuple[str, ...]
    refusals: int = 0

    @classmethod
    def over(
        cls,
        request: requests.PreparedRequest,
        token: Token,
        config: CoupaConfig,
        scopes: tuple[str, ...],
    ) -> None:
        """Starts to watch a request, or goes on with a renewed token."""
        hooks = request.hooks["response"]
        watch = next((hook for hook in hooks if isinstance(hook, cls)), None)
        if watch is None:
            hooks.append(cls(token, config, scopes))
        else:
            watch.token = token

    def __call__(self, response: requests.Response, **_: Any) -> requests.Response:
        host = self.config.host
        if response.is_redirect:
            response.close()
            raise errors.redirected(host, response)
        if response.status_code == 401:
            self.refusals += 1
            shared_store(self.config).reject(self.token)
            if self.refusals >= MAX_REFUSALS:
                response.close()
                raise errors.token_not_accepted(host, " or ".join(self.scopes))
        else:
            self.token.accepted()
        read_within(response, LONGEST_ANSWER)
        return response
