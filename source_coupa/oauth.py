"""Access tokens of one OAuth client, one token per scope.

Coupa documents (Postman and OAuth articles, pages 0018 to 0020): `POST /oauth2/token`, a form with
`grant_type=client_credentials`, `scope` as one space-separated string; tokens live 86,399 seconds
and should be renewed every 20 hours; a token may need some seconds before resources accept it.
Which status and body it answers to a wrong client or scope is not documented.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from requests.auth import AuthBase

from source_coupa import errors
from source_coupa.components.outages import shared_outages
from source_coupa.config import CoupaConfig
from source_coupa.http import new_session, send
from source_coupa.secrets import hide

WARM_UP = 8.0
"""Seconds in which a fresh token may still be refused; Coupa advises to wait five before use."""

RETRY_WAITS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds between the attempts to get a token while the endpoint is down."""

_DEFAULT_LIFETIME = 3600.0
_TOO_LONG = (400, 413, 414, 431)
"""How a proxy may refuse a request for all scopes; one for a single scope then tells more."""
_RENEW_AT = 20 / 24


class TokenAnswer(BaseModel):
    """Coupa's answer to a granted token request."""

    model_config = ConfigDict(hide_input_in_errors=True)

    access_token: SecretStr = Field(min_length=1)
    expires_in: float = Field(default=_DEFAULT_LIFETIME, gt=0)
    scope: str | None = None
    """What was granted, if it is not what was asked for (RFC 6749 section 5.1)."""

    @field_validator("access_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch("[!-~]+", value.get_secret_value()):
            raise ValueError("no token")
        return value


class OAuthError(BaseModel):
    """The body of a refused token request, by RFC 6749 section 5.2; Coupa documents none."""

    error: str = ""


class ScopeRefusedError(Exception):
    """The client was told that it does not hold a scope."""


@dataclass(frozen=True)
class Token(AuthBase):
    """An access token that signs requests; `minted` and `renew_at` are seconds of the monotonic
    clock."""

    value: str = field(repr=False)
    minted: float
    renew_at: float
    told_scopes: frozenset[str] = frozenset()
    """The scopes that the endpoint says the token carries; empty if it does not say."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.value}"
        return request

    @property
    def is_warming_up(self) -> bool:
        return time.monotonic() - self.minted < WARM_UP


class TokenStore:
    """Mints, keeps and renews the tokens of one OAuth client. Safe to share between threads.

    `scopes` are all scopes that the connector's streams can use. A client that is refused each of
    them gets one token without `scope`, which carries whatever the client holds (PostHog's Coupa
    source relies on this; Coupa does not say).
    """

    def __init__(
        self,
        config: CoupaConfig,
        scopes: Iterable[str] = (),
        *,
        retry_waits: Sequence[float] = RETRY_WAITS,
    ) -> None:
        self.config = config
        self.scopes = tuple(scopes)
        self._retry_waits = retry_waits
        self._lock = threading.Lock()
        self._scope_locks: dict[str, threading.Lock] = {}
        self._tokens: dict[str, Token] = {}
        self._refused: set[str] = set()
        self._hopeless: dict[str, str] = {}
        self._failed: dict[str, tuple[float, AirbyteTracedException]] = {}
        self._session = new_session()

    def token(self, scopes: Sequence[str], budget: APIBudget | None = None) -> Token:
        """A token for the first of `scopes` that the client holds.

        Raises:
            AirbyteTracedException: naming the scope if the client holds none of them, or what
                else is wrong with the credentials, the host or the endpoint.
        """
        for scope in scopes:
            if (token := self._granted(scope, budget)) is not None:
                return token
        if any(self._granted(scope, budget) is not None for scope in self.scopes):
            raise errors.missing_scope(scopes)
        return self._unscoped(scopes, budget)

    def holds(self, scope: str, budget: APIBudget | None = None) -> bool:
        """Whether the client is granted `scope`; asks once and remembers the answer."""
        return self._granted(scope, budget) is not None

    def held(self, budget: APIBudget | None = None) -> set[str] | None:
        """Which of all scopes the client holds, found out by one request for a token with all of
        them; None if it is refused, for that does not say which of them is missing.

        Raises:
            AirbyteTracedException: if there is an answer that is neither a token nor a refusal.
        """
        try:
            token = self._mint(" ".join(self.scopes), budget)
        except ScopeRefusedError:
            return None
        return set(token.told_scopes.intersection(self.scopes) or self.scopes)

    def reject(self, refused: Token) -> None:
        """Forgets a token that a resource refused, unless it may only be too fresh to work."""
        if refused.is_warming_up:
            return
        with self._lock:
            self._tokens = {
                scope: token for scope, token in self._tokens.items() if token is not refused
            }

    def _granted(self, scope: str, budget: APIBudget | None) -> Token | None:
        waiting_since = time.monotonic()
        with self._scope_lock(scope):
            failed_at, failure = self._failed.get(scope, (0.0, None))
            if failure is not None and failed_at >= waiting_since:
                # all attempts were made meanwhile: no thread that waited for them makes them anew
                raise type(failure)(
                    message=failure.message,
                    internal_message=failure.internal_message,
                    failure_type=failure.failure_type,
                )
            if scope in self._refused:
                return None
            if (hopeless := self._hopeless.get(scope)) is not None:
                raise errors.config_error(hopeless)
            token = self._tokens.get(scope)
            if token is None or time.monotonic() >= token.renew_at:
                began = time.monotonic()
                try:
                    token = self._mint(scope, budget)
                except ScopeRefusedError:
                    self._refused.add(scope)
                    return None
                except AirbyteTracedException as error:
                    if error.failure_type == FailureType.config_error:
                        # not asked again for each window: credentials may get locked by that
                        self._hopeless[scope] = error.message or ""
                    if isinstance(error, errors.HostDownError):
                        shared_outages(self.config).gave_up(began, is_certain=True)
                    self._failed[scope] = time.monotonic(), error
                    raise
                with self._lock:
                    self._tokens[scope] = token
            return token

    def _unscoped(self, scopes: Sequence[str], budget: APIBudget | None) -> Token:
        token = self._granted("", budget)
        if token is None:
            raise errors.no_scope_at_all(self.config.host, self.scopes or scopes)
        return token

    def _scope_lock(self, scope: str) -> threading.Lock:
        with self._lock:
            return self._scope_locks.setdefault(scope, threading.Lock())

    def _mint(self, scope: str, budget: APIBudget | None) -> Token:
        for wait in (*self._retry_waits, None):
            try:
                return self._ask(scope, budget)
            except AirbyteTracedException as error:
                if wait is None or error.failure_type != FailureType.transient_error:
                    raise
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _ask(self, scope: str, budget: APIBudget | None) -> Token:
        config = self.config
        form = {
            "grant_type": "client_credentials",
            "client_id": config.client_id,
            "client_secret": config.client_secret.get_secret_value(),
        }
        if scope:
            form["scope"] = scope
        hide(config.client_id)
        hide(config.client_secret.get_secret_value())
        request = requests.Request(
            "POST",
            f"{config.instance_url}/oauth2/token",
            data=form,
            headers={"Accept": "application/json"},
            auth=_no_netrc,
        )
        asked = time.monotonic()
        response = send(self._session, request, config=config, budget=budget)
        if response.status_code == 200:
            return self._read_token(response, asked)
        raise self._explain(response, scope)

    def _read_token(self, response: requests.Response, asked: float) -> Token:
        try:
            answer = TokenAnswer.model_validate_json(response.content)
        except ValidationError:
            raise errors.not_coupa(
                self.config.host, "its token endpoint answers without an access token"
            ) from None
        value = answer.access_token.get_secret_value()
        hide(value)
        return Token(
            value=value,
            minted=asked,
            renew_at=asked + answer.expires_in * _RENEW_AT,
            told_scopes=frozenset(re.findall(r"[^\s,]+", answer.scope or "")),
        )

    def _explain(self, response: requests.Response, scope: str) -> Exception:
        host, status = self.config.host, response.status_code
        if (failure := errors.refusal(host, response)) is not None:
            return failure
        code = _oauth_error(response) if status in (400, 401, 403) else None
        if code is None and " " in scope and status in _TOO_LONG:
            return ScopeRefusedError(scope)
        if code is None:
            return errors.not_coupa(host, f"its token endpoint answers with HTTP {status}")
        if code in ("server_error", "temporarily_unavailable"):
            return errors.unavailable(host, status)
        if code in ("unauthorized_client", "unsupported_grant_type"):
            return errors.wrong_grant(host)
        if code in ("invalid_scope", "invalid_request", "access_denied"):
            return ScopeRefusedError(scope)
        if code == "" and scope:
            # Nothing says what was refused. It counts as the scope; if it was the client, then the
            # other scopes and the token without scope are refused as well, and that is reported.
            return ScopeRefusedError(scope)
        if code in ("", "invalid_client"):
            return errors.wrong_credentials(host)
        return errors.token_refused(host, code)


@lru_cache(maxsize=8)
def shared_store(config: CoupaConfig) -> TokenStore:
    """The store that all streams of a read share, so that streams with the same scope share a
    token."""
    return TokenStore(config)


def _oauth_error(response: requests.Response) -> str | None:
    """The error code of a refusal, "" if the endpoint gives none, None if it is not an answer of
    an OAuth endpoint at all (a web page of a firewall, for example)."""
    if not response.content.strip():
        return ""
    try:
        return OAuthError.model_validate_json(response.content).error
    except ValidationError:
        return None


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from adding credentials of a .netrc file."""
    return request
