"""The map of chosen cities: equal-area. The towns of the gazetteer draw the continents; a part of the world has its
coast and a scale bar too."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer

from knowlip.base.files import whole_file
from knowlip.pages.charts import png
from knowlip.pages.maps import land_within, scale_bar_km
from knowlip.tiles.gazetteers import towns

_SEA, _EDGE, _GRID, _TOWN, _INK = "#0e1a26", "#33485a", "#1d3042", "#7f93a3", "#e9eef2"
_LAND, _COAST = "#1a2b39", "#5f7a8c"
_PORT, _AIRPORT, _INLAND, _TILE = "#4cc3ff", "#ffb347", "#f06a8a", "#b8f26b"
_COLOURS = 160
"""Of the PNG's palette: five times smaller than true colour."""
_WIDTH_IN, _DPI = 14.0, 140
_MARGIN = 0.06
_Array = NDArray[np.float64]


def draw(path: Path, rows: list[dict[str, Any]], tiles: _Array | None) -> None:
    """Draw chosen cities, coloured by what they are, and the tiles of a data set.

    Args:
        path: PNG to write.
        rows: cities, the most important first, as :func:`knowlip.tiles.cities.cities` makes them.
        tiles: (N, 2) longitudes and latitudes of tiles, or None.
    """
    lons, lats = np.array([row["lon"] for row in rows]), np.array([row["lat"] for row in rows])
    project, back, world = _projection(lons, lats)
    t = towns()
    x, y = project(t.lons, t.lats)
    cx, cy = project(lons, lats)
    frame = _frame(project, world, cx, cy)
    figure = Figure((_WIDTH_IN, _WIDTH_IN * (frame[3] - frame[1]) / (frame[2] - frame[0])), _DPI, facecolor=_SEA)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(frame[0], frame[2])
    axes.set_ylim(frame[1], frame[3])
    for line in _graticule(project, world):
        axes.plot(*line, color=_GRID, lw=0.6, zorder=0)
    if world:
        axes.plot(*_outline(project), color=_EDGE, lw=1.0, zorder=1)
    else:
        rings = [np.column_stack(project(*ring.T)) for ring in land_within(*_window(back, frame))]
        known = [ring[np.isfinite(ring).all(axis=1)] for ring in rings]
        axes.add_collection(
            PolyCollection(
                [one for one in known if len(one) > 2], facecolor=_LAND, edgecolor=_COAST, lw=0.8, zorder=-1
            ),
            autolim=False,
        )
        _scale_bar(axes, frame)
    axes.scatter(x, y, s=0.45 if world else 4, c=_TOWN, alpha=0.35 if world else 0.6, lw=0, zorder=2)
    kinds = [_kind(row) for row in rows]
    # The towns of the gazetteer are so many that they draw the continents.
    size = 16 + 40 * np.array([row["score"] for row in rows])
    axes.scatter(cx, cy, s=size * 3.2, c=kinds, alpha=0.16, lw=0, zorder=3)
    axes.scatter(cx, cy, s=size, c=kinds, edgecolors=_SEA, lw=0.7, zorder=5)
    legend = [("port", _PORT), ("airport", _AIRPORT), ("town", _INLAND)]
    if tiles is not None:
        covered = np.array([bool(row["tiles"]) for row in rows])
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": _TILE, "lw": 1.4, "zorder": 6}
        axes.scatter(cx[covered], cy[covered], s=size[covered] * 3.4, **ring)
        tx, ty = project(*np.unique(tiles.round(2), axis=0).T)
        axes.scatter(tx, ty, s=7, c=_TILE, marker="s", lw=0, alpha=0.9, zorder=4)
        legend.append(("tiles of the data set", _TILE))
    _label(figure, axes, rows, cx, cy)
    countries = len({row["country_code"] for row in rows})
    cities = "1 city" if len(rows) == 1 else f"{len(rows)} cities"
    title = f"{cities} in {countries} countries" if countries > 1 else cities
    axes.text(0.015, 0.03, title, transform=axes.transAxes, color=_INK, fontsize=15, weight="bold", va="bottom")
    foot: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom"}
    for i, (name, colour) in enumerate(legend):
        axes.text(0.0155 + 0.05 * i, 0.012, f"● {name}", color=colour, fontsize=9.5, **foot)
    axes.text(
        0.985,
        0.012,
        "towns: GeoNames, CC BY 4.0" if world else "towns: GeoNames, CC BY 4.0; coast: Natural Earth",
        color=_TOWN,
        fontsize=8,
        ha="right",
        **foot,
    )
    with whole_file(path) as part:
        part.write_bytes(png(figure, _COLOURS, Image.Quantize.MAXCOVERAGE))


def _kind(row: dict[str, Any]) -> str:
    """Colour of a port with links to eight countries or more, else of an airport with international flights."""
    if row["port_score"] >= 0.5:
        return _PORT
    return _AIRPORT if row["airport_score"] >= 0.5 else _INLAND


def _projection(lons: _Array, lats: _Array) -> tuple[Any, Any, bool]:
    """Projection and its inverse, and whether it shows the world (Equal Earth) or a part of it (Lambert equal-area)."""
    points = np.stack([np.cos(np.radians(lons)), np.sin(np.radians(lons))], axis=1).mean(axis=0)
    middle = float(np.degrees(np.arctan2(points[1], points[0])))
    spread = float(np.abs((lons - middle + 180) % 360 - 180).max())
    world = spread > 75
    place = f"+proj=laea +lon_0={middle:.4f} +lat_0={float(lats.mean()):.4f}"
    forward = Transformer.from_crs(4326, "+proj=eqearth +lon_0=11" if world else place, always_xy=True)

    def project(lon: Any, lat: Any) -> tuple[_Array, _Array]:
        x, y = forward.transform(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        return np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan)

    def back(x: Any, y: Any) -> tuple[_Array, _Array]:
        return forward.transform(x, y, direction="INVERSE")

    return project, back, world


def _frame(project: Any, world: bool, x: _Array, y: _Array) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of the map: of the cities with a margin, or of the world without Antarctica."""
    if world:
        edge, _ = project(190.999, 0.0)
        _, (bottom, top) = project([11.0, 11.0], [-57.0, 84.0])
        return -float(edge) * 1.01, float(bottom), float(edge) * 1.01, float(top)
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    span = np.maximum(high - low, 2e5)
    span[1] = max(span[1], 0.45 * span[0])  # neither a strip nor a column
    span[0] = max(span[0], 1.2 * span[1])
    middle, half = (low + high) / 2, span / 2 * (1 + 2 * _MARGIN)
    return (
        float(middle[0] - half[0]),
        float(middle[1] - half[1]),
        float(middle[0] + half[0]),
        float(middle[1] + half[1]),
    )


def _window(back: Any, frame: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Left, bottom, right, top in degrees of what a frame of the map shows, with a margin; left may be below -180."""
    x, y = (
        one.ravel() for one in np.meshgrid(np.linspace(frame[0], frame[2], 60), np.linspace(frame[1], frame[3], 60))
    )
    lons, lats = back(x, y)
    pole = float(np.abs(lats).max()) > 85
    # Longitudes are counted from that of the middle, or the date line would tear them apart.
    middle = float(back(0.0, 0.0)[0])
    apart = (np.asarray(lons) - middle + 180) % 360 - 180
    left, right = (-180.0, 180.0) if pole else (float(apart.min()) - 2, float(apart.max()) + 2)
    return middle + left, max(float(lats.min()) - 2, -90.0), middle + right, min(float(lats.max()) + 2, 90.0)


def _scale_bar(axes: Any, frame: tuple[float, float, float, float]) -> None:
    """A bar in the upper right corner; lengths are true in the middle of an equal-area map and nearly so around it."""
    wide, high = frame[2] - frame[0], frame[3] - frame[1]
    km = scale_bar_km(wide / 2500)
    right, y, tick = frame[2] - 0.015 * wide, frame[3] - 0.05 * high, 0.006 * wide
    left = right - 1000 * km
    axes.plot([left, left, right, right], [y + tick, y, y, y + tick], color=_INK, lw=1.6, zorder=8)
    words = f"{km:g} km in the middle of the map"
    axes.text(right, y + 1.4 * tick, words, color=_INK, fontsize=9.5, ha="right", va="bottom", zorder=8)


def _graticule(project: Any, world: bool) -> list[tuple[_Array, _Array]]:
    step = 30 if world else 5
    along = np.linspace(-89.9, 89.9, 181)
    shift = 11 if world else 0
    meridians = [project(np.full(181, float(lon)), along) for lon in range(-180, 180, step) if lon != -169]
    across = np.linspace(-179.99, 179.99, 361) + shift
    parallels = [project(across, np.full(361, float(lat))) for lat in range(-90 + step, 90, step)]
    return meridians + parallels


def _outline(project: Any) -> tuple[_Array, _Array]:
    lat = np.linspace(-90, 90, 181)
    return project(np.r_[np.full(181, 190.999), np.full(181, -168.999)], np.r_[lat, lat[::-1]])


def _label(figure: Any, axes: Any, rows: list[dict[str, Any]], x: _Array, y: _Array) -> None:
    """Name the cities, the most important first, where the name covers neither a point nor another name."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    at = axes.transData.transform(np.stack([x, y], axis=1))
    page = axes.get_window_extent(renderer)
    boxes = np.array([(px - 4, py - 4, px + 4, py + 4) for px, py in at])
    for i, row in enumerate(rows):
        text = axes.text(0, 0, row["name"], color=_INK, fontsize=7.2 if len(rows) > 40 else 9, zorder=7)
        box = text.get_window_extent(renderer)
        w, h = box.width, box.height
        px, py = at[i]
        # Beside the dot first, then above and below, then at its corners: the first free place is taken.
        spots = [(px + 6, py - h / 2), (px - 6 - w, py - h / 2), (px - w / 2, py + 6), (px - w / 2, py - 6 - h)]
        spots += [(x, y) for y in (py + 3, py - 3 - h) for x in (px + 4, px - 4 - w)]
        for left, bottom in spots:
            mine = np.array([left, bottom, left + w, bottom + h])
            others = np.delete(boxes, i, axis=0)
            free = (
                (mine[0] > others[:, 2])
                | (mine[2] < others[:, 0])
                | (mine[1] > others[:, 3])
                | (mine[3] < others[:, 1])
            )
            if free.all() and mine[0] > page.x0 and mine[2] < page.x1 and mine[1] > page.y0 and mine[3] < page.y1:
                text.set_position(axes.transData.inverted().transform((left, bottom)))
                boxes = np.vstack([boxes, mine])
                break
        else:
            text.remove()
