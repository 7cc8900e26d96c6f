"""The picture: how fast lists are read, and how many requests syncs take."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .goals import company, tables_requests, unchanged
from .measures.speed import DATA
from .readers.table import OURS, READERS
from .result import Result
from .scale import COUPAS_LIMIT, PAGE_SIZE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_OURS = {"even": "#1b6ca8", "mass_update": "#7fb2d9"}
_OTHERS = {"even": "#7d7d7d", "mass_update": "#bdbdbd"}
_BUDGET, _LIMIT = "#b03a2e", "#e59866"
_BAR = 0.36
_REQUESTS = {
    "14 tables of invoices": tables_requests,
    "first sync of a company": company,
    "sync in which nothing changed": unchanged,
}


def why_absent() -> str | None:
    """Why nothing can be drawn here, None if it can."""
    if find_spec("matplotlib") is None:
        return "the package matplotlib is not installed; bin/benchmark installs it"
    return None


def draw(result: Result, path: Path) -> None:
    """Draws into a PNG file what of both was measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    runs = _runs(result)
    ratios = {name: value for name, of in _REQUESTS.items() if (value := of(result)) is not None}
    heights = [1.4 + 0.62 * len(runs)] if runs else []
    heights += [1.3 + 0.42 * len(ratios)] if ratios else []
    figure, all_axes = pyplot.subplots(
        len(heights),
        squeeze=False,
        figsize=(10, sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    panels = list(all_axes[:, 0])
    if runs:
        _draw_speed(panels.pop(0), result, runs)
    if ratios:
        _draw_requests(panels.pop(0), ratios)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _runs(result: Result) -> list[tuple[str, int]]:
    """Each reader and latency that was measured, in the readers' order."""
    found = {(speed.reader, speed.latency_ms) for speed in result.speed}
    return sorted(found, key=lambda run: (list(READERS).index(run[0]), run[1]))


def _draw_speed(axes: Axes, result: Result, runs: list[tuple[str, int]]) -> None:
    scale = result.scale
    for speed in result.speed:
        below = (_BAR / 2) * (1 if speed.data != "even" else -1)
        place = runs.index((speed.reader, speed.latency_ms)) + below
        colours = _OURS if speed.reader == OURS else _OTHERS
        axes.barh(place, speed.rows_per_second, _BAR * 0.92, color=colours[speed.data])
        lost = f" ({speed.lost:,} lost)" if speed.lost else ""
        axes.annotate(
            f"{speed.rows_per_second:,.0f}{lost}",
            (speed.rows_per_second, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )
    budget, limit = scale.ceiling, COUPAS_LIMIT * PAGE_SIZE
    axes.axvline(budget, color=_BUDGET, linestyle="--", linewidth=1, zorder=0)
    axes.axvline(limit, color=_LIMIT, linestyle="--", linewidth=1, zorder=0)
    axes.set_yticks(
        range(len(runs)),
        [f"{READERS[name].label}\n{ms:,} ms per page" for name, ms in runs],
        fontsize=9,
    )
    fastest = max(speed.rows_per_second for speed in result.speed)
    axes.set_xlim(0, 1.12 * max(limit, fastest))
    axes.set_xlabel("records per second")
    axes.set_title(
        f"{scale.speed.rows:,} invoices of {scale.speed.record_bytes // 1_000} KB", loc="left"
    )
    axes.invert_yaxis()
    _finish(
        axes,
        bars={
            f"{who}, {DATA[data]}": colours[data]
            for who, colours in (("source-coupa", _OURS), ("other readers", _OTHERS))
            for data in DATA
        },
        lines={
            f"budget: {scale.requests_per_second} full pages a second": _BUDGET,
            f"Coupa's limit: {COUPAS_LIMIT} full pages a second": _LIMIT,
        },
    )


def _draw_requests(axes: Axes, ratios: Mapping[str, float]) -> None:
    axes.barh(list(ratios), list(ratios.values()), 0.55, color=_OURS["even"])
    axes.tick_params(axis="y", labelsize=9)
    for place, ratio in enumerate(ratios.values()):
        axes.annotate(
            f"{ratio:.2f}",
            (ratio, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.axvline(1, color=_BUDGET, linestyle="--", linewidth=1, zorder=0)
    axes.set_xlim(0, max(1.6, *ratios.values()) * 1.1)
    axes.set_xlabel("requests, in times of the fewest possible")
    axes.set_title("Requests of a sync", loc="left")
    axes.invert_yaxis()
    _finish(
        axes,
        bars={"source-coupa": _OURS["even"]},
        lines={"fewest possible": _BUDGET},
    )


def _finish(axes: Axes, *, bars: Mapping[str, str], lines: Mapping[str, str]) -> None:
    """Adds the legend, which names what each colour means."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [Patch(color=colour, label=label) for label, colour in bars.items()]
    handles += [
        Line2D([], [], color=colour, linestyle="--", linewidth=1, label=label)
        for label, colour in lines.items()
    ]
    axes.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=8,
    )
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
