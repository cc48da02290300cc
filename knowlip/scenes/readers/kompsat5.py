"""Kompsat-5 L1D (GEC, GTC): the GeoTIFF with its `_Aux.xml`.

The auxiliary file names a calibration constant, a rescaling factor and a reference range, but no public description
says how they make backscatter of these pixels, so they are read as relative amplitudes, and a note says so.
"""

import math
import re
from pathlib import Path
from xml.etree.ElementTree import Element

from knowlip.scenes.names import second_of, word_of
from knowlip.scenes.quantities import finite
from knowlip.scenes.readers.common import require_polarisation
from knowlip.scenes.readers.described import SceneFacts, described, tiff_of
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import read_xml, text_of

NAME = "Kompsat-5"
_IMAGE = re.compile(r"(K5_\d{14}_.*_([HV][HV])_(\w+)_B?_?L1[A-D])\.tif", re.IGNORECASE)
_WHY = "no public description says how Calibration Constant and Rescaling Factor make backscatter of these pixels"


def matches(path: Path) -> bool:
    return path.is_file() and _IMAGE.fullmatch(path.name) is not None


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """The one image of a product.

    Raises:
        SceneError: no raster, no place, or a quantity is demanded.
    """
    match = _IMAGE.fullmatch(path.name)
    assert match is not None
    xml = path.with_name(f"{match[1]}_Aux.xml")
    root = read_xml(xml) if xml.is_file() else Element("none")
    header, raster = tiff_of(path)
    # Zero is found as collar and may be data inside; another number is declared for all of the image.
    invalid = finite(text_of(root, ".//InvalidValue"))
    if math.isfinite(invalid) and raster.nodata is None and invalid != 0:
        raster.fills += (invalid,)
    polarisation = (text_of(root, ".//Polarisation") or match[2]).upper()
    require_polarisation(polarisation, overrides, path)
    near, far = (finite(text_of(root, f".//{end}IncidenceAngle")) for end in ("Near", "Far"))
    looks = [finite(text_of(root, f".//{axis}ProcessingNumberofLooks")) for axis in ("Range", "Azimuth")]
    facts = SceneFacts(
        product=NAME,
        name=path.stem,
        sensor="kompsat-5",
        unit="Kompsat-5",
        band="X",
        polarisation=polarisation,
        why=_WHY if xml.is_file() else "no auxiliary file stands beside it",
        date=second_of(text_of(root, ".//SceneSensingStartUTC")),
        orbit=word_of(text_of(root, ".//OrbitDirection"), "ascending", "descending"),
        look_side=word_of(text_of(root, ".//LookSide"), "left", "right"),
        incidence_deg=(near + far) / 2,
        mode=text_of(root, ".//MultiBeamID") or text_of(root, ".//AcquisitionMode"),
        product_type=text_of(root, ".//ProductType"),
        looks=looks[0] * looks[1] if all(map(math.isfinite, looks)) else 0.0,
        frequency_ghz=finite(text_of(root, ".//RadarFrequency")) / 1e9,
    )
    sources = (path, xml) if xml.is_file() else (path,)
    return [described(path, raster, facts, overrides, False, sources, header=header)]
