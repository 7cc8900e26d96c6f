"""Coupa prints keys with hyphens (`created-at`); warehouse columns want underscores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class _Names(dict[str, str]):
    """The new name of each key that was seen: half the time of renaming went into making names."""

    def __missing__(self, key: str) -> str:
        name = key.replace("-", "_")
        if len(self) < _MOST_NAMES:
            self[key] = name
        return name


_MOST_NAMES = 100_000
_NAMES = _Names()
_CONTAINERS = frozenset((dict, list))


def with_underscores(value: Any) -> Any:
    """Copies a JSON value with the hyphens of all keys turned to underscores, at every depth.

    Values stay as they are. Where a new name is taken within its object, `_2`, `_3` ... is added to
    it, so that `{"po-number": 1, "po_number": 2}` becomes `{"po_number_2": 1, "po_number": 2}`.
    """
    if isinstance(value, dict):
        renamed = {
            _NAMES[key]: with_underscores(item) if type(item) in _CONTAINERS else item
            for key, item in value.items()
        }
        return renamed if len(renamed) == len(value) else _without_collisions(value)
    if isinstance(value, list):
        return [with_underscores(item) if type(item) in _CONTAINERS else item for item in value]
    return value


def _without_collisions(value: Mapping[str, Any]) -> dict[str, Any]:
    taken = {key for key in value if "-" not in key}
    renamed = {}
    for key, item in value.items():
        name = key.replace("-", "_")
        if name != key:
            number = 2
            while name in taken:
                name = f"{key.replace('-', '_')}_{number}"
                number += 1
            taken.add(name)
        renamed[name] = with_underscores(item)
    return renamed
