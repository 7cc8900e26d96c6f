"""The sections of the docs page and the README that are made, not written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from .builder import builder_tables
from .diagram import diagram
from .manifest import ROOT
from .speed import speed_tables, sync_times
from .tables import scope_table, stream_tables

PAGE = ROOT / "docs" / "integrations" / "sources" / "coupa.md"

README = ROOT / "README.md"

Sections = Mapping[str, Callable[[], str]]
"""Header -> what follows its first paragraph, up to the next header of the same or a higher level.
"""

SECTIONS: Mapping[Path, Sections] = {
    PAGE: {
        "#### What the Builder edition does otherwise": builder_tables,
        "### Scopes": scope_table,
        "### Streams": stream_tables,
        "### How the streams join": diagram,
        "### How long a sync takes": sync_times,
    },
    README: {"## Speed": speed_tables},
}


def renewed(page: str, sections: Sections) -> str:
    """The page with these sections made anew.

    Raises:
        ValueError: if the page lacks one of them.
    """
    for header, make in sections.items():
        section = rf"(?ms)^{re.escape(header)}\n\n[^\n]+\n\n(.*?)\n(?=^#{{2,3}} )"
        found = re.search(section, page)
        if found is None:
            raise ValueError(f"no section {header}")
        page = page[: found.start(1)] + make() + page[found.end(1) :]
    return page
