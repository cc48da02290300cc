"""`*.scene.yaml`: describes images of sensors without a public product format (Qilu-1, Hongtu-1, airborne radars),
complex chips in `.npy` files, and plain TIFF, PNG or JPEG images. One YAML may describe many files; each is a scene.

docs/scenes.md lists the keys.
"""

import glob
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from knowlip.base.progress import say
from knowlip.scenes.calibration import Constant, Radiometry
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation, SceneError, SlantRange
from knowlip.scenes.geometry import AffineGeometry, Geometry, local_plane
from knowlip.scenes.names import date_of, polarisation_of, slug
from knowlip.scenes.opening import open_array
from knowlip.scenes.quantities import conversion, relative
from knowlip.scenes.raster import ArrayFile, Raster, RasterFile
from knowlip.scenes.readers.common import gated, require_data, require_polarisation
from knowlip.scenes.readers.geotiff import Header, geometry_of, raster_of, read_header, settle_units
from knowlip.scenes.readers.sidecar_keys import LOCATIONS, read_keys
from knowlip.scenes.rpcfile import read_rpc
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.units import settle

NAME = "sidecar"
ORDER = 10
"""What a user wrote beside a file comes before what the file looks like."""
ENDINGS = (".scene.yaml", ".scene.yml")
_Keys = dict[str, Any]
_IMAGES = (".tif", ".tiff", ".npy", ".png", ".jpg", ".jpeg", ".img", ".jp2", ".vrt", ".dat", ".bin")


def matches(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and path.is_file()


def parts(path: Path) -> list[Path]:
    """The described files; none where the description cannot be read (opening it says why)."""
    try:
        keys = read_keys(path)
        return [*_files(path, keys), *([path.parent / keys["rpc"]] if "rpc" in keys else [])]
    except SceneError:
        return []


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open every described file as a scene. Where some cannot be used, the others are opened and the reasons shown.

    Raises:
        SceneError: a key that cannot be, no file, or none that can be used.
    """
    keys = read_keys(path)
    files = _files(path, keys)
    wanted = overrides.polarisation.upper()
    scenes, reasons = [], []
    for file in files:
        polarisation = keys.get("polarisation", "") or polarisation_of(file.name)
        if wanted not in ("", "ALL", polarisation) and polarisation:
            continue
        try:
            scenes.append(_open(path, file, keys, overrides, require_polarisation(polarisation, overrides, file)))
        except SceneError as error:
            reasons.append(error)
    if not scenes:
        if reasons:
            raise reasons[0]
        raise DamagedProduct(f"{path} describes no file of polarisation {wanted}; choose with --read.polarisation.")
    for reason in reasons:
        say(f"  skipped: {reason}")
    return scenes


def _files(path: Path, keys: _Keys) -> list[Path]:
    """Described files, sorted; a pattern that fits no file is refused."""
    stem = path.name[: -len(next(end for end in ENDINGS if path.name.lower().endswith(end)))]
    if "files" not in keys:
        found = sorted(file for file in path.parent.glob(f"{glob.escape(stem)}.*") if file.suffix.lower() in _IMAGES)
        if not found:
            raise DamagedProduct(f"{path} stands beside no image {stem}.tif (.npy, .png, ...); name it with `files:`.")
        return found
    files: set[Path] = set()
    for pattern in keys["files"]:
        hits = [Path(hit) for hit in glob.glob(str(path.parent / pattern), recursive=True)]  # noqa: PTH207 - absolute ones too
        hits = [hit for hit in hits if hit.is_file() and hit.resolve() != path.resolve()]
        if not hits:
            raise DamagedProduct(f"{path}: no file fits `files: {pattern}`.")
        files.update(hits)
    return sorted(files)


def _open(path: Path, file: Path, keys: _Keys, overrides: SceneOverrides, polarisation: str) -> Scene:
    raster, header, guesses = _raster(file, keys, overrides)
    geometry = _geometry(path, file, raster.shape, keys, header, overrides)
    quantity, notes = _calibrate(path, raster, keys, overrides)
    if keys.get("projection") == "slant" and {"unlocated", "center"} & set(keys):
        notes.append("Slant range brought to ground range by the incidence angle.")
    require_data(raster)
    # Chips of one YAML lie in class folders and repeat their names there, so that the folder is part of the name.
    scene = Scene(
        path=file,
        scene_id=slug(f"{file.parent.name}-{file.stem}" if "files" in keys else file.stem),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or keys.get("sensor", "unknown"),
        band=overrides.band or keys.get("band", ""),
        frequency_ghz=keys.get("frequency_ghz", math.nan),
        polarisation=polarisation,
        looks=keys.get("looks", 0.0),
        incidence_deg=keys.get("incidence_deg", math.nan),
        look_azimuth_deg=keys.get("look_azimuth_deg", math.nan),
        look_side=keys.get("look_side", ""),
        orbit=keys.get("orbit", ""),
        date=keys.get("date", "") or date_of(file.name),
        radiometry=keys.get("radiometry", "relative") if quantity == "none" else "calibrated",
        quantity=quantity,
        mode=keys.get("mode", ""),
        product_type=keys.get("product_type", ""),
        projection=keys.get("projection", "") or ("map" if geometry.kind == "affine" else ""),
        product=NAME,
        group=slug(_filled(keys["group"], file)) if "group" in keys else "",
        sources=(file, path),
        notes=(*notes, *guesses),
    )
    return gated(scene, overrides, file)


def _calibrate(path: Path, raster: Raster, keys: _Keys, overrides: SceneOverrides) -> tuple[str, list[str]]:
    """Give the raster the stated calibration; quantity and notes."""
    power = keys.get("calibration") if overrides.calibrate else None
    if power is None:
        return "none", [relative(path, overrides, "the YAML states no calibration")]
    incidence = keys.get("incidence_deg", math.nan)
    # sigma0 is the default, no demand: without an incidence angle the stated quantity stands.
    quantity = power.quantity if overrides.quantity == "sigma0" and math.isnan(incidence) else overrides.quantity
    factor = power.factor * float(conversion(power.quantity, quantity, incidence, path))
    raster.calibration = Radiometry(quantity, Constant(factor))
    return quantity, []


def _raster(file: Path, keys: _Keys, overrides: SceneOverrides) -> tuple[Raster, Header | None, list[str]]:
    """The raster with its units, its header where it has one, and notes of what was guessed."""
    raster: Raster
    header = None
    if file.suffix.lower() == ".npy":
        raster = _array(file)
    else:
        header = read_header(file)
        band = overrides.raster_band or keys.get("raster_band", 1)
        pair = keys.get("units") == "complex" and len(header.dtypes) == 2
        raster = raster_of(file, header, band, 2 if pair and not header.dtypes[0].startswith("complex") else 0)
        if keys.get("units") == "complex" and raster.units != "complex":
            raise DamagedProduct(f"{file} holds {raster.dtype} in {len(header.dtypes)} band(s), not complex numbers.")
    if "nodata" in keys:
        raster.nodata = keys["nodata"]
    said = replace(overrides, units=overrides.units or keys.get("units", ""))
    if header is not None and isinstance(raster, RasterFile):
        # Whoever describes a file knows what it holds, as whoever names its band does.
        known = replace(said, raster_band=raster.raster_band) if keys.get("units") == said.units else said
        return raster, header, settle_units(raster, header, raster.raster_band, known)
    return raster, header, settle(raster, said.units)


def _array(file: Path) -> ArrayFile:
    array = open_array(file)
    units = "complex" if array.dtype.kind == "c" else "dn"
    return ArrayFile(file, units, (array.shape[0], array.shape[1]), str(array.dtype), None)


def _geometry(
    path: Path, file: Path, shape: tuple[int, int], keys: _Keys, header: Header | None, overrides: SceneOverrides
) -> Geometry:
    """What the YAML says of the place, else what the file says: who writes a YAML knows of an error in the file."""
    rows, columns = shape
    kind = next((key for key in LOCATIONS if key in keys), "")
    if kind == "crs":
        return AffineGeometry(_crs(path, keys["crs"]), _transform(path, keys["transform"]))
    if kind == "corners":
        lons, lats = np.array(keys["corners"]).T
        return ControlPoints(np.array([0.0, columns, columns, 0]), np.array([0.0, 0, rows, rows]), lons, lats)
    if kind == "gcps":
        return ControlPoints(*np.array(keys["gcps"], float).T)
    if kind == "rpc":
        file_of_rpc = path.parent / keys["rpc"]
        if not file_of_rpc.is_file():
            raise DamagedProduct(f"{path}: rpc names {keys['rpc']}, which does not exist.")
        return read_rpc(file_of_rpc, overrides.height_m)
    if kind in ("center", "unlocated"):
        return _plane(path, shape, keys)
    if header is None:
        raise NoLocation(f"{path} does not say where {file.name} lies: give corners, gcps, center, or unlocated: true.")
    geometry = geometry_of(header, file, overrides)
    if keys.get("projection") == "slant" and geometry.kind == "affine":
        raise SlantRange(f"{path}: {file.name} carries a map transform, so projection: slant cannot be.")
    return geometry


def _plane(path: Path, shape: tuple[int, int], keys: _Keys) -> AffineGeometry:
    """Pixels of a stated spacing, around a stated point or anywhere."""
    down, across = keys["spacing_m"]
    if keys.get("projection") == "slant":
        if "incidence_deg" not in keys:
            raise SlantRange(
                f"{path}: spacing_m is in slant range; state incidence_deg, which brings it to the ground."
            )
        across /= math.sin(math.radians(keys["incidence_deg"]))
    if "center" not in keys:
        return local_plane(down, across)
    lon, lat = keys["center"]
    crs = pyproj.CRS.from_proj4(f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m")
    turn = Affine.rotation(-keys["heading_deg"]) @ Affine.scale(across, -down)
    return AffineGeometry(crs, turn @ Affine.translation(-shape[1] / 2, -shape[0] / 2))


def _crs(path: Path, text: str) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError:
        wanted = "a coordinate reference system such as EPSG:32650"
        raise DamagedProduct(f"{path}: crs must be {wanted}, not {text!r}.") from None


def _transform(path: Path, numbers: tuple[float, ...]) -> Affine:
    transform = Affine(*numbers)
    if transform.determinant == 0:
        raise DamagedProduct(f"{path}: transform gives the image no area.")
    return transform


def _filled(template: str, file: Path) -> str:
    return template.replace("{stem}", file.stem).replace("{parent}", file.parent.name)
