"""`Scene`: what is known of a SAR product without reading its pixels, and windowed access to its power."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import CRS, Geod, Transformer
from rasterio.windows import Window
from shapely import union_all
from shapely.affinity import translate
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from knowlip.scenes.raster import RasterFile

GEOD = Geod(ellps="WGS84")
UNITS = ("amplitude", "intensity", "db", "dn")
"""Pixel units. `dn` is an uncalibrated detected number and is treated as an amplitude."""


@dataclass(frozen=True)
class SceneOverrides:
    """What the user knows better than the file does. Empty values leave the decision to the reader."""

    units: str = ""
    """"amplitude", "intensity", "db" or "dn"."""
    sensor: str = ""
    """Sensor name, e.g. "sentinel-1"."""
    band: str = ""
    """Radar frequency band, e.g. "C"."""
    polarisation: str = ""
    """E.g. "VV"."""
    raster_band: int = 1
    """Which band of the file to read, counted from 1."""

    def __post_init__(self) -> None:
        if self.units and self.units not in UNITS:
            raise ValueError(f"units must be one of {', '.join(UNITS)}, not {self.units!r}.")
        if self.raster_band < 1:
            raise ValueError(f"raster_band counts from 1, so {self.raster_band} does not exist.")


@dataclass(frozen=True)
class Scene:
    """A georeferenced SAR raster, opened lazily: creating one reads the header and a few samples only.

    Unknown numbers are NaN (looks: 0), unknown strings are "".
    """

    path: Path
    scene_id: str
    """[a-z0-9-]+, from the file name."""
    sensor: str
    band: str
    polarisation: str
    units: str
    looks: float
    incidence_deg: float
    look_azimuth_deg: float
    """Direction the radar looks towards, clockwise from north."""
    date: str
    """ISO date or date and time (UTC), "" where unknown."""
    radiometry: str
    """"simulated", "calibrated", "relative" or "" (not stated)."""
    crs: CRS
    transform: Affine
    """Pixel (column, row) -> CRS coordinates; (0, 0) is the outer corner of the upper left pixel."""
    raster: RasterFile = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.raster.shape

    @property
    def dtype(self) -> str:
        return self.raster.dtype

    @property
    def nodata(self) -> float | None:
        """Declared nodata value of the file, None where there is none."""
        return self.raster.nodata

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in the scene's CRS."""
        rows, columns = self.shape
        corners = [self.transform @ point for point in ((0, 0), (columns, 0), (0, rows), (columns, rows))]
        xs, ys = zip(*corners)
        return min(xs), min(ys), max(xs), max(ys)

    def to_lonlat(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates (outer-corner convention) -> longitude and latitude in degrees."""
        xs, ys = apply(self.transform, np.asarray(columns, float), np.asarray(rows, float))
        lons, lats = Transformer.from_crs(self.crs, 4326, always_xy=True).transform(xs, ys)
        if not (np.all(np.isfinite(lons)) and np.all(np.isfinite(lats))):
            raise ValueError(f"{self.path} is georeferenced outside the area where its CRS is valid.")
        return np.asarray(lons), np.asarray(lats)

    @property
    def center(self) -> tuple[float, float]:
        """Longitude and latitude of the scene centre."""
        rows, columns = self.shape
        lons, lats = self.to_lonlat(np.array([columns / 2]), np.array([rows / 2]))
        return float(lons[0]), float(lats[0])

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """True (geodesic) width and height of the centre pixel in metres, whatever the CRS says."""
        rows, columns = self.shape
        x, y = columns / 2, rows / 2
        lons, lats = self.to_lonlat(np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))
        _, _, size = GEOD.inv(lons[[0, 2]], lats[[0, 2]], lons[[1, 3]], lats[[1, 3]])
        return float(size[0]), float(size[1])

    @property
    def resolution_m(self) -> float:
        """Native pixel spacing in metres: geometric mean of the two sides of the centre pixel."""
        width, height = self.pixel_size_m
        return float(np.sqrt(width * height))

    @property
    def footprint(self) -> BaseGeometry:
        """Outline of the raster in longitude and latitude (split at the antimeridian)."""
        rows, columns = self.shape
        t = np.linspace(0, 1, 9)[:-1]
        x = np.concatenate([t, np.ones(8), 1 - t, np.zeros(8)]) * columns
        y = np.concatenate([np.zeros(8), t, np.ones(8), 1 - t]) * rows
        return lonlat_polygon(*self.to_lonlat(x, y))

    def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Power and validity of a window (default: the whole scene).

        Args:
            window: whole pixels inside the scene.

        Returns:
            Power (rows, columns) float32, 0 where not valid, and the valid mask (rows, columns) bool.

        Raises:
            ValueError: the window is empty or not inside the scene, or the pixels cannot be decoded.
        """
        return self.raster.read(window if window is not None else Window(0, 0, self.shape[1], self.shape[0]))


def apply(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Affine transform of arrays of points."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def lonlat_polygon(lons: np.ndarray, lats: np.ndarray) -> BaseGeometry:
    """Polygon through the points; a MultiPolygon of two parts where it crosses the antimeridian."""
    lons = np.unwrap(np.asarray(lons, float), period=360)
    lons = lons - 360 * np.floor((lons.min() + 180) / 360)
    shape = Polygon(np.column_stack([lons, lats]))
    if lons.max() <= 180:
        return shape
    east = shape.intersection(box(-180, -90, 180, 90))
    west = translate(shape.intersection(box(180, -90, 540, 90)), xoff=-360)
    return union_all([east, west])
