"""NISAR single-look complex products: RSLC on the radar grid, GSLC on a map grid (HDF5). Files that other missions make
in this layout (UAVSAR, ALOS) are read too; where the group is still called SLC, in relative power.

The power of a pixel is beta0: GCOV is made of these pixels by taking |DN|^2 for it. sigma0 = beta0 * sin(incidence),
with the angle on the ellipsoid from the product's geolocation grid.

Sources: NASA SDS Product Specification, Level-1 RSLC (JPL D-102268) and Level-2 GSLC (JPL D-102269); ISCE3 (gcov).
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.calibration import Radiometry, Table
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, SlantRange, UnknownFormat
from knowlip.scenes.geometry import Geometry, slices
from knowlip.scenes.names import second_of, word_of
from knowlip.scenes.orbit import Orbit, SlantImage, seconds, slant_grid
from knowlip.scenes.quantities import conversion
from knowlip.scenes.readers.common import choose, require_end
from knowlip.scenes.readers.described import SceneFacts, described
from knowlip.scenes.readers.hdf5 import (
    Hdf5Raster,
    dataset_at,
    group_at,
    holds,
    number_at,
    opened,
    pixels_at,
    text_at,
)
from knowlip.scenes.readers.nisar import map_grid
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "NISAR SLC"
_NAME = re.compile(r"NISAR_L\d_.._(RSLC|GSLC)_.*\.(h5|hdf5)", re.IGNORECASE)
_KINDS = ("RSLC", "GSLC", "SLC")
_POLE = re.compile(r"[HVRL][HV]")
_ORDER = ("VV", "VH", "HH", "HV")
_SINCE = re.compile(r"seconds since (\d{4}-\d\d-\d\d[T ][\d:.]+)")
_MOST_SWATHS = 5


@dataclass
class SwathRaster(Hdf5Raster):
    """Complex pixels of which only some columns of a line were seen."""

    seen: tuple[np.ndarray, ...] = field(default=(), repr=False)
    """Of each subswath (rows, 2): first column and the one after the last."""

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        values, valid = super().values(window)
        if self.seen:
            rows, columns = slices(window)
            at = np.arange(columns.start, columns.stop)[None, :]
            inside = [(part[rows, :1] <= at) & (at < part[rows, 1:]) for part in self.seen]
            covered = np.logical_or.reduce(inside)
            valid = covered if valid is None else valid & covered
        return values, valid


def matches(path: Path) -> bool:
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    return bool(_NAME.fullmatch(path.name)) or _holds_slc(path)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation, of frequency A where it has it, else of frequency B.

    Raises:
        SceneError: neither RSLC nor GSLC, truncated, without orbit or map grid, or without the polarisation asked for.
        ValueError: h5py is not installed.
    """
    with opened(path) as file:
        radar, kind = _kind_in(file)
        if not kind:
            raise UnknownFormat(f"{path} is no NISAR product of complex pixels (RSLC, GSLC).")
        product, about = group_at(file, f"science/{radar}/{kind}"), group_at(file, f"science/{radar}/identification")
        layers = _layers(product, "grids" if kind == "GSLC" else "swaths")
        there = sorted(layers, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
        chosen = choose(there, overrides, path)
        made = [_parts(path, radar, kind, product, about, name, *layers[name], overrides) for name in chosen]
    scenes = []
    for raster, facts, geometry in made:
        require_end(raster)
        scenes.append(described(path, raster, facts, overrides, len(chosen) > 1, (path,), geometry))
    return scenes


def _kind_in(file: Any) -> tuple[str, str]:
    for radar in ("LSAR", "SSAR"):
        for kind in _KINDS:
            inside = "grids" if kind == "GSLC" else "swaths"
            if group_at(file, f"science/{radar}/{kind}/{inside}") is not None:
                return radar, kind
    return "", ""


def _layers(product: Any, inside: str) -> dict[str, tuple[Any, Any]]:
    """Polarisation -> group of its frequency and pixels, of frequency A where it is there."""
    layers: dict[str, tuple[Any, Any]] = {}
    for frequency in ("frequencyA", "frequencyB"):
        group = group_at(product, f"{inside}/{frequency}")
        for name in group or ():
            pixels = pixels_at(group, name) if _POLE.fullmatch(name) else None
            if pixels is not None and (pixels.dtype.names or pixels.dtype.kind == "c"):
                layers.setdefault(name, (group, pixels))
    return layers


def _parts(
    path: Path,
    radar: str,
    kind: str,
    product: Any,
    about: Any,
    name: str,
    group: Any,
    pixels: Any,
    overrides: SceneOverrides,
) -> tuple[SwathRaster, SceneFacts, Geometry]:
    """Raster, facts and geometry of one polarisation, while the file is open."""
    shape = int(pixels.shape[0]), int(pixels.shape[1])
    raster = SwathRaster(path, "complex", shape, "complex64", math.nan, None, pixels.name)
    side = word_of(text_at(about, "lookDirection"), "left", "right")
    angles = _angles(product, kind)
    notes: tuple[str, ...] = ()
    geometry: Geometry
    # The radar grid needs an orbit; a map grid has its coordinates, and looks that are gone with the grid's axes.
    if kind == "GSLC":
        geometry, azimuth = map_grid(group, shape, path), math.nan
    else:
        raster.seen = _seen(group, shape)
        points = _slant_points(path, product, group, shape, side, overrides)
        geometry, azimuth = points, points.first_line_azimuth()
        if overrides.height_m is None:
            notes = ("Placed at the height of the ellipsoid; say the height of the ground by --read.height_m.",)
    middle = float(np.nanmedian(angles[1])) if angles is not None else math.nan
    if overrides.calibrate and kind == "RSLC":
        raster.calibration = _calibration(group, angles, shape[1], path, overrides)
        if raster.calibration.quantity != overrides.quantity:
            notes += ("The product holds no incidence angles, so it is read as beta0.",)
    mission = text_at(about, "missionId")
    facts = SceneFacts(
        product=NAME,
        name=path.stem,
        sensor="nisar" if mission.upper().startswith("NISAR") else mission.lower() if mission.isalpha() else "nisar",
        unit=mission if mission[:1].isalpha() else "",
        band=radar[0],
        polarisation=name,
        quantity="" if kind == "SLC" else "beta0",
        why="its layout is older than the specification, which makes its power beta0",
        factor=1.0,
        date=second_of(text_at(about, "zeroDopplerStartTime")),
        orbit=word_of(text_at(about, "orbitPassDirection"), "ascending", "descending"),
        look_side=side,
        look_azimuth_deg=azimuth,
        incidence_deg=middle,
        product_type="RSLC" if kind == "SLC" else kind,
        projection="map" if kind == "GSLC" else "slant",
        looks=1.0,
        frequency_ghz=(_first(group, "processedCenterFrequency", "centerFrequency")) / 1e9,
        notes=notes,
    )
    return raster, facts, geometry


def _first(group: Any, *names: str) -> float:
    values = [number_at(group, name) for name in names]
    return next((value for value in values if math.isfinite(value)), math.nan)


def _seen(group: Any, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Columns that each subswath saw, where the product says so for every line."""
    found = []
    for number in range(1, _MOST_SWATHS + 1):
        part = dataset_at(group, f"validSamplesSubSwath{number}", 2)
        if part is not None and part.shape == (shape[0], 2):
            found.append(np.asarray(part, np.int64))
    return tuple(found) if any(np.any(part[:, 1] > part[:, 0]) for part in found) else ()


def _epoch(dataset: Any, path: Path) -> str:
    """The time that a dataset of seconds counts from.

    Raises:
        DamagedProduct: its units do not say so.
    """
    units = dataset.attrs.get("units", b"")
    text = units.decode("utf-8", "replace") if isinstance(units, bytes) else str(units)
    match = _SINCE.match(text)
    if match is None:
        raise DamagedProduct(f"{path}: {dataset.name} does not say since when its seconds count.")
    return match[1]


def _slant_points(
    path: Path, product: Any, group: Any, shape: tuple[int, int], side: str, overrides: SceneOverrides
) -> ControlPoints:
    """Zero-Doppler range-Doppler projection on one height.

    Raises:
        SlantRange: there is no orbit, or axes do not fit the pixels.
    """
    orbit = group_at(product, "metadata/orbit")
    vectors = [dataset_at(orbit, name, 2) for name in ("position", "velocity")]
    times, lines = dataset_at(orbit, "time", 1), dataset_at(product, "swaths/zeroDopplerTime", 1)
    ranges = dataset_at(group, "slantRange", 1)
    if any(item is None for item in (*vectors, times, lines, ranges)) or side not in ("left", "right"):
        raise SlantRange(f"{path} is in slant range and lacks orbit, times, ranges or look direction to place it by.")
    if (len(lines), len(ranges)) != shape or min(shape) < 2:
        raise SlantRange(f"{path}: its times and ranges do not fit its {shape[1]} x {shape[0]} pixels.")
    line, away = np.asarray(lines, float), np.asarray(ranges, float)
    steps = (line[-1] - line[0]) / (shape[0] - 1), (away[-1] - away[0]) / (shape[1] - 1)
    first = line[0] + seconds(_epoch(lines, path), _epoch(times, path))
    track = Orbit(np.asarray(times, float), *(np.asarray(vector, float) for vector in vectors))
    grid = SlantImage(shape, first, float(steps[0]), float(away[0]), float(steps[1]), side)
    return slant_grid(track, grid, 0.0 if overrides.height_m is None else overrides.height_m)


def _angles(product: Any, kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Slant ranges (N,) and incidence angles (N,) in degrees at the height nearest to 0; of GSLC, whose cube lies on
    the map, only the angles."""
    cube = group_at(product, "metadata/radarGrid" if kind == "GSLC" else "metadata/geolocationGrid")
    angles, heights = dataset_at(cube, "incidenceAngle", 3), dataset_at(cube, "heightAboveEllipsoid", 1)
    if angles is None or heights is None or len(heights) != len(angles):
        return None
    layer = np.asarray(angles[int(np.abs(np.asarray(heights, float)).argmin())], float)
    if kind == "GSLC":
        return np.zeros(0), layer[np.isfinite(layer)]
    ranges = dataset_at(cube, "slantRange", 1)
    known = np.isfinite(layer).any(axis=0)
    if ranges is None or len(ranges) != layer.shape[1] or not known.any():
        return None
    return np.asarray(ranges, float)[known], np.nanmean(layer[:, known], axis=0)


def _calibration(
    group: Any, angles: tuple[np.ndarray, np.ndarray] | None, width: int, path: Path, overrides: SceneOverrides
) -> Radiometry:
    """From beta0 by the incidence angle of every column; what the default asks and the product cannot give stays beta0.

    Raises:
        NotCalibrated: gamma0 is demanded, and no angle is known.
    """
    columns = np.linspace(0, width - 1, min(width, 33))
    wanted = overrides.quantity
    if angles is None and wanted != "beta0":
        if wanted != "sigma0":
            raise NotCalibrated(f"{path} holds beta0 and no incidence angles; read it with --read.quantity beta0.")
        wanted = "beta0"
    if angles is None or wanted == "beta0":
        return Radiometry("beta0", Table(np.zeros(1), np.array([0.0, width - 1.0]), np.ones((1, 2))))
    ranges = np.asarray(dataset_at(group, "slantRange", 1), float)
    at = np.interp(columns, np.arange(width), ranges)
    theta = np.interp(at, *angles)
    return Radiometry(wanted, Table(np.zeros(1), columns, conversion("beta0", wanted, theta, path)[None, :]))


def _holds_slc(path: Path) -> bool:
    """Whether a renamed file is RSLC or GSLC; only looked at where h5py is installed."""
    return holds(path, lambda file: bool(_kind_in(file)[1]))
