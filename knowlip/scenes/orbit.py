"""Range-Doppler geometry: where a radar at known orbit positions saw the pixels of a slant-range image.

A pixel fixes a time and a range. On the ground it is the point at that distance from the antenna, on the side the radar
looks to, at the given height above the ellipsoid, and with the given Doppler frequency (zero: perpendicular to the
velocity) (Curlander 1982, IEEE Trans. Geosci. Remote Sens. 20(3)).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pyproj import Transformer

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import NoLocation

_SIDE = 17
"""Control points along each side of the image."""
_STEPS = 25
_A, _B = 6378137.0, 6356752.314245179
"""Semi-axes of WGS 84 in metres."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors, interpolated by cubic Hermite polynomials (positions and velocities are both matched)."""

    times: np.ndarray
    """(N,) seconds after an epoch, rising, N >= 2."""
    positions: np.ndarray
    """(N, 3) metres, Earth-fixed."""
    velocities: np.ndarray
    """(N, 3) metres per second, Earth-fixed."""

    def __post_init__(self) -> None:
        shapes = {np.shape(self.positions), np.shape(self.velocities)}
        if len(self.times) < 2 or shapes != {(len(self.times), 3)} or np.any(np.diff(self.times) <= 0):
            raise NoLocation("The orbit needs two state vectors or more, in order of time.")

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities (..., 3) at times (...)."""
        from scipy.interpolate import CubicHermiteSpline

        spline = CubicHermiteSpline(self.times, self.positions, self.velocities)
        return spline(times), spline(times, 1)


def ground_points(
    position: np.ndarray, velocity: np.ndarray, distance: np.ndarray, side: str, height_m: float,
    rate: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Longitude and latitude of what the radar saw.

    Args:
        position: (N, 3) antenna, Earth-fixed, metres.
        velocity: (N, 3) metres per second.
        distance: (N,) range in metres.
        side: "left" or "right" of the flight path.
        height_m: height of the ground above the ellipsoid.
        rate: (N,) component of the velocity along the line of sight in metres per second (wavelength times Doppler
            frequency / 2); 0: zero Doppler.

    Returns:
        Longitude and latitude in degrees, (N,).

    Raises:
        NoLocation: the range does not reach the ground.
    """
    along = velocity / np.linalg.norm(velocity, axis=1, keepdims=True)
    down = -position / np.linalg.norm(position, axis=1, keepdims=True)
    across = np.cross(down, along)  # to the right of the flight path
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    if side == "left":
        across = -across
    nadir = np.cross(along, across)
    nadir *= np.sign(np.sum(nadir * down, axis=1, keepdims=True))
    cosine = rate / np.linalg.norm(velocity, axis=1)
    forward = (distance * cosine)[:, None] * along
    reach = distance * np.sqrt(1 - cosine**2)
    scale = np.array([_A + height_m, _A + height_m, _B + height_m])
    # The look angle from nadir at which the ray's end lies on the ellipsoid: secant steps, monotonic in the angle.
    angle_0, angle_1 = np.full(len(reach), np.radians(10.0)), np.full(len(reach), np.radians(35.0))

    def miss(angle: np.ndarray) -> np.ndarray:
        point = position + forward + reach[:, None] * (np.cos(angle)[:, None] * nadir + np.sin(angle)[:, None] * across)
        return np.asarray(np.sum((point / scale) ** 2, axis=1) - 1)

    value_0, value_1 = miss(angle_0), miss(angle_1)
    for _ in range(_STEPS):
        slope = np.where(value_1 == value_0, 1.0, value_1 - value_0)
        step = np.where(np.abs(value_1) < 1e-15, 0.0, value_1 * (angle_1 - angle_0) / slope)
        angle_0, value_0 = angle_1, value_1
        angle_1 = np.clip(angle_1 - step, 1e-4, np.pi / 2)
        value_1 = miss(angle_1)
        if np.all(np.abs(value_1) < 1e-13):
            break
    if not np.all(np.abs(value_1) < 1e-9):
        raise NoLocation("The orbit and the range of the image do not meet the ground.")
    point = position + forward + reach[:, None] * (np.cos(angle_1)[:, None] * nadir + np.sin(angle_1)[:, None] * across)
    lon, lat, _ = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True).transform(*point.T)
    return np.asarray(lon), np.asarray(lat)


def slant_grid(
    orbit: Orbit, shape: tuple[int, int], first_s: float, line_s: float, near_m: float, spacing_m: float, side: str,
    height_m: float, rate: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> ControlPoints:  # fmt: skip
    """Control points over an image whose rows are azimuth times and whose columns are slant ranges.

    Args:
        orbit: times after the same epoch as `first_s`.
        shape: rows, columns.
        first_s: azimuth time of the centres of the first row, seconds.
        line_s: seconds per row.
        near_m: slant range of the centres of the first column, metres.
        spacing_m: metres per column.
        side: "left" or "right".
        height_m: height of the ground above the ellipsoid.
        rate: (slant range, seconds after the first row) -> component of the velocity along the line of sight, metres
            per second; None: zero Doppler.
    """
    grid = np.meshgrid(np.linspace(0, shape[0], _SIDE), np.linspace(0, shape[1], _SIDE), indexing="ij")
    rows, columns = (axis.ravel() for axis in grid)
    after, distance = (rows - 0.5) * line_s, near_m + (columns - 0.5) * spacing_m
    position, velocity = orbit.at(first_s + after)
    along = rate(distance, after) if rate is not None else 0.0
    lons, lats = ground_points(position, velocity, distance, side, height_m, along)
    return ControlPoints(columns, rows, lons, lats)


def polar_grid(
    orbit: Orbit, at_s: float, shape: tuple[int, int], reference: np.ndarray, centre: tuple[float, float],
    spacing: tuple[float, float], angle: tuple[float, float], scale: tuple[float, float], side: str, height_m: float,
) -> ControlPoints:  # fmt: skip
    """Control points over an image formed by the polar format algorithm (SICD, NGA.STND.0024-3, section on PFA).

    Args:
        orbit: where the antenna was.
        at_s: time of the centre of the aperture, on the orbit's clock.
        shape: rows, columns.
        reference: (3,) Earth-fixed position that the image was focused on, metres.
        centre: row and column of that position, pixel centres being whole numbers.
        spacing: metres per row and per column in the image plane.
        angle: polar angle (radians, from the direction of rising rows to that of rising columns) and its change per
            second at `at_s`.
        scale: spatial frequency scale factor and its change per radian at that angle.
        side: "left" or "right".
        height_m: height of the ground above the ellipsoid.
    """
    grid = np.meshgrid(np.linspace(0, shape[0], _SIDE), np.linspace(0, shape[1], _SIDE), indexing="ij")
    rows, columns = (axis.ravel() for axis in grid)
    x, y = (rows - 0.5 - centre[0]) * spacing[0], (columns - 0.5 - centre[1]) * spacing[1]
    position, velocity = orbit.at(np.full(len(rows), at_s))
    sight = reference - position[0]
    distance = float(np.linalg.norm(sight))
    along = x * np.cos(angle[0]) + y * np.sin(angle[0])
    across = -x * np.sin(angle[0]) + y * np.cos(angle[0])
    farther = scale[0] * along
    receding = (scale[1] * along + scale[0] * across) * angle[1]
    rate = velocity[0] @ sight / distance - receding
    lons, lats = ground_points(position, velocity, distance + farther, side, height_m, rate)
    return ControlPoints(columns, rows, lons, lats)


def seconds(stamp: str, since: str) -> float:
    """Seconds from one UTC time to another, both as ISO text with any number of decimals.

    Raises:
        NoLocation: not a time.
    """
    try:
        (whole, part), (whole_0, part_0) = _split(stamp), _split(since)
    except ValueError:
        raise NoLocation(f"The metadata give {stamp!r} or {since!r} as a time of the orbit, which is none.") from None
    return (whole - whole_0).total_seconds() + part - part_0


def _split(stamp: str) -> tuple[datetime, float]:
    """Whole seconds and the rest: nanoseconds do not fit into a datetime."""
    text = stamp.strip().replace("T", " ").removesuffix("Z").split("+")[0]
    whole, _, part = text.partition(".")
    return datetime.fromisoformat(whole), float(f"0.{part}") if part else 0.0
