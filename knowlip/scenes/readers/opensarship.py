"""OpenSARShip 1.0 and 2.0: archives of Sentinel-1 ship chips with AIS matches, one archive a Sentinel-1 product.

An archive (or the folder it was unpacked to) holds `Ship.xml`, `Patch/` (chips as delivered: amplitudes of GRD, real
and imaginary part of SLC), usually `Patch_Cal/` (the same as linear sigma0: DN^2 / Patch_Cal * sin(incidence) is the
constant beta0 factor of the Sentinel-1 product), and the product's abstracted metadata as SNAP writes it. Chips lie in
the product's own grid (rows along the flight, columns along range): the pixel (x, y) of the file name is the middle
pixel of the chip, x grows with the column and y with the row. `UpperLeft` in Ship.xml is the corner of largest x and y.

Source: L. Huang et al., OpenSARShip: A Dataset Dedicated to Sentinel-1 Ship Interpretation, IEEE JSTARS 11(1), 2018.
"""

import math
import re
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer

from knowlip.scenes.calibration import Calibration, Constant
from knowlip.scenes.control import ControlPoints, gate
from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import date_of, slug
from knowlip.scenes.quantities import conversion, relative
from knowlip.scenes.readers.choose import choose
from knowlip.scenes.readers.geotiff import raster_of, read_header
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "OpenSARShip"
_PRODUCT = re.compile(r"S1[A-D]_[A-Z0-9]{2}_(GRD|SLC)[FHM_]_1S([SD])([VH])_\d{8}T\d{6}_\d{8}T\d{6}_\w{6}_\w{6}_\w{4}")
_CHIP = re.compile(r"(?P<kind>[^/]*)_x(?P<x>\d+)_y(?P<y>\d+)(?:_(?P<polarisation>v[vh]|h[vh]))?\.tiff?$", re.IGNORECASE)
_RESIDUAL_M = 50.0
"""Largest residual of the ships' places about the fit. They are rounded to 1e-4 degrees (4 m RMS) and were interpolated
from tie points at terrain height: off a mountainous coast that moves them by some 10 m against the ellipsoid."""
_ROUNDING_M = 4.5
"""RMS of a place rounded to 1e-4 degrees in both directions."""
Axes = tuple[np.ndarray, np.ndarray]
"""Metres to the east and north by a column and by a row, (2,) each."""
_LOOKS = {"GRD": 4.4, "SLC": 1.0}
"""Equivalent number of looks of IW products (Sentinel-1 Product Definition, tables of IW GRDH and SLC)."""


@dataclass(frozen=True)
class Archive:
    """The parts of an archive or unpacked folder that reading needs."""

    path: Path
    prefix: str
    """GDAL's name of the place of `Patch/`."""
    chips: dict[str, list[str]]
    """"Patch" or "Patch_Cal" -> file names."""
    ships: str
    """Text of Ship.xml."""
    metadata: str
    """Text of the abstracted metadata, "" where there is none."""


def matches(path: Path) -> bool:
    if path.is_dir():
        return (path / "Ship.xml").is_file() and (path / "Patch").is_dir()
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return _PRODUCT.search(path.name) is not None
    return any(re.search(r"(^|/)Ship\.xml$", name) for name in names) and any(
        re.search(r"(^|/)Patch/", name) for name in names
    )


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open every chip of an archive as a scene; one for each chosen polarisation.

    Raises:
        SceneError: a damaged archive, no chip, or ships whose places contradict each other.
    """
    archive = _open_archive(path)
    name = _PRODUCT.search(path.name) or _PRODUCT.search(archive.metadata) or _PRODUCT.search(archive.prefix)
    if name is None:
        raise UnknownFormat(f"{path} does not carry the name of its Sentinel-1 product, which says what it holds.")
    kind, double, transmit = name.groups()
    ships = _ships(archive.ships)
    folder = "Patch_Cal" if overrides.calibrate and archive.chips["Patch_Cal"] else "Patch"
    calibrated = folder == "Patch_Cal"
    parts = 2 if kind == "SLC" and not calibrated else 1
    chips = sorted(archive.chips[folder])
    if not chips:
        raise DamagedProduct(f"{path} holds no chip.")
    notes = [] if calibrated else [relative(path, overrides, "the archive holds no Patch_Cal")]
    fit = _fit(ships, path, overrides)
    notes.insert(0, _place_note(fit, len(ships)))
    axes = None if fit is not None else _axes(archive.metadata, path)
    side, orbit = _attribute(archive.metadata, "antenna_pointing"), _attribute(archive.metadata, "PASS")
    separate: dict[tuple[str, str], list[str]] = {}
    for chip in chips:
        if (found := _CHIP.search(chip)) and found["polarisation"]:
            separate.setdefault((found["x"], found["y"]), []).append(found["polarisation"].upper())
    scenes, left_out = [], 0
    for chip in chips:
        found = _CHIP.search(chip)
        ship = ships.get((int(found["x"]), int(found["y"]))) if found else None
        if found is None or ship is None:
            left_out += 1
            continue
        source = f"{archive.prefix}/{folder}/{chip}"
        header = read_header(path, source)
        bands = _bands(len(header.dtypes) // parts, found["polarisation"], double == "D", transmit, archive.metadata)
        wanted = choose(separate.get((found["x"], found["y"])) or list(bands), overrides, path)
        wanted = [polarisation for polarisation in wanted if polarisation in bands]
        rows, columns = header.shape
        corner = int(found["x"]) - (columns - 1) / 2, int(found["y"]) - (rows - 1) / 2
        geometry = _geometry(fit, axes, corner, header.shape, ship, kind == "SLC")
        towards = math.degrees(math.atan2(geometry.transform.a, geometry.transform.d)) % 360
        for polarisation in wanted:
            band = parts * list(bands).index(polarisation) + 1
            raster = raster_of(path, header, band, band + 1 if parts == 2 else 0, source)
            incidence = ship["Incidence"]
            raster.units = "intensity" if calibrated else "complex" if parts == 2 else overrides.units or "amplitude"
            if calibrated:
                factor = float(conversion("sigma0", overrides.quantity, incidence, path))
                raster.calibration = Calibration(overrides.quantity, Constant(factor)) if factor != 1 else None
            many = overrides.polarisation.lower() == "all"
            stem = f"{found['kind']}-x{found['x']}-y{found['y']}" + (f"-{polarisation}" if many else "")
            scenes.append(Scene(
                path=path,
                scene_id=slug(f"{name[0][:3]}-{_stamp(name[0])}-{name[0][-4:]}-{stem}"),
                raster=raster,
                geometry=geometry,
                sensor=overrides.sensor or "sentinel-1",
                band=overrides.band or "C",
                frequency_ghz=5.405,
                polarisation=polarisation,
                looks=_LOOKS[kind],
                incidence_deg=incidence,
                look_azimuth_deg=towards,
                look_side=side if side in ("left", "right") else "right",
                orbit=orbit if orbit in ("ascending", "descending") else "",
                date=date_of(name[0]),
                radiometry="calibrated" if calibrated else "relative",
                quantity=overrides.quantity if calibrated else "none",
                mode=name[0].split("_")[1],
                product_type=kind,
                projection="ground" if kind == "GRD" else "slant",
                product=NAME,
                group=slug(name[0]),
                sources=(path,) if path.is_file() else (path / folder / chip,),
                notes=tuple(notes),
            ))  # fmt: skip
    if not scenes:
        raise DamagedProduct(
            f"{path}: none of its {len(chips)} chips ({left_out} without a ship in Ship.xml) is usable."
        )
    return scenes


@lru_cache(maxsize=4)
def _listing(path: Path, changed: int) -> tuple[list[str], dict[str, str]]:
    """Names of all members and the texts of the XML files of an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            texts = {
                name: archive.read(name).decode("utf-8", "replace") for name in names
                if name.lower().endswith(".xml") and archive.getinfo(name).file_size < 64_000_000
            }  # fmt: skip
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DamagedProduct(f"{path} is no complete zip archive ({error}).") from error
    return names, texts


def _open_archive(path: Path) -> Archive:
    if path.is_dir():
        names = [str(part.relative_to(path)) for part in path.rglob("*") if part.is_file()]
        texts = {
            name: (path / name).read_text("utf-8", "replace") for name in names
            if name.lower().endswith(".xml") and "/" not in name
        }  # fmt: skip
        place = str(path)
    else:
        names, texts = _listing(path, path.stat().st_mtime_ns)
        place = f"/vsizip/{path.resolve()}"
    ship = next((name for name in sorted(names, key=len) if Path(name).name == "Ship.xml"), None)
    if ship is None:
        raise DamagedProduct(f"{path} holds no Ship.xml.")
    top = ship.removesuffix("Ship.xml")
    chips: dict[str, list[str]] = {}
    for folder in ("Patch", "Patch_Cal"):
        start = f"{top}{folder}/"
        chips[folder] = [name[len(start) :] for name in names if name.startswith(start) and _CHIP.search(name)]
    others = [text for name, text in texts.items() if name != ship and "Abstracted_Metadata" in text]
    return Archive(path, f"{place}/{top}".rstrip("/"), chips, texts[ship], others[0] if others else "")


def _ships(text: str) -> dict[tuple[int, int], dict[str, float]]:
    """(Center_x, Center_y) -> numbers of each ship. Tags are searched one by one: many of these files are no XML."""
    ships = {}
    for block in re.findall(r"<ship>(.*?)</ship>", text, re.DOTALL | re.IGNORECASE):
        values = {}
        for key in ("Center_x", "Center_y", "Center_longitude", "Center_latitude", "Incidence"):
            found = re.search(rf"<{key}>\s*([^<]*?)\s*</{key}>", block)
            try:
                values[key] = float(found[1]) if found else math.nan
            except ValueError:
                values[key] = math.nan
        if math.isfinite(sum(values[key] for key in list(values)[:4])):
            ships[int(values["Center_x"]), int(values["Center_y"])] = values
    return ships


def _fit(ships: dict[tuple[int, int], dict[str, float]], path: Path, overrides: SceneOverrides) -> ControlPoints | None:
    """One polynomial for the whole product through the places of all ships, of the order that misses left-out ships
    least; None where there are too few ships to tell. A spline would follow the rounding of the places.

    Raises:
        PoorGeolocation: the ships contradict each other.
    """
    at = np.array([list(ship.values())[:4] for ship in ships.values()]).reshape(-1, 4)
    orders = [order for order, least in ((1, 8), (2, 9), (3, 15)) if len(at) >= least]
    fits = [ControlPoints(at[:, 0] + 0.5, at[:, 1] + 0.5, at[:, 2], at[:, 3], order) for order in orders]
    if not fits:
        return None
    best = min(fits, key=lambda fit: fit.residual_m)
    gate(best, path, 10.0, overrides.max_residual_m or _RESIDUAL_M)
    return best


def _axes(metadata: str, path: Path) -> Axes:
    """Directions and lengths of a step by a column and by a row, from the corners and spacings of the whole product.

    Raises:
        NoLocation: the metadata do not give them.
    """
    names = [f"{corner}_{part}" for corner in ("first_near", "first_far", "last_near") for part in ("long", "lat")]
    values = [float(_attribute(metadata, name) or "nan") for name in (*names, "range_spacing", "azimuth_spacing")]
    if not math.isfinite(sum(values)):
        raise NoLocation(f"{path} names too few ships to place its chips, and no corners of the product.")
    lon, lat, far_lon, far_lat, last_lon, last_lat, across, along = values
    at = Transformer.from_crs(4326, _crs(lon, lat), always_xy=True).transform
    column, row = np.array(at(far_lon, far_lat)), np.array(at(last_lon, last_lat))
    return column / np.hypot(*column) * across, row / np.hypot(*row) * along


def _crs(lon: float, lat: float) -> CRS:
    return CRS.from_proj4(f"+proj=aeqd +lat_0={lat:.6f} +lon_0={lon:.6f} +datum=WGS84 +units=m")


def _geometry(
    fit: ControlPoints | None, axes: Axes | None, corner: tuple[float, float], shape: tuple[int, int],
    ship: dict[str, float], slant: bool,
) -> AffineGeometry:  # fmt: skip
    """Place of a chip: over a kilometre the fit is a plane to a centimetre."""
    rows, columns = shape
    if fit is None and axes is not None:
        (a, d), (b, e) = axes
        if slant:
            a, d = np.array([a, d]) / math.sin(math.radians(ship["Incidence"]))
        transform = Affine(a, b, -(a * columns + b * rows) / 2, d, e, -(d * columns + e * rows) / 2)
        return AffineGeometry(_crs(ship["Center_longitude"], ship["Center_latitude"]), transform, _ROUNDING_M)
    assert fit is not None
    x, y = fit.forward(
        corner[0] + columns * np.array([0.5, 0, 1, 0.5, 0.5]), corner[1] + rows * np.array([0.5, 0.5, 0.5, 0, 1])
    )
    a, d = (x[2] - x[1]) / columns, (y[2] - y[1]) / columns
    b, e = (x[4] - x[3]) / rows, (y[4] - y[3]) / rows
    transform = Affine(a, b, x[0] - (a * columns + b * rows) / 2, d, e, y[0] - (d * columns + e * rows) / 2)
    return AffineGeometry(fit.crs, transform, fit.residual_m)


def _bands(count: int, named: str | None, double: bool, transmit: str, metadata: str) -> tuple[str, ...]:
    """Polarisations of the bands in their order."""
    if named:
        return (named.upper(),)
    if count == 1:
        stated = _attribute(metadata, "mds1_tx_rx_polar").upper()
        return (stated if not double and stated in ("VV", "VH", "HH", "HV") else transmit * 2,)
    stated_two = tuple(_attribute(metadata, f"mds{number}_tx_rx_polar").upper() for number in (1, 2))
    alphabet = ("VH", "VV") if transmit == "V" else ("HH", "HV")
    return stated_two if set(stated_two) == set(alphabet) else alphabet


def _attribute(metadata: str, name: str) -> str:
    """First value of an attribute of SNAP's abstracted metadata, lower case; "" where there is none."""
    found = re.search(rf'name="{name}"\s+value="([^"]*)"', metadata)
    return found[1].strip().lower() if found else ""


def _stamp(product: str) -> str:
    return product.split("_1S")[1].split("_")[1]


def _place_note(fit: ControlPoints | None, ships: int) -> str:
    if fit is None:
        return "Placed by the ship's own coordinates and the axes of the whole product; too few ships for a fit."
    return f"Placed by a {fit.model} through the places of {ships} ships, which miss it by {fit.residual_m:.1f} m RMS."
