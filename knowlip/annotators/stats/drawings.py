"""What is drawn of texts, on axes: of one description come the pictures and the charts of the page."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np

from knowlip.pages.charts import COLOURS, MUTED


class TextDrawing(NamedTuple):
    """One drawing."""

    title: str
    height: float
    """In units of a chart of a page."""
    fill: Callable[[Any], None]
    """Draws on axes."""
    by_source: bool = False
    """Whether colours are sources, and need a key."""


def drawings(measured: list[dict[str, Any]]) -> dict[str, list[TextDrawing]]:
    """The drawings by section: lengths, richness, words."""
    found: dict[str, list[TextDrawing]] = {
        "lengths": [
            TextDrawing(f"{unit.capitalize()} a caption", 230, partial(histogram, measured=measured, unit=unit), True)
            for unit in ("words", "characters", "tokens")
            if any(unit in entry["length"] for entry in measured)
        ],
        "richness": [],
        "words": [
            TextDrawing(entry["name"], 440, partial(word_bars, entry=entry, colour=colour))
            for entry, colour in zip(measured, cycle(COLOURS))
        ],
    }
    for name, entries in groups_of(measured).items():
        height = 60 + 22 * max(3, len(entries))
        found["lengths"].append(TextDrawing(f"Words a sub-text: {name}", height, partial(ranges, entries=entries)))
        for label, title in (("MTLD", "Richness"), ("% duplicates", "Repetition")):
            fill = partial(dimension_bars, entries=entries, label=label)
            found["richness"].append(TextDrawing(f"{title}: {name}", height, fill))
    return found


def groups_of(measured: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Dimensions by source and instruction set."""
    result: dict[str, list[dict[str, Any]]] = {}
    for number, entry in enumerate(measured):
        for part in entry["dimensions"]:
            name = f"{entry['name']} {part['instruction_set']}".strip()
            result.setdefault(name, []).append({**part, "source": number})
    return result


def histogram(ax: Any, measured: Sequence[dict[str, Any]], unit: str) -> None:
    """Share of captions by length, a step line a source."""
    known = [entry for entry in measured if unit in entry["length"]]
    top = max(entry["length"][unit]["max"] for entry in known)
    low = min(entry["length"][unit]["min"] for entry in known)
    # bars of whole numbers each, or some would hold one length more than their neighbours
    step = -(-(top - low + 1) // 40)
    edges = np.arange(low - 0.5, top + step + 0.5, step)
    for entry, colour in zip(known, cycle(COLOURS)):
        values = entry["length"][unit]["histogram"]
        heights, _ = np.histogram(list(values), edges, weights=list(values.values()))
        share = 100 * heights / heights.sum()
        label = f"{entry['name']}: mean {entry['length'][unit]['mean']:.1f}"
        ax.stairs(share, edges, color=colour, linewidth=1.6, label=label)
    ax.set(xlabel=unit, ylabel="% of captions")
    ax.margins(y=0.3)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8, handlelength=1, loc="upper left")


def ranges(ax: Any, entries: Sequence[dict[str, Any]]) -> None:
    """Words of the sub-texts of each dimension: the range from 5 to 95 % and the mean."""
    for row, entry in enumerate(entries):
        length, colour = entry["length"]["words"], COLOURS[entry["source"] % len(COLOURS)]
        ax.plot([length["p5"], length["p95"]], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        ax.scatter([length["mean"]], [row], color=colour, s=26, zorder=3)
        ax.text(length["p95"] + 0.6, row, f"{length['mean']:.1f}", va="center", fontsize="small", color=MUTED)
    ax.set(yticks=range(len(entries)), xlabel="words: mean, 5 to 95 %", ylim=(max(3, len(entries)) - 0.4, -0.6))
    ax.set_yticklabels([entry["dimension"] for entry in entries])
    ax.set_xlim(left=0)
    ax.margins(x=0.12)


def dimension_bars(ax: Any, entries: Sequence[dict[str, Any]], label: str) -> None:
    """A bar a dimension: "MTLD", or the share of sub-texts that occur earlier already ("% duplicates")."""
    values = [one["mtld"] if label == "MTLD" else 100 * one["duplicates"]["sub_texts"] for one in entries]
    colours = [COLOURS[one["source"] % len(COLOURS)] for one in entries]
    ax.barh(range(len(entries)), values, color=colours, height=0.7)
    ax.set(yticks=range(len(entries)), ylim=(max(3, len(entries)) - 0.4, -0.6), xlabel=label)
    ax.set_yticklabels([entry["dimension"] for entry in entries])
    ax.set_xlim(0, 1.25 * max(values) if label == "MTLD" else 122)
    for row, value in enumerate(values):
        ax.text(value + ax.get_xlim()[1] * 0.015, row, f"{value:.1f}", va="center", fontsize="small", color=MUTED)


def word_bars(ax: Any, entry: dict[str, Any], colour: str) -> None:
    """The 20 most frequent words of a source."""
    top = list(entry["frequency"]["words"].items())[:20]
    ax.barh(range(len(top)), [1000 * number / entry["words"] for _, number in top], color=colour, height=0.72)
    ax.set(yticks=range(len(top)), ylim=(19.6, -0.6), xlabel="of 1,000 words")
    ax.set_yticklabels([word for word, _ in top])
