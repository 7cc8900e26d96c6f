"""Texts from elsewhere, for a terminal."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible as those that are escaped, but letters of some scripts are written with them."""


def plain(text: object) -> str:
    """A text as one line without what drives a terminal or turns the direction of writing: such
    characters are shown as Python writes them.

    >>> plain("paid\\n\\x1b[2J")
    'paid\\\\n\\\\x1b[2J'
    """
    return "".join(map(_shown, str(text)))


def _shown(letter: str) -> str:
    category = unicodedata.category(letter)
    if category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and letter not in _JOINERS):
        return letter.encode("unicode_escape").decode()
    return letter
