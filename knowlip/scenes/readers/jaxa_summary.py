"""summary.txt of ALOS and ALOS-2 products: lines of NAME="value".

Source: ALOS-2/PALSAR-2 Level 1.1/1.5/2.1/3.1 CEOS SAR and GeoTIFF Product Format Description (JAXA), summary file.
"""

import math
import re
from pathlib import Path

import numpy as np

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.opening import require_file
from knowlip.scenes.quantities import finite
from knowlip.scenes.readers.described import SceneFacts

_LARGEST = 1_000_000
_LINE = re.compile(r'^\s*(\w+)\s*=\s*"?(.*?)"?\s*$')
_PRODUCT = re.compile(r"(?P<mode>[A-Z]{1,3}?)(?P<side>[LR])?(?P<level>\d\.\d)(?P<rest>.*)")
"""Mode, side, level and the rest: "FBDR1.5GUA" of PALSAR-2, "H1.5GUA" of PALSAR, which only looks right."""
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)\s+(\d\d:\d\d:\d\d)")


def read_summary(path: Path) -> dict[str, str]:
    """Names and values.

    Raises:
        DamagedProduct: it is too large, or holds none.
    """
    require_file(path)
    if path.stat().st_size > _LARGEST:
        raise DamagedProduct(f"{path} is larger than a summary of a product is.")
    lines = (_LINE.match(line) for line in path.read_text("utf-8", "replace").splitlines())
    values = {match[1]: match[2].strip() for match in lines if match}
    if not any(name.startswith(("Scs_", "Pds_", "Img_")) for name in values):
        raise DamagedProduct(f"{path} is not the summary of an ALOS product.")
    return values


def summary_facts(product: str, name: str, polarisation: str, summary: dict[str, str]) -> SceneFacts:
    """What a summary says. sigma0 = DN^2 at -83 dB holds for both missions' detected pixels."""
    named = _PRODUCT.match(summary.get("Pds_ProductID", ""))
    mode, level, rest = (named["mode"], named["level"], named["rest"]) if named else ("", "", "")
    second = "ALOS2" in name.upper() or summary.get("Lbi_Satellite", "").upper() == "ALOS2"
    start = _TIME.match(summary.get("Img_SceneCenterDateTime", ""))
    off_nadir = finite(summary.get("Img_OffNadirAngle"))
    side = (named["side"] or "") if named else ""
    notes: tuple[str, ...] = ()
    # The angle off nadir is not the one on the ground: it is told, not taken for it.
    if math.isfinite(off_nadir):
        notes = (f"The incidence angle is unknown; the off-nadir angle is {off_nadir:g} degrees.",)
    return SceneFacts(
        product=product,
        name=name,
        sensor="palsar-2" if second else "palsar",
        unit="ALOS-2" if second else "ALOS",
        band="L",
        polarisation=polarisation,
        quantity="sigma0",
        factor=10**-8.3,
        date=f"{start[1]}-{start[2]}-{start[3]}T{start[4]}Z" if start else "",
        orbit={"A": "ascending", "D": "descending"}.get(rest[-1:].upper(), ""),
        look_side={"L": "left", "R": "right"}.get(side, "" if second else "right"),
        mode=mode,
        product_type=f"L{level}" if level else "",
        notes=notes,
    )


def corners_of(summary: dict[str, str], shape: tuple[int, int]) -> ControlPoints | None:
    """The four corners of the image; None where the summary lacks one."""
    rows, columns = shape
    places = {"LeftTop": (0, 0), "RightTop": (columns, 0), "LeftBottom": (0, rows), "RightBottom": (columns, rows)}
    found = [
        [*pixel, *(finite(summary.get(f"Img_ImageScene{name}{axis}")) for axis in ("Longitude", "Latitude"))]
        for name, pixel in places.items()
    ]
    values = np.array(found, float).T
    return ControlPoints(*values) if np.all(np.isfinite(values)) else None
