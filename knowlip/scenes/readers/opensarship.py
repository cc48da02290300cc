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
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer

from knowlip.base.progress import say
from knowlip.scenes.calibration import Constant, Radiometry
from knowlip.scenes.control import ControlPoints, gate
from knowlip.scenes.errors import DamagedProduct, NoData, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.labels import SceneLabel, Unlabelled
from knowlip.scenes.names import date_of, slug
from knowlip.scenes.opening import open_zip
from knowlip.scenes.quantities import conversion, relative
from knowlip.scenes.readers.common import choose, require_data
from knowlip.scenes.readers.geotiff import raster_of, read_header
from knowlip.scenes.readers.opensarship_labels import Ship, label_of, read_ships
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "OpenSARShip"
_PRODUCT = re.compile(r"S1[A-D]_[A-Z0-9]{2}_(GRD|SLC)[FHM_]_1S([SD])([VH])_\d{8}T\d{6}_\d{8}T\d{6}_\w{6}_\w{6}_\w{4}")
_CHIP = re.compile(r"(?P<kind>[^/]*)_x(?P<x>\d+)_y(?P<y>\d+)(?:_(?P<polarisation>v[vh]|h[vh]))?\.tiff?$", re.IGNORECASE)
_LARGEST_XML = 32 * 2**20
"""Bytes of all XML files together; archives of some hundred ships hold 0.2 MB."""
_ALL = ("HH", "HV", "VH", "VV")
_RESIDUAL_M = 50.0
"""Largest residual of the ships' places about the fit. They are rounded to 1e-4 degrees (4 m RMS) and were interpolated
from tie points at terrain height: off a mountainous coast that moves them by some 10 m against the ellipsoid."""
_ROUNDING_M = 4.5
"""RMS of a place rounded to 1e-4 degrees in both directions."""
Axes = tuple[np.ndarray, np.ndarray]
"""Metres to the east and north by a column and by a row, (2,) each."""
ONLY_AIS = "Ships with an AIS match are labelled; others may be in the image."
_LOOKS = {"GRD": 4.4, "SLC": 1.0}
"""Equivalent number of looks of IW products (Sentinel-1 Product Definition, tables of IW GRDH and SLC)."""


@dataclass(frozen=True, order=True)
class Chip:
    """A file of `Patch` or `Patch_Cal`."""

    file: str
    kind: str  # Type of ship, as the file name begins.
    x: int
    y: int
    polarisation: str  # "" where the file holds all polarisations.


@dataclass(frozen=True)
class Archive:
    """The parts of an archive or unpacked folder that reading needs."""

    path: Path
    prefix: str  # GDAL's name of the place of `Patch/`.
    chips: dict[str, list[Chip]]  # "Patch" or "Patch_Cal" -> chips, sorted.
    ships: str  # Text of Ship.xml.
    metadata: str  # Text of the abstracted metadata, "" where there is none.


@dataclass(frozen=True)
class _Product:
    """What all chips of an archive share."""

    archive: Archive
    name: str  # Of the Sentinel-1 product.
    kind: str  # "GRD" or "SLC".
    double: str  # "D" for two polarisations, "S" for one.
    transmit: str  # "V" or "H".
    calibrated: bool
    fit: ControlPoints | None
    notes: tuple[str, ...]
    ships: dict[tuple[int, int], Ship]

    @property
    def folder(self) -> str:
        return "Patch_Cal" if self.calibrated else "Patch"

    @cached_property
    def kinds(self) -> dict[tuple[int, int], str]:
        """Type of each ship, as the name of its chip begins."""
        return {(chip.x, chip.y): chip.kind for chip in self.archive.chips[self.folder]}

    @property
    def start(self) -> str:
        """Start of the acquisition, "20160131T204259"."""
        return self.name.split("_1S")[1].split("_")[1]

    @cached_property
    def axes(self) -> Axes:
        """See :func:`_axes`."""
        return _axes(self.archive.metadata, self.archive.path)


def matches(path: Path) -> bool:
    if path.is_dir():
        return (path / "Ship.xml").is_file() and (path / "Patch").is_dir()
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    try:
        with open_zip(path) as archive:
            names = archive.namelist()
    except DamagedProduct:
        return _PRODUCT.search(path.name) is not None
    wanted = r"(^|/)Ship\.xml$", r"(^|/)Patch/"
    return all(any(re.search(pattern, name) for name in names) for pattern in wanted)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open every chip of an archive as a scene; one for each chosen polarisation. Chips that cannot be read are passed
    over, and the reason shown.

    Raises:
        SceneError: a damaged archive, no usable chip, or ships whose places contradict each other.
    """
    archive = _open_archive(path)
    name = _PRODUCT.search(path.name) or _PRODUCT.search(archive.metadata) or _PRODUCT.search(archive.prefix)
    if name is None:
        raise UnknownFormat(f"{path} does not carry the name of its Sentinel-1 product, which says what it holds.")
    calibrated = overrides.calibrate and bool(archive.chips["Patch_Cal"])
    chips = archive.chips["Patch_Cal" if calibrated else "Patch"]
    ships = _ships(archive.ships)
    fit = _fit(ships, path, overrides)
    notes = [_place_note(fit, len(ships)), ONLY_AIS]
    if not calibrated:
        notes.append(relative(path, overrides, "the archive holds no Patch_Cal"))
    marked = read_ships(archive.ships)
    named = len(re.findall("<ship>", archive.ships, re.IGNORECASE))
    if named > len(marked):
        lost = f"{named - len(marked)} of the {named} ships of Ship.xml"
        notes.append(f"{lost} have no place of their own (none, or that of another, which then counts once).")
    product = _Product(archive, name[0], name[1], name[2], name[3], calibrated, fit, tuple(notes), marked)
    scenes: list[Scene] = []
    reasons: list[str] = []
    # A ship's polarisations stand in files of their own or in the bands of one: "all" and the default need to know.
    there: dict[tuple[int, int], list[str]] = {}
    for chip in chips:
        if chip.polarisation:
            there.setdefault((chip.x, chip.y), []).append(chip.polarisation)
    for chip in chips:
        try:
            if (chip.x, chip.y) not in ships:
                raise DamagedProduct(f"{path}: Ship.xml names no ship for {chip.file}.")
            scenes += _open_chip(product, chip, ships[chip.x, chip.y], there.get((chip.x, chip.y), []), overrides)
        except (DamagedProduct, NoData) as error:
            reasons.append(str(error))
    if not scenes:
        raise DamagedProduct(reasons[0] if reasons else f"{path} holds no chip.")
    for reason in reasons:
        say(f"  skipped: {reason}")
    return scenes


def _open_chip(
    product: "_Product", chip: Chip, ship: dict[str, float], separate: list[str], overrides: SceneOverrides
) -> list[Scene]:
    """Scenes of one chip file; `ship`: its numbers in Ship.xml; `separate`: polarisations of the files of this ship,
    empty where one file holds all of them."""
    path, source = product.archive.path, f"{product.archive.prefix}/{product.folder}/{chip.file}"
    try:
        header = read_header(path, source)
    except UnknownFormat as error:
        raise DamagedProduct(f"{path}: {chip.file} cannot be read, is the archive complete? ({error})") from error
    parts = 2 if product.kind == "SLC" and not product.calibrated else 1
    bands = _bands(len(header.dtypes) // parts, chip.polarisation, product)
    wanted = [name for name in choose(separate or bands, overrides, path) if name in bands]
    rows, columns = header.shape
    corner = chip.x - (columns - 1) / 2, chip.y - (rows - 1) / 2
    geometry = _geometry(product, corner, header.shape, ship)
    side, orbit = _attribute(product.archive.metadata, "antenna_pointing"), _attribute(product.archive.metadata, "PASS")
    labels, unlabelled = _labels(product, geometry, corner, header.shape)
    scenes = []
    for polarisation in wanted:
        band = parts * bands.index(polarisation) + 1
        raster = raster_of(path, header, band, band + 1 if parts == 2 else 0, source)
        if product.calibrated:
            raster.units = "intensity"
            factor = float(conversion("sigma0", overrides.quantity, ship["Incidence"], path))
            raster.calibration = Radiometry(overrides.quantity, Constant(factor)) if factor != 1 else None
        elif parts == 1:
            raster.units = overrides.units or "amplitude"
        require_data(raster)
        # Ships of many products meet in one data set: satellite, time and the product's last word tell them apart.
        stem = f"{product.name[:3]}-{product.start}-{product.name[-4:]}-{chip.kind}-x{chip.x}-y{chip.y}"
        scene = Scene(
            path=path,
            scene_id=slug(f"{stem}-{polarisation}" if overrides.polarisation.lower() == "all" else stem),
            raster=raster,
            geometry=geometry,
            sensor=overrides.sensor or "sentinel-1",
            band=overrides.band or "C",
            frequency_ghz=5.405,
            polarisation=polarisation,
            looks=_LOOKS[product.kind],
            incidence_deg=ship["Incidence"],
            look_azimuth_deg=math.degrees(math.atan2(geometry.transform.a, geometry.transform.d)) % 360,
            look_side=side if side in ("left", "right") else "right",
            orbit=orbit if orbit in ("ascending", "descending") else "",
            date=date_of(product.name),
            radiometry="calibrated" if product.calibrated else "relative",
            quantity=overrides.quantity if product.calibrated else "none",
            mode=product.name.split("_")[1],
            product_type=product.kind,
            projection="ground" if product.kind == "GRD" else "slant",
            product=NAME,
            group=slug(product.name),
            sources=(path,) if path.is_file() else (path / product.folder / chip.file,),
            notes=product.notes,
            labels=labels,
            unlabelled=unlabelled,
        )
        scenes.append(scene)
    return scenes


@lru_cache(maxsize=4)
def _listing(path: Path, changed: int) -> tuple[list[str], dict[str, str]]:
    """Names of all members and the texts of the XML files that stand beside Ship.xml in an archive."""
    with open_zip(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        place = PurePosixPath(_ship_of(names, path)).parent
        documents = [name for name in names if name.lower().endswith(".xml") and PurePosixPath(name).parent == place]
        _require_few(sum(archive.getinfo(name).file_size for name in documents), path)
        texts = {name: archive.read(name).decode("utf-8", "replace") for name in documents}
    return names, texts


def _ship_of(names: list[str], path: Path) -> str:
    """The name that ends with Ship.xml and lies least deep."""
    found = [name for name in sorted(names, key=len) if PurePosixPath(name).name == "Ship.xml"]
    if not found:
        raise DamagedProduct(f"{path} holds no Ship.xml.")
    return found[0]


def _require_few(size: int, path: Path) -> None:
    if size > _LARGEST_XML:
        raise DamagedProduct(f"{path} holds {size:,} bytes of XML; what is read has at most {_LARGEST_XML:,}.")


def _open_archive(path: Path) -> Archive:
    if path.is_dir():
        names = [str(part.relative_to(path)) for part in path.rglob("*") if part.is_file()]
        documents = [name for name in names if name.lower().endswith(".xml") and "/" not in name]
        _require_few(sum((path / name).stat().st_size for name in documents), path)
        texts = {name: (path / name).read_text("utf-8", "replace") for name in documents}
        place = str(path)
    else:
        names, texts = _listing(path, path.stat().st_mtime_ns)
        place = f"/vsizip/{path.resolve()}"
    ship = _ship_of(names, path)
    top = ship.removesuffix("Ship.xml")
    chips: dict[str, list[Chip]] = {}
    for folder in ("Patch", "Patch_Cal"):  # sorted: zip archives and folders list their members in any order
        start = f"{top}{folder}/"
        found = [_CHIP.fullmatch(name[len(start) :]) for name in names if name.startswith(start)]
        parts = [(m[0], m["kind"], int(m["x"]), int(m["y"]), (m["polarisation"] or "").upper()) for m in found if m]
        chips[folder] = sorted(Chip(*part) for part in parts)
    others = [text for name, text in texts.items() if name != ship and "Abstracted_Metadata" in text]
    return Archive(path, f"{place}/{top}".rstrip("/"), chips, texts[ship], others[0] if others else "")


def _ships(text: str) -> dict[tuple[int, int], dict[str, float]]:
    """(Center_x, Center_y) -> numbers of each ship. Tags are searched one by one: many of these files are no XML."""
    ships = {}
    for part in re.split(r"<ship>", text, flags=re.IGNORECASE)[1:]:
        block, *closed = re.split(r"</ship>", part, maxsplit=1, flags=re.IGNORECASE)
        if not closed:
            continue
        values = {}
        for key in ("Center_x", "Center_y", "Center_longitude", "Center_latitude", "Incidence"):
            found = re.search(rf"<{key}>([^<]*)</{key}>", block)
            try:
                values[key] = float(found[1].strip()) if found else math.nan
            except ValueError:
                values[key] = math.nan
        if math.isfinite(sum(values[key] for key in list(values)[:4])):
            ships[int(values["Center_x"]), int(values["Center_y"])] = values
    return ships


def _fit(ships: dict[tuple[int, int], dict[str, float]], path: Path, overrides: SceneOverrides) -> ControlPoints | None:
    """One polynomial for the whole product through the places of all ships, of the order that misses left-out ships
    least; None where there are too few ships to tell. A spline would follow the rounding of the places."""
    at = np.array([list(ship.values())[:4] for ship in ships.values()]).reshape(-1, 4)
    orders = [order for order, least in ((1, 8), (2, 9), (3, 15)) if len(at) >= least]
    fits = [ControlPoints(at[:, 0] + 0.5, at[:, 1] + 0.5, at[:, 2], at[:, 3], order) for order in orders]
    if not fits:
        return None
    best = min(fits, key=lambda fit: fit.residual_m)
    gate(best, path, 10.0, overrides.max_residual_m or _RESIDUAL_M)
    return best


def _axes(metadata: str, path: Path) -> Axes:
    """Directions and lengths of a step by a column and by a row, from the corners and spacings of the whole product."""
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
    product: _Product, corner: tuple[float, float], shape: tuple[int, int], ship: dict[str, float]
) -> AffineGeometry:
    """Place of a chip: over a kilometre the fit is a plane to a centimetre."""
    rows, columns = shape
    if product.fit is None:
        (a, d), (b, e) = product.axes
        if product.kind == "SLC":
            a, d = np.array([a, d]) / math.sin(math.radians(ship["Incidence"]))
        transform = Affine(a, b, -(a * columns + b * rows) / 2, d, e, -(d * columns + e * rows) / 2)
        return AffineGeometry(_crs(ship["Center_longitude"], ship["Center_latitude"]), transform, _ROUNDING_M)
    x, y = product.fit.forward(
        corner[0] + columns * np.array([0.5, 0, 1, 0.5, 0.5]), corner[1] + rows * np.array([0.5, 0.5, 0.5, 0, 1])
    )
    a, d = (x[2] - x[1]) / columns, (y[2] - y[1]) / columns
    b, e = (x[4] - x[3]) / rows, (y[4] - y[3]) / rows
    transform = Affine(a, b, x[0] - (a * columns + b * rows) / 2, d, e, y[0] - (d * columns + e * rows) / 2)
    return AffineGeometry(product.fit.crs, transform, product.fit.residual_m)


def _labels(
    product: _Product, geometry: AffineGeometry, corner: tuple[float, float], shape: tuple[int, int]
) -> tuple[tuple[SceneLabel, ...], tuple[Unlabelled, ...]]:
    """The ships whose middle lies on a chip: its own, and those of other chips that it shows too."""
    found = []
    for (x, y), ship in product.ships.items():
        if 0 <= x + 0.5 - corner[0] < shape[1] and 0 <= y + 0.5 - corner[1] < shape[0]:
            identity = f"{product.name}-x{x}-y{y}"
            found.append(label_of(identity, ship, product.kinds.get((x, y), ""), geometry, corner))
    labels = tuple(one for one in found if isinstance(one, SceneLabel))
    return labels, tuple(one for one in found if isinstance(one, Unlabelled))


def _bands(count: int, named: str, product: _Product) -> list[str]:
    """Polarisations of `count` bands in their order."""
    if named:
        return [named]
    stated = [_attribute(product.archive.metadata, f"mds{number}_tx_rx_polar").upper() for number in (1, 2)]
    if count == 1:
        return [stated[0] if product.double == "S" and stated[0] in _ALL else product.transmit * 2]
    alphabet = [name for name in _ALL if name[0] == product.transmit]
    return stated if sorted(stated) == alphabet else alphabet


def _attribute(metadata: str, name: str) -> str:
    """First value of an attribute of SNAP's abstracted metadata, lower case; "" where there is none."""
    found = re.search(rf'name="{name}"\s+value="([^"]*)"', metadata)
    return found[1].strip().lower() if found else ""


def _place_note(fit: ControlPoints | None, ships: int) -> str:
    if fit is None:
        return "Placed by the ship's own coordinates and the axes of the whole product; too few ships for a fit."
    return f"Placed by a {fit.model} through the places of {ships} ships, which miss it by {fit.residual_m:.1f} m RMS."
