"""Every chart is a matplotlib figure in one style: inline SVG that takes its colours from the page, or PNG."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from knowlip.base.rows import Standing

COLOURS: Final = ("#3d7fb3", "#c0701f", "#4f8f72", "#c4516a", "#8672b0", "#857e2e", "#2f8f93", "#a0725b")
"""Of series: each stands out by 3 : 1 from the grounds of light and dark pages."""
SHADES: Final = ("#16425b", "#4f8fba", "#b6d3e7")
"""Of ordered parts, first to last."""
INK, MUTED, GRID, FILL, LAND = "#1f2933", "#6b7785", "#e3e7eb", "#eceeec", "#e9ecef"
ACCENT, BAD, WARN, CARD = "#0b6e8f", "#b3261e", "#8a5a00", "#fefefe"
SPLIT_COLOURS: Final = {"train": "#2f6fb0", "val": "#9a6a00", "test": "#c2410c"}
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
    **{colour: f"--shade-{number}" for number, colour in enumerate(SHADES)},
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
WASH: Final = "wash"
"""Group id of a faint area or line: it need not stand out from its ground by 3 : 1, as all others must."""
POINTS: Final = 72
"""Units of an SVG in an inch."""
_MOST_POINTS = 400
_SVG: Final = "http://www.w3.org/2000/svg"


@contextmanager
def style(**more: Any) -> Iterator[None]:
    """The project's style, for `with` and as a decorator. Figures are made and written under it, without pyplot."""
    with matplotlib.rc_context(_STYLE | more):
        yield


SCREEN: Final[dict[str, Any]] = {
    "font.size": 12,
    "axes.titlesize": 12.5,
    "axes.labelsize": 11,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
}
"""For :func:`style`: letters of a chart that a page shows, in its units, which a screen shows as a pixel or more."""
WIDTH: Final = 360
"""Units of a chart of a page: a phone shows them as they are."""


def panel(height: float) -> tuple[Figure, Any]:
    """A figure of :data:`WIDTH` units and its axes, for :func:`svg`, under `style(**SCREEN)`."""
    figure = Figure((WIDTH / POINTS, height / POINTS), POINTS, layout="constrained")
    return figure, figure.subplots()


def shortened(text: str, units: float, size: float = 11) -> str:
    """A text that is cut where it is wider than so many units in letters of a size."""
    most = max(4, int(units / (0.58 * size)))
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


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
        figure: its width is what its font sizes refer to; the page stretches it, by a half at most.
        label: what a screen reader says.
        kind: CSS class.

    A group id that begins with "title " (`artist.set_gid`) becomes a tooltip; the id :data:`WASH` marks what only
    repeats, faintly, what stands out beside it. No other id is left, so that several charts can stand on one page.
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
    limit = f"max-width:{1.5 * float(root.attrib['viewBox'].split()[2]):.0f}px"
    named = {"role": "img", "aria-label": label}
    root.attrib = {"class": f"chart {kind}".strip(), "viewBox": root.attrib["viewBox"], "style": limit, **named}
    return Markup(ElementTree.tostring(root, "unicode"))


def _plain(item: ElementTree.Element, symbols: dict[str, str]) -> None:
    """Leave of an element what a page needs: no names, no references, no own fonts, short numbers."""
    item.tag, item.text, item.tail = item.tag.rpartition("}")[2], (item.text or "").strip() or None, None
    gid, link = item.attrib.pop("id", ""), item.attrib.pop("{http://www.w3.org/1999/xlink}href", "")
    item.attrib.pop("clip-path", None)
    if gid == WASH:
        for part in item.iter():
            part.set("class", WASH)
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
        item.set("d", re.sub(r"(M[^A-Zz]*)L", r"\1 ", path).replace("L", " ") if not {"C", "Q"} & {*path} else path)
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
    figure = Figure((360 / POINTS, 200 / POINTS), POINTS)
    axes = figure.add_axes((54 / 360, 26 / 200, 296 / 360, 162 / 200))
    axes.set(xlim=(steps[0], max(steps[-1], steps[0] + 1e-9)), ylim=(low, high))
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=11.5, labelcolor=MUTED)
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
            axes.text((start + end) / 2, 0.03, label, fontsize=11, **look)
    if reference:
        axes.axhline(reference[0], color=WARN, linewidth=1.2, dashes=(4, 3))
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
        axes.annotate(reference[1], (1, reference[0]), (-2, 4), fontsize=11, color=WARN, **place)
    axes.plot(steps, np.clip(values, low, high), color=ACCENT, linewidth=1, alpha=0.3, gid=WASH)
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
    """Axes of shares from 0 to `high`, a row a name, which stands above it; `right`: units left free for numbers."""
    # Beside the bars a phone has no room for a name; above them there is room for fifty letters.
    width, left, height = WIDTH, 14, row * len(names) + 30
    figure = Figure((width / POINTS, height / POINTS), POINTS)
    axes = figure.add_axes((left / width, 24 / height, (width - left - right) / width, (height - 30) / height))
    axes.set(xlim=(0, high), ylim=(len(names) - 0.5, -0.5), yticks=[])
    for y, name in enumerate(names):
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        told = shortened(name, width - left - 8, 11.5)
        axes.annotate(told, (0, y), (0, 10.5), fontsize=11.5, color=INK, gid=f"title {name}", **place)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.tick_params(axis="x", labelsize=11)
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
    figure, axes = _rows([row.name for row in rows], min(1.0, 1.08 * max([0.05, *reach])), 62, 42)
    for y, row in enumerate(rows):
        if row.value is None:
            axes.text(0, y, " not measured", va="center_baseline", fontsize=11, color=MUTED)
            continue
        tone = {"above": ACCENT, "level": MUTED, "below": BAD, None: ACCENT}[row.standing]
        axes.hlines(y, row.reference or 0, row.value, color=tone, linewidth=2.5, alpha=0.45, gid=WASH)
        if row.interval:
            axes.hlines(y, *row.interval, color=tone, linewidth=1.6)
        if row.second is not None:
            axes.vlines(row.second, y - 0.18, y + 0.18, color=MUTED, linewidth=1.5, linestyle=(0, (2, 1.4)))
        if row.reference is not None:
            axes.vlines(row.reference, y - 0.18, y + 0.18, color=INK, linewidth=2)
        axes.plot(row.value, y, "o", color=tone, markersize=9)
        _beside(axes, y, 58, f"{100 * row.value:.1f} %", fontsize=11.5, weight="bold")
    return svg(figure, label)


@style()
def change_chart(rows: Sequence[tuple[str, float, float, int]], label: str) -> Markup:
    """Before -> after on a common scale, one row each: (name, before, after, n)."""
    figure, axes = _rows([name for name, *_ in rows], 1.0, 108, 38)
    for y, (_, before, after, count) in enumerate(rows):
        same = abs(after - before) < 0.0005
        tone = MUTED if same else ACCENT if after > before else BAD
        hollow = {"color": CARD, "markeredgecolor": MUTED, "markeredgewidth": 1.6}
        axes.hlines(y, before, after, color=tone, linewidth=2.5, alpha=0.45, gid=WASH)
        axes.plot(before, y, "o", markersize=7, gid=f"title before {100 * before:.1f} %", **hollow)
        axes.plot(after, y, "o", color=tone, markersize=8, gid=f"title after {100 * after:.1f} %")
        change = "±0.0" if same else f"{100 * (after - before):+.1f}".replace("-", "−")
        weight = "normal" if same else "bold"
        _beside(axes, y, 44, change, fontsize=11.5, weight=weight, color=INK if tone == ACCENT else tone)
        _beside(axes, y, 106, f"n {count}", fontsize=11, color=MUTED)
    return svg(figure, label)
