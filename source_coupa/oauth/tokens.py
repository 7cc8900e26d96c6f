"""Access tokens, and how many threads share one."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests.auth import AuthBase

from source_coupa import errors
from source_coupa.config import CoupaConfig

WARM_UP = 8.0
"""Seconds in which a fresh token may still be refused; Coupa advises to wait five before use."""

RENEW_AT = 20 / 24
"""The part of its life after which a token is renewed: Coupa advises 20 of 24 hours."""


@dataclass(frozen=True)
class Token(AuthBase):
    """An access token that signs requests; `minted` and `renew_at` are seconds of the monotonic
    clock."""

    value: str = field(repr=False)
    minted: float
    renew_at: float
    stated_scopes: frozenset[str] = frozenset()
    """The scopes that the endpoint says the token carries; empty if it does not say."""
    _worked: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.value}"
        return request

    def accepted(self) -> None:
        """Takes note that a resource accepted the token."""
        self._worked.set()

    @property
    def has_worked(self) -> bool:
        """Whether a resource accepted the token."""
        return self._worked.is_set()

    @property
    def may_be_too_fresh(self) -> bool:
        """Whether a refusal may only mean that the token is too new: one that worked is not."""
        return not self.has_worked and time.monotonic() - self.minted < WARM_UP


class ScopeRefusedError(Exception):
    """The client was not granted a scope.

    Attributes:
        is_certain: whether the endpoint named the scope as the reason.
        names_client: whether it named the client, of which it has not granted anything so far.
    """

    def __init__(self, *, is_certain: bool = False, names_client: bool = False) -> None:
        super().__init__("the scope is refused")
        self.is_certain = is_certain
        self.names_client = names_client


class TokenStore(ABC):
    """The access tokens of a connection, kept and renewed. Safe to share between threads.

    Attributes:
        config: the settings.
        scopes: all scopes that the connector's streams can use.
        needs: what the selected streams need, one scope of each of these.
        keep: takes the fields of `credentials` that a renewed sign-in changes; it would else be
            lost with the process.
    """

    def __init__(self, config: CoupaConfig, scopes: Iterable[str]) -> None:
        self.config = config
        self.scopes = tuple(scopes)
        self.needs: Sequence[Sequence[str]] = ()
        self.keep: Callable[[Mapping[str, str]], None] | None = None

    @abstractmethod
    def token(self, scopes: Sequence[str], budget: APIBudget | None = None) -> Token:
        """A token for a request that needs one of `scopes`.

        Raises:
            AirbyteTracedException: naming the scope if none of them is granted, or what else is
                wrong with the sign-in, the host or the endpoint.
        """

    @abstractmethod
    def held(self, budget: APIBudget | None = None) -> set[str]:
        """Which of all scopes are granted; empty if only reading can show.

        Raises:
            AirbyteTracedException: if a response is neither a token nor a refusal.
        """

    @abstractmethod
    def reject(self, refused: Token) -> None:
        """Forgets a token that a resource refused, unless it may only be too fresh to work."""

    @abstractmethod
    def nothing_to_read(self) -> AirbyteTracedException:
        """What to say if no list can be read."""

    @property
    def possible_scopes(self) -> set[str]:
        """The scopes that may be granted; what needs others need not be tried."""
        return set(self.scopes)

    def forget_stored(self) -> bool:
        """Forgets a token that came with the settings, which may have been revoked since.

        Returns:
            Whether there was one: then it is worth another try.
        """
        return False


class TokenSlot:
    """Room for one token, which many threads use and one of them at a time renews.

    A refusal of its scope and a `config_error` are final: they are not asked for again, since
    credentials may get locked by that. Any other failure is shared by those that waited for it.
    """

    def __init__(
        self,
        mint: Callable[[APIBudget | None], Token],
        first: Token | None = None,
    ) -> None:
        """`mint` asks for a token; `first` is one that is there already."""
        self._mint = mint
        self._renewing = threading.Lock()
        self._changing = threading.Lock()
        self._token = first
        self._refused: ScopeRefusedError | None = None
        self._hopeless: str | None = None
        self._failed: tuple[float, AirbyteTracedException] | None = None

    def token(self, budget: APIBudget | None) -> Token:
        """The token, renewed if it is due.

        Raises:
            ScopeRefusedError: if `mint` raised it, now or earlier.
            AirbyteTracedException: why there is none.
        """
        waiting_since = time.monotonic()
        with self._renewing:
            self._raise_what_is_known(waiting_since)
            token = self._token
            if token is None or time.monotonic() >= token.renew_at:
                token = self._renewed(budget)
                with self._changing:
                    self._token = token
            return token

    def drop(self, refused: Token) -> bool:
        """Forgets `refused` if it is the token; does not wait for a renewal that is under way."""
        with self._changing:
            is_it = self._token is refused
            if is_it:
                self._token = None
            return is_it

    def _raise_what_is_known(self, waiting_since: float) -> None:
        if self._failed is not None and self._failed[0] > waiting_since:
            # all attempts were made meanwhile: no thread that waited for them makes them again
            raise copy(self._failed[1])
        if self._refused is not None:
            raise ScopeRefusedError(**vars(self._refused))
        if self._hopeless is not None:
            raise errors.config_error(self._hopeless)

    def _renewed(self, budget: APIBudget | None) -> Token:
        try:
            return self._mint(budget)
        except ScopeRefusedError as refusal:
            self._refused = refusal
            raise
        except AirbyteTracedException as error:
            if error.failure_type == FailureType.config_error:
                self._hopeless = error.message or ""
            self._failed = time.monotonic(), error
            raise
