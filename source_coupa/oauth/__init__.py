"""How the connector signs in: with the credentials of an OAuth client, or as a user of Coupa.

Each grant type has a class of its own; what they share is in `tokens` and `endpoint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from source_coupa.config import CoupaConfig
from source_coupa.oauth.authorization_code import AuthorizationCodeTokens
from source_coupa.oauth.client_credentials import ClientCredentialsTokens
from source_coupa.oauth.endpoint import RETRY_WAITS
from source_coupa.oauth.tokens import Token, TokenStore

__all__ = ["Token", "TokenStore", "shared_store", "token_store"]


def token_store(
    config: CoupaConfig,
    scopes: Iterable[str] = (),
    *,
    retry_waits: Sequence[float] = RETRY_WAITS,
) -> TokenStore:
    """The tokens of a connection.

    Args:
        config: the settings, which name the grant type.
        scopes: all scopes that the connector's streams can use.
        retry_waits: seconds between the attempts to get a token while the endpoint is down.
    """
    if config.credentials is None:
        return ClientCredentialsTokens(config, scopes, retry_waits=retry_waits)
    return AuthorizationCodeTokens(config, config.credentials, scopes, retry_waits=retry_waits)


@lru_cache(maxsize=8)
def shared_store(config: CoupaConfig) -> TokenStore:
    """The store that all streams of a read share; `SourceCoupa` gives it the scopes, the needs of
    the selected streams, and who keeps a renewed sign-in.

    It makes one attempt: the read repeats its requests, and their tokens with them.
    """
    return token_store(config, retry_waits=())
