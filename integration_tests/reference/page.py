"""The sections of the pages that are generated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from .builder import differences_table, left_out_table
from .columns import column_tables
from .joins import diagrams, join_table
from .manifest import ROOT
from .speed import speed_tables, sync_times
from .tables import area_table, list_table, scope_table, stream_tables

PAGE = ROOT / "docs" / "integrations" / "sources" / "coupa.md"
"""The docs page. What is too long for it is on pages in the folder beside it."""

BESIDE = PAGE.with_suffix("")

README = ROOT / "README.md"

Sections = Mapping[str, Callable[[], str]]
"""Header -> what follows its first paragraph, up to the next header of the same or a higher level.
"""

SECTIONS: Mapping[Path, Sections] = {
    PAGE: {
        "### Streams by area": area_table,
        "### How long a sync takes": sync_times,
    },
    BESIDE / "streams.md": {
        "## Streams": stream_tables,
        "## Scopes": scope_table,
        "## Lists and their tables": list_table,
    },
    BESIDE / "data-model.md": {
        "## Diagrams": diagrams,
        "## All columns that join": join_table,
    },
    BESIDE / "columns.md": {"## Columns": column_tables},
    BESIDE / "builder-edition.md": {
        "## How it differs": differences_table,
        "## Streams that it lacks": left_out_table,
    },
    README: {"## Speed": speed_tables},
}


def renewed(page: str, sections: Sections) -> str:
    """The page with these sections generated again.

    Raises:
        ValueError: if the page lacks one of them.
    """
    for header, make in sections.items():
        level = len(header) - len(header.lstrip("#"))
        section = rf"(?ms)^{re.escape(header)}\n\n[^\n]+\n\n(.*?)(?=\n#{{1,{level}}} |\Z)"
        found = re.search(section, page)
        if found is None:
            raise ValueError(f"no section {header}")
        page = page[: found.start(1)] + make() + page[found.end(1) :]
    return page


def queries_on_deletions(heading: str) -> list[str]:
    """The queries of a section of the page on deletions."""
    text = (BESIDE / "deletions-and-history.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sql\n(.*?)```", section, re.S)
