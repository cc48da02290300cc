"""Radiometrically terrain-corrected Sentinel-1 (RTC): HyP3, OPERA RTC-S1, Planetary Computer, and the open data of AWS
(Indigo). Their power is gamma0 (of HyP3 sigma0 too, as the name says) with the relief taken out, on a map grid.

The pixels are those of a GeoTIFF; the name, the folder and the tags say which satellite took them, and when.

Sources: HyP3 RTC product guide (ASF), OPERA RTC-S1 product specification (JPL D-108758), Planetary Computer catalogue
(sentinel-1-rtc), registry of open data on AWS (sentinel-1-rtc-indigo).
"""

import math
import re
from dataclasses import replace
from pathlib import Path

from knowlip.scenes.errors import NotCalibrated, SceneError
from knowlip.scenes.layers import family_of, layer_of
from knowlip.scenes.names import date_of, word_of
from knowlip.scenes.opening import envi_header
from knowlip.scenes.readers import geotiff
from knowlip.scenes.readers.geotiff import read_header
from knowlip.scenes.readers.layers_beside import use_layers
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "Sentinel-1 RTC"
_FAMILIES = ("HyP3 RTC", "OPERA RTC-S1", "Planetary Computer RTC")
_INDIGO = re.compile(r"Gamma0_(VV|VH|HH|HV)\.tiff?", re.IGNORECASE)
_UNIT = re.compile(r"(?<![A-Z0-9])S1[A-D](?![A-Z0-9])", re.IGNORECASE)
_MODE = re.compile(
    r"(?<![A-Z0-9])(?:IW|EW)(?![A-Z])|(?<=S1[A-D] )S[1-6](?![A-Z0-9])|^S[1-6](?=-[VH]{2}\b)", re.IGNORECASE
)
"""A stripmap beam is called as the mission is ("RTC-S1"), so it counts only where products name it."""
_PASS, _DIRECTIONS = ("ORBIT_DIRECTION", "ORBIT_PASS_DIRECTION"), ("ascending", "descending")
_UP = 3
"""Folders above an image that may be called as its product."""


def matches(path: Path) -> bool:
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file() or envi_header(path) is not None:
        return False
    found = family_of(path.stem)
    named = found is not None and found[0].name in _FAMILIES and not layer_of(path.stem)
    # "Gamma0_VV.tif" is a name that others give too: it is Sentinel-1 where a folder or the tags say so.
    return named or (_INDIGO.fullmatch(path.name) is not None and bool(_unit_of(path, _tags_of(path))))


def _tags_of(path: Path) -> dict[str, str]:
    try:
        return {name.upper(): value for name, value in read_header(path).tags.items()}
    except SceneError:  # said when it is opened
        return {}


def _unit_of(path: Path, tags: dict[str, str]) -> str:
    """Which satellite, by tags, else the name, else folders outwards: downloads keep files of one name in a folder a
    product."""
    names = [tags.get("MISSION_ID", ""), path.stem, *(folder.name for folder in list(path.parents)[:_UP])]
    return next((match[0].upper() for name in names if (match := _UNIT.search(name.replace("_", " ")))), "")


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One image: every polarisation is a file of its own.

    Raises:
        SceneError: as of any GeoTIFF; beta0, which terrain-corrected power cannot be brought to.
    """
    if overrides.calibrate and overrides.quantity == "beta0":
        raise NotCalibrated(f"{path} holds power with the relief taken out, which beta0 cannot be made of.")
    tags = _tags_of(path)
    unit = _unit_of(path, tags)
    names = [tags.get("MISSION_ID", ""), path.stem, *(folder.name for folder in list(path.parents)[:_UP])]
    mode = next((match[0].upper() for name in names if (match := _MODE.search(name.replace("_", " ")))), "")
    # A folder dates its files only where it is called as a product: one of downloads has a date of its own.
    products = [name for name in names[2:] if _UNIT.search(name.replace("_", " "))]
    dates = (tags.get("DATE", ""), path.stem, *products)
    date = next((stamp for name in dates if (stamp := date_of(name))), "")
    scenes = []
    for scene in geotiff.open_product(path, overrides):
        lacks = tuple(name for name, value in (("date", date), ("satellite", unit)) if not value)
        notes = (f"Neither name, folder nor tags say its {' and '.join(lacks)}.",) if lacks else ()
        beside = use_layers(path, scene.raster)
        scenes.append(
            replace(
                scene,
                sensor=overrides.sensor or "sentinel-1",
                unit=unit,
                band=overrides.band or "C",
                date=date,
                mode=mode,
                orbit=next((word for tag in _PASS if (word := word_of(tags.get(tag, ""), *_DIRECTIONS))), ""),
                incidence_deg=beside.incidence_deg if math.isfinite(beside.incidence_deg) else scene.incidence_deg,
                look_side="right",
                product_type="RTC",
                product=NAME,
                frequency_ghz=5.405,
                sources=(*(scene.sources or (path,)), *beside.used),
                notes=scene.notes + notes + beside.notes,
            )
        )
    return scenes
