"""Names of streams as users type them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_SHOWN = 5


def named_streams(arguments: Iterable[str]) -> list[str]:
    """The streams that `--streams` names, with blanks or commas between them, each once.

    >>> named_streams(["users,invoices", "users,"])
    ['users', 'invoices']
    """
    names = (name.strip() for argument in arguments for name in argument.split(","))
    return list(dict.fromkeys(filter(None, names)))


def unknown_stream(name: str, available: Sequence[str]) -> str:
    """The message for a stream that is not there: the names nearest to it."""
    wanted = name.lower().replace("-", "_")
    similar = get_close_matches(wanted, available, n=_SHOWN, cutoff=0.7)
    similar += [each for each in sorted(available, key=len) if wanted in each]
    nearest = list(dict.fromkeys(similar))[:_SHOWN]
    problem = f"There is no stream {name} that this client can read"
    if nearest:
        return f"{problem}. The nearest are {', '.join(nearest)}."
    return f"{problem}. Leave out --streams to sync all {len(available)} that it can."
