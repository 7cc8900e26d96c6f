"""Reads the files that the arguments of a command name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from source_coupa import errors

_pipes: dict[str, bytes] = {}
"""What pipes held, which give it once: the CDK reads each file again."""


def read_json(path: str) -> Any:
    """What a file holds, in UTF-8, 16 or 32, with or without a byte order mark.

    Raises:
        AirbyteTracedException: `config_error` if it cannot be read or holds no JSON. Its content is
            not shown.
    """
    try:
        return json.loads(_content(path))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None


def read_settings(path: str) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        AirbyteTracedException: `config_error` if it holds no JSON object.
    """
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise errors.config_error(
            f"The file {path} holds no settings: write a JSON object with instance_url, client_id "
            "and client_secret into it."
        )
    try:
        orjson.dumps(settings)
    except TypeError as error:
        # half a character, or a number that no message could carry
        raise _unreadable(path, error) from None
    return settings


def _content(path: str) -> bytes:
    file = Path(path)
    if file.is_file():
        return file.read_bytes()
    if path not in _pipes:
        _pipes[path] = file.read_bytes()
    return _pipes[path]


def _unreadable(path: str, error: Exception) -> Exception:
    if isinstance(error, OSError):
        return errors.config_error(
            f"The file {path} cannot be read ({error.strerror}): check its path and permissions."
        )
    where = ""
    if isinstance(error, json.JSONDecodeError):
        where = f" (line {error.lineno}, column {error.colno})"
    return errors.config_error(f"The file {path} is not valid JSON{where}: correct it.")
