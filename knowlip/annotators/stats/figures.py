"""Pictures of texts in the manner of the paper's figures 8, 10 and 11."""

import re
from collections.abc import Container, Sequence
from itertools import chain, count, cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from knowlip.annotators.stats.clouds import cloud
from knowlip.annotators.stats.corpus import TextCorpus
from knowlip.annotators.stats.drawings import TextDrawing, drawings, histogram
from knowlip.annotators.stats.measure import word_counts
from knowlip.pages.charts import CARD, COLOURS, MUTED, png, style

_INCH = 92
"""Units of a chart of a page in an inch of a picture, whose letters are smaller."""
# in the order in which they are drawn
MAPS = {"image": "Images", "text": "Texts", "template": "Template texts", "sources": "Texts of all sources"}
_LANDFORM_COLOURS = {
    "water": "#3d7fb3",
    "field": "#a07c10",
    "wood": "#4f8f72",
    "built-up": "#c4516a",
    "airfield": "#8672b0",
    "quay": "#c0701f",
}


@style()
def draw(
    corpora: Sequence[TextCorpus],
    numbers: dict[str, Any],
    projected: dict[str, Any] | None,
    folder: Path,
    title: str,
    seed: int,
    clouds: bool,
) -> dict[str, bytes]:
    """Write overview.png, lengths.png, richness.png, words.png, maps.png and clouds-SOURCE-SET.png; those that make
    sense.

    Returns:
        Name -> picture as PNG.
    """
    measured = numbers["corpora"]
    figures = {
        "overview": overview(corpora, numbers, projected, title, seed, clouds),
        **{name: sheet(parts, 2 if name == "richness" else 3) for name, parts in drawings(measured).items()},
    }
    if projected and projected["maps"]:
        shown = [name for name in MAPS if name in projected["maps"]]
        rows = (len(shown) + 1) // 2 if len(shown) > 3 else 1
        figures["maps"] = Figure((10, 3.9 * rows), layout="constrained")
        for ax, name in zip(figures["maps"].subplots(rows, -(-len(shown) // rows), squeeze=False).flat, shown):
            scatter(ax, projected, name)
    for corpus in corpora if clouds else ():
        for group, texts in corpus.rows.groupby("instruction_set"):
            name = _free_name(f"clouds-{_slug(corpus.name, group) or 'source'}", figures)
            figures[name] = _cloud_sheet(corpus.name, str(group), texts, seed)
    pictures = {name: png(figure) for name, figure in figures.items()}
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    return pictures


def _slug(*parts: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(str(part) for part in parts if part).lower()).strip("-")


def _free_name(stem: str, taken: Container[str]) -> str:
    """A name that no picture has yet: two sources may differ in a sign that file names leave out."""
    names = (f"{stem}-{number}" for number in count(2))
    return next(name for name in chain([stem], names) if name not in taken)


def overview(
    corpora: Sequence[TextCorpus],
    numbers: dict[str, Any],
    projected: dict[str, Any] | None,
    title: str,
    seed: int,
    clouds: bool,
) -> Figure:
    """The picture for a paper: lengths, richness, hedging; maps; a cloud of each source."""
    # Rows of the picture are subfigures: each has its own number of columns, and leaves no gap where it is missing.
    measured = numbers["corpora"]
    maps = [name for name in MAPS if projected and name in projected["maps"]]
    heights = [1.0] + [1.25] * bool(maps) + [0.9] * clouds
    figure = Figure((12, 3.1 * sum(heights)), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    captions = sum(entry["captions"] for entry in measured)
    figure.suptitle(
        f"{title}: {captions:,} captions of {len(measured)} source{'s' * (len(measured) != 1)}",
        x=0.012,
        ha="left",
        fontsize=12.5,
        fontweight="bold",
    )
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    first, second, third = parts[0].subplots(1, 3, width_ratios=(1.1, 1, 1.2))
    histogram(first, measured, "words")
    first.set_title("Words a caption")
    _against_length(second, measured)
    _hedge_bars(third, measured)
    if maps:
        for ax, name in zip(np.atleast_1d(parts[1].subplots(1, len(maps))), maps):
            scatter(ax, projected or {}, name)
    if clouds:
        shown = corpora[:3]
        width = 1500 // len(shown)
        for number, (ax, corpus) in enumerate(zip(np.atleast_1d(parts[-1].subplots(1, len(shown))), shown)):
            _show_cloud(ax, word_counts(corpus.rows)[0], f"Words: {corpus.name}", width, 330, seed + number)
    return figure


def _against_length(ax: Any, measured: list[dict[str, Any]]) -> None:
    """Richness against length, a point a source."""
    for entry, colour in zip(measured, cycle(COLOURS)):
        x, y = entry["length"]["words"]["mean"], entry["mtld"]
        ax.plot([x, x], [y, entry["mtld_shuffled"]], color=colour, linewidth=1)
        ax.scatter([x], [y], s=46, color=colour, zorder=3)
        ax.scatter([x], [entry["mtld_shuffled"]], s=46, facecolors=CARD, edgecolors=colour, zorder=3)
        ax.annotate(f"{entry['name']} {y:.1f}", (x, y), (7, 4), textcoords="offset points", fontsize=8)
    right = max(entry["length"]["words"]["mean"] for entry in measured)
    above = max(max(entry["mtld"], entry["mtld_shuffled"]) for entry in measured)
    ax.set(xlabel="words a caption, mean", ylabel="MTLD", xlim=(0, 1.4 * right), ylim=(0, 1.25 * above))
    ax.set_title("Richness (hollow: captions shuffled)")
    ax.grid(linewidth=0.6)


def _hedge_bars(ax: Any, measured: list[dict[str, Any]]) -> None:
    """Share of captions with each of the most frequent hedges."""
    best: dict[str, float] = {}
    for entry in measured:
        for word, number in entry["hedging"]["captions_with"].items():
            best[word] = max(best.get(word, 0), number / entry["captions"])
    chosen = sorted(best, key=lambda word: (-best[word], word))[:8]
    ax.set_title("Captions that hedge")
    labels = ["any of the list", *chosen]
    thick = 0.8 / len(measured)
    for number, (entry, colour) in enumerate(zip(measured, cycle(COLOURS))):
        found = entry["hedging"]["captions_with"]
        shares = [entry["hedging"]["captions"], *(found.get(word, 0) / entry["captions"] for word in chosen)]
        places = np.arange(len(labels)) + (number - (len(measured) - 1) / 2) * thick
        ax.barh(places, np.multiply(100, shares), thick, color=colour, label=entry["name"])
        for place, share in zip(places, shares):
            ax.text(100 * share + 0.8, place, f"{100 * share:.1f}", va="center", fontsize="small", color=MUTED)
    ax.set(yticks=range(len(labels)), xlabel="% of captions", ylim=(len(labels) - 0.4, -0.6))
    ax.set_yticklabels(labels)
    ax.set_xlim(0, max(5.0, 112 * max(entry["hedging"]["captions"] for entry in measured)))
    if len(measured) > 1:
        ax.legend(fontsize=8, handlelength=0.9, loc="lower right")


def sheet(parts: Sequence[TextDrawing], most: int) -> Figure:
    """Drawings in rows of so many at most."""
    wide = min(most, len(parts))
    rows = [parts[at : at + wide] for at in range(0, len(parts), wide)]
    heights = [max(one.height for one in row) / _INCH for row in rows]
    figure = Figure((11 if wide > 1 else 5.5, sum(heights)), layout="constrained")
    grid = figure.subplots(len(rows), wide, squeeze=False, height_ratios=heights).ravel()
    for axes, one in zip(grid, parts):
        one.fill(axes)
        axes.set_title(one.title)
    for axes in grid[len(parts) :]:
        axes.set_visible(False)
    return figure


def scatter(ax: Any, projected: dict[str, Any], name: str) -> None:
    """A map."""
    for label, colour in spread_points(ax, projected, name).items():
        ax.scatter([], [], s=14, color=colour, label=label or "all")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    different_texts = projected["facts"].get(
        {"text": "different_texts", "template": "different_templates"}.get(name, "")
    )
    ax.set_title(MAPS[name] + (f": {different_texts:,} different" if different_texts else ""))
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01)}
    ax.legend(fontsize=7.5, handletextpad=0.1, columnspacing=0.8, ncols=3, **below)


def map_colours(projected: dict[str, Any], name: str) -> dict[str, str]:
    """What the points of a map are -> their colours."""
    labels = projected["source_of"] if name == "sources" else projected["labels"]
    different = list(dict.fromkeys(labels)) if name == "sources" else sorted(set(labels))
    return {label: _LANDFORM_COLOURS.get(label, COLOURS[at % len(COLOURS)]) for at, label in enumerate(different)}


def spread_points(ax: Any, projected: dict[str, Any], name: str) -> dict[str, str]:
    """Draw the points of a map; :func:`map_colours` of it."""
    points, colours = projected["maps"][name], map_colours(projected, name)
    labels = projected["source_of"] if name == "sources" else projected["labels"]
    for label, colour in colours.items():
        here = np.array([value == label for value in labels])
        # equal texts fall on one place: the area of a dot grows with how many there are
        places, counts = np.unique(points[here].round(2), axis=0, return_counts=True)
        ax.scatter(*places.T, s=5 * counts**0.75, color=colour, alpha=0.9, linewidths=0)
    return colours


def _cloud_sheet(source: str, group: str, rows: Any, seed: int) -> Any:
    """A word cloud of every dimension of an instruction set."""
    parts = list(rows.groupby(["slot", "dimension"]))
    wide = min(4, len(parts))
    high = -(-len(parts) // wide)
    figure = Figure((11 if wide > 1 else 5.5, 2.05 * high + 0.5 if wide > 1 else 3.6), layout="constrained")
    figure.suptitle(f"{source} {group}".strip(), x=0.012, ha="left", fontsize=11, fontweight="bold")
    axes = figure.subplots(high, wide, squeeze=False).ravel()
    for number, (ax, ((_, dimension), part)) in enumerate(zip(axes, parts)):
        _show_cloud(ax, word_counts(part)[0], str(dimension), 420, 260, seed + number)
    for ax in axes[len(parts) :]:
        ax.set_visible(False)
    return figure


def _show_cloud(ax: Any, counts: Any, title: str, width: int, height: int, seed: int) -> None:
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    if counts:
        ax.imshow(cloud(counts, width, height, seed), interpolation="lanczos")
    else:
        ax.text(0.5, 0.5, "no words", ha="center", va="center", color=MUTED, transform=ax.transAxes)
    ax.spines[:].set_visible(True)
