"""The tables of streams and scopes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from .manifest import STREAMS, StreamRow

_HOLDS = Path(__file__).parent / "streams.tsv"

COLUMNS = ("Stream<br/>Scope", "What it holds", "Key<br/>Cursor")
"""Two in a column: beside each other, the tables would be wider than a page."""


def stream_tables() -> str:
    """A table of streams for each area of the manifest, in its order."""
    areas = []
    for area, streams in _areas():
        rows = [_stream_row(stream) for stream in streams]
        areas.append(f"### {_title(area)}\n\n{markdown_table(COLUMNS, rows)}")
    return "\n".join(areas)


def area_table() -> str:
    """The streams of each area, with a link to its section of the stream reference."""
    rows = [
        (
            f"[{_title(area)}](coupa/streams.md#{anchor(_title(area))})",
            ", ".join(_code(stream.name) for stream in streams),
        )
        for area, streams in _areas()
    ]
    return markdown_table(("Area", "Streams"), rows)


def list_table() -> str:
    """Coupa's lists, and the streams that are made of each."""
    made: dict[str, list[str]] = {}
    for stream in STREAMS:
        made.setdefault(stream.path, []).append(_code(stream.name))
    rows = [(_code(f"/api/{path}"), ", ".join(streams)) for path, streams in sorted(made.items())]
    return markdown_table(("Endpoint", "Tables"), rows)


def scope_table() -> str:
    """What each scope, or each of several that do the same, opens."""
    opened: dict[str, list[str]] = {}
    for stream in STREAMS:
        opened.setdefault(needs(stream), []).append(_code(stream.name))
    rows = [(scope, ", ".join(streams)) for scope, streams in sorted(opened.items())]
    return markdown_table(("Scope", "Opens"), rows)


def needs(stream: StreamRow) -> str:
    """The scopes of a stream in words, each as code."""
    sets = [scopes for scopes in (stream.scopes, stream.parent_scopes) if scopes]
    words = [" or ".join(map(_code, scopes)) for scopes in sets]
    if len(sets) == 1:
        return words[0]
    return " and ".join(f"({each})" if " or " in each else each for each in words)


def anchor(title: str) -> str:
    """The fragment by which Markdown links to a header."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _areas() -> list[tuple[str, list[StreamRow]]]:
    return [(area, list(streams)) for area, streams in groupby(STREAMS, lambda s: s.area)]


def _title(area: str) -> str:
    return f"{area[0].upper()}{area[1:]}"


def _held() -> dict[str, str]:
    """What each stream holds, in a few words."""
    with _HOLDS.open(encoding="utf-8") as lines:
        return {row["stream"]: row["holds"] for row in csv.DictReader(lines, delimiter="\t")}


_HELD = _held()


def _stream_row(stream: StreamRow) -> Sequence[str]:
    keys = ", ".join(map(_code, stream.primary_key))
    return (
        f"{_code(stream.name)}<br/>{needs(stream)}",
        _HELD[stream.name],
        "<br/>".join(filter(None, (keys, stream.cursor and _code(stream.cursor)))),
    )


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, each of its lines ended."""
    lines = [columns, [":---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def _code(text: str) -> str:
    return f"`{text}`"
