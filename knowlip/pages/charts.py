"""Every chart is a matplotlib figure in one style: inline SVG that takes its colours from the page, or PNG."""

import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Wedge
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from knowlip.base.rows import Standing

COLOURS: Final = ("#2f6690", "#e08e45", "#5b9279", "#b5485d", "#7d6b9e", "#8d8741", "#4aa3a2", "#a0725b")
INK, MUTED, GRID, FILL, LAND = "#1f2933", "#6b7785", "#e3e7eb", "#eceeec", "#e9ecef"
ACCENT, BAD, WARN, CARD = "#0b6e8f", "#b3261e", "#8a5a00", "#fefefe"
SPLIT_COLOURS: Final = {"train": "#2f6fb0", "val": "#d99000", "test": "#c2410c"}
_VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    FILL: "--fill",
    LAND: "--land",
    ACCENT: "--accent",
    BAD: "--bad",
    WARN: "--warn",
    CARD: "--card",
    **{colour: f"--{split}" for split, colour in SPLIT_COLOURS.items()},
}
"""In SVG these colours are the page's (light or dark); in PNG they are what they say."""
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in somebody's data is a dollar
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.dpi": 130,
    "svg.fonttype": "none",
}
_POINTS: Final = 72
"""Units of an SVG in an inch."""
_MOST_POINTS, _MOST_NUMBERED = 400, 60
_SVG: Final = "http://www.w3.org/2000/svg"


@contextmanager
def style() -> Iterator[None]:
    """The project's style, for `with` and as a decorator. Figures are made and written under it, without pyplot."""
    with matplotlib.rc_context(_STYLE):
        yield


def png(figure: Figure, colours: int = 256, method: Image.Quantize = Image.Quantize.MEDIANCUT) -> bytes:
    """A figure as PNG of so many colours."""
    stream, result = io.BytesIO(), io.BytesIO()
    figure.savefig(stream, format="png", dpi="figure")
    pixels = Image.open(stream).convert("RGB").quantize(colours, method, dither=Image.Dither.NONE)
    pixels.save(result, "PNG", optimize=True)
    return result.getvalue()


def svg(figure: Figure, label: str, kind: str = "wide") -> Markup:
    """A figure as an <svg> element of a page.

    Args:
        figure: its width is what its font sizes refer to; the page stretches it.
        label: what a screen reader says.
        kind: CSS class.

    A group id that begins with "title " (`artist.set_gid`) becomes a tooltip. No other id is left, so that several
    charts can stand on one page.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(stream.getvalue())
    symbols = {f"#{item.get('id')}": item.get("d", "") for item in root.iter(f"{{{_SVG}}}path") if item.get("id")}
    for item in root.iter():
        _plain(item, symbols)
    _dissolve(root)
    root.attrib = {"class": kind, "viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, "unicode"))


def _plain(item: ElementTree.Element, symbols: dict[str, str]) -> None:
    """Leave of an element what a page needs: no names, no references, no own fonts, short numbers."""
    item.tag, item.text, item.tail = item.tag.rpartition("}")[2], (item.text or "").strip() or None, None
    gid, link = item.attrib.pop("id", ""), item.attrib.pop("{http://www.w3.org/1999/xlink}href", "")
    item.attrib.pop("clip-path", None)
    if gid.startswith("title "):
        ElementTree.SubElement(item, "title").text = gid.removeprefix("title ")
    if item.tag == "use":  # a marker by reference: its path, moved to its place
        place = f"translate({item.get('x')} {item.get('y')})"
        item.tag, item.attrib = "path", {"d": symbols[link], "transform": place, "style": item.get("style", "")}
    elif link:
        item.set("href", link)
    if item.get("transform", "").startswith("rotate(-0 "):
        del item.attrib["transform"]
    for name in {"d", "x", "y", "transform"} & set(item.attrib):
        item.set(name, re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.1f}", item.attrib[name]))
    if item.tag == "path" and "d" in item.attrib:
        # Blanks around letters say nothing, and what follows a first point is a line anyway. A line without points has
        # no path at all.
        path = re.sub(r"\s*([A-Zz])\s*", r"\1", item.attrib["d"].replace(".0", ""))
        item.set("d", re.sub(r"(M[^A-Zz]*)L", r"\1 ", path).replace("L", " ") if "C" not in path else path)
    if found := item.get("style"):
        found = re.sub(r"font-family:[^;]*;? ?", "", found)
        item.set("style", re.sub(r"#[0-9a-f]{6}", lambda match: _colour(match[0]), found))


def _dissolve(item: ElementTree.Element) -> None:
    """Put in the place of every group without a tooltip what it holds."""
    for child in item:
        _dissolve(child)
    kept = [child for child in item if child.tag not in ("metadata", "defs")]
    item[:] = [
        one for child in kept for one in (child if child.tag == "g" and child.find("title") is None else [child])
    ]


def _colour(value: str) -> str:
    return f"var({_VARIABLES[value]})" if value in _VARIABLES else value


def coastline() -> list[NDArray[np.float64]]:
    """Rings (N, 2) of longitude and latitude: Natural Earth, public domain."""
    return [np.array(ring) for ring in json.loads((files(__package__) / "coastline.json").read_text())["rings"]]


def number(value: float) -> str:
    """A number for an axis: "0.05", "1,200", "0.00025"."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.2g}" if 0 < size < 0.001 else f"{value:.4g}"


def thin(points: NDArray[np.float64], most: int = _MOST_POINTS) -> NDArray[np.float64]:
    """(N, 2) -> at most `most` points: means of equal runs of neighbours."""
    size = math.ceil(len(points) / most)
    return points if size < 2 else np.array([points[i : i + size].mean(0) for i in range(0, len(points), size)])


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Running mean over `window` neighbours, narrower at the ends."""
    half = window // 2
    return np.array([values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))])


@dataclass(frozen=True)
class Curve:
    """A drawn curve, and what the page shows under the pointer."""

    svg: Markup
    points: list[list[float]]
    """Place in the picture, step and value: `[x, y, step, value]`."""
    last: str
    """The value that it ends at."""


@style()
def line_chart(
    title: str,
    points: Sequence[tuple[float, float]],
    bands: Sequence[tuple[float, float, str]] = (),
    reference: tuple[float, str] | None = None,
) -> Curve | None:
    """One curve over training steps: faint as logged, strong as running mean. None where there are too few points.

    Args:
        title: what a screen reader says.
        points: (step, value), any length; not finite values are left out.
        bands: (first step, last step, label) of the stages, shaded in turn.
        reference: a horizontal line with its label.
    """
    known = thin(np.array([point for point in points if math.isfinite(point[1])]).reshape(-1, 2))
    if len(known) < 2:
        return None
    steps, values = known.T
    means = smooth(values, max(1, len(values) // 24))
    # The first few values of a loss are far off; the axis follows the running mean and what matters beside it.
    shown = np.r_[np.sort(values)[: max(2, math.ceil(len(values) * 0.99))], means, reference[0] if reference else means]
    low, high = shown.min(), shown.max()
    pad = (high - low) * 0.07 or abs(high) * 0.05 or 1.0
    low, high = low - pad, high + pad
    figure = Figure((360 / _POINTS, 200 / _POINTS), _POINTS)
    axes = figure.add_axes((54 / 360, 26 / 200, 296 / 360, 162 / 200))
    axes.set(xlim=(steps[0], max(steps[-1], steps[0] + 1e-9)), ylim=(low, high))
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=10.5, labelcolor=MUTED)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    for i, (start, end, label) in enumerate(bands):
        start, end = max(start, steps[0]), min(end, steps[-1])
        if i % 2:
            axes.axvspan(start, end, color=FILL, linewidth=0, zorder=0)
        if end - start > 0.1 * (steps[-1] - steps[0]):
            look: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "color": MUTED}
            axes.text((start + end) / 2, 0.03, label, fontsize=9.5, **look)
    if reference:
        axes.axhline(reference[0], color=WARN, linewidth=1.2, dashes=(4, 3))
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
        axes.annotate(reference[1], (1, reference[0]), (-2, 4), fontsize=10, color=WARN, **place)
    axes.plot(steps, np.clip(values, low, high), color=ACCENT, linewidth=1, alpha=0.3)
    axes.plot(steps, means, color=ACCENT, linewidth=2, solid_joinstyle="round")
    places = axes.transData.transform(np.column_stack([steps, means])).round(1)
    last = number(means[-1])
    return Curve(
        svg(figure, f"{title} over training steps, ends at {last}", ""),
        [[x, round(200 - y, 1), step, mean] for (x, y), step, mean in zip(places.tolist(), steps, means)],
        last,
    )


@dataclass(frozen=True)
class Dot:
    """A share (0 to 1) with its 95 % interval, beside what it is compared with."""

    name: str
    value: float | None
    interval: Sequence[float] | None = None
    reference: float | None = None
    """Drawn as a bar across the row."""
    second: float | None = None
    """Drawn as a thinner, dashed one."""
    standing: Standing | None = None
    """Where the value stands to the reference: in colour above, grey level with it, red below."""


def _rows(names: Sequence[str], high: float, right: int, row: int) -> tuple[Figure, Any]:
    """Axes of shares from 0 to `high`, a row a name; `right`: units left free for numbers beside them."""
    width, left, height = 440, 138, row * len(names) + 30
    figure = Figure((width / _POINTS, height / _POINTS), _POINTS)
    axes = figure.add_axes((left / width, 24 / height, (width - left - right) / width, (height - 30) / height))
    axes.set(xlim=(0, high), ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)), yticklabels=names)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.tick_params(labelsize=11.5)
    axes.tick_params(axis="x", labelsize=10.5)
    axes.spines[:].set_visible(False)
    axes.grid(axis="x")
    return figure, axes


def _beside(axes: Any, y: float, right: int, text: str, **options: Any) -> None:
    """Text in a row, ending `right` units beside the axes."""
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1, y), (right, 0), ha="right", va="center_baseline", **place, **options)


@style()
def dot_chart(rows: Sequence[Dot], label: str) -> Markup:
    """Values with their intervals beside a reference, one row each; `label` is what a screen reader says."""
    reach = [v for row in rows for v in (row.value, row.reference, *(row.interval or ())) if v is not None]
    figure, axes = _rows([row.name for row in rows], min(1.0, 1.08 * max([0.05, *reach])), 62, 28)
    for y, row in enumerate(rows):
        if row.value is None:
            axes.text(0, y, " not measured", va="center_baseline", fontsize=10.5, color=MUTED)
            continue
        tone = {"above": ACCENT, "level": MUTED, "below": BAD, None: ACCENT}[row.standing]
        axes.hlines(y, row.reference or 0, row.value, color=tone, linewidth=2.5, alpha=0.45)
        if row.interval:
            axes.hlines(y, *row.interval, color=tone, linewidth=1.6)
        if row.second is not None:
            axes.vlines(row.second, y - 0.32, y + 0.32, color=MUTED, linewidth=1.5, linestyle=(0, (2, 1.4)))
        if row.reference is not None:
            axes.vlines(row.reference, y - 0.32, y + 0.32, color=INK, linewidth=2)
        axes.plot(row.value, y, "o", color=tone, markersize=9)
        _beside(axes, y, 58, f"{100 * row.value:.1f} %", fontsize=11.5, weight="bold")
    return svg(figure, label)


@style()
def change_chart(rows: Sequence[tuple[str, float, float, int]], label: str) -> Markup:
    """Before -> after on a common scale, one row each: (name, before, after, n)."""
    figure, axes = _rows([name for name, *_ in rows], 1.0, 108, 22)
    for y, (_, before, after, count) in enumerate(rows):
        same = abs(after - before) < 0.0005
        tone = MUTED if same else ACCENT if after > before else BAD
        hollow = {"color": CARD, "markeredgecolor": MUTED, "markeredgewidth": 1.6}
        axes.hlines(y, before, after, color=tone, linewidth=2.5, alpha=0.45)
        axes.plot(before, y, "o", markersize=7, gid=f"title before {100 * before:.1f} %", **hollow)
        axes.plot(after, y, "o", color=tone, markersize=8, gid=f"title after {100 * after:.1f} %")
        change = "±0.0" if same else f"{100 * (after - before):+.1f}".replace("-", "−")
        weight = "normal" if same else "bold"
        _beside(axes, y, 44, change, fontsize=11.5, weight=weight, color=INK if tone == ACCENT else tone)
        _beside(axes, y, 106, f"n {count}", fontsize=10.5, color=MUTED)
    return svg(figure, label)


@dataclass(frozen=True)
class MapMark:
    """A place on the map and how many of its tiles are in which split."""

    name: str
    lon: float
    lat: float
    splits: dict[str, int]


def land(axes: Any, **options: Any) -> None:
    """The outline of the world, equirectangular, in degrees."""
    axes.add_collection(PolyCollection(coastline(), facecolor=LAND, **{"linewidth": 0, **options}), autolim=False)
    axes.set_aspect("equal")


@style()
def points_map(places: Sequence[tuple[int, float, float]]) -> Markup:
    """Numbered points on the outline of the land around them.

    Args:
        places: number, longitude and latitude of each.
    """
    numbers, lons, lats = (np.array(column) for column in zip(*places))
    lons = np.degrees(np.unwrap(np.radians(lons)))  # neighbours across the antimeridian stay neighbours
    spread = max(float(np.ptp(lons)), 2 * float(np.ptp(lats)), 2.0) * 1.3
    x, y = (float(lons.min() + lons.max()) / 2, float(lats.min() + lats.max()) / 2)
    figure = Figure((720 / _POINTS, 360 / _POINTS), _POINTS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    land(axes, zorder=0)
    axes.set(xlim=(x - spread / 2, x + spread / 2), ylim=(y - spread / 4, y + spread / 4))
    for number_, lon, lat in zip(numbers, lons, lats):
        axes.plot([lon], [lat], "o", color=ACCENT, markersize=9, zorder=2)
        axes.text(lon, lat, str(number_), fontsize=6, color="white", ha="center", va="center_baseline", zorder=3)
    return svg(figure, f"Map with {len(places)} places")


@style()
def world_map(places: Sequence[MapMark]) -> Markup:
    """One numbered pie a place: how its tiles are split. Places of unknown position are left out."""
    figure = Figure((720 / _POINTS, 288 / _POINTS), _POINTS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    land(axes, zorder=0)
    axes.set(xlim=(-180, 180), ylim=(-60, 84))
    axes.vlines(range(-150, 180, 30), -60, 84, color=GRID, linewidth=0.5, zorder=1)
    axes.hlines(range(-30, 84, 30), -180, 180, color=GRID, linewidth=0.5, zorder=1)
    for lat in range(-60, 84, 30):
        side = "N" if lat > 0 else "S" if lat < 0 else ""
        axes.text(-179, lat + 1, f"{abs(lat)}°{side}", fontsize=6.5, color=MUTED)
    numbered = len(places) <= _MOST_NUMBERED
    radius = 3.0 if numbered else 1.2
    taken: list[tuple[float, float]] = []
    for place_number, place in enumerate(places, 1):
        if not math.isfinite(place.lon + place.lat):
            continue
        # Places that lie close together fan out along a spiral, tied to their true position by a thin line.
        x, y, turn = place.lon, place.lat, 0
        while numbered and any(math.hypot(x - a, y - b) < 2 * radius + 0.6 for a, b in taken):
            turn += 1
            angle, reach = turn * 2.4, 3.4 + 0.55 * turn
            x, y = place.lon + reach * math.cos(angle), place.lat - reach * math.sin(angle)
        taken.append((x, y))
        if turn:
            axes.plot([place.lon, x], [place.lat, y], color=MUTED, linewidth=0.6, zorder=2)
        total, start = sum(place.splits.values()), 90.0
        summary = ", ".join(f"{count} {split}" for split, count in place.splits.items())
        gid = f"title {place_number} {place.name}: {summary}"
        look: dict[str, Any] = {"edgecolor": CARD, "linewidth": 1, "zorder": 3, "gid": gid}
        for split, count in place.splits.items():
            end = start - 360 * count / total
            whole = Circle((x, y), radius, facecolor=SPLIT_COLOURS[split], **look)
            part = Wedge((x, y), radius, end, start, facecolor=SPLIT_COLOURS[split], **look)
            axes.add_patch(whole if count == total else part)
            start = end
        if numbered:
            options: dict[str, Any] = {"weight": "bold", "color": "white", "ha": "center", "va": "center_baseline"}
            axes.text(x, y, str(place_number), fontsize=6.4, gid=gid, zorder=5, **options)
    return svg(figure, f"World map with {len(taken)} places", "world")
