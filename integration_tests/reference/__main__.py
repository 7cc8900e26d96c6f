"""Writes the Builder edition, NOTICE and the generated sections of the pages."""

from __future__ import annotations

from .builder import EDITION, builder_manifest
from .notice import NOTICE, notice
from .page import SECTIONS, renewed

EDITION.write_text(builder_manifest(), encoding="utf-8")
NOTICE.write_text(notice(), encoding="utf-8")
for path, sections in SECTIONS.items():
    path.write_text(renewed(path.read_text(encoding="utf-8"), sections), encoding="utf-8")
