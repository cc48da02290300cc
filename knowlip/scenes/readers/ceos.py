"""ALOS PALSAR and ALOS-2 PALSAR-2 in CEOS format: IMG-, LED-, TRL- and VOL- files without an ending, of level 1.1
(complex, slant range) to 3.1.

sigma0 = DN^2 at the calibration factor of the leader (-83 dB); of complex pixels |DN|^2 at that factor - 32 dB.

Sources: as :mod:`knowlip.scenes.readers.ceos_records`; Calibration Result of ALOS-2/PALSAR-2 JAXA Standard Products
and Shimada et al. 2009, IEEE Trans. Geosci. Remote Sens. 47(12) (PALSAR).
"""

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.geometry import slices
from knowlip.scenes.opening import open_records
from knowlip.scenes.orbit import LIGHT_M_S
from knowlip.scenes.raster import Raster
from knowlip.scenes.readers import ceos_records as ceos
from knowlip.scenes.readers.ceos_places import place
from knowlip.scenes.readers.ceos_records import HEADER_BYTES, ImageLayout, Record, read_image_header, read_leader
from knowlip.scenes.readers.common import require_polarisation
from knowlip.scenes.readers.described import SceneFacts, described
from knowlip.scenes.readers.jaxa_summary import summary_facts
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "ALOS CEOS"
COMPLEX_DB = -32.0
_IMAGE = re.compile(
    r"IMG-(?P<pole>[HV][HV])-(?P<scene>(?:ALOS2|ALPSR)\w+)-\S*?(?P<product>[A-Z]{1,4}(?P<level>\d\.\d)\w*)(?P<scan>-\w+)?",
    re.IGNORECASE,
)
_BESIDE = ("LED", "TRL", "VOL", "BRS")
_FACTORS_DB = -120.0, -40.0
"""Factors that can be: both missions' are -83 dB."""
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")


@dataclass
class LineRecords(Raster):
    """Pixels that lie in records of the same length, one a line; windows are read where they lie."""

    record_bytes: int = 0
    prefix_bytes: int = 0
    stored_dtype: str = ">u2"
    _records: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_records": None}

    def close(self) -> None:
        self._records = None

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        records = self._records
        if records is None:
            records = self._records = open_records(self.path, HEADER_BYTES, self.record_bytes, self.shape[0])
        rows, columns = slices(window)
        size = np.dtype(self.stored_dtype).itemsize
        start, stop = (self.prefix_bytes + size * edge for edge in (columns.start, columns.stop))
        try:
            part = np.ascontiguousarray(records[rows, start:stop])
        except (OSError, ValueError) as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
        return part.view(self.stored_dtype).astype(self.dtype), None


def matches(path: Path) -> bool:
    return path.is_file() and _IMAGE.fullmatch(path.name) is not None


def parts(path: Path) -> list[Path]:
    """Leader, trailer and volume of the same scene."""
    scene = _scene_of(path)
    return [other for kind in _BESIDE if (other := path.with_name(f"{kind}-{scene}")).is_file()]


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One image: every polarisation is a file of its own.

    Raises:
        SceneError: a level that is not read, no leader, another polarisation than the one asked for, damaged files.
    """
    match = _IMAGE.fullmatch(path.name)
    assert match is not None
    level, polarisation = match["level"], match["pole"].upper()
    # Signals are not focused; scans of ScanSAR are bursts in slant range that overlap each other.
    if level.startswith("1.0"):
        raise UnknownFormat(f"{path} holds raw signals (level 1.0), no image: take level 1.1 or 1.5.")
    if match["scan"]:
        raise UnknownFormat(f"{path} is one scan of a ScanSAR image, which is not put together: take level 1.5 of it.")
    require_polarisation(polarisation, overrides, path)
    layout = read_image_header(path)
    if layout.complex_pixels != level.startswith("1.1"):
        held = "complex" if layout.complex_pixels else "detected"
        raise DamagedProduct(f"{path} holds {held} pixels, which level {level} of its name has not: was it renamed?")
    leader_file = path.with_name(f"LED-{_scene_of(path)}")
    leader = read_leader(leader_file)
    facts = _facts(path, match, leader, layout.complex_pixels)
    placed = place(layout, leader, facts.look_side, overrides)
    raster = LineRecords(
        path,
        "complex" if layout.complex_pixels else "amplitude",
        layout.shape,
        "complex64" if layout.complex_pixels else "uint16",
        None,
        record_bytes=layout.record_bytes,
        prefix_bytes=layout.prefix_bytes,
        stored_dtype=layout.dtype,
    )
    if overrides.units and not layout.complex_pixels:
        raster.units = overrides.units
    geometry = placed.geometry
    slant = layout.complex_pixels
    projection = "slant" if slant else "map" if not isinstance(geometry, ControlPoints) else "ground"
    azimuth = geometry.first_line_azimuth() if slant and isinstance(geometry, ControlPoints) else math.nan
    facts = replace(
        facts,
        projection=projection,
        look_azimuth_deg=azimuth,
        notes=facts.notes + _doubts(path, polarisation, layout, leader) + placed.notes,
    )
    return [described(path, raster, facts, overrides, False, (path, leader_file), geometry)]


def _scene_of(path: Path) -> str:
    """Scene and product of an image's name, which the leader's has too."""
    match = _IMAGE.fullmatch(path.name)
    name = path.name.split("-", 2)[2]
    return name[: -len(match["scan"])] if match and match["scan"] else name


def _doubts(path: Path, polarisation: str, layout: ImageLayout, leader: dict[int, Record]) -> tuple[str, ...]:
    """What tells that files were swapped or renamed, which nothing in their names shows."""
    notes: tuple[str, ...] = ()
    if layout.order == "<":
        notes += ("It is little endian, which JAXA's own products are not, and read so.",)
    codes = ceos.line_polarisation(layout.lines(np.array([0])), layout.order)
    if codes and codes != polarisation:
        notes += (f"Its lines say that it is {codes}, its name {polarisation}: the name is believed, was it renamed?",)
    scene = leader[ceos.SUMMARY].text(20, 32)
    if scene and scene.upper() not in path.name.upper():
        notes += (f"Its leader says that it is of {scene:.32}, which its name does not: is it that of another scene?",)
    if ceos.MAP in leader:
        columns, rows = leader[ceos.MAP].number(60), leader[ceos.MAP].number(76)
        if rows > 0 and columns > 0 and (rows, columns) != layout.shape:
            stated = f"{rows:.0f} lines of {columns:.0f} pixels"
            notes += (f"Its leader is of an image of {stated}, not of {layout.shape[0]} of {layout.shape[1]}.",)
    return notes


def _facts(path: Path, match: re.Match[str], leader: dict[int, Record], complex_pixels: bool) -> SceneFacts:
    """What the name and the leader say."""
    # The leader says what is so; the name only what the leader leaves out (mode, level).
    summary = leader[ceos.SUMMARY]
    named = summary_facts(NAME, path.name, match["pole"].upper(), {"Pds_ProductID": match["product"].upper()})
    factor_db = leader[ceos.RADIOMETRY].number(20) if ceos.RADIOMETRY in leader else math.nan
    why = "its leader states no calibration factor"
    if math.isfinite(factor_db) and not _FACTORS_DB[0] < factor_db < _FACTORS_DB[1]:
        factor_db, why = math.nan, f"its leader states a calibration factor of {factor_db:g} dB, which cannot be"
    looks = summary.numbers(1174, 2)
    time = _TIME.match(summary.text(68, 32))
    angle, clock, wavelength = summary.number(484, 8), summary.number(476, 8), summary.number(500)
    side = {90.0: "right", -90.0: "left"}.get(clock, "")
    notes = named.notes
    if side and named.look_side and side != named.look_side:
        notes += (f"Its name says that it looks {named.look_side}, its leader {side}: the leader is believed.",)
    orbit = {"ASCEND": "ascending", "DESCEND": "descending"}.get(summary.text(1534, 8).upper(), "")
    if orbit and named.orbit and orbit != named.orbit:
        notes += (f"Its name says that its orbit is {named.orbit}, its leader {orbit}: the leader is believed.",)
    if leader[ceos.SUMMARY].text(396, 16).upper() not in ("ALOS", "ALOS2"):
        raise DamagedProduct(f"{summary.path} is the leader of {summary.text(396, 16)[:20]!r}, not of ALOS or ALOS-2.")
    return replace(
        named,
        name=path.name,
        factor=10 ** ((factor_db + (COMPLEX_DB if complex_pixels else 0.0)) / 10),
        why=why,
        date=f"{time[1]}-{time[2]}-{time[3]}T{time[4]}:{time[5]}:{time[6]}Z" if time else "",
        orbit=orbit or named.orbit,
        look_side=side or named.look_side,
        incidence_deg=angle if 0 < angle < 90 else math.nan,
        frequency_ghz=LIGHT_M_S / wavelength / 1e9 if wavelength > 0 else math.nan,
        looks=1.0 if complex_pixels else float(looks[0] * looks[1]) if np.all(looks >= 1) else 0.0,
        notes=notes,
    )
