"""Small charts on given axes: bars, columns, stacked bars, histograms of sizes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from knowlip.dataset.stats_numbers import UNKNOWN

COLOURS = ("#2f6690", "#e08e45", "#5b9279", "#b5485d", "#7d6b9e", "#8d8741", "#4aa3a2", "#a0725b")
INK, MUTED, GRID, LAND = "#1f2933", "#6b7785", "#e3e7eb", "#e9ecef"
_MOST_BARS = 12


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
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    for row, value in enumerate(values):
        axes.text(value + max(values) * 0.02, row, f"{value:,}", va="center", fontsize=7.5, color=MUTED)


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
        axes.text(column, value + max(values) * 0.02, f"{value:,}", ha="center", fontsize=7.5, color=MUTED)


def stacked(
    axes: Any, table: Mapping[str, Mapping[str, int]], order: tuple[str, ...], colours: tuple[str, ...], title: str
) -> None:
    """A bar a sensor, in parts."""
    axes.set_title(title)
    names = list(table)[:_MOST_BARS]
    start = np.zeros(len(names))
    for part, colour in zip(order, colours):
        values = np.array([table[name].get(part, 0) for name in names])
        axes.barh(range(len(names)), values, left=start, color=colour, height=0.62, label=part)
        start += values
    for row, value in enumerate(start):
        axes.text(value + start.max() * 0.02, row, f"{int(value):,}", va="center", fontsize=7.5, color=MUTED)
    axes.set(yticks=range(len(names)), xticks=[], xlim=(0, start.max() * 1.2), ylim=(-0.6, max(len(names), 2) - 0.2))
    axes.set_yticklabels([_short(name) for name in names])
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.45, -0.01), ncols=3, fontsize=8, handlelength=0.9, columnspacing=1
    )


def sizes(axes: Any, targets: dict[str, Any]) -> None:
    """Histogram of lengths in metres, or of box sizes in pixels where metres are not known."""
    known = {name: entry["lengths_m"] for name, entry in targets["categories"].items() if entry["lengths_m"]}
    if not known:
        counts = {name: entry["count"] for name, entry in targets["categories"].items()}
        bars(axes, counts, "Objects")
        return
    top = sorted(known, key=lambda name: -len(known[name]))[:3]
    everything = np.concatenate([known[name] for name in top])
    low, high = max(1.0, 0.9 * everything.min()), 1.1 * everything.max()
    axes.set_xscale("log")
    axes.hist(
        [known[name] for name in top], bins=np.geomspace(low, high, 25), stacked=True, color=COLOURS[: len(top)],
        label=[f"{name} ({len(known[name]):,})" for name in top], edgecolor="white", linewidth=0.4,
    )  # fmt: skip
    ticks = [value for value in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if low <= value <= high]
    axes.set(yticks=[], xlabel="length in m", xticks=ticks)
    axes.set_xticklabels([str(value) for value in ticks])
    axes.minorticks_off()
    axes.spines["left"].set_visible(False)
    axes.set_title("Target sizes")
    axes.legend(fontsize=8, handlelength=0.9)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
