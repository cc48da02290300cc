"""`Scene`: what is known of a SAR product without reading its pixels, and windowed access to its power."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.windows import Window
from shapely import union_all
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from knowlip.scenes.calibration import QUANTITIES
from knowlip.scenes.errors import NoLocation
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry, is_located
from knowlip.scenes.labels import SceneLabel, Unlabelled
from knowlip.scenes.raster import Raster

UNITS = ("amplitude", "intensity", "db", "dn", "complex")
"""Pixel units as stored. `dn` is a detected number without a stated meaning and is treated as an amplitude."""


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
    """E.g. "VV". Of a product with several it chooses one (default: VV, else HH, else the first); "all" takes each as
    a scene of its own."""
    raster_band: int = 0
    """Which band of a GeoTIFF to read, counted from 1; 0: by polarisation, else the first."""
    calibrate: bool = True
    """Bring products that carry calibration to a typed quantity; false keeps the numbers as they are (relative)."""
    quantity: str = "sigma0"
    """"sigma0", "beta0" or "gamma0", where the product allows a choice."""
    denoise: bool = False
    """Subtract thermal noise where the product describes it."""
    max_residual_m: float = 0.0
    """Largest residual of control points in metres; 0: two pixels."""
    height_m: float | None = None
    """Height of the ground above the ellipsoid, for RPCs and slant range; null: what the product says."""
    dem: str = ""
    """A raster of heights in metres (any CRS) that covers the scene: places follow its relief. Images on a map grid
    stay where they are."""
    dem_offset_m: float = 0.0
    """Added to the heights of `dem`: the undulation of the geoid where it counts from the geoid."""

    def __post_init__(self) -> None:
        if self.units and self.units not in UNITS:
            raise ValueError(f"units must be one of {', '.join(UNITS)}, not {self.units!r}.")
        if self.raster_band < 0:
            raise ValueError(f"raster_band counts from 1, so {self.raster_band} does not exist.")
        if self.quantity not in QUANTITIES[1:]:
            raise ValueError(f"quantity must be one of {', '.join(QUANTITIES[1:])}, not {self.quantity!r}.")
        if not math.isfinite(self.dem_offset_m):
            raise ValueError(f"dem_offset_m must be a number of metres, not {self.dem_offset_m}.")
        if self.dem and self.height_m is not None:
            raise ValueError("Give either a height model (dem) or one height (height_m), not both.")
        if not (math.isfinite(self.max_residual_m) and self.max_residual_m >= 0):
            raise ValueError(f"max_residual_m must be 0 or more, not {self.max_residual_m}.")


@dataclass(frozen=True)
class Scene:
    """One polarisation of a SAR product, opened lazily: creating one reads headers and a few samples only.

    Unknown numbers are NaN (looks: 0), unknown strings are "".
    """

    path: Path
    """What the user named: a file, or the folder of the product."""
    scene_id: str
    """[a-z0-9-]+, from the file name."""
    raster: Raster = field(repr=False)
    """Where its pixels lie."""
    geometry: Geometry
    """From pixels to places."""
    sensor: str = "unknown"
    """Its name, e.g. "sentinel-1"; "unknown"."""
    unit: str = ""
    """Which satellite of a constellation, as it calls itself: "S1C", "ICEYE-X4"."""
    band: str = ""
    """Radar frequency band: P, L, S, C, X, Ku, Ka."""
    polarisation: str = ""
    """E.g. "VV"."""
    looks: float = 0.0
    """Equivalent number of looks."""
    incidence_deg: float = math.nan
    """Incidence angle on the ellipsoid at the middle of the scene."""
    look_azimuth_deg: float = math.nan
    """Direction the radar looks towards, clockwise from north."""
    look_side: str = ""
    """ "left" or "right" of the flight path."""
    orbit: str = ""
    """ "ascending" or "descending"."""
    date: str = ""
    """ISO date or date and time (UTC)."""
    radiometry: str = ""
    """ "calibrated", "relative", "simulated" or "" (not stated)."""
    quantity: str = "none"
    """What calibrated power means: one of `calibration.QUANTITIES`."""
    mode: str = ""
    """Instrument mode, e.g. "IW", "spotlight"."""
    product_type: str = ""
    """E.g. "GRD", "SLC", "GEC"."""
    projection: str = ""
    """ "map" (geocoded), "ground" or "slant" range: the plane of the stored pixels."""
    product: str = ""
    """Name of the reader that opened it."""
    frequency_ghz: float = math.nan
    """Radar centre frequency."""
    group: str = ""
    """Scenes of one group stay in one split where their places are unknown; empty: the scene alone."""
    sources: tuple[Path, ...] = ()
    """Files that the scene is read from; empty: `path` alone."""
    notes: tuple[str, ...] = ()
    """Sentences a user should know, e.g. that no calibration exists."""
    labels: tuple[SceneLabel, ...] = ()
    """Objects that the product names."""
    unlabelled: tuple[Unlabelled, ...] = ()
    """Those that it names and that become no label."""

    @property
    def units(self) -> str:
        """Units of the stored pixels, one of `UNITS`."""
        return self.raster.units

    @property
    def crs(self) -> CRS:
        """CRS of the geometry's coordinates."""
        return self.geometry.crs

    @property
    def transform(self) -> Affine | None:
        """Pixel (column, row) -> CRS coordinates, from the outer corner; None where the geometry is no affine."""
        return self.geometry.transform if isinstance(self.geometry, AffineGeometry) else None

    @property
    def located(self) -> bool:
        """Whether the place on the Earth is known."""
        return is_located(self.geometry)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.raster.shape

    @property
    def dtype(self) -> str:
        """Type of the stored pixels, as NumPy calls it."""
        return self.raster.dtype

    @property
    def nodata(self) -> float | None:
        """Declared nodata value of the file, None where there is none."""
        return self.raster.nodata

    def to_lonlat(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates (outer-corner convention) -> longitude and latitude in degrees.

        Raises:
            NoLocation: the place of the scene is not known, or lies outside the area where its CRS is valid.
        """
        if not self.located:
            raise NoLocation(f"The place of {self.path} on the Earth is not known.")
        xs, ys = self.geometry.forward(np.asarray(columns, float), np.asarray(rows, float))
        lons, lats = Transformer.from_crs(self.crs, 4326, always_xy=True).transform(xs, ys)
        if not (np.all(np.isfinite(lons)) and np.all(np.abs(lats) <= 90)):
            raise NoLocation(
                f"{self.path} is georeferenced outside the area where its CRS is valid (are latitude and longitude, or "
                "the CRS, another?)."
            )
        return np.asarray(lons), np.asarray(lats)

    @property
    def center(self) -> tuple[float, float]:
        """Longitude and latitude of the scene centre."""
        rows, columns = self.shape
        lons, lats = self.to_lonlat(np.array([columns / 2]), np.array([rows / 2]))
        return float(lons[0]), float(lats[0])

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """True (geodesic) width and height of the centre pixel on the ground in metres, whatever the CRS says."""
        rows, columns = self.shape
        xs = columns / 2 + np.array([-0.5, 0.5, 0, 0])
        ys = rows / 2 + np.array([0, 0, -0.5, 0.5])
        if not self.located:
            x, y = self.geometry.forward(xs, ys)
            return float(np.hypot(x[1] - x[0], y[1] - y[0])), float(np.hypot(x[3] - x[2], y[3] - y[2]))
        lons, lats = self.to_lonlat(xs, ys)
        _, _, size = GEOD.inv(lons[[0, 2]], lats[[0, 2]], lons[[1, 3]], lats[[1, 3]])
        return float(size[0]), float(size[1])

    @property
    def resolution_m(self) -> float:
        """Native pixel spacing on the ground in metres: geometric mean of the two sides of the centre pixel."""
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


def counterclockwise(shape: BaseGeometry) -> BaseGeometry:
    """The shape with the outer rings of its polygons counterclockwise, as GeoJSON has them (RFC 7946, section 3.1.6):
    some maps take a ring the other way round for all the Earth but what it encloses."""
    if shape.geom_type == "Polygon":
        return orient(shape)
    return MultiPolygon([orient(part) for part in shape.geoms]) if shape.geom_type == "MultiPolygon" else shape


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
