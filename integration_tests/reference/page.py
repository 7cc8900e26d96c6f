"""The sections of the docs page that are made, not written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .diagram import diagram
from .manifest import ROOT
from .tables import scope_table, stream_tables

PAGE = ROOT / "docs" / "integrations" / "sources" / "coupa.md"

SECTIONS: Mapping[str, Callable[[], str]] = {
    "### Scopes": scope_table,
    "### Streams": stream_tables,
    "### How the streams join": diagram,
}
"""Header -> what follows its first paragraph, up to the next header of the same or a higher level.
"""


def renewed(page: str) -> str:
    """The page with these sections made anew.

    Raises:
        ValueError: if the page lacks one of them.
    """
    for header, make in SECTIONS.items():
        section = rf"(?ms)^{re.escape(header)}\n\n[^\n]+\n\n(.*?)\n(?=^#{{2,3}} )"
        found = re.search(section, page)
        if found is None:
            raise ValueError(f"no section {header}")
        page = page[: found.start(1)] + make() + page[found.end(1) :]
    return page
