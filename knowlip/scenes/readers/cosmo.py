"""COSMO-SkyMed of both generations in HDF5: single-look complex (SCS), detected on the ground (DGM, MDG) and geocoded
images (GEC, GTC).

Power becomes sigma0 = DN^2 * Rref^(2 Rexp) * sin(alpha_ref) / (F^2 * K), each factor only where the product's flags say
that it was compensated for: reference slant range and its exponent, reference incidence angle, rescaling factor, and
calibration constant. Without the incidence angle compensated it is beta0.

Source: COSMO-SkyMed Mission and Products Description, SAR Products Handbook and image calibration note (ASI).
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.scenes.calibration import Radiometry, Table
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry, Geometry
from knowlip.scenes.names import second_of, word_of
from knowlip.scenes.quantities import conversion
from knowlip.scenes.readers.common import choose, require_end
from knowlip.scenes.readers.cosmo_places import nearest_of, number_of, places_of, text_of
from knowlip.scenes.readers.described import SceneFacts, described
from knowlip.scenes.readers.hdf5 import Hdf5Raster, group_at, holds, opened, pixels_at
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "COSMO-SkyMed"
_NAME = re.compile(r"(CSKS\d_|CSG_SSAR\d_).*\.h5", re.IGNORECASE)
_IMAGES = ("SBI", "MBI", "IMG")
_SWATH = re.compile(r"S\d\d")
_POLARISATIONS = ("Polarisation", "Polarization")
_CONSTANT, _COMPENSATED = "Calibration Constant", "Calibration Constant Compensation Flag"
_BURSTS = "Bursts per Subswath"
_MODES = {"HIMAGE": "himage", "SPOTLIGHT": "spotlight", "ENHANCED SPOTLIGHT": "spotlight-2"}


def matches(path: Path) -> bool:
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    return bool(_NAME.fullmatch(path.name)) or _holds_cosmo(path)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation, and per swath where the product keeps swaths apart.

    Raises:
        SceneError: no image, bursts, slant range without orbit, no place.
        ValueError: h5py is not installed.
    """
    with opened(path) as file:
        layers = _layers(file, path)
        chosen = choose(sorted(layers), overrides, path)
        made = [_parts(path, file, name, layer, overrides) for name in chosen for layer in layers[name]]
    scenes = []
    for raster, facts, geometry in made:
        require_end(raster)
        scenes.append(described(path, raster, facts, overrides, len(chosen) > 1, (path,), geometry))
    return scenes


@dataclass(frozen=True)
class CosmoLayer:
    """One image: of a swath, or of all of them put together by the processor."""

    swath: Any  # Group of the (first) swath.
    image: Any
    label: str  # Its swath in lower case where another image has the same polarisation, else "".
    constants: frozenset[float]  # Calibration constants of the swaths that it shows.


def _layers(file: Any, path: Path) -> dict[str, list[CosmoLayer]]:
    """Polarisation -> its images.

    Raises:
        UnknownFormat: there is none, or one in bursts.
        DamagedProduct: a swath does not name its polarisation.
    """
    held: dict[str, list[tuple[str, Any, Any]]] = {}
    for name in sorted(name for name in file if _SWATH.fullmatch(name)):
        swath = group_at(file, name)
        if swath is None:
            continue
        image = next((item for kind in _IMAGES if (item := pixels_at(swath, kind)) is not None), None)
        polarisation = next(
            (word for item in (swath, file) for key in _POLARISATIONS if (word := text_of(item, key).upper())), ""
        )
        if len(polarisation) != 2:
            raise DamagedProduct(f"{path}: {name} does not name its polarisation.")
        held.setdefault(polarisation, []).append((name, swath, image))
    whole = next((item for kind in _IMAGES if (item := pixels_at(file, kind)) is not None), None)
    found: dict[str, list[CosmoLayer]] = {}
    for polarisation, swaths in held.items():
        own = [(name, swath, image) for name, swath, image in swaths if image is not None]
        constants = frozenset(number_of(swath, _CONSTANT) for _, swath, _ in swaths)
        if own:
            found[polarisation] = [
                CosmoLayer(swath, image, name.lower() * (len(own) > 1), constants & {number_of(swath, _CONSTANT)})
                for name, swath, image in own
            ]
        elif whole is not None and len(held) == 1:
            found[polarisation] = [CosmoLayer(swaths[0][1], whole, "", constants)]
    if not found:
        raise UnknownFormat(f"{path} holds no image of {NAME} (S01/SBI, MBI, S01/IMG).")
    for layer in (layer for layers in found.values() for layer in layers):
        # Lines of bursts overlap, and between two of them time jumps.
        if "SLANT" in text_of(file, "Projection ID").upper() and number_of(layer.swath, _BURSTS, 1.0) > 1:
            raise UnknownFormat(f"{path} is in slant range and in bursts (ScanSAR), which are not put together here.")
    return found


def _parts(
    path: Path, file: Any, polarisation: str, layer: CosmoLayer, overrides: SceneOverrides
) -> tuple[Hdf5Raster, SceneFacts, Geometry]:
    """Raster, facts and geometry of one image, while the file is open."""
    swath, image = layer.swath, layer.image
    shape = int(image.shape[0]), int(image.shape[1])
    complex_pixels = image.ndim == 3 or bool(image.dtype.names) or image.dtype.kind == "c"
    invalid = number_of(file, "Invalid Value", 0.0)
    nodata = None if complex_pixels or invalid == 0 else invalid
    dtype = "complex64" if complex_pixels else str(image.dtype)
    raster = Hdf5Raster(path, "complex" if complex_pixels else "amplitude", shape, dtype, nodata, None, image.name)
    kind = text_of(file, "Product Type").upper()
    held, factor, why = _factor(file, layer)
    near, far = (nearest_of(image, swath, f"{end} Incidence Angle") for end in ("Near", "Far"))
    geometry, notes = places_of(path, file, swath, image, shape, overrides)
    projection = text_of(file, "Projection ID").upper()
    slant = "SLANT" in projection
    # Angles belong to columns: where these run from near to far, each column has its own.
    if overrides.calibrate and held and not isinstance(geometry, AffineGeometry) and math.isfinite(near + far):
        ends = np.array([near, far] if text_of(file, "Columns Order").upper() != "FAR-NEAR" else [far, near])
        columns = np.linspace(0, shape[1] - 1, min(shape[1], 33))
        angles = np.interp(columns, [0, shape[1] - 1], ends)
        gain = conversion(held, overrides.quantity, angles, path) * factor
        raster.calibration = Radiometry(overrides.quantity, Table(np.zeros(1), columns, gain[None, :]))
    satellite = text_of(file, "Satellite ID").upper()
    looks = [number_of(file, f"{axis} Processing Number of Looks") for axis in ("Range", "Azimuth")]
    mode = text_of(file, "Acquisition Mode")
    facts = SceneFacts(
        product=NAME,
        name=f"{path.stem}-{layer.label}" if layer.label else path.stem,
        sensor="cosmo-skymed-2" if satellite.startswith(("CSG", "SSAR")) else "cosmo-skymed",
        unit=satellite,
        band="X",
        polarisation=polarisation,
        quantity=held,
        factor=factor,
        why=why,
        date=second_of(text_of(file, "Scene Sensing Start UTC")),
        orbit=word_of(text_of(file, "Orbit Direction"), "ascending", "descending"),
        look_side=word_of(text_of(file, "Look Side"), "left", "right"),
        look_azimuth_deg=_look_azimuth(geometry, file),
        incidence_deg=(near + far) / 2,
        mode=_MODES.get(mode.upper(), mode.lower()),
        product_type=kind,
        projection="slant" if slant else "map" if isinstance(geometry, AffineGeometry) else "ground",
        looks=1.0 if complex_pixels else looks[0] * looks[1] if all(map(math.isfinite, looks)) else 0.0,
        frequency_ghz=number_of(file, "Radar Frequency") / 1e9,
        notes=notes,
    )
    return raster, facts, geometry


def _factor(file: Any, layer: CosmoLayer) -> tuple[str, float, str]:
    """Quantity and factor, see the module; and why there is none."""
    constant, rescaling = number_of(layer.swath, _CONSTANT), number_of(file, "Rescaling Factor")
    if len(layer.constants) > 1 and number_of(file, _COMPENSATED, 0.0) == 0:
        return "", math.nan, "its swaths have calibration constants of their own, and where each lies is not said"
    if not (rescaling > 0 and constant > 0):
        return "", math.nan, "its metadata hold no calibration constant and rescaling factor"
    factor = (1 / rescaling) / rescaling
    if number_of(file, _COMPENSATED, 0.0) == 0:
        factor /= constant
    if text_of(file, "Range Spreading Loss Compensation Geometry").upper() not in ("", "NONE"):
        distance, exponent = number_of(file, "Reference Slant Range"), number_of(file, "Reference Slant Range Exponent")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of nonsense is refused below
            factor *= float(np.float64(distance) ** (2 * exponent))
    held = "beta0"
    if text_of(file, "Incidence Angle Compensation Geometry").upper() not in ("", "NONE"):
        factor *= math.sin(math.radians(number_of(file, "Reference Incidence Angle")))
        held = "sigma0"
    if not (math.isfinite(factor) and factor > 0):
        return "", math.nan, "its metadata lack a reference range or angle that they call compensated"
    return held, factor, ""


def _look_azimuth(geometry: Geometry, file: Any) -> float:
    """From the near to the far end of the first line; of a geocoded image unknown."""
    if not isinstance(geometry, ControlPoints):
        return math.nan
    return geometry.first_line_azimuth(backwards=text_of(file, "Columns Order").upper() == "FAR-NEAR")


def _holds_cosmo(path: Path) -> bool:
    """Whether a renamed file is of COSMO-SkyMed; only looked at where h5py is installed."""
    return holds(path, lambda file: text_of(file, "Mission ID").upper() in ("CSK", "CSG"))
