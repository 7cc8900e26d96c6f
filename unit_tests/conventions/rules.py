"""What a rule is, and documents that can be broken on purpose."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Problems = list[str]
"""One sentence for each thing that is wrong; empty if nothing is."""


class Document(Protocol):
    """Something that rules look at."""

    def with_edit(self, *edit: Any) -> Document:
        """A copy with one edit."""


D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Tree:
    """A document made of mappings, lists and scalars, such as a YAML or JSON file."""

    root: Any

    def with_edit(self, *edit: Any) -> Tree:
        """A copy with other values at some places.

        Args:
            edit: place, value, place, value and so on. A place is a path such as `data/tags/0`,
                `GONE` as value takes it away.
        """
        root = copy.deepcopy(self.root)
        for place, value in zip(edit[::2], edit[1::2], strict=True):
            *path, last = (int(key) if key.isdigit() else key for key in place.split("/"))
            holder = root
            for key in path:
                holder = holder[key]
            if value is GONE:
                del holder[last]
            elif isinstance(holder, list) and last == len(holder):
                holder.append(value)
            else:
                holder[last] = value
        return Tree(root)


GONE = object()
"""The value of an edit that takes a key away."""


class Check(Generic[D]):
    """A rule and edits that break it, each of which it must complain about."""

    def __init__(self, run: Callable[[D], Problems], *faults: tuple[Any, ...]) -> None:
        assert faults, f"{run.__name__}: a rule that nothing breaks is dead"
        self.run = run
        self.faults = faults

    @property
    def name(self) -> str:
        """As tests print it."""
        return self.run.__name__.removeprefix("check_")


@dataclass(frozen=True)
class Convention(Generic[D]):
    """The rules for one kind of document.

    Attributes:
        checks: the rules.
        documents: the project's documents of this kind, by name.
        example: a document without a problem, which the faults of the rules break.
    """

    checks: Iterable[Check[D]]
    documents: Callable[[], Mapping[str, D]]
    example: Callable[[], D]
