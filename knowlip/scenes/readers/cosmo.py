"""COSMO-SkyMed of both generations in HDF5: single-look complex (SCS), detected on the ground (DGM, MDG) and geocoded
images (GEC, GTC).

Power becomes sigma0 = DN^2 * Rref^(2 Rexp) * sin(alpha_ref) / (F^2 * K), each factor only where the product's flags say
that it was compensated for: reference slant range and its exponent, reference incidence angle, rescaling factor, and
calibration constant. Without the incidence angle compensated it is beta0.

Source: COSMO-SkyMed Mission and Products Description, SAR Products Handbook and image calibration note (ASI).
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from knowlip.scenes.calibration import Radiometry, Table
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation, SlantRange, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry, Geometry
from knowlip.scenes.names import second_of, word_of
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, SlantImage, slant_grid
from knowlip.scenes.quantities import conversion
from knowlip.scenes.readers.common import BY_CORNERS, choose, require_end
from knowlip.scenes.readers.described import SceneFacts, described
from knowlip.scenes.readers.hdf5 import Hdf5Raster, group_at, holds, opened, pixels_at
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "COSMO-SkyMed"
_NAME = re.compile(r"(CSKS\d_|CSG_SSAR\d_).*\.h5", re.IGNORECASE)
_IMAGES = ("SBI", "MBI", "IMG")
_SWATH = re.compile(r"S\d\d")
_CORNERS = ("Top Left", "Top Right", "Bottom Left", "Bottom Right")
_MODES = {"HIMAGE": "himage", "SPOTLIGHT": "spotlight", "ENHANCED SPOTLIGHT": "spotlight-2"}


def matches(path: Path) -> bool:
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    return bool(_NAME.fullmatch(path.name)) or _holds_cosmo(path)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation.

    Raises:
        SceneError: no image, several swaths, slant range without orbit, no place.
        ValueError: h5py is not installed.
    """
    with opened(path) as file:
        layers = _layers(file, path)
        chosen = choose(sorted(layers), overrides, path)
        made = [_parts(path, file, name, *layers[name], overrides) for name in chosen]
    scenes = []
    for raster, facts, geometry in made:
        require_end(raster)
        scenes.append(described(path, raster, facts, overrides, len(chosen) > 1, (path,), geometry))
    return scenes


def _layers(file: Any, path: Path) -> dict[str, tuple[Any, Any]]:
    """Polarisation -> group of the swath and its image."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted(name for name in file if _SWATH.fullmatch(name)):
        swath = group_at(file, name)
        image = next((item for kind in _IMAGES if (item := pixels_at(swath, kind)) is not None), None)
        image = (
            image if image is not None else next((i for k in _IMAGES if (i := pixels_at(file, k)) is not None), None)
        )
        if image is None:
            continue
        polarisation = _text(swath, "Polarisation").upper() or _text(swath, "Polarization").upper()
        if len(polarisation) != 2:
            raise DamagedProduct(f"{path}: {name} does not name its polarisation.")
        if polarisation in found:
            raise UnknownFormat(f"{path} holds several swaths of {polarisation}, which are not put together here.")
        found[polarisation] = swath, image
    if not found:
        raise UnknownFormat(f"{path} holds no image of {NAME} (S01/SBI, MBI, S01/IMG).")
    return found


def _parts(
    path: Path, file: Any, polarisation: str, swath: Any, image: Any, overrides: SceneOverrides
) -> tuple[Hdf5Raster, SceneFacts, Geometry]:
    """Raster, facts and geometry of one polarisation, while the file is open."""
    shape = int(image.shape[0]), int(image.shape[1])
    complex_pixels = image.ndim == 3 or bool(image.dtype.names) or image.dtype.kind == "c"
    invalid = _number(file, "Invalid Value", 0.0)
    nodata = None if complex_pixels or invalid == 0 else invalid
    dtype = "complex64" if complex_pixels else str(image.dtype)
    raster = Hdf5Raster(path, "complex" if complex_pixels else "amplitude", shape, dtype, nodata, None, image.name)
    kind = _text(file, "Product Type").upper()
    held, factor, why = _factor(file, swath)
    near, far = (_of(image, swath, f"{end} Incidence Angle") for end in ("Near", "Far"))
    geometry, notes = _geometry(path, file, swath, image, shape, overrides)
    projection = _text(file, "Projection ID").upper()
    slant = "SLANT" in projection
    # Angles belong to columns: where these run from near to far, each column has its own.
    if overrides.calibrate and held and not isinstance(geometry, AffineGeometry) and math.isfinite(near + far):
        ends = np.array([near, far] if _text(file, "Columns Order").upper() != "FAR-NEAR" else [far, near])
        columns = np.linspace(0, shape[1] - 1, min(shape[1], 33))
        angles = np.interp(columns, [0, shape[1] - 1], ends)
        gain = conversion(held, overrides.quantity, angles, path) * factor
        raster.calibration = Radiometry(overrides.quantity, Table(np.zeros(1), columns, gain[None, :]))
    satellite = _text(file, "Satellite ID").upper()
    looks = [_number(file, f"{axis} Processing Number of Looks") for axis in ("Range", "Azimuth")]
    mode = _text(file, "Acquisition Mode")
    facts = SceneFacts(
        product=NAME,
        name=path.stem,
        sensor="cosmo-skymed-2" if satellite.startswith(("CSG", "SSAR")) else "cosmo-skymed",
        unit=satellite,
        band="X",
        polarisation=polarisation,
        quantity=held,
        factor=factor,
        why=why,
        date=second_of(_text(file, "Scene Sensing Start UTC")),
        orbit=word_of(_text(file, "Orbit Direction"), "ascending", "descending"),
        look_side=word_of(_text(file, "Look Side"), "left", "right"),
        look_azimuth_deg=_look_azimuth(geometry, file),
        incidence_deg=(near + far) / 2,
        mode=_MODES.get(mode.upper(), mode.lower()),
        product_type=kind,
        projection="slant" if slant else "map" if isinstance(geometry, AffineGeometry) else "ground",
        looks=1.0 if complex_pixels else looks[0] * looks[1] if all(map(math.isfinite, looks)) else 0.0,
        frequency_ghz=_number(file, "Radar Frequency") / 1e9,
        notes=notes,
    )
    return raster, facts, geometry


def _text(item: Any, name: str) -> str:
    value = item.attrs.get(name, "") if item is not None else ""
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(value).strip("\x00 ") if np.ndim(value) == 0 else ""


def _numbers(item: Any, name: str) -> np.ndarray:
    """An attribute of numbers, flat; empty where there is none."""
    value = np.asarray(item.attrs.get(name, ()) if item is not None else ())
    return value.astype(float) if value.dtype.kind in "fiu" else np.zeros(0)


def _number(item: Any, name: str, default: float = math.nan) -> float:
    values = _numbers(item, name).ravel()
    return float(values[0]) if values.size == 1 and math.isfinite(values[0]) else default


def _of(image: Any, swath: Any, name: str) -> float:
    """An attribute of the image, else of the first burst of its swath."""
    value = _number(image, name)
    return value if math.isfinite(value) else _number(group_at(swath, "B001"), name)


def _factor(file: Any, swath: Any) -> tuple[str, float, str]:
    """Quantity and factor, see the module; and why there is none."""
    constant, rescaling = _number(swath, "Calibration Constant"), _number(file, "Rescaling Factor")
    if not (rescaling > 0 and constant > 0):
        return "", math.nan, "its metadata hold no calibration constant and rescaling factor"
    factor = (1 / rescaling) / rescaling
    if _number(file, "Calibration Constant Compensation Flag", 0.0) == 0:
        factor /= constant
    if _text(file, "Range Spreading Loss Compensation Geometry").upper() not in ("", "NONE"):
        distance, exponent = _number(file, "Reference Slant Range"), _number(file, "Reference Slant Range Exponent")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of nonsense is refused below
            factor *= float(np.float64(distance) ** (2 * exponent))
    held = "beta0"
    if _text(file, "Incidence Angle Compensation Geometry").upper() not in ("", "NONE"):
        factor *= math.sin(math.radians(_number(file, "Reference Incidence Angle")))
        held = "sigma0"
    if not (math.isfinite(factor) and factor > 0):
        return "", math.nan, "its metadata lack a reference range or angle that they call compensated"
    return held, factor, ""


def _geometry(
    path: Path, file: Any, swath: Any, image: Any, shape: tuple[int, int], overrides: SceneOverrides
) -> tuple[Geometry, tuple[str, ...]]:
    projection = _text(file, "Projection ID").upper()
    if "SLANT" in projection:
        level = overrides.height_m
        if level is None:
            heights = _numbers(file, "Scene Centre Geodetic Coordinates")
            level = float(heights[2]) if heights.size == 3 and math.isfinite(heights[2]) else 0.0
        return _slant_points(path, file, swath, image, shape, level), ()
    if "UTM" in projection or "MERCATOR" in projection or "POLAR" in projection:
        return _map_grid(path, file, image, shape), ()
    corners = [_numbers(image, f"{name} Geodetic Coordinates") for name in _CORNERS]
    if any(corner.size != 3 for corner in corners):
        raise NoLocation(f"{path} names no four corners of its image ({projection or 'no projection'}).")
    lats, lons = np.array(corners)[:, 0], np.array(corners)[:, 1]
    rows, columns = shape
    places = np.array([0.0, columns, 0.0, columns]), np.array([0.0, 0.0, rows, rows])
    return ControlPoints(*places, lons, lats), (BY_CORNERS.format(""),)


def _slant_points(path: Path, file: Any, swath: Any, image: Any, shape: tuple[int, int], level: float) -> ControlPoints:
    """Zero-Doppler range-Doppler projection; lines from early to late and columns from near to far, or the other way.

    Raises:
        SlantRange: orbit, times or ranges are missing.
    """
    times = _numbers(file, "State Vectors Times").ravel()
    vectors = [_numbers(file, f"ECEF Satellite {what}") for what in ("Position", "Velocity")]
    names = ["Zero Doppler Azimuth First Time", "Zero Doppler Azimuth Last Time"]
    names += ["Zero Doppler Range First Time", "Zero Doppler Range Last Time"]
    first, last, near, far = (_of(image, swath, name) for name in names)
    side = word_of(_text(file, "Look Side"), "left", "right")
    if any(vector.size != 3 * times.size for vector in vectors) or times.size < 2 or not side:
        raise SlantRange(f"{path} is in slant range and holds no orbit to place it by.")
    if not all(map(math.isfinite, (first, last, near, far))) or min(shape) < 2:
        raise SlantRange(f"{path} is in slant range and does not say its zero-Doppler times and ranges.")
    if _text(file, "Lines Order").upper() == "LATE-EARLY" and first < last:
        first, last = last, first
    if _text(file, "Columns Order").upper() == "FAR-NEAR" and near < far:
        near, far = far, near
    orbit = Orbit(times, vectors[0].reshape(-1, 3), vectors[1].reshape(-1, 3))
    line, spacing = (last - first) / (shape[0] - 1), (far - near) / (shape[1] - 1) * LIGHT_M_S / 2
    return slant_grid(orbit, SlantImage(shape, first, line, near * LIGHT_M_S / 2, spacing, side), level)


def _map_grid(path: Path, file: Any, image: Any, shape: tuple[int, int]) -> AffineGeometry:
    """Universal Transverse Mercator or Universal Polar Stereographic: `Top Left East` and `North` name the corner."""
    zone, projection = _number(file, "Map Projection Zone"), _text(file, "Projection ID").upper()
    east, north = _number(image, "Top Left East"), _number(image, "Top Left North")
    steps = _number(image, "Column Spacing"), _number(image, "Line Spacing")
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
    centre = _numbers(file, "Scene Centre Geodetic Coordinates")
    return float(centre[0]) if centre.size == 3 else 1.0


def _look_azimuth(geometry: Geometry, file: Any) -> float:
    """From the near to the far end of the first line; of a geocoded image unknown."""
    if not isinstance(geometry, ControlPoints):
        return math.nan
    return geometry.first_line_azimuth(backwards=_text(file, "Columns Order").upper() == "FAR-NEAR")


def _holds_cosmo(path: Path) -> bool:
    """Whether a renamed file is of COSMO-SkyMed; only looked at where h5py is installed."""
    return holds(path, lambda file: _text(file, "Mission ID").upper() in ("CSK", "CSG"))
