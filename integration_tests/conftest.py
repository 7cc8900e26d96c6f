"""What the integration tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .sandbox import Sandbox


@pytest.fixture(scope="session")
def small_sandbox() -> Iterator[Sandbox]:
    """A sandbox with a few pages of every resource, for tests that change nothing in it."""
    rows = {"users": 60, "expense_reports": 60, "expense_lines": 120, "invoices": 120}
    with Sandbox(rows=rows) as sandbox:
        yield sandbox
