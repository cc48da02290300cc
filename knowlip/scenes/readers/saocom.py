"""SAOCOM-1A and 1B, levels L1A to L1D: the folder of an unpacked product, or the XML beside one image.

Pixels are calibrated by the processor: |DN|^2 is sigma0 (complex, or floating-point amplitudes). Geocoded images lie
where their GeoTIFF says, slant-range ones where orbit, zero-Doppler times and ranges say.

Source: SAOCOM-1 L1 product format (CONAE, SAO-SAOG); that the amplitude is one of sigma nought is also how the public
reader of the processor's maker (Aresys, eo_products) takes it.
"""

import math
import re
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, SlantRange, UnknownFormat
from knowlip.scenes.names import word_of
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, SlantImage, slant_grid
from knowlip.scenes.quantities import finite
from knowlip.scenes.readers.common import choose
from knowlip.scenes.readers.described import SceneFacts, described, tiff_of
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import need, need_count, need_number, need_text, read_xml, root_tag, text_of

NAME = "SAOCOM"
_IMAGE = re.compile(r"(slc|di|gec|gtc)-.*\.xml", re.IGNORECASE)
_LEVELS = {"slc": "SLC", "di": "DI", "gec": "GEC", "gtc": "GTC"}
_STAMP = re.compile(r"(\d\d)-([A-Z]{3})-(\d{4}) (\d\d:\d\d:\d\d)(\.\d+)?")
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def matches(path: Path) -> bool:
    return bool(_xmls(path))


def parts(path: Path) -> list[Path]:
    """Every file of the product's folder; of an XML, its image."""
    if path.is_dir():
        folders = [path / name for name in ("Config", "Data", "Images", "Quality")]
        return [member for folder in folders if folder.is_dir() for member in folder.rglob("*") if member.is_file()]
    return [path.with_suffix("")] if path.with_suffix("").is_file() else []


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation.

    Raises:
        SceneError: a file is missing or damaged, bursts are apart, an image has no place.
    """
    found: dict[str, tuple[Path, Element]] = {}
    for xml in _xmls(path):
        root = need(read_xml(xml), "Channel", str(xml))
        polarisation = need_text(root, "SwathInfo/Polarization", str(xml)).replace("/", "").upper()
        if polarisation in found:
            raise UnknownFormat(f"{path} holds several swaths; name the XML of one, as {xml}.")
        found[polarisation] = xml, root
    if not found:
        raise UnknownFormat(f"{path} is no product of {NAME}.")
    chosen = choose(sorted(found), overrides, path)
    return [_open(path, *found[name], name, overrides) for name in chosen]


def _xmls(path: Path) -> list[Path]:
    """Descriptions of the images of a product."""
    if path.is_dir():
        folder = path / "Data"
        return [xml for xml in sorted(folder.glob("*.xml")) if _is_image(xml)] if folder.is_dir() else []
    return [path] if _is_image(path) else []


def _is_image(xml: Path) -> bool:
    return bool(_IMAGE.fullmatch(xml.name)) and xml.is_file() and root_tag(xml) == "SAOCOM_XMLProduct"


def _open(path: Path, xml: Path, root: Element, polarisation: str, overrides: SceneOverrides) -> Scene:
    name = str(xml)
    file = need_text(root, "RasterInfo/FileName", name)
    if Path(file).name != file or text_of(root, "RasterInfo/RasterFormat", "DATA_GEOTIFF") != "DATA_GEOTIFF":
        raise DamagedProduct(f"{xml} names {file[:80]!r} as its image, which is no GeoTIFF beside it.")
    image = xml.parent / file
    size = need_count(root, "RasterInfo/Lines", name), need_count(root, "RasterInfo/Samples", name)
    header, raster = tiff_of(image, size)
    # A slant-range image has an orbit and no map; a geocoded one lies where its own TIFF says.
    slant = text_of(root, "DataSetInfo/Projection").upper() == "SLANT RANGE"
    side = word_of(text_of(root, "DataSetInfo/SideLooking"), "left", "right")
    geometry = _slant_grid(root, name, size, side, overrides) if slant else None
    notes: tuple[str, ...] = ()
    azimuth = math.nan
    if isinstance(geometry, ControlPoints):
        if overrides.height_m is None:
            notes = (
                "Placed at the height of the ellipsoid: its metadata state no height; say one by --read.height_m.",
            )
        azimuth = geometry.first_line_azimuth()
    start = _time(need_text(root, "SwathInfo/AcquisitionStartTime", name), name)[0]
    calibrated = raster.dtype.startswith(("float", "complex64", "complex128"))
    facts = SceneFacts(
        product=NAME,
        name=xml.stem,
        sensor="saocom",
        unit=text_of(root, "DataSetInfo/SensorName").replace("SAO", "SAOCOM-"),
        band="L",
        polarisation=polarisation,
        quantity="sigma0" if calibrated else "",
        factor=1.0,
        why="its pixels are whole numbers, of which its metadata state no scale",
        date=start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        orbit=word_of(text_of(root, "StateVectorData/OrbitDirection"), "ascending", "descending"),
        look_side=side,
        look_azimuth_deg=azimuth,
        mode=text_of(root, "SwathInfo/Swath"),
        product_type=_LEVELS[xml.name.split("-")[0].lower()],
        projection="slant" if slant else "map",
        looks=1.0 if slant else 0.0,
        frequency_ghz=finite(text_of(root, "DataSetInfo/fc_hz")) / 1e9,
        notes=notes,
    )
    return described(path, raster, facts, overrides, False, (image, xml), geometry, header)


def _slant_grid(
    root: Element, name: str, shape: tuple[int, int], side: str, overrides: SceneOverrides
) -> ControlPoints:
    """Zero-Doppler range-Doppler projection on one height.

    Raises:
        SlantRange: several bursts, or an orbit that cannot be used.
    """
    if finite(text_of(root, "BurstInfo/NumberOfBursts", "1")) > 1:
        raise SlantRange(f"{name} holds bursts one below the other, which are not put together; use L1C or L1D.")
    info, vectors = need(root, "RasterInfo", name), need(root, "StateVectorData", name)
    if side not in ("left", "right"):
        raise SlantRange(f"{name} does not say to which side the radar looks.")
    reference = _time(need_text(vectors, "t_ref_Utc", name), name)
    first = _time(need_text(info, "LinesStart", name), name)
    positions, velocities = (_triples(need(vectors, tag, name), name) for tag in ("pSV_m", "vSV_mOs"))
    if positions.shape != velocities.shape or len(positions) < 2:
        raise SlantRange(f"{name}: positions and velocities of its orbit do not belong together.")
    step = need_number(vectors, "dtSV_s", name)
    orbit = Orbit(step * np.arange(len(positions)), positions, velocities)
    grid = SlantImage(
        shape,
        (first[0] - reference[0]).total_seconds() + first[1] - reference[1],
        need_number(info, "LinesStep", name),
        need_number(info, "SamplesStart", name) * LIGHT_M_S / 2,
        need_number(info, "SamplesStep", name) * LIGHT_M_S / 2,
        side,
    )
    return slant_grid(orbit, grid, 0.0 if overrides.height_m is None else overrides.height_m)


def _triples(element: Element, name: str) -> np.ndarray:
    """(N, 3) of the <val> elements.

    Raises:
        DamagedProduct: they are no numbers, or no triples.
    """
    values = np.array([finite(value.text) for value in element.findall("val")])
    if not len(values) or len(values) % 3 or not np.all(np.isfinite(values)):
        raise DamagedProduct(f"{name} holds {len(values)} numbers in {element.tag}, which are no state vectors.")
    return values.reshape(-1, 3)


def _time(text: str, name: str) -> tuple[datetime, float]:
    """Whole seconds and the rest of "14-NOV-2021 22:17:23.058780018675" (UTC).

    Raises:
        DamagedProduct: it is none.
    """
    match = _STAMP.fullmatch(text.strip())
    if match is None or match[2] not in _MONTHS:
        raise DamagedProduct(f"{name} holds {text[:40]!r}, which is not a time.")
    try:
        whole = datetime.fromisoformat(f"{match[3]}-{_MONTHS.index(match[2]) + 1:02d}-{match[1]}T{match[4]}")
    except ValueError:
        raise DamagedProduct(f"{name} holds {text[:40]!r}, which is not a time.") from None
    return whole, float(match[5] or 0)
