"""Where the pixels of a COSMO-SkyMed image lie: through its orbit (slant range, and ground range by its polynomial), on
its map grid, or by the four corners of its metadata. With what reads attributes of its files.

Source: COSMO-SkyMed SAR Products Handbook (ASI): Ground to Slant Polynomial and its reference range.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from knowlip.scenes.control import ControlPoints, lattice
from knowlip.scenes.errors import NoLocation, SlantRange
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry
from knowlip.scenes.names import word_of
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, SlantImage, ground_points, slant_grid
from knowlip.scenes.readers.common import BY_CORNERS
from knowlip.scenes.readers.hdf5 import group_at
from knowlip.scenes.scene import SceneOverrides

_CORNERS = ("Top Left", "Top Right", "Bottom Left", "Bottom Right")
_FARTHEST_M = 100.0
"""Orbit and ground-range polynomial are believed where they meet all corners of the metadata as closely as this."""
_TOLD_M = 10.0


def text_of(item: Any, name: str) -> str:
    """An attribute of words; "" where there is none."""
    value = item.attrs.get(name, "") if item is not None else ""
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(value).strip("\x00 ") if np.ndim(value) == 0 else ""


def numbers_of(item: Any, name: str) -> np.ndarray:
    """An attribute of numbers, flat; empty where there is none."""
    value = np.asarray(item.attrs.get(name, ()) if item is not None else ())
    return value.astype(float) if value.dtype.kind in "fiu" else np.zeros(0)


def number_of(item: Any, name: str, default: float = math.nan) -> float:
    """An attribute of one number."""
    values = numbers_of(item, name).ravel()
    return float(values[0]) if values.size == 1 and math.isfinite(values[0]) else default


def nearest_of(image: Any, swath: Any, name: str) -> float:
    """An attribute of the image, else of the first burst of its swath."""
    value = number_of(image, name)
    bursts = (group_at(swath, burst) for burst in ("B001", "B0001"))
    return value if math.isfinite(value) else next((number_of(burst, name) for burst in bursts if burst), math.nan)


def places_of(
    path: Path, file: Any, swath: Any, image: Any, shape: tuple[int, int], overrides: SceneOverrides
) -> tuple[Geometry, tuple[str, ...]]:
    """The best place that an image states, see the module, and notes.

    Raises:
        SlantRange, NoLocation: none can be used.
    """
    projection = text_of(file, "Projection ID").upper()
    level = overrides.height_m
    if level is None:
        centre = numbers_of(file, "Scene Centre Geodetic Coordinates")
        level = float(centre[2]) if centre.size == 3 and math.isfinite(centre[2]) else 0.0
    if "SLANT" in projection:
        return _slant_points(path, file, swath, image, shape, level), ()
    if "UTM" in projection or "MERCATOR" in projection or "POLAR" in projection:
        return _map_grid(path, file, image, shape), ()
    corners = [numbers_of(image, f"{name} Geodetic Coordinates") for name in _CORNERS]
    stated = np.array(corners) if all(corner.size == 3 for corner in corners) else None
    points, why = _ground_points(file, swath, image, shape, level), ""
    if points is not None:
        missed = math.nan if stated is None else _missed(file, swath, image, shape, stated)
        if stated is None or missed <= _FARTHEST_M:
            told = f"The corners of its metadata are met within {missed:.0f} m by orbit and ground-range polynomial."
            return points, (told,) if missed > _TOLD_M else ()
        why = f" Orbit and ground-range polynomial miss these corners by {missed:.0f} m: not used."
    if stated is None:
        raise NoLocation(f"{path} names no four corners of its image ({projection or 'no projection'}).")
    rows, columns = shape
    places = np.array([0.0, columns, 0.0, columns]), np.array([0.0, 0.0, rows, rows])
    return ControlPoints(*places, stated[:, 1], stated[:, 0]), (BY_CORNERS.format("") + why,)


def _orbit(file: Any) -> Orbit | None:
    times = numbers_of(file, "State Vectors Times").ravel()
    vectors = [numbers_of(file, f"ECEF Satellite {what}") for what in ("Position", "Velocity")]
    if any(vector.size != 3 * times.size for vector in vectors) or times.size < 2:
        return None
    return Orbit(times, vectors[0].reshape(-1, 3), vectors[1].reshape(-1, 3))


def _times(file: Any, swath: Any, image: Any, rows: int) -> tuple[float, float]:
    """Zero-Doppler time of the first stored line, and seconds from one to the next; NaN where they are not stated."""
    first, last = (nearest_of(image, swath, f"Zero Doppler Azimuth {end} Time") for end in ("First", "Last"))
    if text_of(file, "Lines Order").upper() == "LATE-EARLY" and first < last:
        first, last = last, first
    return first, (last - first) / (rows - 1) if rows > 1 and last != first else math.nan


def _slant_points(path: Path, file: Any, swath: Any, image: Any, shape: tuple[int, int], level: float) -> ControlPoints:
    """Zero-Doppler range-Doppler projection; lines from early to late and columns from near to far, or the other way.

    Raises:
        SlantRange: orbit, times or ranges are missing.
    """
    orbit, (first, line) = _orbit(file), _times(file, swath, image, shape[0])
    near, far = (nearest_of(image, swath, f"Zero Doppler Range {end} Time") for end in ("First", "Last"))
    side = word_of(text_of(file, "Look Side"), "left", "right")
    if orbit is None or not side:
        raise SlantRange(f"{path} is in slant range and holds no orbit to place it by.")
    if not all(map(math.isfinite, (first, line, near, far))) or shape[1] < 2:
        raise SlantRange(f"{path} is in slant range and does not say its zero-Doppler times and ranges.")
    if text_of(file, "Columns Order").upper() == "FAR-NEAR" and near < far:
        near, far = far, near
    spacing = (far - near) / (shape[1] - 1) * LIGHT_M_S / 2
    return slant_grid(orbit, SlantImage(shape, first, line, near * LIGHT_M_S / 2, spacing, side), level)


def _seen(
    file: Any, swath: Any, image: Any, shape: tuple[int, int], columns: np.ndarray, rows: np.ndarray, level: Any
) -> tuple[np.ndarray, np.ndarray] | None:
    """Longitudes and latitudes of pixels (outer-corner convention) of a ground-range image, at one height or one each;
    None where orbit, times or polynomial are missing. The polynomial gives metres of slant range beyond the reference
    range for the number of a column, which counts from 0."""
    orbit, (first, line) = _orbit(file), _times(file, swath, image, shape[0])
    side = word_of(text_of(file, "Look Side"), "left", "right")
    sources = [item for item in (file, swath, image) if numbers_of(item, "Ground to Slant Polynomial").size]
    if orbit is None or not side or not sources or not math.isfinite(first + line):
        return None
    terms = numbers_of(sources[0], "Ground to Slant Polynomial").ravel()
    origin = number_of(sources[0], "Ground Projection Polynomial Reference Range")
    if terms.size < 2 or not (origin > 0 and np.all(np.isfinite(terms))):
        return None
    distance = origin + np.polynomial.polynomial.polyval(columns - 0.5, terms)
    if np.any(distance <= 0):
        return None
    position, velocity = orbit.at(first + (rows - 0.5) * line)
    try:
        return ground_points(position, velocity, distance, side, level)
    except NoLocation:
        return None


def _ground_points(file: Any, swath: Any, image: Any, shape: tuple[int, int], level: float) -> ControlPoints | None:
    """Control points of a ground-range image by its orbit and polynomial; None where they cannot be had."""
    rows, columns = lattice(shape)
    seen = _seen(file, swath, image, shape, columns, rows, level)
    return None if seen is None else ControlPoints(columns, rows, *seen)


def _missed(file: Any, swath: Any, image: Any, shape: tuple[int, int], corners: np.ndarray) -> float:
    """Largest distance in metres by which orbit and polynomial miss corners (4, 3): latitude, longitude, height."""
    columns, rows = np.array([0.5, shape[1] - 0.5] * 2), np.array([0.5, 0.5, shape[0] - 0.5, shape[0] - 0.5])
    heights = np.where(np.isfinite(corners[:, 2]), corners[:, 2], 0.0)
    seen = _seen(file, swath, image, shape, columns, rows, heights)
    if seen is None or not np.all(np.isfinite(corners[:, :2])):
        return math.inf
    return float(np.max(GEOD.inv(*seen, corners[:, 1], corners[:, 0])[2]))


def _map_grid(path: Path, file: Any, image: Any, shape: tuple[int, int]) -> AffineGeometry:
    """Universal Transverse Mercator or Universal Polar Stereographic: `Top Left East` and `North` name the corner."""
    zone, projection = number_of(file, "Map Projection Zone"), text_of(file, "Projection ID").upper()
    east, north = number_of(image, "Top Left East"), number_of(image, "Top Left North")
    steps = number_of(image, "Column Spacing"), number_of(image, "Line Spacing")
    code = 0
    if "POLAR" in projection:
        code = 32661 if north > 0 and _centre_latitude(file) > 0 else 32761
    elif math.isfinite(zone) and 1 <= abs(zone) <= 60:
        code = (32700 if zone < 0 or _centre_latitude(file) < 0 else 32600) + int(abs(zone))
    if not code or not all(map(math.isfinite, (east, north, *steps))) or min(steps) <= 0:
        raise NoLocation(f"{path} does not say on which map grid it lies ({projection}).")
    try:
        crs = CRS.from_epsg(code)
    except CRSError as error:
        raise NoLocation(f"{path} does not say on which map grid it lies ({error}).") from error
    return AffineGeometry(crs, Affine(steps[0], 0, east, 0, -steps[1], north))


def _centre_latitude(file: Any) -> float:
    centre = numbers_of(file, "Scene Centre Geodetic Coordinates")
    return float(centre[0]) if centre.size == 3 else 1.0
