"""OAuth clients, and how the token endpoint refuses one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .dialect import Refusal


@dataclass
class Client:
    """An OAuth client as an admin sets it up."""

    secret: str
    scopes: set[str] = field(default_factory=set)
    grant: Literal["client_credentials", "authorization_code"] = "client_credentials"
    redirect_uris: frozenset[str] = frozenset()


class OAuthRefused(Exception):
    """The token request is refused, with the response's status, body kind and OAuth error code."""

    def __init__(self, refusal: Refusal, code: str, description: str) -> None:
        super().__init__(code)
        self.refusal = refusal
        self.body = {"error": code, "error_description": description}
