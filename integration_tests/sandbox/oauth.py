"""OAuth clients and tokens of the sandbox (grant `client_credentials`, doc 0018 and 0019)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from .dialect import Dialect, Refusal

FORM = "application/x-www-form-urlencoded"


@dataclass
class Client:
    """An OAuth client as an admin sets it up."""

    secret: str
    scopes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Token:
    """An issued token; `ready` and `expires` are `time.monotonic()` seconds."""

    number: int
    client_id: str
    scopes: frozenset[str]
    ready: float
    expires: float

    def __str__(self) -> str:
        return f"<token {self.number}: {' '.join(sorted(self.scopes))}>"


class OAuthRefused(Exception):
    """The token request is refused, with the answer's status, body kind and OAuth error code."""

    def __init__(self, refusal: Refusal, code: str, description: str) -> None:
        super().__init__(code)
        self.refusal = refusal
        self.body = {"error": code, "error_description": description}


class TokenDesk:
    """Issues tokens to `clients` and recognises them again. Safe for threads."""

    def __init__(self, clients: dict[str, Client], *, seed: int) -> None:
        self.clients = clients
        self._seed = seed
        self._numbers = itertools.count(1)
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(
        self, *, body: bytes, content_type: str, authorization: str, dialect: Dialect
    ) -> tuple[dict[str, object], Token]:
        """Answer a token request: the JSON body and the token it carries.

        Raises OAuthRefused for anything Coupa would not accept. A request for several scopes of
        which one is not granted is refused as a whole.
        """
        form = parse_form(body) if content_type.split(";")[0].strip().lower() == FORM else {}
        if "grant_type" not in form:
            raise OAuthRefused(Refusal(400), "invalid_request", "grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise OAuthRefused(Refusal(400), "unsupported_grant_type", "not supported")
        client_id, secret = _credentials(form, authorization)
        client = self.clients.get(client_id)
        if client is None or client.secret != secret:
            raise OAuthRefused(dialect.bad_client, "invalid_client", "client is unknown")
        scopes = self._scopes(form.get("scope", ""), client, dialect)
        with self._lock:
            now = time.monotonic()
            token = Token(
                number=next(self._numbers),
                client_id=client_id,
                scopes=frozenset(scopes),
                ready=now + dialect.token_warmup,
                expires=now + dialect.token_lifetime,
            )
            text = self._text(token)
            self._tokens[text] = token
        answer: dict[str, object] = {
            "access_token": text,
            "token_type": "bearer",
            "expires_in": int(dialect.token_lifetime),
        }
        if dialect.token_shows_scope:
            answer["scope"] = " ".join(sorted(scopes))
        return answer, token

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
