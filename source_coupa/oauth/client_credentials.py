"""The grant type client credentials: one token for each scope, asked for whenever one is due."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.oauth.endpoint import RETRY_WAITS, TokenEndpoint
from source_coupa.oauth.tokens import ScopeRefusedError, Token, TokenSlot, TokenStore
from source_coupa.transport.session import PARALLEL_REQUESTS

_TOO_LONG = (400, 413, 414, 431)
"""How a proxy may refuse a request for all scopes; one for a single scope then tells more."""


class ClientCredentialsTokens(TokenStore):
    """The tokens of one OAuth client, one for each scope.

    A client that is refused each scope gets one token without `scope`, which carries whatever the
    client holds (PostHog's Coupa source relies on this; Coupa does not say).
    """

    def __init__(
        self,
        config: CoupaConfig,
        scopes: Iterable[str] = (),
        *,
        retry_waits: Sequence[float] = RETRY_WAITS,
    ) -> None:
        super().__init__(config, scopes)
        self._endpoint = TokenEndpoint(config, retry_waits)
        self._lock = threading.Lock()
        self._slots: dict[str, TokenSlot] = {}

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
        if (token := self._granted("", budget)) is None:
            raise errors.no_scope_at_all(self.config.host, self.scopes or scopes)
        return token

    def holds(self, scope: str, budget: APIBudget | None = None) -> bool:
        """Whether the client is granted `scope`; asks once and remembers the answer."""
        return self._granted(scope, budget) is not None

    def held(self, budget: APIBudget | None = None) -> set[str]:
        """Which of all scopes the client holds: found out by one request for a token with all of
        them, or by one for each, since a refusal does not say which of them is missing."""
        try:
            token = self._mint(" ".join(self.scopes), budget)
        except ScopeRefusedError:
            with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
                answers = pool.map(lambda scope: self.holds(scope, budget), self.scopes)
                return {scope for scope, held in zip(self.scopes, answers, strict=True) if held}
        return set(token.told_scopes.intersection(self.scopes) or self.scopes)

    def reject(self, refused: Token) -> None:
        """Forgets a token that a resource refused, unless it may only be too fresh to work."""
        if not refused.is_warming_up:
            with self._lock:
                slots = list(self._slots.values())
            for slot in slots:
                slot.drop(refused)

    def nothing_to_read(self) -> AirbyteTracedException:
        """What to say if no list can be read."""
        return errors.no_scope_at_all(self.config.host, self.scopes)

    def _granted(self, scope: str, budget: APIBudget | None) -> Token | None:
        with self._lock:
            slot = self._slots.get(scope)
            if slot is None:
                slot = TokenSlot(self.config, partial(self._mint, scope))
                self._slots[scope] = slot
        try:
            return slot.token(budget)
        except ScopeRefusedError:
            return None

    def _mint(self, scope: str, budget: APIBudget | None) -> Token:
        grant = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        return self._endpoint.ask(grant, partial(self._explain, scope), budget).token

    def _explain(self, scope: str, status: int, code: str | None) -> Exception | None:
        if code is None:
            return ScopeRefusedError(scope) if " " in scope and status in _TOO_LONG else None
        if code in ("unauthorized_client", "unsupported_grant_type"):
            return errors.wrong_grant(self.config.host)
        if code in ("invalid_scope", "invalid_request", "access_denied"):
            return ScopeRefusedError(scope)
        if code == "":
            # Nothing says what was refused. It counts as the scope; if it was the client, then the
            # other scopes and the token without scope are refused as well, and that is reported.
            return ScopeRefusedError(scope) if scope else errors.wrong_credentials(self.config.host)
        return None
