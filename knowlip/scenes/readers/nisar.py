"""NISAR GCOV: geocoded polarimetric covariance, terrain-corrected backscatter on a map grid (HDF5).

Source: NASA SDS Product Specification, Level-2 Geocoded Polarimetric Covariance (JPL D-102274).
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import scene_id_of
from knowlip.scenes.readers.common import choose, require_data, require_end
from knowlip.scenes.readers.hdf5 import Hdf5Raster, dataset_at, group_at, holds, item_at, number_at, opened, text_at
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "NISAR GCOV"
_NAME = re.compile(r"NISAR_L\d_.*\.(h5|hdf5)", re.IGNORECASE)
_OTHER = re.compile(r"NISAR_L\d_.._(RSLC|GSLC)_.*", re.IGNORECASE)
"""Products that have a reader of their own."""
_POWER = re.compile(r"([HVRL][HV])\1")
_MASKED = (0, 255)
"""Values of the subswath mask: not valid, and outside of the image."""
_ORDER = ("VV", "VH", "HH", "HV")


def matches(path: Path) -> bool:
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    other = _OTHER.fullmatch(path.name)
    return (bool(_NAME.fullmatch(path.name)) and not other) or _holds_gcov(path)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation, of frequency A where it has it, else of frequency B.

    Power is gamma0 with the relief taken out; which quantity it is, is what the product says, whatever `quantity` asks.

    Raises:
        SceneError: not GCOV, truncated, without a map grid, or without the polarisation asked for.
        ValueError: h5py is not installed.
    """
    with opened(path) as file:
        scenes = _scenes(file, path, overrides)
    for scene in scenes:
        require_end(scene.raster)
        require_data(scene.raster)
    return scenes


def _scenes(file: Any, path: Path, overrides: SceneOverrides) -> list[Scene]:
    radar = next((name for name in ("LSAR", "SSAR") if group_at(file, f"science/{name}/GCOV/grids") is not None), None)
    if radar is None:
        raise UnknownFormat(f"{path} is no NISAR GCOV product; of NISAR, GCOV is read.")
    product, about = group_at(file, f"science/{radar}/GCOV"), group_at(file, f"science/{radar}/identification")
    layers = _layers(product)
    there = sorted(layers, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    chosen = choose(there, overrides, path)
    quantity = _quantity(product)
    date = text_at(about, "zeroDopplerStartTime")[:19]
    incidence, azimuth = _view(product)
    notes: tuple[str, ...] = ()
    if overrides.calibrate and overrides.quantity not in (quantity, "sigma0"):
        notes = (f"The product holds {quantity}, not {overrides.quantity}.",)
    scenes = []
    for polarisation in chosen:
        grid, values = layers[polarisation]
        # The diagonal of the covariance matrix is power already; the mask names what swaths and gaps leave empty.
        mask = dataset_at(grid, "mask", 2)
        name = mask.name if mask is not None and mask.shape == values.shape else ""
        raster = Hdf5Raster(path, "intensity", values.shape, str(values.dtype), math.nan, None, values.name, "", name)
        raster.masked = _MASKED
        scene = Scene(
            path=path,
            scene_id=scene_id_of(path) + (f"-{polarisation.lower()}" if len(chosen) > 1 else ""),
            raster=raster,
            geometry=map_grid(grid, values.shape, path),
            sensor=overrides.sensor or "nisar",
            band=overrides.band or radar[0],
            polarisation=polarisation,
            looks=_looks(grid),
            incidence_deg=incidence,
            look_azimuth_deg=azimuth,
            look_side=text_at(about, "lookDirection").lower(),
            orbit=text_at(about, "orbitPassDirection").lower(),
            date=date + "Z" if date else "",
            radiometry="calibrated" if overrides.calibrate else "relative",
            quantity=quantity if overrides.calibrate else "none",
            product_type="GCOV",
            projection="map",
            product=NAME,
            frequency_ghz=number_at(grid, "centerFrequency") / 1e9,
            notes=notes,
        )
        scenes.append(scene)
    return scenes


def _layers(product: Any) -> dict[str, tuple[Any, Any]]:
    """Polarisation -> grid and power, of frequency A where it is there."""
    layers: dict[str, tuple[Any, Any]] = {}
    for frequency in ("frequencyA", "frequencyB"):
        grid = group_at(product, f"grids/{frequency}")
        for name in grid or ():
            match, values = _POWER.fullmatch(name), dataset_at(grid, name, 2)
            if match and values is not None and values.dtype.kind == "f":
                layers.setdefault(match[1], (grid, values))
    return layers


def map_grid(grid: Any, shape: tuple[int, int], path: Path) -> AffineGeometry:
    """The grid's coordinates are those of pixel centres; the transform starts half a pixel before the first."""
    x, y = dataset_at(grid, "xCoordinates", 1), dataset_at(grid, "yCoordinates", 1)
    if x is None or y is None:
        raise NoLocation(f"{path} does not say on which map grid it lies: it has no coordinates.")
    x, y = np.asarray(x, float), np.asarray(y, float)
    try:
        projection = item_at(grid, "projection")
        crs = CRS.from_epsg(int(projection.attrs["epsg_code"] if "epsg_code" in projection.attrs else projection[()]))
    except (KeyError, TypeError, ValueError, AttributeError, CRSError) as error:
        raise NoLocation(f"{path} does not say on which map grid it lies ({error}).") from error
    if (len(y), len(x)) != shape or min(shape) < 2:
        raise DamagedProduct(f"{path}: its coordinates do not fit its raster of {shape[1]} x {shape[0]} pixels.")
    step_x, step_y = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    even = np.allclose(x, x[0] + step_x * np.arange(len(x)), atol=1e-3 * abs(step_x), rtol=0)
    even = even and np.allclose(y, y[0] + step_y * np.arange(len(y)), atol=1e-3 * abs(step_y), rtol=0)
    if not even or step_x == 0 or step_y == 0:
        raise DamagedProduct(f"{path}: its coordinates are not evenly spaced.")
    return AffineGeometry(crs, Affine(step_x, 0, x[0] - step_x / 2, 0, step_y, y[0] - step_y / 2))


def _quantity(product: Any) -> str:
    """Of the power; gamma0 unless the product's processing says otherwise."""
    parameters = group_at(product, "metadata/processingInformation/parameters")
    names: list[str] = []
    if parameters is not None:
        parameters.visit(names.append)
    names = [name for name in names if name.endswith("outputBackscatterNormalizationConvention")]
    said = [text_at(parameters, name).lower() for name in names]
    return next((name for name in ("gamma0", "sigma0", "beta0") if any(name in text for text in said)), "gamma0")


def _view(product: Any) -> tuple[float, float]:
    """Incidence angle and direction of view in degrees at the middle of the radar grid's layer nearest to height 0."""
    cube = group_at(product, "metadata/radarGrid")
    heights = dataset_at(cube, "heightAboveEllipsoid", 1)
    level = int(np.abs(np.asarray(heights, float)).argmin()) if heights is not None and len(heights) else 0

    def middle(name: str) -> float:
        values = dataset_at(cube, name, 3)
        if values is None or level >= len(values):
            return math.nan
        layer = np.asarray(values[level], float)
        rows, columns = layer.shape
        part = layer[rows // 3 : -(-rows * 2 // 3), columns // 3 : -(-columns * 2 // 3)]
        return float(np.nanmean(part)) if np.isfinite(part).any() else math.nan

    # Unit vectors point from the ground to the radar, in a local frame of east, north and up.
    east, north = middle("losUnitVectorX"), middle("losUnitVectorY")
    return middle("incidenceAngle"), math.degrees(math.atan2(-east, -north)) % 360


def _looks(grid: Any) -> float:
    values = dataset_at(grid, "numberOfLooks", 2)
    if values is None:
        looks = number_at(grid, "numberOfLooks")
        return looks if looks > 0 else 0.0
    rows, columns = values.shape
    part = np.asarray(values[rows // 2 : rows // 2 + 64, columns // 2 : columns // 2 + 64], float)
    part = part[np.isfinite(part) & (part > 0)]
    return float(np.median(part)) if part.size else 0.0


def _holds_gcov(path: Path) -> bool:
    """Whether a renamed file is GCOV; only looked at where h5py is installed."""
    return holds(
        path, lambda file: any(group_at(file, f"science/{radar}/GCOV") is not None for radar in ("LSAR", "SSAR"))
    )
