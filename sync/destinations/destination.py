"""What `bin/sync` asks of a destination."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol


class Destination(Protocol):
    """A database in which each instance has a schema of its own."""

    @property
    def title(self) -> str:
        """How it is called in messages, without a secret."""

    @property
    def secrets(self) -> Sequence[str]:
        """What must not be printed."""

    def claimed(self, schema: str, *, demo: bool) -> AbstractContextManager[None]:
        """Makes sure that `schema` can be written, and keeps other syncs out of it until the end.

        With `demo`, what an earlier demo left in it is dropped first.

        Raises:
            SyncError: if it cannot be written, or is being written.
        """

    def cache(self, schema: str, folder: Path) -> Any:
        """PyAirbyte's cache of that schema, with batches of records in `folder`."""

    def enter(self, connection: Any, schema: str) -> None:
        """Makes a connection find the tables of `schema` by their names, and print times in UTC."""

    def message(self, error: BaseException) -> str | None:
        """The message for an error of the database; None if the error is another."""

    def decimal(self, column: str) -> str:
        """The SQL that makes a number of a text that holds one, null of others."""

    def day(self, column: str) -> str:
        """The SQL that makes a date of the midnight by which Coupa sends it."""

    def how_to_open(self, query: str) -> Sequence[str]:
        """Commands that show the rows of a query."""


def causes(error: BaseException) -> list[BaseException]:
    """An error and those that led to it, as PyAirbyte wraps what the database says."""
    found: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and each not in found:
            found.append(each)
            left += [each.__context__, each.__cause__, getattr(each, "orig", None)]
    return found
