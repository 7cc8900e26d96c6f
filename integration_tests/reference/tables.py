"""The tables of streams and scopes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from .manifest import STREAMS, StreamRow

_HOLDS = Path(__file__).parent / "streams.tsv"

COLUMNS = ("Stream", "What it holds", "Endpoint", "Scope", "Primary key", "Cursor")


def stream_tables() -> str:
    """A table of streams for each area of the manifest, in its order."""
    areas = []
    for area, streams in groupby(STREAMS, lambda stream: stream.area):
        rows = [_stream_row(stream) for stream in streams]
        areas.append(f"#### {area[0].upper()}{area[1:]}\n\n{markdown_table(COLUMNS, rows)}")
    return "\n".join(areas)


def scope_table() -> str:
    """What each scope, or each of several that do the same, opens."""
    opened: dict[str, list[str]] = {}
    for stream in STREAMS:
        opened.setdefault(needs(stream), []).append(_code(stream.name))
    rows = [(scope, ", ".join(streams)) for scope, streams in sorted(opened.items())]
    return markdown_table(("Scope", "Opens"), rows)


def needs(stream: StreamRow) -> str:
    """The scopes of a stream in words, each as code."""
    sets = filter(None, (stream.scopes, stream.parent_scopes))
    return " and ".join(" or ".join(map(_code, scopes)) for scopes in sets)


def endpoint(stream: StreamRow) -> str:
    """What a stream reads: a list, or for a child table the lists within its records."""
    path = _code(f"/api/{stream.path}")
    return f"{path}, {_code(stream.rows)}" if stream.rows else path


def holds() -> dict[str, str]:
    """What each stream holds, in a few words."""
    with _HOLDS.open(encoding="utf-8") as lines:
        return {row["stream"]: row["holds"] for row in csv.DictReader(lines, delimiter="\t")}


def _stream_row(stream: StreamRow) -> Sequence[str]:
    return (
        _code(stream.name),
        holds()[stream.name],
        endpoint(stream),
        needs(stream),
        ", ".join(map(_code, stream.primary_key)),
        _code(stream.cursor) if stream.cursor else "",
    )


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, each of its lines ended."""
    lines = [columns, [":---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def _code(text: str) -> str:
    return f"`{text}`"
