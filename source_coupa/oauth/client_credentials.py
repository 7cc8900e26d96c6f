"""The grant type client credentials: one token for all scopes of the selected streams."""

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
"""How a proxy may refuse a request for all scopes; one for a single scope then says more."""


class ClientCredentialsTokens(TokenStore):
    """The tokens of one OAuth client: one for all scopes together or, where Coupa refuses that, one
    for each.

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
        self._together: tuple[str, ...] | None = None
        self._newest: Token | None = None
        self._held: set[str] = set()
        self._doubtful: set[str] = set()

    def token(self, scopes: Sequence[str], budget: APIBudget | None = None) -> Token:
        """A token for the first of `scopes` that the client holds.

        Raises:
            AirbyteTracedException: naming the scope if the client holds none of them, or what
                else is wrong with the credentials, the host or the endpoint.
        """
        if (token := self._token_for_all(scopes, budget)) is not None:
            return token
        for scope in scopes:
            if (token := self._granted(scope, budget)) is not None:
                return token
        if self._held or any(self._granted(scope, budget) is not None for scope in self._known):
            raise errors.missing_scope(scopes)
        if (token := self._granted("", budget)) is None:
            raise errors.no_scope_at_all(self.config.host, self.scopes or scopes)
        return token

    def holds(self, scope: str, budget: APIBudget | None = None) -> bool:
        """Whether the client is granted `scope`; asks once and remembers the response."""
        return self._granted(scope, budget) is not None

    def held(self, budget: APIBudget | None = None) -> set[str]:
        """Which of all scopes the client holds: found out by one request for a token with all of
        them, or by one for each, since a refusal does not say which of them is missing."""
        self._together = self.scopes
        try:
            token = self._asked(" ".join(self.scopes), budget)
        except errors.TokensDeniedError:
            token = None
        if token is not None:
            return set(token.stated_scopes.intersection(self.scopes) or self.scopes)
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            granted = pool.map(lambda scope: self.holds(scope, budget), self.scopes)
            held = [scope for scope, is_held in zip(self.scopes, granted, strict=True) if is_held]
        if held and self._doubtful:
            self._prove_that_tokens_are_issued(held[0], budget)
        # only the newest token of a client may be valid
        self._together = tuple(held)
        return set(held)

    def reject(self, refused: Token) -> None:
        """Forgets a token that a resource refused, unless it may only be too fresh to work.

        Otherwise a newer one may have ended it. From then on, one token serves all scopes.
        """
        if refused == self._newest and refused.may_be_too_fresh:
            return
        with self._lock:
            slots = list(self._slots.values())
            if len(self._held) > len(self._together or ()):
                self._together = tuple(scope for scope in self._known if scope in self._held)
        for slot in slots:
            slot.drop(refused)

    def nothing_to_read(self) -> AirbyteTracedException:
        """What to say if no list can be read."""
        return errors.no_scope_at_all(self.config.host, self.scopes)

    @property
    def _known(self) -> list[str]:
        """All scopes, those of the selected streams first."""
        needed = (scope for scopes in self.needs for scope in scopes)
        return list(dict.fromkeys([*needed, *self.scopes]))

    def _token_for_all(self, scopes: Sequence[str], budget: APIBudget | None) -> Token | None:
        """The token for the scopes of all selected streams, None if it does not serve `scopes`."""
        if self._together is None:
            self._together = _one_of_each(self.needs)
        together = self._together
        if not set(together).intersection(scopes):
            return None
        token = self._asked(" ".join(together), budget)
        if token is None:
            self._together = ()
            return None
        granted = set(token.stated_scopes.intersection(together) or together)
        self._held |= granted
        return token if granted.intersection(scopes) else None

    def _granted(self, scope: str, budget: APIBudget | None) -> Token | None:
        token = self._asked(scope, budget)
        if token is not None and scope:
            self._held.add(scope)
        return token

    def _asked(self, scope: str, budget: APIBudget | None) -> Token | None:
        """A token for one or more scopes, None if they are refused."""
        try:
            return self._slot(scope).token(budget)
        except ScopeRefusedError as refusal:
            if not refusal.is_certain:
                self._doubtful.add(scope)
            if refusal.names_client:
                # without a scope, nothing but the client can be refused
                self._asked("", budget)
            return None

    def _slot(self, scope: str) -> TokenSlot:
        with self._lock:
            if scope not in self._slots:
                self._slots[scope] = TokenSlot(partial(self._mint, scope))
            return self._slots[scope]

    def _mint(self, scope: str, budget: APIBudget | None) -> Token:
        grant = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._newest = self._endpoint.ask(grant, partial(self._explain, scope), budget).token
        return self._newest

    def _explain(self, scope: str, status: int, code: str | None) -> Exception | None:
        host = self.config.host
        if code is None:
            return ScopeRefusedError() if " " in scope and status in _TOO_LONG else None
        if code in ("unauthorized_client", "unsupported_grant_type"):
            return self._endpoint.judged(errors.wrong_grant(host))
        if code == "access_denied":
            return errors.tokens_denied(host)
        if code not in ("invalid_scope", "invalid_request", "invalid_client", ""):
            return None
        if scope in self._held:
            return errors.passing(errors.missing_scope([scope]))
        if code == "invalid_scope":
            return ScopeRefusedError(is_certain=True)
        if scope and self._held.issuperset(scope.split()):
            return errors.tokens_denied(host)
        if scope:
            # If it was the client that was refused, then each scope is refused, and the token
            # without scope as well. That is reported. Some servers send 400 `invalid_client`
            # whatever the reason, so that only 401 names the client.
            is_new = not self._endpoint.has_granted
            names_client = is_new and (code, status) == ("invalid_client", 401)
            return ScopeRefusedError(names_client=names_client)
        return self._endpoint.judged(errors.wrong_credentials(host))

    def _prove_that_tokens_are_issued(self, scope: str, budget: APIBudget | None) -> None:
        """A refusal that does not name the scope as its reason can come from a limit of token
        requests, which would refuse a scope that the client holds as well.

        Raises:
            AirbyteTracedException: if the client gets no token for `scope` any more.
        """
        try:
            self._mint(scope, budget)
        except ScopeRefusedError:
            raise errors.tokens_denied(self.config.host) from None


def _one_of_each(needs: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """One scope of each need: the first of several, if none of them is needed anyway."""
    chosen = dict.fromkeys(scopes[0] for scopes in needs if len(scopes) == 1)
    for scopes in needs:
        if not chosen.keys() & set(scopes):
            chosen[scopes[0]] = None
    return tuple(chosen)
