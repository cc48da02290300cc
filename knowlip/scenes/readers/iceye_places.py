"""Where the pixels of an ICEYE product lie: through its orbit (SLC), its orbit and ground-range polynomial (GRD), the
control points of its TIFF, whose heights are those of the terrain, or the four corners of its metadata.

Source: ICEYE Product Documentation, sections on metadata (GRSR_Coefficients, Incidence_Angle_Coefficients) and GRD.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Transformer

from knowlip.scenes.control import ControlPoints, lattice
from knowlip.scenes.errors import NoLocation, SlantRange
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, SlantImage, ground_points, seconds, slant_grid
from knowlip.scenes.quantities import finite
from knowlip.scenes.readers.common import BY_CORNERS
from knowlip.scenes.readers.geotiff import Header, geometry_of
from knowlip.scenes.readers.relief import TerrainPoints, relief_note, to_height
from knowlip.scenes.scene import SceneOverrides

Facts = dict[str, Any]
_FARTHEST_M = 10.0
_LOWEST_M, _HIGHEST_M = -600.0, 9000.0
"""A grid of orbit and polynomials is believed where it meets the four corners of the metadata, which lie on the
terrain, as closely as this at some height of the Earth's surface."""
_STEP_M = 100.0
_MOST_ORDER = 12
_ONE_HEIGHT = (
    "Placed by its orbit at one height ({:.0f} m): ground 100 m higher lies {:.0f} m further from the radar; its "
    "corners lie at {:.0f} to {:.0f} m. Give a height model (--read.dem) where relief matters."
)


@dataclass(frozen=True)
class IceyePlaces:
    """Where pixels lie."""

    geometry: Geometry
    smooth: ControlPoints | None = None  # The control points at one height, where the terrain is in them.
    heights: np.ndarray | None = None  # Of the terrain at the control points.
    notes: tuple[str, ...] = ()

    def relief(self, pixel_m: float) -> tuple[str, ...]:
        """A note of what relief does to the places."""
        if self.heights is None or not isinstance(self.geometry, ControlPoints) or self.geometry is self.smooth:
            return ()
        return relief_note(self.heights, self.geometry.residual_m, pixel_m)


def places_of(
    image: Path, header: Header | None, facts: Facts, shape: tuple[int, int], slant: bool, overrides: SceneOverrides
) -> IceyePlaces:
    """The best place that a product states, see the module.

    Raises:
        SlantRange, NoLocation: none can be used.
    """
    if header is not None:
        geometry: Geometry | None = None
        with suppress(NoLocation):  # the metadata may say
            geometry = geometry_of(header, image, overrides)
        if isinstance(geometry, AffineGeometry):
            return IceyePlaces(geometry)
        if isinstance(geometry, ControlPoints) and not slant:
            return _terrain_points(header, geometry, facts, overrides)
        if geometry is not None:
            return IceyePlaces(geometry)
    if slant and "posx" in facts:
        return IceyePlaces(_from_orbit(image, facts, shape, overrides))
    corners = corners_of(facts)
    why = ""
    level = finite(facts.get("avg_scene_height")) if overrides.height_m is None else overrides.height_m
    known = "posx" in facts and polynomial_of(facts, "grsr_coefficients") and np.isfinite(level)
    if not slant and known and corners is not None:
        grid = _ground_grid(image, facts, shape, corners, level)
        missed, heights, step = _missed(grid, _ground_grid(image, facts, shape, corners, level + _STEP_M), corners)
        heights += level
        if missed <= _FARTHEST_M and heights.min() > _LOWEST_M and heights.max() < _HIGHEST_M:
            one = (
                "" if overrides.height_m is not None else _ONE_HEIGHT.format(level, step, heights.min(), heights.max())
            )
            return IceyePlaces(grid, notes=tuple(filter(None, [one])))
        why = f" Orbit and ground-range polynomial do not meet these corners (off by {missed:.0f} m): not used."
    if corners is None:
        raise (SlantRange if slant else NoLocation)(
            f"{image} has neither control points nor an orbit nor four corners in its metadata, so it cannot be placed."
        )
    columns, rows, lats, lons = _corner_points(corners)
    return IceyePlaces(ControlPoints(columns, rows, lons, lats), notes=(BY_CORNERS.format("") + why,))


def numbers_of(value: Any) -> list[float]:
    """Numbers of an array, a list, or a text such as "[1, 2, 3.5]"; [] where one of them is none: leaving it out would
    give its place to the next."""
    if isinstance(value, str):
        if re.search(r"nan|inf|null|none", value, re.IGNORECASE):
            return []
        return [float(number) for number in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", value)]
    try:
        numbers = [finite(number) for number in np.ravel(value)] if value is not None else []
    except ValueError:  # lists of different lengths
        return []
    return numbers if np.all(np.isfinite(numbers)) else []


def corners_of(facts: Facts) -> dict[str, list[float]] | None:
    """Corner -> column, row, latitude, longitude as stated; None where one is missing."""
    names = ("first_near", "first_far", "last_near", "last_far")
    found = {name: numbers_of(facts.get(f"coord_{name}")) for name in names}
    return found if all(len(values) == 4 for values in found.values()) else None


def polynomial_of(facts: Facts, name: str) -> list[float]:
    """Coefficients, of rising powers of the ground range in metres; [] where there are none."""
    found = numbers_of(facts.get(name))
    return found if len(found) <= _MOST_ORDER else []


def angles_of(facts: Facts, width: int, slant: bool) -> np.ndarray:
    """Incidence angle of every column in degrees, (width,) or (1,) where only one is known; NaN: unknown.

    By column where the product says so, else by the polynomial of the ground range, else between the angles near and
    far; one stated for the centre counts only where it lies between these (`incidence_center` of some products is the
    angle that was ordered)."""
    local = numbers_of(facts.get("local_incidence_angle"))
    if len(local) == width:
        return np.array(local)
    corners = corners_of(facts)
    mirrored = corners is not None and corners["first_near"][0] > corners["first_far"][0]
    spacing, terms = finite(facts.get("range_spacing")), polynomial_of(facts, "incidence_angle_coefficients")
    near, centre, far = (finite(_text(facts, f"incidence_{place}")) for place in ("near", "center", "far"))
    if terms and not slant and spacing > 0:
        away = np.arange(width) * spacing - finite(facts.get("incidence_angle_ground_range_origin", 0.0))
        angles = np.polynomial.polynomial.polyval(away, terms)
        if np.all((angles > 0) & (angles < 90)):
            return np.asarray(angles[::-1] if mirrored else angles)
    if np.isfinite(near) and np.isfinite(far):
        inside = np.isfinite(centre) and min(near, far) < centre < max(near, far)
        ends = np.array([near, centre, far] if inside else [near, far])
        angles = np.interp(np.linspace(0, 1, width), np.linspace(0, 1, len(ends)), ends)
        return np.asarray(angles[::-1] if mirrored else angles)
    return np.array([centre])


def _text(facts: Facts, name: str) -> str:
    value = facts.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value).strip()


def _corner_points(corners: dict[str, list[float]]) -> tuple[np.ndarray, ...]:
    """Columns, rows (outer-corner convention), latitudes and longitudes of the corners."""
    points = np.array(list(corners.values()))
    first = points[:, :2].min()  # columns and rows count from 1 in most products, from 0 in some; both name centres
    return points[:, 0] - first + 0.5, points[:, 1] - first + 0.5, points[:, 2], points[:, 3]


def _terrain_points(header: Header, points: ControlPoints, facts: Facts, overrides: SceneOverrides) -> IceyePlaces:
    """Control points of the TIFF. They count from the centre of the first pixel where the last one is that of the
    corners of the metadata; with slant ranges and angles they are brought to one height, which tells whether they
    belong together."""
    corners = corners_of(facts)
    if corners is not None:
        first = min(value[0] for value in corners.values())
        last = max(value[0] for value in corners.values()) - first
        if abs(float(np.max(points.columns)) - last) < 0.25 and abs(float(np.min(points.columns))) < 0.25:
            points = ControlPoints(points.columns + 0.5, points.rows + 0.5, points.lons, points.lats)
    heights = np.array([gcp.z or 0.0 for gcp in header.gcps], float)
    grsr, spacing = polynomial_of(facts, "grsr_coefficients"), finite(facts.get("range_spacing"))
    if not grsr or corners is None or not spacing > 0 or (np.ptp(heights) < 1 and overrides.height_m is None):
        return IceyePlaces(points)
    width = int(max(value[0] for value in corners.values()))
    mirrored = corners["first_near"][0] > corners["first_far"][0]
    away = (width - 0.5 - points.columns if mirrored else points.columns - 0.5) * spacing
    slant = np.polynomial.polynomial.polyval(away - finite(facts.get("grsr_ground_range_origin", 0.0)), grsr)
    angles = angles_of(facts, width, slant=False)
    angle = np.interp(points.columns - 0.5, np.arange(len(angles)), angles)
    level = float(np.median(heights)) if overrides.height_m is None else overrides.height_m
    terrain = TerrainPoints(points.columns, np.round(points.rows, 1), points.lons, points.lats, heights, angle, slant)
    lons, lats = to_height(terrain, look_azimuth_of(corners), level)
    smooth = ControlPoints(points.columns, points.rows, lons, lats)
    return IceyePlaces(points if overrides.height_m is None else smooth, smooth, heights)


def look_azimuth_of(corners: dict[str, list[float]]) -> float:
    """Direction from the near to the far corner of the first line, clockwise from north."""
    near, far = corners["first_near"], corners["first_far"]
    return float(GEOD.inv(near[3], near[2], far[3], far[2])[0] % 360)


def _orbit(facts: Facts) -> tuple[Orbit, str]:
    """The orbit, and the UTC time that its clock counts from."""
    stamps = facts["state_vector_time_utc"]
    stamps = re.findall(r"\d{4}-\d\d-\d\d[T ][\d:.]+", stamps) if isinstance(stamps, str) else list(map(str, stamps))
    times = np.array([seconds(stamp, stamps[0]) for stamp in stamps])
    positions = np.column_stack([numbers_of(facts[f"pos{axis}"]) for axis in "xyz"])
    velocities = np.column_stack([numbers_of(facts[f"vel{axis}"]) for axis in "xyz"])
    return Orbit(times, positions, velocities), stamps[0]


def _height(facts: Facts, overrides: SceneOverrides) -> float:
    return float(facts["avg_scene_height"]) if overrides.height_m is None else overrides.height_m


def _from_orbit(image: Path, facts: Facts, shape: tuple[int, int], overrides: SceneOverrides) -> ControlPoints:
    """Zero-Doppler range-Doppler projection of an SLC; refused where the metadata lack something for it."""
    try:
        orbit, epoch = _orbit(facts)
        first, line = seconds(_text(facts, "zerodoppler_start_utc"), epoch), float(facts["azimuth_time_interval"])
        near, spacing = float(facts["first_pixel_time"]), LIGHT_M_S / (2 * float(facts["range_sampling_rate"]))
        side = _text(facts, "look_side").lower()
        grid = SlantImage(shape, first, line, near * LIGHT_M_S / 2, spacing, side)
        return slant_grid(orbit, grid, _height(facts, overrides))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SlantRange(f"{image} is in slant range and its orbit cannot be used ({error}).") from error


def _ground_grid(
    image: Path, facts: Facts, shape: tuple[int, int], corners: dict[str, list[float]], height_m: float
) -> ControlPoints:
    """Rows are zero-Doppler times, columns ground ranges whose polynomial gives the slant range; which end of each is
    first, the corners tell (`data_orientation` "native" or "shadows_down")."""
    try:
        orbit, epoch = _orbit(facts)
        first, line = seconds(_text(facts, "zerodoppler_start_utc"), epoch), float(facts["azimuth_time_interval"])
        spacing, origin = float(facts["range_spacing"]), float(facts.get("grsr_ground_range_origin", 0.0))
        rows, columns = lattice(shape)
        before, away = rows - 0.5, columns - 0.5
        if corners["first_near"][0] > corners["first_far"][0]:
            away = shape[1] - 0.5 - columns
        if corners["first_near"][1] > corners["last_near"][1]:
            before = shape[0] - 0.5 - rows
        terms = polynomial_of(facts, "grsr_coefficients")
        distance = np.polynomial.polynomial.polyval(away * spacing - origin, terms)
        position, velocity = orbit.at(first + before * line)
        side = _text(facts, "look_side").lower()
        places = ground_points(position, velocity, distance, side, height_m)
        return ControlPoints(columns, rows, *places)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NoLocation(f"{image}: its orbit and ground-range polynomial cannot be used ({error}).") from error


def _missed(
    grid: ControlPoints, higher: ControlPoints, corners: dict[str, list[float]]
) -> tuple[float, np.ndarray, float]:
    """How the corners of the metadata are met: the largest distance in metres from the line on which a pixel moves with
    the height of the ground, how much higher (4,) than `grid` the corners lie there, and metres moved on that line by
    `_STEP_M` of height in the mean. `higher`: the grid that much higher."""
    columns, rows, lats, lons = _corner_points(corners)
    to_plane = Transformer.from_crs(4326, grid.crs, always_xy=True).transform
    here = np.column_stack(grid.forward(columns, rows))
    there = Transformer.from_crs(higher.crs, 4326, always_xy=True).transform(*higher.forward(columns, rows))
    moved = np.column_stack(to_plane(*there)) - here
    left = np.column_stack(to_plane(lons, lats)) - here
    length = np.linalg.norm(moved, axis=1)
    share = np.sum(left * moved, axis=1) / length**2
    beside = np.linalg.norm(left - share[:, None] * moved, axis=1)
    return float(beside.max()), share * _STEP_M, float(length.mean())
