"""CEOS files of ALOS and ALOS-2 (IMG-, LED-, TRL-, VOL- without an ending): recognised, so that they are not passed
over in silence, and refused with what to do.
"""

import re
from pathlib import Path

from knowlip.scenes.errors import UnknownFormat
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "ALOS CEOS"
_IMAGE = re.compile(r"IMG-[HV][HV]-(ALOS2|ALPSR)\w+-\S*\d\.\d\w*", re.IGNORECASE)
_BESIDE = ("LED", "TRL", "VOL", "BRS")


def matches(path: Path) -> bool:
    return path.is_file() and _IMAGE.fullmatch(path.name) is not None


def parts(path: Path) -> list[Path]:
    """Leader, trailer and volume of the same scene."""
    scene = path.name.split("-", 2)[2]
    return [other for kind in _BESIDE if (other := path.with_name(f"{kind}-{scene}")).is_file()]


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Refuse.

    Raises:
        UnknownFormat: always.
    """
    raise UnknownFormat(
        f"{path} is in CEOS format, which is not read: take the GeoTIFF of the same level, or convert it to a "
        "calibrated GeoTIFF or BEAM-DIMAP (SNAP)."
    )
