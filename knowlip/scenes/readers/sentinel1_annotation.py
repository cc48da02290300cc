"""Annotation of a Sentinel-1 Level-1 image: what was taken, and where its pixels lie.

Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6.3 (product annotation data set).
"""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation
from knowlip.scenes.ground_range import GroundRangeUpdates, updates_of
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, at_height
from knowlip.scenes.readers.relief import TerrainPoints, to_height
from knowlip.scenes.xml import need, need_count, need_number, need_text, number_at, text_of, time_of

_TABLE = "SM,2,2=3.7 SM,6,6=29.7 SM,22,22=398.4 IW,5,1=4.4 IW,22,5=81.8 EW,3,1=2.7 EW,6,2=10.7 WV,13,13=123.7"
_ENL = {key: float(enl) for key, enl in (entry.split("=") for entry in _TABLE.split())}
"""Mode, range looks and azimuth looks of GRD -> equivalent number of looks (Sentinel-1 Product Definition
S1-RS-MDA-52-7440, table 5-1): overlapping looks are worth less than their count."""


@dataclass(frozen=True)
class GeolocationGrid:
    """Geolocation grid. All arrays (N,)."""

    seconds: np.ndarray  # Zero-Doppler azimuth time, seconds after the image's first line.
    lines: np.ndarray
    pixels: np.ndarray  # Names pixel centres: the first is 0.
    lons: np.ndarray
    lats: np.ndarray
    heights: np.ndarray  # Of the terrain above the ellipsoid, metres.
    incidence_deg: np.ndarray
    slant_range_m: np.ndarray
    orbit: Orbit | None = None  # State vectors, in seconds after the first line; None where there are none.
    updates: GroundRangeUpdates | None = None  # Of a detected image; None where there are none that can be used.

    def control_points(self, rows: np.ndarray) -> ControlPoints:
        """Control points at `rows` (outer-corner convention) of the image, as the product has them: on the terrain."""
        return ControlPoints(self.pixels + 0.5, rows, self.lons, self.lats)

    def smooth_points(self, rows: np.ndarray) -> ControlPoints:
        """The same of a grid at one height: what the updates of the conversion to ground range do between the lines of
        the grid shows there, and is not hidden by relief."""
        return replace(self.control_points(rows), updates=self.updates)

    def at_height(self, height_m: float, look_azimuth_deg: float) -> "GeolocationGrid":
        """The grid as it would be on a surface of constant height: by the orbit, else along the lines of sight."""
        if self.orbit is not None:
            with suppress(NoLocation):
                lons, lats = at_height(self.orbit, self.lons, self.lats, self.heights, "right", height_m)
                return replace(self, lons=lons, lats=lats, heights=np.full(len(lons), height_m))
        facts = self.lons, self.lats, self.heights, self.incidence_deg, self.slant_range_m
        lons, lats = to_height(TerrainPoints(self.pixels, self.lines, *facts), look_azimuth_deg, height_m)
        return replace(self, lons=lons, lats=lats, heights=np.full(len(lons), height_m))


@dataclass(frozen=True)
class SwathImage:
    """One image (swath and polarisation) of a product."""

    shape: tuple[int, int]  # Lines and samples of the raster.
    mode: str  # SM, IW, EW or WV.
    unit: str  # S1A to S1D; "" where the annotation does not say.
    polarisation: str
    product_type: str  # SLC or GRD.
    projection: str  # "ground" or "slant".
    orbit: str
    date: str
    first_line: datetime
    line_seconds: float  # Time between two lines.
    frequency_ghz: float
    look_azimuth_deg: float
    incidence_deg: float
    looks: float
    grid: GeolocationGrid


def read_image(root: Element, name: str) -> SwathImage:
    """What the annotation (its <product>) says; `name`: of the file, for messages.

    Raises:
        DamagedProduct: an element is absent, or makes no sense.
    """
    if root.tag != "product":
        raise DamagedProduct(f"{name} is not the annotation of a Sentinel-1 image: its root is <{root.tag}>.")
    header = need(root, "adsHeader", name)
    information = need(root, "generalAnnotation/productInformation", name)
    image = need(root, "imageAnnotation/imageInformation", name)
    first = time_of(need_text(image, "productFirstLineUtcTime", name), name)
    line_seconds = need_number(image, "azimuthTimeInterval", name)
    if not line_seconds > 0:
        raise DamagedProduct(f"{name} states {line_seconds:g} s between two lines, which cannot be.")
    # Stripmap swaths are modes of their own in the file (S1 to S6); users and the table of looks know one.
    mode = need_text(header, "mode", name).upper()
    mode = "SM" if mode[:1] == "S" and mode[1:].isdigit() else mode
    product_type = need_text(header, "productType", name).upper()[:3]
    return SwathImage(
        shape=(need_count(image, "numberOfLines", name), need_count(image, "numberOfSamples", name)),
        mode=mode,
        unit=text_of(header, "missionId").upper(),
        polarisation=need_text(header, "polarisation", name).upper(),
        product_type=product_type,
        projection="ground" if "ground" in text_of(information, "projection", "ground range").lower() else "slant",
        orbit=text_of(information, "pass").lower(),
        date=first.strftime("%Y-%m-%dT%H:%M:%SZ"),
        first_line=first,
        line_seconds=line_seconds,
        frequency_ghz=number_at(information, "radarFrequency", math.nan) / 1e9,
        look_azimuth_deg=(number_at(information, "platformHeading", math.nan) + 90) % 360,
        incidence_deg=number_at(image, "incidenceAngleMidSwath", math.nan),
        looks=1.0 if product_type == "SLC" else _looks(root, mode),
        grid=_grid(root, name, first),
    )


def numbers_of(element: Element, path: str, name: str) -> np.ndarray:
    """The numbers of an array element, separated by spaces.

    Raises:
        DamagedProduct: it is absent, empty or holds something else.
    """
    try:
        return np.array(need_text(element, path, name).split(), float)
    except ValueError:
        raise DamagedProduct(f"{name} holds something in {path} that is no list of numbers.") from None


def _looks(root: Element, mode: str) -> float:
    """Equivalent number of looks of a detected image; 0 where the annotation does not say how many were taken."""
    parameters = root.find("imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    if parameters is None:
        return 0.0
    taken = [number_at(parameters, f"{axis}Processing/numberOfLooks", 0.0) for axis in ("range", "azimuth")]
    return _ENL.get(f"{mode},{int(taken[0])},{int(taken[1])}", taken[0] * taken[1])


def _grid(root: Element, name: str, first: datetime) -> GeolocationGrid:
    points = root.findall("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    if not points:
        raise DamagedProduct(f"{name} holds no geolocation grid.")
    seconds = [(time_of(need_text(point, "azimuthTime", name), name) - first).total_seconds() for point in points]
    keys = "line pixel longitude latitude height incidenceAngle slantRangeTime".split()
    columns = [np.array([need_number(point, key, name) for point in points]) for key in keys]
    columns[-1] = columns[-1] * LIGHT_M_S / 2
    lines, pixels, lons, lats, heights, angles, ranges = columns
    orbit = _orbit(root, name, first)
    facts = np.array(seconds), lines, pixels, lons, lats, heights, angles, ranges
    return GeolocationGrid(*facts, orbit, _updates(root, name, first))


def _updates(root: Element, name: str, first: datetime) -> GroundRangeUpdates | None:
    """The conversions from ground to slant range of a detected image; None where they are none that can be used."""
    records = root.findall("coordinateConversion/coordinateConversionList/coordinateConversion")
    image = need(root, "imageAnnotation/imageInformation", name)
    line_s, spacing_m = (number_at(image, key, math.nan) for key in ("azimuthTimeInterval", "rangePixelSpacing"))
    if not records or not line_s > 0:
        return None
    after = [(time_of(need_text(record, "azimuthTime", name), name) - first).total_seconds() for record in records]
    origins = np.array([number_at(record, "gr0", math.nan) for record in records])
    terms = [numbers_of(record, "grsrCoefficients", name) for record in records]
    width = need_count(image, "numberOfSamples", name)
    return updates_of(np.array(after) / line_s + 0.5, origins, terms, spacing_m, width)


def _orbit(root: Element, name: str, first: datetime) -> Orbit | None:
    """The state vectors; None where they are none that can be used."""
    vectors = root.findall("generalAnnotation/orbitList/orbit")
    if any(text_of(vector, "frame", "Earth Fixed") != "Earth Fixed" for vector in vectors):
        return None
    times = [(time_of(need_text(vector, "time", name), name) - first).total_seconds() for vector in vectors]
    places, speeds = (
        np.array([[number_at(vector, f"{part}/{axis}", math.nan) for axis in "xyz"] for vector in vectors])
        for part in ("position", "velocity")
    )
    if not (np.all(np.isfinite(places)) and np.all(np.isfinite(speeds))):
        return None
    try:
        return Orbit(np.array(times), places, speeds)
    except NoLocation:
        return None
