"""BEAM-DIMAP, as SNAP writes its products: NAME.dim (XML) beside NAME.data with one ENVI file a band.

The XML says what the bands are and where a geocoded product lies; ungeocoded ones carry grids of latitudes and
longitudes (tie points). Layers that are no backscatter (incidence angles, elevations, masks) are no scenes.
Source: the format as SNAP's DimapProductWriter and DimapProductConstants define it.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pyproj
from affine import Affine
from rasterio.windows import Window

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry, Geometry
from knowlip.scenes.layers import layer_of_band, quantity_named, units_named
from knowlip.scenes.names import date_of, polarisation_of, sensor_of, slug, word_of
from knowlip.scenes.readers.common import choose, gated, others_note, rank, require_data
from knowlip.scenes.readers.geotiff import Header, geometry_of, held_quantity, raster_of, read_header
from knowlip.scenes.scene import UNITS, Scene, SceneOverrides
from knowlip.scenes.units import agreed, settle
from knowlip.scenes.xml import number_at, read_xml, text_of

NAME = "BEAM-DIMAP"
_ABSTRACTED = ".//MDElem[@name='Abstracted_Metadata']"
_COMPLEX = re.compile(r"^(i|q)_", re.IGNORECASE)
_BANDS = (("P", 0.25), ("L", 1), ("S", 2), ("C", 4), ("X", 8), ("Ku", 12))
_MOST_POINTS = 40
"""Tie points along each side that are taken of a grid."""


@dataclass(frozen=True)
class Band:
    """A band as the XML, or the file's own name, describes it."""

    name: str
    file: Path
    imaginary: Path | None  # File of the imaginary part where `file` holds the real one.
    unit: str
    scaling: tuple[float, float]  # Scale and offset: number = scale * stored value + offset.
    imaginary_scaling: tuple[float, float]
    nodata: float | None


def matches(path: Path) -> bool:
    """A .dim file with its .data folder, or a folder that holds one product and nothing else."""
    return _entry(path) is not None


def parts(path: Path) -> list[Path]:
    """All files of the .data folder."""
    entry = _entry(path)
    return sorted(_data(entry).rglob("*.img")) if entry else []


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open the bands of a product that hold backscatter: one scene per chosen polarisation.

    Of several bands of one polarisation the calibrated one is taken (in the quantity asked for), else intensity, else
    amplitude, else the complex pair; the others are told in a note.

    Raises:
        SceneError: no XML of this format, no backscatter, no place, or a quantity that no band holds.
    """
    entry = _entry(path)
    if entry is None:
        raise UnknownFormat(f"{path} is no BEAM-DIMAP product: a .dim file with its .data folder.")
    root = read_xml(entry)
    about = root.find(_ABSTRACTED)
    bands = _bands(root, entry)
    of: dict[str, list[Band]] = {}
    for band in bands:
        of.setdefault(polarisation_of(band.name), []).append(band)
    named = {polarisation: found for polarisation, found in of.items() if polarisation} or of
    scenes = []
    chosen = choose(sorted(named), overrides, entry)
    for polarisation in chosen:
        band, *others = sorted(
            named[polarisation], key=lambda one: (rank(one.name, overrides, one.imaginary is not None), one.name)
        )
        header = read_header(band.file)
        raster = raster_of(band.file, header)
        if band.imaginary is not None:
            raster = raster_of(band.file, header, imaginary_file=band.imaginary)
        raster.scale, raster.offset = _scaling(band.scaling, (raster.scale, raster.offset), band.file)
        if band.imaginary is not None:
            other = read_header(band.imaginary)
            raster.imaginary_scaling = _scaling(
                band.imaginary_scaling, (other.scales[0], other.offsets[0]), band.imaginary
            )
        raster.nodata = band.nodata if band.nodata is not None else raster.nodata
        held = quantity_named(band.name)
        stated, notes = agreed(raster, overrides.units, [_units(band)], held, sure=bool(overrides.raster_band))
        notes += settle(raster, stated, held)
        if others:
            notes.append(others_note(band.name, (one.name for one in others)))
        incidence = _incidence(about)
        # One angle for a whole swath would be off by a decibel: other quantities than the held one are refused.
        quantity = held_quantity(raster, held, math.nan, overrides, entry)
        geometry = _geometry(root, header, entry, overrides)
        require_data(raster)
        mission = slug(_said(about, "MISSION") or "unknown")
        sensor, letter = ("sentinel-1", "C") if mission.startswith("sentinel-1") else sensor_of(entry.stem)
        frequency = _number(about, "radar_frequency") / 1000
        scene = Scene(
            path=path,
            scene_id=slug(entry.stem) + (f"-{polarisation.lower()}" if len(chosen) > 1 else ""),
            raster=raster,
            geometry=geometry,
            sensor=overrides.sensor or sensor or mission,
            band=overrides.band or letter or _letter(frequency),
            frequency_ghz=frequency,
            polarisation=polarisation,
            incidence_deg=incidence,
            look_side=word_of(_said(about, "antenna_pointing"), "left", "right"),
            orbit=word_of(_said(about, "PASS"), "ascending", "descending"),
            date=_moment(_said(about, "first_line_time")) or date_of(entry.name),
            radiometry="calibrated" if quantity != "none" else "relative",
            quantity=quantity,
            mode=_said(about, "ACQUISITION_MODE"),
            product_type=_said(about, "PRODUCT_TYPE"),
            projection="map" if geometry.kind == "affine" else "",
            product=NAME,
            sources=(entry, band.file),
            notes=tuple(notes),
        )
        scenes.append(gated(scene, overrides, entry))
    return scenes


def _entry(path: Path) -> Path | None:
    """The .dim file of the product at `path`."""
    if path.is_dir():
        if path.name.lower().endswith(".data"):
            return None
        try:
            inside = [one for one in path.iterdir() if not one.name.startswith(".")]
        except OSError:
            return None
        found = [one for one in inside if one.suffix.lower() == ".dim"]
        alone = len(found) == 1 and all(one in (found[0], _data(found[0])) for one in inside)
        return _entry(found[0]) if alone else None
    whole = path.suffix.lower() == ".dim" and path.is_file() and _data(path).is_dir()
    return path if whole else None


def _data(entry: Path) -> Path:
    return entry.with_suffix(".data")


def _bands(root: Element, entry: Path) -> list[Band]:
    """Bands with backscatter, complex pairs joined; refused where there is none."""
    described = {text_of(one, "BAND_NAME"): one for one in root.iter("Spectral_Band_Info")}
    files = {file.stem: file for file in sorted(_data(entry).glob("*.img")) if file.is_file()}
    names = [name for name in described if name in files] or list(files)
    found, layers = [], []
    for name in names:
        said = described.get(name, Element("Spectral_Band_Info"))
        unit = text_of(said, "PHYSICAL_UNIT").lower()
        if layer := layer_of_band(name, unit):
            layers.append(f"{name} ({layer})")
            continue
        if name.lower().startswith("q_"):
            continue
        imaginary = files.get(f"q{name[1:]}") or files.get(f"Q{name[1:]}") if _COMPLEX.match(name) else None
        used = text_of(said, "NO_DATA_VALUE_USED").lower() == "true"
        if text_of(said, "LOG10_SCALED").lower() == "true":
            raise UnknownFormat(f"{entry}: {name} is stored as a logarithm (LOG10_SCALED), which is not read.")
        # The two parts of a pair are stored by themselves, with a scaling each.
        other = described.get(imaginary.stem, said) if imaginary else said
        scaling, imaginary_scaling = (
            (number_at(one, "SCALING_FACTOR", 1.0), number_at(one, "SCALING_OFFSET", 0.0)) for one in (said, other)
        )
        nodata = number_at(said, "NO_DATA_VALUE", math.nan) if used else None
        found.append(Band(name, files[name], imaginary, unit, scaling, imaginary_scaling, nodata))
    if not found:
        what = f" ({', '.join(layers)})" if layers else ""
        raise UnknownFormat(f"{entry} has no band of backscatter in {_data(entry).name}{what}.")
    return found


def _scaling(said: tuple[float, float], held: tuple[float, float], file: Path) -> tuple[float, float]:
    """Scale and offset of a band, which SNAP writes twice, into the XML (`said`) and the ENVI header (`held`) and
    means once: number = scale * stored value + offset.

    Raises:
        DamagedProduct: the two differ, or are none.
    """
    stated = [scaling for scaling in (said, held) if scaling != (1.0, 0.0)]
    if len(stated) == 2 and not np.allclose(said, held, rtol=1e-6, atol=1e-12):
        raise DamagedProduct(f"{file}: scale and offset are {said} in the XML, and {held} in the ENVI header.")
    scaling = stated[0] if stated else (1.0, 0.0)
    if not all(map(math.isfinite, scaling)) or scaling[0] == 0:
        raise DamagedProduct(f"{file} declares {scaling} as scale and offset, which cannot be.")
    return scaling


def _units(band: Band) -> str:
    """Units that the XML or the band's name states."""
    words = band.unit.replace("_", " ").split()
    if "db" in words:
        return "db"
    said = next((word for word in words if word in UNITS), "") or units_named(band.name)
    return "" if said == "complex" else said


def _geometry(root: Element, header: Header, entry: Path, overrides: SceneOverrides) -> Geometry:
    """The map transform of the XML, else of the ENVI header, else the grids of tie points."""
    text = text_of(root, "Coordinate_Reference_System/WKT")
    model = text_of(root, "Geoposition/IMAGE_TO_MODEL_TRANSFORM")
    if text and model:
        try:
            a, d, b, e, c, f = (float(number) for number in model.split(","))
            return AffineGeometry(pyproj.CRS.from_user_input(text), Affine(a, b, c, d, e, f))
        except (ValueError, pyproj.exceptions.CRSError) as error:
            raise DamagedProduct(f"{entry} states a place that cannot be understood ({error}).") from error
    if header.affine is not None:
        return header.affine
    grids = {text_of(one, "TIE_POINT_GRID_NAME"): one for one in root.iter("Tie_Point_Grid_Info")}
    if {"latitude", "longitude"} <= grids.keys():
        return _tie_points(grids, entry)
    try:
        return geometry_of(header, entry, overrides)
    except NoLocation:
        raise NoLocation(f"{entry} has no map transform and no grids of latitudes and longitudes.") from None


def _tie_points(grids: dict[str, Element], entry: Path) -> ControlPoints:
    """Control points of the grids; offsets and steps are in pixels, and name pixel centres by halves."""
    values = {}
    for name in ("latitude", "longitude"):
        file = _data(entry) / "tie_point_grids" / f"{name}.img"
        raster = raster_of(file, read_header(file))
        values[name] = raster.values(Window(0, 0, raster.shape[1], raster.shape[0]))[0].astype(float)
        raster.close()
    lats, lons = values["latitude"], values["longitude"]
    if lats.shape != lons.shape:
        raise DamagedProduct(f"{entry}: its grids of latitudes and longitudes differ in size.")
    said = grids["latitude"]
    numbers = [number_at(said, name, math.nan) for name in ("OFFSET_X", "OFFSET_Y", "STEP_X", "STEP_Y")]
    if not all(map(math.isfinite, numbers)):
        raise DamagedProduct(f"{entry}: its grid of latitudes says nothing of offset and step.")
    left, top, across, down = numbers
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(int)) for n in lats.shape)
    y, x = np.meshgrid(top + rows * down, left + columns * across, indexing="ij")
    taken = np.ix_(rows, columns)
    return ControlPoints(x.ravel(), y.ravel(), lons[taken].ravel(), lats[taken].ravel())


def _said(about: Element | None, name: str) -> str:
    """Text of an attribute of the abstracted metadata; "" where it is absent or one of SNAP's blanks."""
    found: Any = about.find(f"MDATTR[@name='{name}']") if about is not None else None
    text = (found.text or "").strip() if found is not None else ""
    return "" if text in ("-", "99999", "99999.0") else text


def _number(about: Element | None, name: str) -> float:
    try:
        return float(_said(about, name))
    except ValueError:
        return math.nan


def _incidence(about: Element | None) -> float:
    """The middle of near and far range in degrees; NaN where they are not known."""
    near, far = _number(about, "incidence_near"), _number(about, "incidence_far")
    return (near + far) / 2 if 0 < near < 90 and 0 < far < 90 else math.nan


def _letter(frequency_ghz: float) -> str:
    return next((name for name, begin in reversed(_BANDS) if frequency_ghz >= begin), "")


def _moment(text: str) -> str:
    """ "05-JAN-2021 17:30:17.123456" as an ISO time, "" where it is none."""
    try:
        return datetime.strptime(text.split(".")[0].title(), "%d-%b-%Y %H:%M:%S").strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return ""
