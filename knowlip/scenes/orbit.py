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

from knowlip.scenes.control import ControlPoints, lattice
from knowlip.scenes.errors import NoLocation
from knowlip.scenes.geometry import geodetic

Array = np.ndarray

LIGHT_M_S = 299_792_458.0
_STEPS = 25
_NEWTON = 12
_A, _B = 6378137.0, 6356752.314245179
"""Semi-axes of WGS 84 in metres."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors, interpolated by cubic Hermite polynomials (positions and velocities are both matched)."""

    times: Array  # (N,) seconds after an epoch, rising, N >= 2.
    positions: Array  # (N, 3) metres, Earth-fixed.
    velocities: Array  # (N, 3) metres per second, Earth-fixed.

    def __post_init__(self) -> None:
        shapes = {np.shape(self.positions), np.shape(self.velocities)}
        if len(self.times) < 2 or shapes != {(len(self.times), 3)} or np.any(np.diff(self.times) <= 0):
            raise NoLocation("The orbit needs two state vectors or more, in order of time.")

    def at(self, times: Array) -> tuple[Array, Array]:
        """Positions and velocities (..., 3) at times (...)."""
        from scipy.interpolate import CubicHermiteSpline

        spline = CubicHermiteSpline(self.times, self.positions, self.velocities)
        return spline(times), spline(times, 1)


@dataclass(frozen=True)
class SlantImage:
    """An image whose rows are azimuth times and whose columns are slant ranges."""

    shape: tuple[int, int]  # Rows, columns.
    first_s: float  # Azimuth time of the centres of the first row, seconds on the orbit's clock.
    line_s: float  # Seconds per row.
    near_m: float  # Slant range of the centres of the first column, metres.
    spacing_m: float  # Metres per column.
    side: str  # "left" or "right" of the flight path.


@dataclass(frozen=True, eq=False)
class PolarImage:
    """An image formed by the polar format algorithm (SICD, NGA.STND.0024-3, section on PFA)."""

    shape: tuple[int, int]  # Rows, columns.
    at_s: float  # Time of the centre of the aperture, on the orbit's clock.
    reference: Array  # (3,) Earth-fixed position that the image was focused on, metres.
    centre: tuple[float, float]  # Row and column of that position, pixel centres being whole numbers.
    spacing: tuple[float, float]  # Metres per row and per column in the image plane.
    angle: tuple[float, float]
    """Polar angle (radians, from the direction of rising rows to that of rising columns) and its change per second."""
    scale: tuple[float, float]  # Spatial frequency scale factor and its change per radian at that angle.
    side: str  # "left" or "right" of the flight path.


def ground_points(
    position: Array, velocity: Array, distance: Array, side: str, height_m: Array | float, rate: Array | float = 0.0
) -> tuple[Array, Array]:
    """Longitude and latitude in degrees, (N,) each, of what the radar saw.

    Args:
        position: (N, 3) antenna, Earth-fixed, metres; `velocity` (N, 3) metres per second, `distance` (N,) metres.
        side: "left" or "right" of the flight path.
        height_m: height of the ground above the ellipsoid, one or (N,).
        rate: (N,) component of the velocity along the line of sight in metres per second (wavelength times Doppler
            frequency / 2); 0: zero Doppler.

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
    height = np.asarray(height_m, float)
    scale = np.stack([_A + height, _A + height, _B + height], axis=-1)
    # The look angle from nadir at which the ray's end lies on the ellipsoid: secant steps, monotonic in the angle.
    angle_0, angle_1 = np.full(len(reach), np.radians(10.0)), np.full(len(reach), np.radians(35.0))

    def seen(angle: Array) -> Array:
        ray = np.cos(angle)[:, None] * nadir + np.sin(angle)[:, None] * across
        return np.asarray(position + forward + reach[:, None] * ray)

    def miss(angle: Array) -> Array:
        return np.asarray(np.sum((seen(angle) / scale) ** 2, axis=1) - 1)

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
    return geodetic(seen(angle_1))[:2]


def slant_grid(
    orbit: Orbit, image: SlantImage, height_m: float, rate: Callable[[Array, Array], Array] | None = None
) -> ControlPoints:
    """Control points over a slant-range image, on ground of one height above the ellipsoid.

    `rate`: (slant range, seconds after the first row) -> component of the velocity along the line of sight, metres per
    second; None: zero Doppler.
    """
    rows, columns = lattice(image.shape)
    after, distance = (rows - 0.5) * image.line_s, image.near_m + (columns - 0.5) * image.spacing_m
    position, velocity = orbit.at(image.first_s + after)
    along = rate(distance, after) if rate is not None else 0.0
    return ControlPoints(columns, rows, *ground_points(position, velocity, distance, image.side, height_m, along))


def polar_grid(orbit: Orbit, image: PolarImage, height_m: float) -> ControlPoints:
    """Control points over a polar-format image, on ground of one height above the ellipsoid."""
    (angle, turning), (scale, stretching) = image.angle, image.scale
    rows, columns = lattice(image.shape)
    x, y = (rows - 0.5 - image.centre[0]) * image.spacing[0], (columns - 0.5 - image.centre[1]) * image.spacing[1]
    position, velocity = orbit.at(np.full(len(rows), image.at_s))
    sight = image.reference - position[0]
    distance = float(np.linalg.norm(sight))
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    rate = velocity[0] @ sight / distance - (stretching * along + scale * across) * turning
    ranges = distance + scale * along
    return ControlPoints(columns, rows, *ground_points(position, velocity, ranges, image.side, height_m, rate))


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


def at_height(
    orbit: Orbit, lons: Array, lats: Array, heights: Array, side: str, height_m: float
) -> tuple[Array, Array]:
    """Longitudes and latitudes (N,) at which the pixels of known places (N,), `heights` metres above the ellipsoid,
    would be seen on a surface of constant height: the same time of zero Doppler, the same distance.

    Raises:
        NoLocation: the orbit does not pass by.
    """
    earth_fixed = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    points = np.column_stack(earth_fixed.transform(lons, lats, heights))
    times = np.full(len(points), float(orbit.times.mean()))
    for _ in range(_NEWTON):
        position, velocity = orbit.at(times)
        step = np.sum(velocity * (points - position), axis=1) / np.sum(velocity**2, axis=1)
        times = times + step
    span = float(np.ptp(orbit.times))
    if not np.all(np.abs(step) < 1e-6) or np.any(np.abs(times - orbit.times.mean()) > 2 * span):
        raise NoLocation("The orbit of the metadata does not pass by the places of the image.")
    position, velocity = orbit.at(times)
    distance = np.linalg.norm(points - position, axis=1)
    there = ground_points(position, velocity, distance, side, height_m)
    # What the solution misses of a place (Newton's last step, the orbit's interpolation) is the same on both surfaces.
    here = ground_points(position, velocity, distance, side, heights)
    return lons + there[0] - here[0], lats + there[1] - here[1]
