"""NovaSAR-1: the folder of a product with metadata.xml and one GeoTIFF a polarisation.

quantity = DN^2 / CalibrationConstant (complex: |DN|^2), of the quantity that `RadiometricScaling` names.

Source: NovaSAR-1 User Guide (CSIRO), section on calibration; the names of the metadata are those that public readers
use (Aresys, eo_products).
"""

import math
import re
from pathlib import Path
from xml.etree.ElementTree import Element

from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import second_of, word_of
from knowlip.scenes.quantities import finite
from knowlip.scenes.readers.common import choose
from knowlip.scenes.readers.described import SceneFacts, described, tiff_of
from knowlip.scenes.readers.geotiff import geometry_of
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import read_xml, text_of

NAME = "NovaSAR-1"
_XML = re.compile(r"(?:.*[._-])?metadata\.xml", re.IGNORECASE)
_POLE = re.compile(r"(?:^|[_.-])([HV][HV])(?=[_.-]|$)", re.IGNORECASE)
_PREVIEW = re.compile(r"thumb|quick|browse|preview|(?:^|[_-])ql(?:[_-]|$)", re.IGNORECASE)
_QUANTITY = re.compile(r"(sigma|beta|gamma)", re.IGNORECASE)


def matches(path: Path) -> bool:
    return _xml_of(path) is not None


def parts(path: Path) -> list[Path]:
    """Every file of the product's folder."""
    xml = _xml_of(path)
    return [member for member in xml.parent.iterdir() if member.is_file() and member != path] if xml else []


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation.

    Raises:
        SceneError: no image, no place, or a quantity that cannot be given.
    """
    xml = _xml_of(path)
    if xml is None:
        raise UnknownFormat(f"{path} is no product of {NAME}.")
    root = read_xml(xml)
    images: dict[str, Path] = {}
    others: list[str] = []
    for image in sorted(xml.parent.glob("*.tif*")):
        match = _POLE.search(image.stem)
        is_image = image.suffix.lower() in (".tif", ".tiff") and not _PREVIEW.search(image.stem)
        if match and is_image and images.setdefault(match[1].upper(), image) != image:
            others.append(image.name)
    stated = text_of(root, ".//Polarisations").upper().split()
    missing = [pole for pole in stated if pole not in images]
    if not images:
        raise DamagedProduct(f"{xml} stands beside no image of a polarisation, is the product complete?")
    notes: tuple[str, ...] = (f"Not on disk, so not read: {', '.join(missing)}.",) if missing else ()
    if others:
        notes += (f"Of each polarisation the first image by name is read, so not: {', '.join(others[:4])}.",)
    chosen = choose(list(images), overrides, path)
    return [_open(path, xml, root, images[pole], pole, len(chosen) > 1, notes, overrides) for pole in chosen]


def _open(
    path: Path,
    xml: Path,
    root: Element,
    image: Path,
    pole: str,
    many: bool,
    notes: tuple[str, ...],
    overrides: SceneOverrides,
) -> Scene:
    header, raster = tiff_of(image, complex_bands=True)
    geometry = geometry_of(header, image, overrides)
    scaling = _QUANTITY.search(text_of(root, ".//RadiometricScaling"))
    constant = finite(text_of(root, ".//CalibrationConstant"))
    calibrated = text_of(root, ".//CalibrationStatus", "CALIBRATED").upper() == "CALIBRATED"
    kind = text_of(root, ".//ProductType").upper()
    near, far = (finite(text_of(root, f".//IncAngle{end}Range")) for end in ("Near", "Far"))
    # A constant without its quantity, or one that the product does not vouch for, calibrates nothing.
    why = "its metadata call it not calibrated" if not calibrated else "its metadata name no quantity and constant"
    facts = SceneFacts(
        product=NAME,
        name=f"{xml.parent.name}",
        sensor="novasar-1",
        unit=text_of(root, ".//Satellite") or "NovaSAR-1",
        band="S",
        polarisation=pole,
        quantity=f"{scaling[1].lower()}0" if scaling and calibrated else "",
        factor=1 / constant if constant > 0 else math.nan,
        why=why,
        date=second_of(text_of(root, ".//RawDataStartTime")),
        orbit=word_of(text_of(root, ".//PassDirection"), "ascending", "descending"),
        look_side=word_of(text_of(root, ".//AntennaPointing"), "left", "right"),
        incidence_deg=(near + far) / 2,
        mode=text_of(root, ".//OperationalMode"),
        product_type=kind,
        projection="map" if isinstance(geometry, AffineGeometry) else "slant" if kind in ("SLC", "SRD") else "ground",
        frequency_ghz=finite(text_of(root, ".//RadarCentreFrequency")) / 1e9,
        notes=notes,
    )
    return described(path, raster, facts, overrides, many, (image, xml), geometry)


def _xml_of(path: Path) -> Path | None:
    """The metadata of NovaSAR-1 at `path` or in its folder."""
    candidates = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    return next((xml for xml in candidates if _XML.fullmatch(xml.name) and xml.is_file() and _is_novasar(xml)), None)


def _is_novasar(xml: Path) -> bool:
    with xml.open("rb") as stream:
        head = stream.read(4096)
    return b"novasar" in head.lower() and b"<" in head
