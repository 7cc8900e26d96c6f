"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import backoff._sync
import pytest
from airbyte_cdk.sources.streams.http import rate_limiting

from source_coupa import oauth, scopes
from source_coupa.components import pages


@pytest.fixture(autouse=True)
def _no_tokens_of_other_tests() -> Iterator[None]:
    oauth.shared_store.cache_clear()
    yield
    oauth.shared_store.cache_clear()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets retries of the connector and of the CDK wait no time; the seconds that they would have
    waited are in the list. The request budget and the sandbox keep their real clocks."""
    waited: list[float] = []
    for module in (oauth, scopes, pages, rate_limiting, backoff._sync):
        monkeypatch.setattr(module, "time", _sleepless(module.time, waited))
    return waited


def _sleepless(time: Any, waited: list[float]) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(time), "sleep": waited.append})
