"""Where the pixels of a CEOS product of ALOS and ALOS-2 lie. A product says it in up to five ways: by its map grid
(UTM), by its orbit (level 1.1), by polynomials of JAXA's processor, by the first, middle and last pixel of each line,
and by its corners; the ways check each other.

Source: as :mod:`knowlip.scenes.readers.ceos_records`.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer

from knowlip.scenes.control import ControlPoints, lattice
from knowlip.scenes.errors import NoLocation, SceneError
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, SlantImage, slant_grid
from knowlip.scenes.readers import ceos_records as ceos
from knowlip.scenes.readers.ceos_records import ImageLayout, Record
from knowlip.scenes.readers.common import BY_CORNERS
from knowlip.scenes.scene import SceneOverrides

Array = np.ndarray
_FAR_M = 3_000.0
"""Farther from the polynomials' places an orbit's are taken for wrong: heights of terrain explain less."""
_AGREE_PX = 3.0
_LINES = 17
_MOST_VECTORS = 200
_ORBIT_M = 6.6e6, 7.6e6
"""Distances from the Earth's centre; both satellites fly at 620 to 700 km."""


@dataclass(frozen=True)
class Placed:
    """A geometry and what is to be told of it."""

    geometry: Geometry
    notes: tuple[str, ...] = ()


def place(layout: ImageLayout, leader: dict[int, Record], side: str, overrides: SceneOverrides) -> Placed:
    """The best of the ways in which a product states its places.

    Raises:
        NoLocation: it states none that can be used.
    """
    polynomial = _polynomial(layout, leader.get(ceos.FACILITY))
    lines = _lines(layout)
    ways = [points for points in (polynomial, lines, _corners(layout, leader.get(ceos.MAP))) if points is not None]
    if layout.complex_pixels:
        try:
            return _by_orbit(layout, leader, side, overrides, ways[0] if ways else None)
        except SceneError as error:
            if not ways:
                raise
            notes: tuple[str, ...] = (f"Its orbit does not place it: {error}",)
    else:
        grid = _map_grid(layout, leader.get(ceos.MAP))
        if grid is not None:
            return _by_map(grid, ways, layout)
        notes = ()
    if not ways:
        raise NoLocation(f"{layout.path} and its leader state no place: no map grid, no polynomials, no corners.")
    return _by_points(ways, polynomial, lines, notes, layout)


def _by_points(
    ways: list[ControlPoints],
    polynomial: ControlPoints | None,
    lines: ControlPoints | None,
    notes: tuple[str, ...],
    layout: ImageLayout,
) -> Placed:
    """The first way; where the second contradicts it, that is told, and the lines' own places are taken."""
    best = ways[0]
    if len(ways) > 1:
        apart = _apart(best, ways[1])
        pixels = _AGREE_PX * _pixel_m(best, layout)
        if best is polynomial and apart > pixels:
            notes += (f"Its polynomials lie {apart:.0f} m (RMS) beside the other places that it states: not used.",)
            best = ways[1]
    if best is not polynomial and best is not lines:
        notes += (BY_CORNERS.format(""),)
    return Placed(best, (*notes, "Its places are those of one height: relief displaces pixels."))


def _by_map(grid: AffineGeometry, ways: list[ControlPoints], layout: ImageLayout) -> Placed:
    """The map grid, if the product's other statements agree with it; else the first of those."""
    if not ways:
        return Placed(grid)
    apart = _apart(grid, ways[0])
    if apart > _AGREE_PX * abs(grid.transform.determinant) ** 0.5:
        told = f"Its map grid lies {apart:.0f} m (RMS) beside the geographic places that it states: those are used."
        return Placed(ways[0], (told,))
    return Placed(grid)


def _map_grid(layout: ImageLayout, record: Record | None) -> AffineGeometry | None:
    """The UTM grid of a geocoded image, from the centres of three of its corner pixels; None where it has none."""
    if record is None or "GEOCODED" not in record.text(28, 32).upper():
        return None
    if not record.text(412, 32).upper().startswith("UTM"):
        return None
    zone, false_northing = record.number(476, 4), record.number(496)
    corners = record.numbers(944, 8).reshape(4, 2)[:, ::-1] * 1000  # upper left, upper right, lower right, lower left
    if not (np.all(np.isfinite(corners)) and zone in range(1, 61) and false_northing in (0.0, 1e7)):
        return None
    (rows, columns), (origin, right, _, below) = layout.shape, corners
    if min(rows, columns) < 2:
        return None
    across, down = (right - origin) / (columns - 1), (below - origin) / (rows - 1)
    transform = Affine(across[0], down[0], origin[0], across[1], down[1], origin[1]) @ Affine.translation(-0.5, -0.5)
    spacing, sides = record.numbers(92, 2), [math.hypot(*across), math.hypot(*down)]
    # A grid whose corners and spacing disagree is no grid of this image.
    if np.all(np.isfinite(spacing)) and not np.allclose(sorted(sides), sorted(spacing), rtol=1 / max(rows, columns)):
        return None
    return AffineGeometry(CRS.from_epsg((32600 if false_northing == 0 else 32700) + int(zone)), transform)


def _polynomial(layout: ImageLayout, record: Record | None) -> ControlPoints | None:
    """Places by the processor's polynomials of the fourth degree in pixel and line, which count from 0 at centres."""
    if record is None:
        return None
    terms, origin = record.numbers(1024, 50, 20).reshape(2, 5, 5), record.numbers(2024, 2, 20)
    if not (np.all(np.isfinite(terms)) and np.all(np.isfinite(origin)) and np.any(terms)):
        return None
    rows, columns = lattice(layout.shape)
    pixel, line = columns - 0.5 - origin[0], rows - 0.5 - origin[1]
    # Powers fall from the fourth, of the pixel outside, of the line inside.
    lats, lons = (np.polynomial.polynomial.polyval2d(pixel, line, both[::-1, ::-1]) for both in terms)
    return _points(columns, rows, lons, lats)


def _lines(layout: ImageLayout) -> ControlPoints | None:
    """First, middle and last pixel of some lines, from before their pixels (millionths of a degree)."""
    rows, columns = layout.shape
    at = np.unique(np.linspace(0, rows - 1, _LINES).astype(int))
    places = ceos.integers(layout.lines(at), 192 if layout.complex_pixels else 132, 6, layout.order) * 1e-6
    here = np.array([0, (columns - 1) // 2, columns - 1]) + 0.5
    if not np.all(np.isfinite(places)) or not np.any(places):
        return None
    across, down = np.tile(here, len(at)), np.repeat(at + 0.5, 3)
    return _points(across, down, places[:, 3:].ravel(), places[:, :3].ravel())


def _corners(layout: ImageLayout, record: Record | None) -> ControlPoints | None:
    """The centres of the four corner pixels, from the record of the map."""
    if record is None:
        return None
    rows, columns = layout.shape
    places = record.numbers(1072, 8).reshape(4, 2)
    across, down = np.array([0, columns - 1, columns - 1, 0]) + 0.5, np.array([0, 0, rows - 1, rows - 1]) + 0.5
    return _points(across, down, places[:, 1], places[:, 0])


def _points(columns: Array, rows: Array, lons: Array, lats: Array) -> ControlPoints | None:
    """Control points; None where they are no places of the Earth, or all the same."""
    good = np.all(np.isfinite(lons) & np.isfinite(lats)) and np.all(np.abs(lats) <= 90) and np.all(np.abs(lons) <= 360)
    if not good or max(np.ptp(lons), np.ptp(lats)) == 0:
        return None
    try:
        return ControlPoints(columns.astype(float), rows.astype(float), (lons + 180) % 360 - 180, lats)
    except NoLocation:
        return None


def _apart(geometry: Geometry, points: ControlPoints) -> float:
    """RMS distance in metres of a geometry from points of another statement."""
    x, y = geometry.forward(points.columns, points.rows)
    lons, lats = Transformer.from_crs(geometry.crs, 4326, always_xy=True).transform(x, y)
    if not (np.all(np.isfinite(lons)) and np.all(np.isfinite(lats))):
        return math.inf
    return float(np.sqrt(np.mean(np.square(GEOD.inv(lons, lats, points.lons, points.lats)[2]))))


def _pixel_m(points: ControlPoints, layout: ImageLayout) -> float:
    """The larger side of the middle pixel on the ground."""
    rows, columns = layout.shape
    x, y = points.forward(columns / 2 + np.array([0, 1.0, 0]), rows / 2 + np.array([0, 0, 1.0]))
    return float(max(math.hypot(x[1] - x[0], y[1] - y[0]), math.hypot(x[2] - x[0], y[2] - y[0])))


def _by_orbit(
    layout: ImageLayout, leader: dict[int, Record], side: str, overrides: SceneOverrides, stated: ControlPoints | None
) -> Placed:
    """Zero-Doppler places of a slant-range image on ground of one height, held against what the product states.

    Raises:
        NoLocation: orbit, times or ranges cannot be used, or lead far from the places that the product states.
    """
    orbit, epoch = _orbit(leader.get(ceos.ORBIT))
    if side not in ("left", "right"):
        raise NoLocation("it does not say to which side the radar looks.")
    image = _slant_image(layout, leader[ceos.SUMMARY], epoch, side)
    points = slant_grid(orbit, image, 0.0 if overrides.height_m is None else overrides.height_m)
    notes: tuple[str, ...] = ()
    if overrides.height_m is None:
        notes = ("Placed at the height of the ellipsoid: its metadata state no height; say one by --read.height_m.",)
    if stated is not None:
        apart = _apart(points, stated)
        if apart > _FAR_M and overrides.height_m is None:
            raise NoLocation(f"it lies {apart:.0f} m (RMS) beside the places that the product states.")
        notes += (f"The places that the product states, at a height of its own, lie {apart:.1f} m (RMS) from these.",)
    return Placed(points, notes)


def _orbit(record: Record | None) -> tuple[Orbit, datetime]:
    """State vectors and the time from which they count.

    Raises:
        NoLocation: there are none, or they are not Earth-fixed.
    """
    if record is None:
        raise NoLocation("its leader holds no state vectors.")
    count, day, step = record.number(140, 4), record.numbers(144, 3, 4), record.number(182, 22)
    if not (2 <= count <= _MOST_VECTORS and np.all(np.isfinite(day)) and step > 0):
        raise NoLocation("its leader holds no state vectors that can be used.")
    if record.text(204, 64).upper() not in ("ECR", "ECEF", "EARTH CENTERED ROTATING"):
        raise NoLocation(f"its state vectors are in {record.text(204, 64)[:20]!r}, not fixed to the Earth (ECR).")
    vectors = record.numbers(386, 6 * int(count), 22).reshape(-1, 6)
    seconds = record.number(160, 22)
    distance = np.linalg.norm(vectors[:, :3], axis=1)
    if not (math.isfinite(seconds) and np.all((distance > _ORBIT_M[0]) & (distance < _ORBIT_M[1]))):
        raise NoLocation("its state vectors are no places of an orbit in metres.")
    if not np.all(np.isfinite(vectors)):
        raise NoLocation("its state vectors are not all numbers.")
    try:
        epoch = datetime(*(int(part) for part in day))  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise NoLocation("the date of its state vectors is none.") from None
    return Orbit(seconds + step * np.arange(int(count)), vectors[:, :3], vectors[:, 3:]), epoch


def _slant_image(layout: ImageLayout, summary: Record, epoch: datetime, side: str) -> SlantImage:
    """Times and ranges of the pixels, on the orbit's clock.

    Raises:
        NoLocation: they are no numbers that can be used.
    """
    rows = layout.shape[0]
    ends = layout.lines(np.array([0, rows - 1]))
    times = [_on_clock(*time, epoch) for time in ceos.line_times(ends, layout.order)]
    near, rate = ceos.integers(ends, 116, 1, layout.order)[:, 0], summary.number(710) * 1e6
    if not (near[0] > 0 and rate > 0 and rows > 1 and times[0] != times[1]):
        raise NoLocation("the times of its lines and the distance of its pixels are not stated.")
    if near[0] != near[1]:
        raise NoLocation("the distance of its first pixel changes from line to line.")
    measured = (times[1] - times[0]) / (rows - 1)
    # Stamps are whole milliseconds (ALOS): the pulse rate is finer, where it says the same.
    stated = math.copysign(1e3 / summary.number(934), measured) if summary.number(934) > 0 else measured
    line_s = stated if abs(stated - measured) < 1e-3 * abs(measured) + 2e-3 / (rows - 1) else measured
    return SlantImage(layout.shape, times[0], line_s, float(near[0]), LIGHT_M_S / 2 / rate, side)


def _on_clock(year: int, day: int, seconds: float, epoch: datetime) -> float:
    """Seconds after `epoch`.

    Raises:
        NoLocation: no date.
    """
    if not (1978 <= year <= 2100 and 1 <= day <= 366 and math.isfinite(seconds)):
        raise NoLocation("the times of its lines are none.")
    return (datetime(year, 1, 1) + timedelta(days=day - 1) - epoch).total_seconds() + seconds
