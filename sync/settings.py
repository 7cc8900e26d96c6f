"""The configuration file of a real instance, and what is derived from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sync import settings_file
from sync.errors import SyncError

SECRET_KEYS = ("client_secret", "client_id", "refresh_token", "access_token")


def load_config(path: Path) -> dict[str, Any]:
    """Reads the connector's settings from a JSON file.

    Raises:
        SyncError: if there is no such file or it holds no JSON object.
    """
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise SyncError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise SyncError(f"{path} is not a JSON file{where}.") from None
    if not isinstance(config, dict):
        raise SyncError(
            f"{path} must hold a JSON object with instance_url, client_id and client_secret."
        )
    return config


def schema_name(config: dict[str, Any]) -> str:
    """The schema of an instance, named after its host: one database can hold several.

    >>> schema_name({"instance_url": "https://acme.coupahost.com/"})
    'acme_coupahost_com'
    """
    address = str(config.get("instance_url", "")).strip().lower()
    host = re.sub(r"^https?://", "", address).split("/")[0]
    name = re.sub(r"\W+", "_", host).strip("_")
    return name if re.match(r"[a-z]", name) else f"coupa_{name}".strip("_")


def chosen_schema(name: str) -> str:
    """A schema that the user names.

    Raises:
        SyncError: if it would have to be quoted in a query.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        raise SyncError(
            "The name of a schema has lower-case letters, digits and underscores, and begins with "
            "a letter."
        )
    return name


def secrets_of(config: dict[str, Any]) -> list[str]:
    """The values of the secret settings, those of a sign-in included."""
    credentials = config.get("credentials")
    settings = {**credentials, **config} if isinstance(credentials, dict) else config
    return [str(settings.get(key) or "").strip() for key in SECRET_KEYS]


def keep_sign_in(path: Path, config: dict[str, Any], renewed: dict[str, Any]) -> None:
    """Writes a sign-in that the connector renewed into the file of its settings: the one that
    stands there may be used up. Changes nothing else of it.

    Raises:
        SyncError: if it cannot be written.
    """
    if config.get("credentials") == renewed.get("credentials"):
        return
    config["credentials"] = renewed.get("credentials")
    try:
        settings_file.replace(path, json.dumps(config, indent=2) + "\n")
    except OSError as error:
        raise SyncError(
            f"The renewed sign-in cannot be written into {path}: {error.strerror}. Make the file "
            "writable, and authenticate again if the next sync says so."
        ) from None


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with the secrets redacted."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "****")
    return text
