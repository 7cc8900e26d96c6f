"""Shows that a sync goes on: a line that changes on a terminal, one each half minute in a file."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from sync.plain import plain

_SECONDS = 30.0


class Progress:
    """What is being done, and the records that came."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing = ""
        self._since = time.monotonic()
        self._records: Counter[str] = Counter()
        self._last = ""

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Shows `what` as long as the block runs."""
        self._doing, self._since = what, time.monotonic()
        self._records.clear()
        if self._console.is_terminal:
            spinner = Spinner("dots")

            def now() -> Spinner:
                spinner.update(text=str(self))
                return spinner

            with Live(get_renderable=now, console=self._console, transient=True):
                yield
            return
        self._console.print(f"{what} ...", soft_wrap=True)
        ended = threading.Event()
        thread = threading.Thread(target=self._print_until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if self._records:
            self._console.print(str(self), soft_wrap=True)

    def record(self, stream: str) -> None:
        """A record of a stream came."""
        self._records[stream] += 1
        self._last = stream

    def _print_until(self, ended: threading.Event) -> None:
        while not ended.wait(_SECONDS):
            self._console.print(str(self), soft_wrap=True)

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._since), 60)
        text = f"{self._doing}, {minutes}:{seconds:02}"
        if self._records:
            text += (
                f": {sum(self._records.values()):,} records, "
                f"{self._records[self._last]:,} of {plain(self._last)}"
            )
        return text
