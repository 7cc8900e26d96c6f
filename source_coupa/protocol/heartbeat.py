"""Lets time pass for those who wait for messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, beat: Callable[[], None]) -> Iterator[None]:
    """Calls `beat` every so many seconds while the block lasts, in a thread of its own."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(seconds):
            beat()

    threading.Thread(target=run, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
