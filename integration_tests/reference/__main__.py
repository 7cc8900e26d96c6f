"""Writes the made sections of the docs page anew."""

from __future__ import annotations

from .page import PAGE, renewed

PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
