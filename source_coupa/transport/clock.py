"""The one clock of the connector. Tests hand in another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone


class Clock:
    """What time it is, and how the connector waits."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Calls `function` in a thread of its own after so many seconds."""
        timer = threading.Timer(seconds, function)
        timer.daemon = True
        timer.start()
