"""Writes the made sections of the docs page and the README anew."""

from __future__ import annotations

from .page import SECTIONS, renewed

for path, sections in SECTIONS.items():
    path.write_text(renewed(path.read_text(encoding="utf-8"), sections), encoding="utf-8")
