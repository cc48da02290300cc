"""NISAR GCOV: geocoded polarimetric covariance, terrain-corrected backscatter on a map grid (HDF5).

Source: NASA SDS Product Specification, Level-2 Geocoded Polarimetric Covariance (JPL D-102274).
"""

import importlib.util
import math
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import scene_id_of
from knowlip.scenes.raster import Raster
from knowlip.scenes.readers.choose import choose
from knowlip.scenes.readers.complete import require_end
from knowlip.scenes.readers.geotiff import require_data
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "NISAR GCOV"
_NAME = re.compile(r"NISAR_L\d_.*\.(h5|hdf5)", re.IGNORECASE)
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_POWER = re.compile(r"([HVRL][HV])\1")
_LOCK = threading.Lock()
"""The HDF5 library serves one thread at a time."""


@dataclass
class Hdf5Raster(Raster):
    """A two-dimensional dataset of an HDF5 file."""

    dataset: str = ""
    """Path inside the file."""
    mask: str = ""
    """Path of the subswath mask: 0 is invalid, 255 outside; "" where there is none."""
    _handle: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def close(self) -> None:
        with _LOCK:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        rows = slice(int(window.row_off), int(window.row_off + window.height))
        columns = slice(int(window.col_off), int(window.col_off + window.width))
        try:
            with _LOCK:
                if self._handle is None:
                    self._handle = _h5py().File(self.path, "r")
                values = self._handle[self.dataset][rows, columns]
                mask = self._handle[self.mask][rows, columns] if self.mask else None
        except (OSError, KeyError, RuntimeError) as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
        valid = np.isfinite(values)
        if mask is not None:
            valid &= (mask != 0) & (mask != 255)
        return values, valid


def matches(path: Path) -> bool:
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    return bool(_NAME.fullmatch(path.name)) or _holds_gcov(path)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation, of frequency A where it has it, else of frequency B.

    Power is gamma0 with the relief taken out; which quantity it is, is what the product says, whatever `quantity` asks.

    Raises:
        SceneError: not GCOV, truncated, without a map grid, or without the polarisation asked for.
        ValueError: h5py is not installed.
    """
    h5py = _h5py()
    try:
        with _LOCK, h5py.File(path, "r") as file:
            scenes = _scenes(file, path, overrides)
    except (OSError, KeyError, RuntimeError) as error:
        raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error
    for scene in scenes:
        require_end(scene.raster)
        require_data(scene.raster)
        scene.raster.close()
    return scenes


def _scenes(file: Any, path: Path, overrides: SceneOverrides) -> list[Scene]:
    radar = next((name for name in ("LSAR", "SSAR") if f"science/{name}/GCOV/grids" in file), None)
    if radar is None:
        raise UnknownFormat(f"{path} is no NISAR GCOV product; of NISAR, GCOV is read.")
    product, about = file[f"science/{radar}/GCOV"], file.get(f"science/{radar}/identification", {})
    layers: dict[str, tuple[Any, str]] = {}
    for frequency in ("frequencyA", "frequencyB"):
        grid = product["grids"].get(frequency)
        for name in grid or ():
            match = _POWER.fullmatch(name)
            if match:
                layers.setdefault(match[1], (grid, name))
    order = ["VV", "VH", "HH", "HV"]
    there = sorted(layers, key=lambda name: (order.index(name) if name in order else 9, name))
    chosen = choose(there, overrides, path)
    quantity = _quantity(product)
    date = _text(about.get("zeroDopplerStartTime"))[:19]
    notes: tuple[str, ...] = ()
    if overrides.calibrate and quantity != overrides.quantity and overrides.quantity != "sigma0":
        notes = (f"The product holds {quantity}, not {overrides.quantity}.",)
    scenes = []
    for polarisation in chosen:
        grid, name = layers[polarisation]
        values = grid[name]
        geometry = _geometry(grid, values.shape, path)
        mask = grid.get("mask")
        use_mask = mask is not None and mask.shape == values.shape
        raster = Hdf5Raster(
            path, "intensity", values.shape, str(values.dtype), math.nan, dataset=values.name,
            mask=mask.name if use_mask else "",
        )  # fmt: skip
        incidence, azimuth = _view(product)
        scenes.append(Scene(
            path=path,
            scene_id=scene_id_of(path) + (f"-{polarisation.lower()}" if len(chosen) > 1 else ""),
            raster=raster,
            geometry=geometry,
            sensor=overrides.sensor or "nisar",
            band=overrides.band or radar[0],
            polarisation=polarisation,
            looks=_looks(grid),
            incidence_deg=incidence,
            look_azimuth_deg=azimuth,
            look_side=_text(about.get("lookDirection")).lower(),
            orbit=_text(about.get("orbitPassDirection")).lower(),
            date=date + "Z" if date else "",
            radiometry="calibrated" if overrides.calibrate else "relative",
            quantity=quantity if overrides.calibrate else "none",
            mode="",
            product_type="GCOV",
            projection="map",
            product=NAME,
            frequency_ghz=_number(grid.get("centerFrequency")) / 1e9,
            notes=notes,
        ))  # fmt: skip
    return scenes


def _geometry(grid: Any, shape: tuple[int, int], path: Path) -> AffineGeometry:
    """The grid's coordinates are those of pixel centres; the transform starts half a pixel before the first."""
    try:
        x, y = np.asarray(grid["xCoordinates"], float), np.asarray(grid["yCoordinates"], float)
        projection = grid["projection"]
        code = int(projection.attrs["epsg_code"]) if "epsg_code" in projection.attrs else int(projection[()])
        crs = CRS.from_epsg(code)
    except (KeyError, TypeError, ValueError, CRSError) as error:
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
    found = []

    def look(name: str, item: Any) -> None:
        if name.rpartition("/")[2] == "outputBackscatterNormalizationConvention":
            found.append(_text(item).lower())

    parameters = product.get("metadata/processingInformation/parameters")
    if parameters is not None:
        parameters.visititems(look)
    return next((name for name in ("gamma0", "sigma0", "beta0") if found and name in found[0]), "gamma0")


def _view(product: Any) -> tuple[float, float]:
    """Incidence angle and direction of view in degrees at the middle of the radar grid's lowest layer."""
    cube = product.get("metadata/radarGrid")
    if cube is None or "incidenceAngle" not in cube:
        return math.nan, math.nan

    def middle(name: str) -> float:
        values = cube.get(name)
        if values is None or values.ndim != 3:
            return math.nan
        heights = np.asarray(cube["heightAboveEllipsoid"]) if "heightAboveEllipsoid" in cube else np.zeros(1)
        layer = np.asarray(values[min(int(np.abs(heights).argmin()), len(values) - 1)], float)
        part = layer[
            layer.shape[0] // 3 : -(-layer.shape[0] * 2 // 3), layer.shape[1] // 3 : -(-layer.shape[1] * 2 // 3)
        ]
        return float(np.nanmean(part)) if np.isfinite(part).any() else math.nan

    # Unit vectors point from the ground to the radar, in a local frame of east, north and up.
    east, north = middle("losUnitVectorX"), middle("losUnitVectorY")
    return middle("incidenceAngle"), math.degrees(math.atan2(-east, -north)) % 360


def _looks(grid: Any) -> float:
    values = grid.get("numberOfLooks")
    if values is None:
        return 0.0
    if values.ndim == 2:
        rows, columns = values.shape
        part = np.asarray(values[rows // 2 : rows // 2 + 64, columns // 2 : columns // 2 + 64], float)
    else:
        part = np.asarray(values[()], float)
    part = part[np.isfinite(part) & (part > 0)]
    return float(np.median(part)) if part.size else 0.0


def _text(item: Any) -> str:
    """A string dataset; "" where it is absent."""
    if item is None:
        return ""
    value = item[()]
    return value.decode("utf-8", "replace").strip("\x00 ") if isinstance(value, bytes) else str(value)


def _number(item: Any) -> float:
    return math.nan if item is None else float(item[()])


def _holds_gcov(path: Path) -> bool:
    """Whether a renamed file is GCOV; only looked at where h5py is installed."""
    with path.open("rb") as stream:
        if stream.read(8) != _SIGNATURE:
            return False
    if importlib.util.find_spec("h5py") is None:
        return False
    try:
        with _LOCK, _h5py().File(path, "r") as file:
            return any(f"science/{radar}/GCOV" in file for radar in ("LSAR", "SSAR"))
    except (OSError, RuntimeError):
        return False


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ValueError("NISAR products need h5py; install it with: pip install 'knowlip[sicd]'.") from None
    return h5py
