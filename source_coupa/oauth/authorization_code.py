"""The grant type authorization code: a user signed in, and a refresh token stands for that.

Coupa documents the grant type and the page of consent, `/oauth2/authorizations/new` (page 0018). A
refresh token is given with the scope `offline_access`; whether each use of it brings another one
that replaces it is not documented, so both are understood. Who may sign in again is a person: a
refresh token that is lost costs more than a request, so there is one token for all scopes, asked
for as rarely as its life allows, and kept for the next process.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.config import AuthorizationCode, CoupaConfig
from source_coupa.oauth.endpoint import RETRY_WAITS, Granted, TokenEndpoint
from source_coupa.oauth.tokens import RENEW_AT, Token, TokenSlot, TokenStore
from source_coupa.redaction import hide

_LEAST_LEFT = 60.0
"""Seconds that a token of the settings must still live to be worth its use."""

_LONGEST_LIFE = 10 * 365 * 86_400.0
"""Seconds that are added to a date at most, whatever an endpoint says."""


class AuthorizationCodeTokens(TokenStore):
    """The one access token of a user who signed in, renewed with a refresh token.

    It carries all scopes that were granted: a narrower one would have to be asked for with the
    refresh token, and some servers narrow the refresh token that they return as well.
    """

    def __init__(
        self,
        config: CoupaConfig,
        credentials: AuthorizationCode,
        scopes: Iterable[str] = (),
        *,
        retry_waits: Sequence[float] = RETRY_WAITS,
    ) -> None:
        super().__init__(config, scopes)
        self._asked_scopes = credentials.asked_scopes
        self._refresh_token = credentials.refresh_token
        self._endpoint = TokenEndpoint(config, retry_waits)
        self._stored = _stored_token(credentials)
        self._slot = TokenSlot(self._renew, self._stored)
        hide(self._refresh_token.get_secret_value())
        if self._stored is not None:
            hide(self._stored.value)
            hide(config.client_secret.get_secret_value())

    def token(self, scopes: Sequence[str], budget: APIBudget | None = None) -> Token:
        """The token, if it is not known that it carries none of `scopes`.

        Raises:
            AirbyteTracedException: naming the scope if it is known, or that the user has to sign
                in again, or what else is wrong with the client, the host or the endpoint.
        """
        token = self._slot.token(budget)
        granted = token.stated_scopes.intersection(self.scopes)
        if granted and not granted.intersection(scopes):
            raise errors.not_signed_in_for(scopes)
        return token

    def held(self, budget: APIBudget | None = None) -> set[str]:
        """Which of all scopes the endpoint says the token carries; empty if it does not say, or if
        the token came with the settings."""
        return set(self._slot.token(budget).stated_scopes.intersection(self.scopes))

    def reject(self, refused: Token) -> None:
        """Forgets a token that a resource refused, unless it may only be too fresh to work."""
        if not refused.may_be_too_fresh:
            self._slot.drop(refused)

    def nothing_to_read(self) -> AirbyteTracedException:
        """What to say if no list can be read."""
        return errors.sign_in_opens_nothing(self.config.host, self.scopes)

    @property
    def possible_scopes(self) -> set[str]:
        """Those that the settings ask for at sign-in, or all if they do not say."""
        everything = set(self.scopes)
        return everything & self._asked_scopes if self._asked_scopes else everything

    def forget_stored(self) -> bool:
        """Forgets the token that came with the settings, which may have been revoked since."""
        return self._stored is not None and self._slot.drop(self._stored)

    def _renew(self, budget: APIBudget | None) -> Token:
        asked = datetime.now(timezone.utc)
        grant = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh_token.get_secret_value(),
        }
        granted = self._endpoint.ask(grant, self._explain, budget)
        self._refresh_token = granted.refresh_token or self._refresh_token
        if self.keep is not None:
            # before any use: the refresh token that was used may be worth nothing any more
            self.keep(self._credentials(granted, asked))
        return granted.token

    def _credentials(self, granted: Granted, asked: datetime) -> dict[str, str]:
        expiry = asked + timedelta(seconds=min(granted.lifetime, _LONGEST_LIFE))
        return {
            "refresh_token": self._refresh_token.get_secret_value(),
            "access_token": granted.token.value,
            "token_expiry_date": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _explain(self, status: int, code: str | None) -> Exception | None:
        host = self.config.host
        if code in ("unauthorized_client", "unsupported_grant_type"):
            return self._endpoint.judged(errors.renewal_not_allowed(host))
        if code == "access_denied":
            return errors.tokens_denied(host)
        if code == "invalid_grant":
            return errors.sign_in_again(host)
        if code in ("", "invalid_scope", "invalid_request"):
            return self._endpoint.judged(errors.sign_in_again(host))
        return None


def _stored_token(credentials: AuthorizationCode) -> Token | None:
    """The access token of the settings, if it is not known to end soon. One without a date, as it
    may have been entered by hand, is used until it is refused."""
    if credentials.access_token is None:
        return None
    left = float("inf")
    if credentials.token_expiry_date is not None:
        left = (credentials.token_expiry_date - datetime.now(timezone.utc)).total_seconds()
    if left < _LEAST_LEFT:
        return None
    return Token(
        value=credentials.access_token.get_secret_value(),
        minted=float("-inf"),
        renew_at=time.monotonic() + left * RENEW_AT,
    )
