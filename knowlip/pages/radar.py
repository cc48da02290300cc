"""A radar: shares of several measurements as polygons, in the style of all charts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup
from matplotlib.figure import Figure

from knowlip.pages.charts import COLOURS, FILL, GRID, INK, MUTED, POINTS, WIDTH, style, svg

_RINGS: Final = (0.25, 0.5, 0.75, 1.0)


@style()
def radar_chart(
    axes_names: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    floors: Sequence[float | None],
    label: str,
) -> Markup:
    """Shares from 0 in the middle to 1 at the rim; a corner that was not measured is left out of its polygon. Axes are
    numbered from 1: their names are long, and stand beside the chart.

    Args:
        axes_names: of three axes or more.
        lines: name -> share on each axis.
        floors: the highest floor of each axis, a grey area.
        label: what a screen reader says.
    """
    count = len(axes_names)
    if count < 3:
        raise ValueError(f"A radar needs three axes, not {count}.")
    figure = Figure((WIDTH / POINTS, WIDTH / POINTS), POINTS)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.set_axis_off()
    corners = [(math.sin(2 * math.pi * at / count), math.cos(2 * math.pi * at / count)) for at in range(count)]

    def polygon(values: Sequence[float | None]) -> tuple[list[float], list[float]]:
        known = [(x * value, y * value) for (x, y), value in zip(corners, values) if value is not None]
        closed = [*known, known[0]] if known else []
        return [x for x, _ in closed], [y for _, y in closed]

    for ring in _RINGS:
        axes.plot(*polygon([ring] * count), color=GRID, linewidth=0.8, zorder=1)
        x, y = math.sin(math.pi / count), math.cos(math.pi / count)  # between two axes, where no name stands
        reach = ring * math.cos(math.pi / count)
        axes.text(
            reach * x, reach * y, f"{100 * ring:.0f}", fontsize=10.5, color=MUTED, zorder=5, ha="center", va="center"
        )
    for at, ((x, y), name) in enumerate(zip(corners, axes_names), 1):
        axes.plot([0, x], [0, y], color=GRID, linewidth=0.8, zorder=1)
        place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 12.5, "weight": "bold", "color": INK}
        axes.text(1.1 * x, 1.1 * y, str(at), gid=f"title {name}", **place)
    axes.fill(*polygon(floors), facecolor=FILL, edgecolor=MUTED, linewidth=1.0, zorder=3, gid="title highest floors")
    for number, (name, values) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        xs, ys = polygon(values)
        axes.plot(xs, ys, color=colour, linewidth=1.8, marker="o", markersize=3.5, zorder=4, gid=f"title {name}")
    return svg(figure, label)


def radar_colours(names: Sequence[str]) -> list[tuple[str, str]]:
    """Name and colour of each line, for a legend of the page."""
    return [(name, COLOURS[number % len(COLOURS)]) for number, name in enumerate(names)]
