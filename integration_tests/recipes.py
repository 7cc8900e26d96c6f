"""The code blocks of docs/recipes, as readers copy them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .reference.manifest import ROOT

FOLDER = ROOT / "docs" / "recipes"
PAGES = tuple(sorted(FOLDER.glob("*.md")))


@dataclass(frozen=True)
class Block:
    """A fenced block: the name of its page, its language, and its text.

    `file` is the file name in the comment of its first line, "" without one.
    """

    page: str
    language: str
    text: str

    @property
    def file(self) -> str:
        found = re.match(r"# (\S+\.\w+)\n", self.text)
        return found[1] if found else ""


def blocks(language: str, page: str = "") -> list[Block]:
    """All blocks of a language, of one page or of all."""
    return [block for block in _all() if block.language == language and page in ("", block.page)]


def block(file: str) -> Block:
    """The block of a file."""
    [found] = [each for each in _all() if each.file == file]
    return found


def _all() -> list[Block]:
    return [
        Block(path.name, language, text)
        for path in PAGES
        for language, text in re.findall(r"```(\w*)\n(.*?)```", _text(path), re.S)
    ]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
