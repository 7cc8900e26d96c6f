"""The picture of the speeds."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .measures.speed import DATA
from .readers.table import OURS, READERS
from .result import Result
from .scale import COUPAS_LIMIT, PAGE_SIZE

_OURS = {"even": "#1b6ca8", "mass_update": "#7fb2d9"}
_OTHERS = {"even": "#7d7d7d", "mass_update": "#bdbdbd"}
_TEXT = {"even": "white", "mass_update": "black"}
_LIMIT = "#b03a2e"
_BAR = 0.36
_ROOM = 0.4
"""Bars longer than this part of the ceiling hold their text, so that no text lies on a line."""


def why_absent() -> str | None:
    """Why nothing can be drawn here, None if it can."""
    if find_spec("matplotlib") is None:
        return "the package matplotlib is not installed; bin/benchmark installs it"
    return None


def draw(result: Result, path: Path) -> None:
    """Draws rows per second of every reader and data set, with both limits, into a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scale = result.scale
    names = [name for name in READERS if any(s.reader == name for s in result.speed)]
    figure, axes = pyplot.subplots(figsize=(8.5, 0.9 + 0.75 * len(names)), layout="constrained")
    for speed in result.speed:
        place = names.index(speed.reader) + (_BAR / 2) * (1 if speed.data != "even" else -1)
        colours = _OURS if speed.reader == OURS else _OTHERS
        axes.barh(place, speed.rows_per_second, _BAR * 0.92, color=colours[speed.data])
        is_inside = speed.rows_per_second > _ROOM * scale.ceiling
        lost = f", {speed.lost:,} lost" if speed.lost else ""
        axes.annotate(
            f"{speed.rows_per_second:,.0f}  {DATA[speed.data]}{lost}",
            (speed.rows_per_second, place),
            xytext=(-6 if is_inside else 6, 0),
            textcoords="offset points",
            ha="right" if is_inside else "left",
            va="center",
            color=_TEXT[speed.data] if is_inside else "black",
            fontsize=9,
        )
    limits = {
        "request budget": scale.requests_per_second,
        "Coupa's limit": COUPAS_LIMIT,
    }
    for name, limit in limits.items():
        # behind the bars, so that no line crosses their text
        axes.axvline(limit * PAGE_SIZE, color=_LIMIT, linestyle="--", linewidth=1, zorder=0)
        axes.annotate(
            f"{name}: {limit}/s",
            (limit * PAGE_SIZE, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            color=_LIMIT,
            fontsize=9,
        )
    axes.set_yticks(range(len(names)), [READERS[name].label for name in names], fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(0, COUPAS_LIMIT * PAGE_SIZE * 1.02)
    axes.set_xlabel(f"rows per second, with {scale.latency_ms} ms per answer")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
