"""ALOS PALSAR and ALOS-2 PALSAR-2 in GeoTIFF: images of level 1.5, 2.1 and 3.1 with their summary.txt, level 2.2 and
the global mosaics with their XML. Amplitudes of all are calibrated by 10 log10(DN^2) - 83 dB: sigma0 of levels 1.5 to
3.1, gamma0 with the relief taken out of level 2.2 and the mosaics.

Sources: ALOS-2/PALSAR-2 Level 1.1/1.5/2.1/3.1 GeoTIFF Product Format Description (JAXA), Calibration Result of
ALOS-2/PALSAR-2 JAXA Standard Products (JAXA EORC), Global PALSAR-2/PALSAR mosaic dataset description (JAXA EORC).
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TypedDict
from xml.etree.ElementTree import Element

from knowlip.scenes.errors import DamagedProduct, NoLocation
from knowlip.scenes.names import second_of, word_of
from knowlip.scenes.quantities import finite
from knowlip.scenes.raster import Raster
from knowlip.scenes.readers.common import BY_CORNERS, require_polarisation
from knowlip.scenes.readers.described import SceneFacts, described, tiff_of
from knowlip.scenes.readers.geotiff import Header, geometry_of
from knowlip.scenes.readers.jaxa_summary import corners_of, read_summary, summary_facts
from knowlip.scenes.readers.layers_beside import use_layers
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import read_xml, text_of

NAME = "PALSAR"
FACTOR = 10**-8.3
_POLES = "([HV][HV])"
_IMAGE = re.compile(rf"IMG-{_POLES}-(ALOS2|ALPSR)\w+-.*\.tif", re.IGNORECASE)
_LEVEL_22 = re.compile(rf"(ALOS2\w+-\d{{6}}_(\w{{3}})[LR]2\.2\w+)_{_POLES}_\w+\.tif", re.IGNORECASE)
_MOSAIC = re.compile(rf"([NS]\d\d[EW]\d{{3}}_(\d\d))_(?:sl_)?{_POLES}(?:_(F\d\dD\w\w))?\.tif", re.IGNORECASE)
_PALSAR_2_FROM = 14
"""Mosaics from 2014 on are of PALSAR-2, the earlier ones of PALSAR."""


def matches(path: Path) -> bool:
    return path.is_file() and any(pattern.fullmatch(path.name) for pattern in (_IMAGE, _LEVEL_22, _MOSAIC))


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One image: every polarisation is a file of its own.

    Raises:
        SceneError: no raster, no place, another polarisation than the one asked for, beta0 of gamma0.
    """
    header, raster = tiff_of(path)
    if overrides.units and raster.units != "complex":
        raster.units = overrides.units
    for pattern, understand in ((_IMAGE, _image), (_LEVEL_22, _level_22), (_MOSAIC, _mosaic)):
        if match := pattern.fullmatch(path.name):
            return [understand(path, match, header, raster, overrides)]
    raise DamagedProduct(f"{path} is not named as an image of {NAME}.")


def _image(path: Path, match: re.Match[str], header: Header, raster: Raster, overrides: SceneOverrides) -> Scene:
    summary_file = path.with_name("summary.txt")
    summary = read_summary(summary_file) if summary_file.is_file() else {}
    polarisation = match[1].upper()
    require_polarisation(polarisation, overrides, path)
    facts = summary_facts(NAME, path.stem, polarisation, summary)
    notes = facts.notes if summary else (*facts.notes, "No summary.txt beside it, so no date, mode and look side.")
    try:
        geometry = geometry_of(header, path, overrides)
    except NoLocation:
        points = corners_of(summary, header.shape)
        if points is None:
            raise
        geometry, notes = points, (*notes, BY_CORNERS.format(" (to 0.001 degrees)"))
    projection = "map" if geometry.kind == "affine" else "ground"
    facts = replace(facts, notes=notes, projection=projection)
    if raster.units == "complex":
        facts = replace(facts, quantity="", why="the constant of detected pixels does not hold for complex ones")
    sources = (path, summary_file) if summary else (path,)
    return described(path, raster, facts, overrides, False, sources, geometry)


def _level_22(path: Path, match: re.Match[str], header: Header, raster: Raster, overrides: SceneOverrides) -> Scene:
    name, polarisation = match[1], match[3].upper()
    xml = next((file for end in ("_summary.xml", ".xml") if (file := path.with_name(name + end)).is_file()), None)
    root = read_xml(xml) if xml is not None else Element("none")
    require_polarisation(polarisation, overrides, path)
    quantity, factor, why = _said(root, path.name)
    facts = SceneFacts(
        **_view(root),
        product=NAME,
        name=path.stem,
        sensor="palsar-2",
        unit="ALOS-2",
        band="L",
        polarisation=polarisation,
        quantity=quantity if xml is not None else "gamma0",
        factor=factor if xml is not None else FACTOR,
        terrain=True,
        why=why,
        mode=text_of(root, ".//ObservationMode") or match[2],
        product_type="L2.2",
        notes=() if xml is not None else (f"No {name}_summary.xml beside it: date, view and frequency are unknown.",),
    )
    return _with_layers(path, raster, facts, overrides, [xml] if xml else [], header)


def _said(root: Element, file: str) -> tuple[str, float, str]:
    """Quantity and factor that the XML states for a file: "10*log10(DN^2)-83.0"; and why there is none."""
    for measured in root.iter("BackscatterMeasurementData"):
        if text_of(measured, "FileName").lower() != file.lower():
            continue
        quantity = re.sub(r"[^a-z0-9]", "", text_of(measured, "BackscatterMeasurement").lower())
        equation = text_of(measured, "BackscatterConversionEq").replace(" ", "")
        found = re.fullmatch(r"10\*log10\(DN\^2\)([-+]\d+(?:\.\d+)?)", equation)
        if quantity in ("gamma0", "sigma0", "beta0") and found:
            return quantity, 10 ** (float(found[1]) / 10), ""
        return "", math.nan, f"its XML converts pixels by {equation[:60]!r}, which is not known here"
    return "", math.nan, "its XML does not say how its pixels become backscatter"


class _View(TypedDict):
    date: str
    orbit: str
    look_side: str
    incidence_deg: float
    frequency_ghz: float


def _view(root: Element) -> _View:
    """Date, frequency and view of a CARD4L description, whose tags differ in spelling between versions."""
    near, far = (finite(text_of(root, f".//IncAngle{end}Range")) for end in ("Near", "Far"))
    start = text_of(root, ".//StartTime") or text_of(root, ".//UTCStartTime")
    return {
        "date": second_of(start),
        "orbit": word_of(text_of(root, ".//PassDirection"), "ascending", "descending"),
        "look_side": word_of(text_of(root, ".//AntennaPointing"), "left", "right"),
        "incidence_deg": (near + far) / 2,
        "frequency_ghz": finite(text_of(root, ".//RadarCenterFrequency")),
    }


def _mosaic(path: Path, match: re.Match[str], header: Header, raster: Raster, overrides: SceneOverrides) -> Scene:
    tile, year, polarisation = match[1], int(match[2]), match[3].upper()
    xml = path.with_name(f"{tile}_{match[4]}.xml") if match[4] else path.with_name(f"{tile}.xml")
    root = read_xml(xml) if xml.is_file() else Element("none")
    require_polarisation(polarisation, overrides, path)
    view, notes = _view(root), list[str]()
    taken = len(root.findall(".//SourceAttributes"))
    if taken != 1:
        # A mosaic is put together of several passes: one of them does not date or describe all.
        view["date"], view["incidence_deg"] = "", math.nan
        several = f"a mosaic of {taken} acquisitions" if taken else "a mosaic"
        notes.append(f"No date and no incidence angle: {several} of 20{year:02d}.")
    if raster.nodata != 0.0:  # no data by the format, inside the tile too
        raster.fills += (0.0,)
    facts = SceneFacts(
        **view,
        product=NAME,
        name=path.stem,
        sensor="palsar-2" if year >= _PALSAR_2_FROM else "palsar",
        unit=text_of(root, ".//Satellite") or ("ALOS-2" if year >= _PALSAR_2_FROM else "ALOS"),
        band="L",
        polarisation=polarisation,
        quantity="gamma0",
        factor=FACTOR,
        terrain=True,
        mode=text_of(root, ".//ObservationMode"),
        product_type="mosaic",
        notes=tuple(notes),
    )
    return _with_layers(path, raster, facts, overrides, [xml] if xml.is_file() else [], header)


def _with_layers(
    path: Path, raster: Raster, facts: SceneFacts, overrides: SceneOverrides, beside: list[Path], header: Header
) -> Scene:
    """The scene, without the pixels that the mask of its product calls no data."""
    layers = use_layers(path, raster)
    facts = replace(facts, notes=facts.notes + layers.notes)
    return described(path, raster, facts, overrides, False, (path, *beside, *layers.used), header=header)
