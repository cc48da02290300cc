"""Small charts on given axes: bars, columns, stacked bars, histograms of sizes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from knowlip.dataset.stats_numbers import EDGES, UNKNOWN
from knowlip.pages.charts import CARD, COLOURS, INK, MUTED

_MOST_BARS, _MOST_SIZED, _MOST_PER_TILE, _FEWEST_SLOTS = 12, 3, 40, 5


def _top(counts: Mapping[str, float]) -> dict[str, float]:
    """The most frequent ones; the others as one bar."""
    items = list(counts.items())
    if len(items) <= _MOST_BARS:
        return dict(items)
    rest = sum(value for _, value in items[_MOST_BARS - 1 :])
    return {**dict(items[: _MOST_BARS - 1]), f"{len(items) - _MOST_BARS + 1} others": rest}


def bars(axes: Any, counts: Mapping[str, float], title: str, colour: str = COLOURS[0]) -> None:
    """Horizontal bars with their numbers."""
    shown = _top(counts)
    axes.set_title(title)
    if not shown:
        axes.text(0.5, 0.5, "none", ha="center", va="center", color=MUTED, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return
    names = [_short(name) for name in shown]
    values = list(shown.values())
    colours = [MUTED if name == UNKNOWN or name.endswith(" others") else colour for name in shown]
    axes.barh(range(len(names)), values, color=colours, height=0.72)
    axes.set(yticks=range(len(names)), xlim=(0, max(values) * 1.22), xticks=[])
    axes.set_yticklabels(names)
    axes.set_ylim(max(len(names), _FEWEST_SLOTS) - 0.4, -0.6)
    axes.spines["bottom"].set_visible(False)
    for row, value in enumerate(values):
        axes.text(value + max(values) * 0.02, row, f"{value:,}", va="center", fontsize="small", color=MUTED)


def columns(axes: Any, counts: Mapping[str, float], title: str, unit: str) -> None:
    """Upright bars with their numbers."""
    axes.set_title(title)
    shown = _top(counts)
    values = list(shown.values())
    axes.bar(range(len(shown)), values, color=COLOURS[0], width=0.66)
    axes.set(
        xticks=range(len(shown)),
        yticks=[],
        ylim=(0, max(values, default=1) * 1.15),
        xlim=(-0.8, max(2, len(shown) - 1) + 0.8),
    )
    axes.set_xticklabels([f"{name} {unit}".strip() if name != UNKNOWN else name for name in shown], color=INK)
    axes.spines["left"].set_visible(False)
    for column, value in enumerate(values):
        axes.text(column, value + max(values) * 0.02, f"{value:,}", ha="center", fontsize="small", color=MUTED)


def stacked(
    axes: Any, table: Mapping[str, Mapping[str, int]], order: tuple[str, ...], colours: tuple[str, ...], title: str
) -> None:
    """A bar a sensor, in parts."""
    axes.set_title(title)
    names = list(table)[:_MOST_BARS]
    start = np.zeros(len(names))
    for part, colour in zip(order, colours):
        values = np.array([table[name].get(part, 0) for name in names])
        if not values.any():
            continue
        axes.barh(
            range(len(names)), values, left=start, color=colour, edgecolor=CARD, linewidth=0.6, height=0.62, label=part
        )
        start += values
    for row, value in enumerate(start):
        axes.text(value + start.max() * 0.02, row, f"{int(value):,}", va="center", fontsize="small", color=MUTED)
    axes.set(yticks=range(len(names)), xticks=[], xlim=(0, start.max() * 1.2), ylim=(max(len(names), 4) - 0.4, -0.6))
    axes.set_yticklabels([_short(name) for name in names])
    axes.spines["bottom"].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.01), ncols=3, handlelength=0.9, columnspacing=1)


def sizes(axes: Any, targets: dict[str, Any]) -> None:
    """Histogram of lengths in metres, or of box lengths in pixels where metres are not known."""
    # Stacked on a logarithmic axis: a boat of 10 m and a tanker of 300 m are both seen, and how many there are in all.
    categories = targets["categories"]
    unit = "m" if any(entry["lengths_m"] for entry in categories.values()) else "px"
    known = {name: np.array(entry[f"lengths_{unit}"]) for name, entry in categories.items() if entry[f"lengths_{unit}"]}
    if not known:
        bars(axes, {name: entry["count"] for name, entry in categories.items()}, "Objects")
        return
    top = sorted(known, key=lambda name: -known[name].sum())[:_MOST_SIZED]
    filled = np.flatnonzero(np.sum([known[name] for name in top], axis=0))
    first, last = int(filled[0]), int(filled[-1]) + 1
    base = np.zeros(last - first)
    for name, colour in zip(top, COLOURS):
        counts = known[name][first:last]
        axes.bar(
            EDGES[first:last],
            counts,
            np.diff(EDGES[first : last + 1]),
            base,
            align="edge",
            color=colour,
            edgecolor=CARD,
            linewidth=0.4,
            label=f"{name} ({int(known[name].sum()):,})",
        )
        base += counts
    ticks = [value for value in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if EDGES[first] <= value <= EDGES[last]]
    axes.set(xscale="log", yticks=[], xlabel=f"length in {unit}", xticks=ticks)
    axes.set_xticklabels([str(value) for value in ticks])
    axes.minorticks_off()
    axes.spines["left"].set_visible(False)
    axes.set_title("Target sizes")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, handlelength=0.9, columnspacing=1)


def per_tile(axes: Any, targets: dict[str, Any]) -> None:
    """Histogram of the number of objects in a large tile."""
    counts = {int(number): count for number, count in targets["per_tile"].items()}
    top = min(_MOST_PER_TILE, max(counts))
    tiles = np.bincount(np.minimum(list(counts), top), list(counts.values()))
    shown = np.flatnonzero(tiles)
    # A bar on a logarithmic axis begins nowhere: these begin where the axis does.
    least = 0.7
    axes.set(xlabel="objects in a large tile", ylabel="tiles", yscale="log", ylim=(least, 1.5 * tiles.max()))
    axes.bar(shown, tiles[shown] - least, 1.0, least, color=COLOURS[0], edgecolor=CARD)
    axes.set_xlim(-0.7, max(5, shown.max()) + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_title("Objects a tile")


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
