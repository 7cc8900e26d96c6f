"""Tokens of the sandbox: the token endpoint (doc 0018 and 0019) and what it gave."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from .clients import Client, OAuthRefused
from .consent import SignIns
from .dialect import Dialect, Refusal

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Token:
    """An issued token; `ready` and `expires` are `time.monotonic()` seconds."""

    number: int
    client_id: str
    scopes: frozenset[str]
    ready: float
    expires: float
    sign_in: int | None = None
    """Number of the sign-in that it stands for."""

    def __str__(self) -> str:
        return f"<token {self.number}: {' '.join(sorted(self.scopes))}>"


class TokenDesk:
    """Issues tokens to `clients` and recognises them again. Safe for threads."""

    def __init__(self, clients: dict[str, Client], *, seed: int) -> None:
        self.clients = clients
        self.sign_ins = SignIns(clients, seed)
        self._seed = seed
        self._numbers = itertools.count(1)
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(
        self, *, body: bytes, content_type: str, authorization: str, dialect: Dialect
    ) -> tuple[dict[str, object], Token]:
        """The response to a token request: the JSON body and the token it carries.

        Raises OAuthRefused for anything Coupa would not accept. A request for several scopes of
        which one is not granted is refused as a whole.
        """
        form = parse_form(body) if content_type.split(";")[0].strip().lower() == FORM else {}
        if "grant_type" not in form:
            raise OAuthRefused(Refusal(400), "invalid_request", "grant_type is missing")
        grant = form["grant_type"]
        if grant not in ("client_credentials", "authorization_code", "refresh_token"):
            raise OAuthRefused(Refusal(400), "unsupported_grant_type", "not supported")
        client_id, secret = _credentials(form, authorization)
        client = self.clients.get(client_id)
        if client is None or client.secret != secret:
            raise OAuthRefused(dialect.bad_client, "invalid_client", "client is unknown")
        if (grant == "client_credentials") != (client.grant == "client_credentials"):
            raise OAuthRefused(Refusal(400), "unauthorized_client", "another grant type")
        refresh_token: str | None = None
        sign_in: int | None = None
        if grant == "client_credentials":
            scopes = self._scopes(form.get("scope", ""), client, dialect)
        else:
            use = self.sign_ins.exchange if grant == "authorization_code" else self.sign_ins.renew
            signed_in, refresh_token = use({**form, "client_id": client_id}, dialect)
            scopes, sign_in = set(signed_in.scopes), signed_in.number
        with self._lock:
            if dialect.newest_token_only:
                self._tokens = {
                    text: token
                    for text, token in self._tokens.items()
                    if token.client_id != client_id
                }
            if dialect.renewal_ends_tokens and sign_in is not None:
                self._tokens = {
                    text: token for text, token in self._tokens.items() if token.sign_in != sign_in
                }
            now = time.monotonic()
            token = Token(
                number=next(self._numbers),
                client_id=client_id,
                scopes=frozenset(scopes),
                ready=now + dialect.token_warmup,
                expires=now + dialect.token_lifetime,
                sign_in=sign_in,
            )
            text = self._text(token)
            self._tokens[text] = token
        response: dict[str, object] = {
            "access_token": text,
            "token_type": "bearer",
            "expires_in": int(dialect.token_lifetime),
        }
        if dialect.token_shows_scope:
            response["scope"] = " ".join(sorted(scopes))
        if refresh_token is not None:
            response["refresh_token"] = refresh_token
        return response, token

    def holder(self, authorization: str) -> Token | None:
        """The token in an `Authorization` header, usable or not; None if it was never issued."""
        kind, _, text = authorization.partition(" ")
        with self._lock:
            return self._tokens.get(text.strip()) if kind.lower() == "bearer" else None

    def texts(self) -> list[str]:
        """The usable tokens as they were sent, for tests that look for leaks."""
        with self._lock:
            return list(self._tokens)

    def expire_all(self) -> None:
        """Make every token issued so far unusable, as an instance restart might."""
        with self._lock:
            self._tokens.clear()

    @staticmethod
    def _scopes(asked: str, client: Client, dialect: Dialect) -> set[str]:
        scopes = set(asked.split())
        if scopes:
            if not scopes <= client.scopes:
                raise OAuthRefused(dialect.bad_scope, "invalid_scope", "scope is not granted")
            return scopes
        if dialect.token_without_scope == "refused":
            raise OAuthRefused(Refusal(400), "invalid_scope", "scope is missing")
        return set(client.scopes) if dialect.token_without_scope == "all" else set()

    def _text(self, token: Token) -> str:
        """A JWT in looks; it grows with the number of scopes, as Coupa documents."""
        claims = {"jti": token.number, "sub": token.client_id, "scope": sorted(token.scopes)}
        head = _base64({"typ": "JWT", "alg": "RS256"})
        body = _base64(claims)
        signature = hashlib.sha512(f"{self._seed}.{body}".encode()).digest() * 4
        return f"{head}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a form-encoded body; of a repeated field, the last one counts."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _credentials(form: Mapping[str, str], authorization: str) -> tuple[str, str]:
    """Client id and secret, from the form (documented) or from HTTP Basic (seen in use)."""
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return client_id, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _base64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
