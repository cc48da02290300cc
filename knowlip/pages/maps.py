"""Maps of pages: the outline of the land, and places that stand where they are. Where marks would lie on each other
they fan out, and a line leads from each to a dot at its true place."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import shapely
import shapely.affinity
from markupsafe import Markup
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Wedge
from numpy.typing import NDArray

from knowlip.pages.charts import ACCENT, CARD, GRID, INK, LAND, MUTED, POINTS, style, svg

WIDE, NARROW = 860, 360
"""Units of a map for a desk and for a phone: a page shows one of them, so that its letters keep a size that is read."""
_MOST_NUMBERED: Final = 60
_WIDEST_KM: Final = 3000.0
"""Above it one bar would hold at one latitude alone."""
_SMALLEST_DEG: Final = 0.5
"""The outline is simplified to 0.04 degrees: a smaller map would show what it does not know."""
_SHORE: Final[dict[str, Any]] = {"edgecolor": MUTED, "linewidth": 0.6}
_KM: Final = 111.195
"""Kilometres of a degree of latitude on a sphere of 6,371 km."""


def coastline() -> list[NDArray[np.float64]]:
    """Rings (N, 2) of longitude and latitude, for maps of the world: Natural Earth 1:110m, public domain."""
    return [np.array(ring) for ring in json.loads((files(__package__) / "coastline.json").read_text())["rings"]]


@lru_cache(1)
def _land() -> Any:
    """The land in degrees, once more to the left and right of it, so that a map may cross the date line: Natural Earth
    1:50m, simplified to 0.04 degrees."""
    features = json.loads((files(__package__) / "world.json").read_text())["features"]
    (shape,) = (shapely.geometry.shape(one["geometry"]) for one in features if one["properties"]["kind"] == "land")
    parts = shapely.get_parts(shapely.make_valid(shape))
    return np.concatenate(
        [parts, *(shapely.transform(parts, lambda xy, by=by: xy + np.array([by, 0.0])) for by in (-360, 360))]
    )


def land_within(left: float, bottom: float, right: float, top: float) -> list[NDArray[np.float64]]:
    """Rings (N, 2) of the land in a window of degrees; longitudes may run past 180. Lakes are left out."""
    box = shapely.box(left, bottom, right, top)
    near = _land()[shapely.intersects(_land(), box)]
    parts = shapely.get_parts(shapely.intersection(near, box)) if len(near) else []
    return [np.asarray(part.exterior.coords) for part in parts if part.geom_type == "Polygon"]


def land(axes: Any, **options: Any) -> None:
    """The outline of the world, equirectangular, in degrees."""
    axes.add_collection(PolyCollection(coastline(), facecolor=LAND, **{"linewidth": 0, **options}), autolim=False)
    axes.set_aspect("equal")


def apart(places: NDArray[np.float64], radius: float, frame: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Where marks of a radius stand so that none lies on another: at their place, or as near to it as there is room.

    Args:
        places: (N, 2), the first ones have the first choice.
        radius: of a mark.
        frame: left, bottom, right, top that marks stay in as far as they can.
    """
    left, bottom, right, top = frame
    found: list[tuple[float, float]] = []
    for x0, y0 in places.tolist():
        x, y, turn = x0, y0, 0
        # Along a spiral whose arms lie half a mark apart: the first free place on it is near the nearest one.
        while turn < 4000:
            inside = left + radius <= x <= right - radius and bottom + radius <= y <= top - radius
            if (inside or turn == 0) and all(math.hypot(x - a, y - b) >= 2.15 * radius for a, b in found):
                break
            turn += 1
            reach = radius * (1.6 + 0.16 * turn)
            x, y = x0 + reach * math.cos(2.4 * turn), y0 - reach * math.sin(2.4 * turn)
        found.append((x, y))
    return np.array(found).reshape(-1, 2)


def scale_bar_km(width_km: float) -> float:
    """A round length of a sixth to a third of a width."""
    power = 10.0 ** math.floor(math.log10(width_km / 3))
    return max(f * power for f in (1, 2, 5) if f * power <= width_km / 3)


def lead(axes: Any, place: Sequence[float], mark: Sequence[float], **options: Any) -> None:
    """The line from a mark that had to give way to its true place, with a dot there."""
    if math.hypot(place[0] - mark[0], place[1] - mark[1]) > 0:
        look = {"color": INK, "linewidth": 0.9, "zorder": 3, **options}
        axes.plot([place[0], mark[0]], [place[1], mark[1]], **look)
        axes.plot([place[0]], [place[1]], "o", markersize=3.2, **{**look, "linewidth": 0})


def points_map(places: Sequence[tuple[int, float, float]]) -> Markup:
    """Numbered points on the land around them with a scale bar and a net of degrees: twice, for wide and for narrow
    screens.

    Args:
        places: number, longitude and latitude of each.
    """
    return _points_map(places, WIDE, "map-wide") + _points_map(places, NARROW, "map-narrow")


@style()
def _points_map(places: Sequence[tuple[int, float, float]], units: int, kind: str) -> Markup:
    numbers, lons, lats = (np.array(column) for column in zip(*places))
    lons = np.degrees(np.unwrap(np.radians(lons)))  # neighbours across the antimeridian stay neighbours
    middle = np.array([float(lons.min() + lons.max()) / 2, float(lats.min() + lats.max()) / 2])
    # Degrees of longitude are drawn as long as they are on the ground in the middle of the map: true for a region, and
    # the usual equirectangular map of the world.
    shrink = max(0.1, math.cos(math.radians(middle[1])))
    units_high = units // 2 if units == WIDE else round(0.8 * units)
    shape = units_high / units
    spread = max(float(np.ptp(lons)) * shrink, float(np.ptp(lats)) / shape, _SMALLEST_DEG / shape) * 1.35
    half = np.array([spread / shrink, spread * shape]) / 2
    (left, bottom), (right, top) = middle - half, middle + half
    figure = Figure((units / POINTS, units_high / POINTS), POINTS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.add_collection(PolyCollection(land_within(left, bottom, right, top), facecolor=LAND, **_SHORE), autolim=False)
    _net(axes, (left, bottom, right, top), units)
    # Marks are placed in units of the picture, and drawn in degrees.
    step = (right - left) / units, (top - bottom) / units_high
    at = np.column_stack([(lons - left) / step[0], (lats - bottom) / step[1]])
    spots = apart(at, 10.5, (0, 24, units, units_high))
    for number, place, spot in zip(numbers, at, spots):
        (x0, y0), (x, y) = (np.array([left, bottom]) + one * step for one in (place, spot))
        lead(axes, (x0, y0), (x, y))
        axes.plot([x], [y], "o", color=ACCENT, markersize=19, markeredgewidth=0, zorder=4)
        axes.text(
            x, y, str(number), fontsize=11, color=CARD, weight="bold", ha="center", va="center_baseline", zorder=5
        )
    _bar(axes, units, units_high, spread * _KM)
    return svg(figure, f"Map with {len(places)} places", kind)


def _net(axes: Any, frame: tuple[float, float, float, float], units: int) -> None:
    """Meridians and parallels with their degrees, about five across."""
    left, bottom, right, top = frame
    step = next(one for one in (30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05) if one <= max((right - left) / 4, 0.05))
    look: dict[str, Any] = {"fontsize": 10.5, "color": MUTED, "zorder": 2}
    for lon in np.arange(math.ceil(left / step), right / step) * step:
        axes.axvline(lon, color=GRID, linewidth=0.6, zorder=1)
        if 0.06 < (lon - left) / (right - left) < 0.94:
            axes.text(
                lon, top - 0.02 * (top - bottom), _degrees((lon + 180) % 360 - 180, "EW"), ha="center", va="top", **look
            )
    for lat in np.arange(math.ceil(bottom / step), top / step) * step:
        axes.axhline(lat, color=GRID, linewidth=0.6, zorder=1)
        if 0.16 < (lat - bottom) / (top - bottom) < 0.9:
            axes.text(left + 4 * (right - left) / units, lat, _degrees(lat, "NS"), va="bottom", **look)


def _degrees(value: float, sides: str) -> str:
    value = round(value, 4) + 0.0
    return f"{abs(value):g}°{sides[int(value < 0)] if value else ''}"


def _bar(axes: Any, units: int, high: int, width_km: float) -> None:
    """A scale bar in the lower right corner, where one holds for the whole map."""
    if width_km > _WIDEST_KM:
        return
    length = scale_bar_km(width_km)
    right, x = (units - 10) / units, (units - 10) / units - length / width_km
    look: dict[str, Any] = {"transform": axes.transAxes, "color": INK, "zorder": 6}
    axes.plot([x, x, right, right], [14 / high, 9 / high, 9 / high, 14 / high], linewidth=1.4, **look)
    words = f"{length:g} km" if length >= 1 else f"{1000 * length:g} m"
    axes.text(right, 17 / high, words, fontsize=11, ha="right", va="bottom", **look)


@dataclass(frozen=True)
class MapMark:
    """A place on the map and how many of its tiles are in which part (a split, a sensor)."""

    name: str
    lon: float
    lat: float
    parts: Mapping[str, int]


def world_map(places: Sequence[MapMark], colours: Mapping[str, str], numbered: bool = True) -> Markup:
    """One numbered ring a place: how its tiles are divided. Places of unknown position are left out. Twice, for wide
    and for narrow screens.

    Args:
        places: with at least one tile each.
        colours: part -> colour.
        numbered: whether rings are numbered from 1, where there are few enough.
    """
    return Markup("").join(
        _world_map(places, colours, units, kind, numbered)
        for units, kind in ((WIDE, "map-wide"), (NARROW, "map-narrow"))
    )


@style()
def _world_map(places: Sequence[MapMark], colours: Mapping[str, str], units: int, kind: str, numbers: bool) -> Markup:
    # Rings keep their size in units of the picture; where there are too many they shrink, and lose their numbers.
    low, high = -60, 84
    left, right = -180, 180
    figure = Figure((units / POINTS, units * (high - low) / (right - left) / POINTS), POINTS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    land(axes, zorder=0, edgecolor=MUTED, linewidth=0.4)
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.vlines(range(-150, 180, 30), low, high, color=GRID, linewidth=0.5, zorder=1)
    axes.hlines(range(-30, 84, 30), left, right, color=GRID, linewidth=0.5, zorder=1)
    for lat in range(-60 + 30, 84, 30):
        axes.text(left + 1, lat + 1, _degrees(lat, "NS"), fontsize=10.5, color=MUTED)
    known = [(at, place) for at, place in enumerate(places, 1) if math.isfinite(place.lon + place.lat)]
    few = len(places) <= (_MOST_NUMBERED if units == WIDE else _MOST_NUMBERED // 3)
    radius = ((9.5 if numbers else 6.0) if few else 4.0) * (right - left) / units
    at = np.array([(place.lon, place.lat) for _, place in known]).reshape(-1, 2)
    spots = apart(at, radius, (left, low, right, high)) if few else at
    for (number, place), true, (x, y) in zip(known, at.tolist(), spots.tolist()):
        lead(axes, true, (x, y))
        summary = ", ".join(f"{count} {part}" for part, count in place.parts.items())
        gid = f"title {number} {place.name}: {summary}"
        ring(axes, (x, y), radius, place.parts, colours, gid)
        if numbers and few:
            look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "gid": gid, "zorder": 6}
            axes.text(x, y, str(number), fontsize=10 if number < 100 else 8, weight="bold", color=INK, **look)
    return svg(figure, f"World map with {len(known)} places", kind)


def ring(
    axes: Any, spot: tuple[float, float], radius: float, parts: Mapping[str, int], colours: Mapping[str, str], gid: str
) -> None:
    """A ring in parts around a disc that a number can stand on; a small one is full."""
    total, start = sum(parts.values()), 90.0
    look: dict[str, Any] = {"edgecolor": CARD, "linewidth": 0.8, "zorder": 4, "gid": gid}
    for part, count in parts.items():
        end = start - 360 * count / total
        whole = Circle(spot, radius, facecolor=colours[part], **look)
        axes.add_patch(whole if count == total else Wedge(spot, radius, end, start, facecolor=colours[part], **look))
        start = end
    axes.add_patch(Circle(spot, 0.72 * radius, facecolor=CARD, linewidth=0, zorder=5, gid=gid))
