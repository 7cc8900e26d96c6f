"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pyrate_limiter.abstracts.bucket import BucketFactory

from source_coupa.config import SANDBOX_VARIABLE

os.environ[SANDBOX_VARIABLE] = "1"


@pytest.fixture(scope="session", autouse=True)
def no_leaking_buckets() -> Iterator[None]:
    """The request budget of each read in this process would leave a thread behind that wakes every
    two seconds for as long as the tests run, and logs that it did. It only frees memory: what a
    budget allows depends on the times of its requests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BucketFactory, "schedule_leak", lambda *_: None)
        yield
