"""Signs requests with a token that holds the list's scope."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.oauth import Token, shared_store
from source_coupa.streams import scopes_of


@dataclass
class ScopedAuthenticator(DeclarativeAuthenticator):
    """Adds `Authorization: Bearer <token>` to requests to the configured instance, and to no other.

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
        self._settings = CoupaConfig.parse(self.config)

    auth_header = "Authorization"
    token = ""

    def get_auth_header(self) -> Mapping[str, Any]:
        """Nothing: the header is added when the request is signed, not when it is described."""
        return {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Signs a request.

        Raises:
            AirbyteTracedException: why no token came, with what to do.
        """
        host = self._settings.host
        if urlsplit(request.url or "").netloc != host:
            raise errors.system_error(f"A request to a host other than {host} was stopped.")
        return self.issue()(request)

    def issue(self) -> Token:
        """A token for one request.

        Raises:
            AirbyteTracedException: why none came, with what to do.
        """
        return shared_store(self._settings).token(self._scopes, self.api_budget)

    def accepted(self, token: Token) -> None:
        """Takes note that Coupa accepted a token: a refusal then means that it has ended."""
        token.accepted()

    def refused(self, token: Token) -> None:
        """Takes note that Coupa did not accept a token; another is asked for, unless it may only be
        too fresh to work."""
        shared_store(self._settings).reject(token)

    def not_accepted(self) -> AirbyteTracedException:
        """What to say if no token is accepted."""
        return errors.token_not_accepted(self._settings.host, " or ".join(self._scopes))
