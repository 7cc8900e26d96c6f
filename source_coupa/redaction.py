"""Keeps credentials out of all output."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from itertools import product
from urllib.parse import quote, quote_plus

from airbyte_cdk.utils import airbyte_secrets_utils

SHORTEST = 6
"""Characters of a value that is redacted: a shorter one is part of ordinary words."""

_CUT_FROM = 12
"""Characters of a secret that is still one without its first or its last."""

_RUN = 8
"""Letters and digits that a text has in common with a secret only if it quotes a part of it."""

_LONGEST_WORD = 40
_ODD_WORD = re.compile(r"[%\\=]|&\S*;")
"""What encodings of a secret look like."""

_changing = threading.Lock()


def hide(secret: str) -> None:
    """Replaces `secret` by asterisks in whatever the CDK prints from now on.

    Its encoded forms too: an error page can quote a request, a log line can quote that page.
    """
    if len(secret) < SHORTEST:
        return
    with _changing:
        known = set(vars(airbyte_secrets_utils)["__SECRETS_FROM_CONFIG"])
        hidden = {str(value) for value in known if len(str(value)) >= SHORTEST} | _forms(secret)
        # the longest first: none is cut up before it is found
        airbyte_secrets_utils.update_secrets(sorted(hidden, key=len, reverse=True))


def redacted(text: str) -> str:
    """A text with asterisks for all hidden secrets."""
    return airbyte_secrets_utils.filter_secrets(text)


def quoted(text: str, longest: int = 300) -> str:
    """What somebody else says, fit to be shown: whole words without secrets and parts of them, and
    without what can be one in a form that nobody thought of, or drive a terminal."""
    said = ""
    words = redacted(text).split()[:longest]
    parts = _parts_of_secrets(words)
    for number, word in enumerate(words):
        if (
            number in parts
            or len(word) > _LONGEST_WORD
            or _ODD_WORD.search(word)
            or not word.isprintable()
        ):
            word = "…"
        if len(said) + len(word) >= longest:
            return f"{said} …".strip()
        said = f"{said} {word}" if said else word
    return said


def _parts_of_secrets(words: list[str]) -> set[int]:
    """The places of words that have a part of a secret, which may be cut off, spelled in another
    case or width, or go on in the next word."""
    hidden = "\n".join(
        {_plain(form) for form in vars(airbyte_secrets_utils)["__SECRETS_FROM_CONFIG"]}
    )
    letters = [
        (letter, number)
        for number, word in enumerate(words)
        for letter in _plain(word[:_LONGEST_WORD])
    ]
    found: set[int] = set()
    for start in range(len(letters) - _RUN + 1):
        run = letters[start : start + _RUN]
        if "".join(letter for letter, _ in run) in hidden:
            found.update(number for _, number in run)
    return found


def _plain(text: str) -> str:
    """The letters and digits of a text, whatever their case and width."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", str(text)).casefold())


def _forms(secret: str) -> set[str]:
    """How a secret may be spelled in text of one kind or another."""
    plain = {secret}
    if len(secret) >= _CUT_FROM:
        plain |= {secret[:-1], secret[1:]}
    plain |= {spelled for text in plain for spelled in (text.lower(), text.upper())}
    forms = {form for text in plain for form in (text, *_in_pages(text), *_in_bytes(text))}
    for _ in range(2):  # a log line in JSON may quote a page in JSON
        forms |= {form for text in forms for form in _in_json(text)}
    return {form for form in forms if len(form) >= SHORTEST}


def _in_pages(text: str) -> Iterator[str]:
    escaped = html.escape(text, quote=False)
    for double, single in product(('"', "&quot;", "&#34;"), ("'", "&#x27;", "&#39;", "&apos;")):
        yield escaped.replace('"', double).replace("'", single)
    for encoded in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield encoded
        yield re.sub("%..", lambda match: match[0].lower(), encoded)


def _in_bytes(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", "surrogatepass")
    yield from (raw.hex(), raw.hex().upper())
    for before in range(3):
        # within longer base64, only characters that hold nothing else are always the same
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        start, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        yield from (encoded[start:end], encoded[start:end].replace("+", "-").replace("/", "_"))
        if before == 0:
            yield from (encoded, encoded.replace("+", "-").replace("/", "_"))


def _in_json(text: str) -> Iterator[str]:
    yield repr(text)[1:-1]
    for ascii_only in (True, False):
        dumped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (dumped, dumped.replace("/", "\\/"))
        for marked in ("[<>&]", "[<>&']"):  # as Rails writes them, and others
            safe = re.sub(marked, lambda match: f"\\u{ord(match[0]):04x}", dumped)
            yield from (safe, re.sub(r"\\u....", lambda match: "\\u" + match[0][2:].upper(), safe))
