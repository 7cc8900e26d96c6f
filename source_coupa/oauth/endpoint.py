"""Coupa's token endpoint.

Coupa documents (Postman and OAuth articles, pages 0018 to 0020): `POST /oauth2/token`, a form with
`grant_type` and, for client credentials, `scope` as one space-separated string; tokens live 86,399
seconds and should be renewed every 20 hours; a token may need some seconds before resources accept
it. Which status and body it sends for a wrong client, scope or refresh token is not documented.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from source_coupa import errors
from source_coupa.config import CoupaConfig, HeaderToken
from source_coupa.oauth.tokens import RENEW_AT, Token
from source_coupa.redaction import hide
from source_coupa.transport.retry_after import LONGEST_WAIT, retry_after
from source_coupa.transport.session import new_session, send

RETRY_WAITS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds between the attempts to get a token while the endpoint is down."""

_DEFAULT_LIFETIME = 3600.0

Explain = Callable[[int, str | None], Exception | None]
"""What a refusal means to a grant type, from its HTTP status and its OAuth error code: "" if the
endpoint gives none, None if it is no response of an OAuth endpoint at all. None if it means nothing
special."""


class TokenResponse(BaseModel):
    """Coupa's response to a granted token request."""

    model_config = ConfigDict(hide_input_in_errors=True)

    access_token: HeaderToken
    expires_in: float = Field(default=_DEFAULT_LIFETIME, gt=0)
    scope: str | None = None
    """What was granted, if it is not what was asked for (RFC 6749 section 5.1)."""
    refresh_token: SecretStr | None = None


class OAuthError(BaseModel):
    """The body of a refused token request, by RFC 6749 section 5.2; Coupa documents none."""

    error: str = ""


@dataclass(frozen=True)
class Granted:
    """What the endpoint gave: a token that lives `lifetime` seconds, and a refresh token if it
    sent one."""

    token: Token
    lifetime: float
    refresh_token: SecretStr | None


class TokenEndpoint:
    """Asks for tokens, again while the endpoint is down.

    Attributes:
        has_granted: whether it granted any token so far.
    """

    def __init__(self, config: CoupaConfig, retry_waits: Sequence[float]) -> None:
        self._config = config
        self._retry_waits = retry_waits
        self._session = new_session()
        self.has_granted = False

    def judged(self, failure: AirbyteTracedException) -> AirbyteTracedException:
        """A failure as one that passes if a token was granted before: the settings are right."""
        return errors.passing(failure) if self.has_granted else failure

    def ask(self, grant: Mapping[str, str], explain: Explain, budget: APIBudget | None) -> Granted:
        """A token for the fields of a grant; those that name the client are added.

        Raises:
            AirbyteTracedException: why there is none.
            Exception: what `explain` makes of a refusal.
        """
        for wait in (*self._retry_waits, None):
            try:
                return self._ask_once(grant, explain, budget)
            except AirbyteTracedException as error:
                if wait is None or error.failure_type != FailureType.transient_error:
                    raise
                time.sleep(_pause(wait, error))
        raise AssertionError("unreachable")

    def _ask_once(
        self, grant: Mapping[str, str], explain: Explain, budget: APIBudget | None
    ) -> Granted:
        config = self._config
        secret = config.client_secret.get_secret_value()
        hide(config.client_id)
        hide(secret)
        request = requests.Request(
            "POST",
            f"{config.instance_url}/oauth2/token",
            data={
                "grant_type": grant["grant_type"],
                "client_id": config.client_id,
                "client_secret": secret,
                **grant,
            },
            headers={"Accept": "application/json"},
            auth=_no_netrc,
        )
        asked = time.monotonic()
        try:
            response = send(self._session, request, config=config, budget=budget)
        except AirbyteTracedException as failure:
            raise self.judged(failure) from None
        granted = _granted(response)
        if granted is None:
            raise self._explained(response, explain)
        self.has_granted = True
        return self._read(granted, asked)

    def _read(self, granted: TokenResponse, asked: float) -> Granted:
        value = granted.access_token.get_secret_value()
        hide(value)
        if granted.refresh_token:
            hide(granted.refresh_token.get_secret_value())
        token = Token(
            value=value,
            minted=asked,
            renew_at=asked + granted.expires_in * RENEW_AT,
            stated_scopes=frozenset(re.findall(r"[^\s,]+", granted.scope or "")),
        )
        return Granted(token, granted.expires_in, granted.refresh_token or None)

    def _explained(self, response: requests.Response, explain: Explain) -> Exception:
        host, status = self._config.host, response.status_code
        if (failure := errors.refusal(host, response)) is not None:
            if isinstance(failure, errors.TransientError):
                failure.wait = retry_after(response, datetime.now(timezone.utc))
            return self.judged(failure)
        code = _oauth_error(response)
        if code in ("server_error", "temporarily_unavailable"):
            return errors.unavailable(host, status)
        if (explained := explain(status, code)) is not None:
            return explained
        if code is None:
            return self.judged(errors.not_a_token(host, response))
        if code == "invalid_client":
            return self.judged(errors.wrong_credentials(host))
        return self.judged(errors.token_refused(host, code))


def _pause(wait: float, error: AirbyteTracedException) -> float:
    """Seconds until the next attempt: `wait`, or what Coupa asks for.

    Raises:
        AirbyteTracedException: if that is too long.
    """
    asked = error.wait if isinstance(error, errors.TransientError) else None
    if asked is None:
        return wait
    if asked > LONGEST_WAIT:
        raise errors.wait_too_long(asked)
    # where it asks for a second or none each time, all attempts would be over at once
    return max(asked, wait / 4)


def _granted(response: requests.Response) -> TokenResponse | None:
    if response.status_code != 200:
        return None
    try:
        return TokenResponse.model_validate_json(response.content)
    except ValidationError:
        return None


def _oauth_error(response: requests.Response) -> str | None:
    """The error code of a response, whose status may be 200; see `Explain`."""
    if response.status_code not in (200, 400, 401, 403):
        return None
    try:
        code = OAuthError.model_validate_json(response.content or b"{}").error
    except ValidationError:
        return None
    return code or (None if response.status_code == 200 else "")


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from adding credentials of a .netrc file."""
    return request
