"""Users who sign in (grant `authorization_code`): codes, and the refresh tokens that follow.

Coupa documents the page of consent (doc 0018); how long a refresh token lives, and whether each use
replaces it, are switches of the Dialect.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from .clients import Client, OAuthRefused
from .dialect import Dialect, Refusal

CONSENT_PATH = "/oauth2/authorizations/new"
OFFLINE_ACCESS = "offline_access"


class ConsentRefused(Exception):
    """The page of consent shows an error, for it does not know where to send the user."""


@dataclass(frozen=True)
class SignIn:
    """What a user consented to; `number` is the same through all renewals."""

    number: int
    client_id: str
    scopes: frozenset[str]
    redirect_uri: str = ""
    challenge: str = ""


@dataclass
class SignIns:
    """The codes and refresh tokens in use. Safe for threads.

    Attributes:
        issued: all codes and refresh tokens that were ever given, for tests that look for leaks.
    """

    clients: Mapping[str, Client]
    seed: int
    issued: list[str] = field(default_factory=list)
    _codes: dict[str, SignIn] = field(default_factory=dict)
    _refresh_tokens: dict[str, SignIn] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def consent(self, query: Mapping[str, str]) -> str:
        """Let the user agree at once; the address to which the page redirects.

        Raises ConsentRefused where the client or its redirect URI is unknown. What the client may
        not ask for is reported to the redirect URI.
        """
        client = self.clients.get(query.get("client_id", ""))
        target = query.get("redirect_uri", "")
        if client is None or target not in client.redirect_uris:
            raise ConsentRefused
        scopes = frozenset(query.get("scope", "").split())
        error = ""
        if query.get("response_type") != "code" or client.grant != "authorization_code":
            error = "unsupported_response_type"
        elif not scopes or not scopes <= client.scopes:
            error = "invalid_scope"
        elif query.get("code_challenge") and query.get("code_challenge_method") != "S256":
            error = "invalid_request"
        response = {"error": error} if error else {"code": self._code(query, scopes)}
        return f"{target}?{urlencode({**response, 'state': query.get('state', '')})}"

    def exchange(self, form: Mapping[str, str], dialect: Dialect) -> tuple[SignIn, str | None]:
        """What a code stands for, and a refresh token if `offline_access` was asked for.

        Raises OAuthRefused for a code that is unknown, used, or another client's, and for another
        redirect URI or verifier than the code was made for.
        """
        with self._lock:
            sign_in = self._codes.pop(form.get("code", ""), None)
        if (
            sign_in is None
            or sign_in.client_id != form.get("client_id")
            or sign_in.redirect_uri != form.get("redirect_uri")
            or not _is_verified(sign_in.challenge, form.get("code_verifier", ""), dialect)
        ):
            raise OAuthRefused(Refusal(400), "invalid_grant", "code is not valid")
        is_lasting = OFFLINE_ACCESS in sign_in.scopes
        return sign_in, self._refresh_token(sign_in) if is_lasting else None

    def renew(self, form: Mapping[str, str], dialect: Dialect) -> tuple[SignIn, str | None]:
        """What a refresh token stands for, and the one to send back.

        A narrower `scope` narrows a refresh token that replaces another, as some servers do.
        Raises OAuthRefused for a token that was replaced or has ended.
        """
        old = form.get("refresh_token", "")
        with self._lock:
            sign_in = self._refresh_tokens.get(old)
        if sign_in is None or sign_in.client_id != form.get("client_id"):
            raise OAuthRefused(dialect.bad_refresh_token, "invalid_grant", "token is not valid")
        scopes = frozenset(form.get("scope", "").split()) or sign_in.scopes
        if not scopes <= sign_in.scopes:
            raise OAuthRefused(dialect.bad_scope, "invalid_scope", "scope is not granted")
        sign_in = replace(sign_in, scopes=scopes)
        if dialect.refresh_token == "kept":
            return sign_in, None
        if dialect.refresh_token == "repeated":
            return sign_in, old
        with self._lock:
            del self._refresh_tokens[old]
        return sign_in, self._refresh_token(sign_in)

    def end_all(self) -> None:
        """Make every refresh token invalid, as after ninety days or when an admin revokes them."""
        with self._lock:
            self._refresh_tokens.clear()

    def _code(self, query: Mapping[str, str], scopes: frozenset[str]) -> str:
        text = self._new_text("code")
        with self._lock:
            self._codes[text] = SignIn(
                number=next(self._numbers),
                client_id=query["client_id"],
                scopes=scopes,
                redirect_uri=query["redirect_uri"],
                challenge=query.get("code_challenge", ""),
            )
        return text

    def _refresh_token(self, sign_in: SignIn) -> str:
        text = self._new_text("refresh")
        with self._lock:
            self._refresh_tokens[text] = sign_in
        return text

    def _new_text(self, kind: str) -> str:
        with self._lock:
            digest = hashlib.sha256(f"{self.seed}.{len(self.issued)}".encode()).hexdigest()
            text = f"{kind}-{digest}+/="
            self.issued.append(text)
        return text


def _is_verified(challenge: str, verifier: str, dialect: Dialect) -> bool:
    """Whether a code verifier fits its challenge (RFC 7636)."""
    if not challenge or dialect.pkce == "ignored":
        return True
    digest = hashlib.sha256(verifier.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return 43 <= len(verifier) <= 128 and challenge == expected
