"""What a measure needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from integration_tests.benchmarks.readers.reader import Reader
from integration_tests.benchmarks.readers.table import READERS
from integration_tests.benchmarks.scale import Scale


@dataclass(frozen=True)
class Plan:
    """How much is read, by whom, and where progress is reported."""

    scale: Scale
    readers: Mapping[str, Reader] = field(default_factory=lambda: READERS)
    tell: Callable[[str], None] = print
