"""Geometry of a small swath in closed form: a straight flight path, and pixels in ground or slant range beside it.

Places are computed with geodesics (pyproj.Geod), which no reader uses: first along the track, then across it.
"""

from dataclasses import dataclass

import numpy as np
from pyproj import Geod

GEOD = Geod(ellps="WGS84")
RANGE_M = 800_000.0
"""Slant range of the middle column."""


@dataclass(frozen=True)
class Swath:
    """A raster whose rows follow the flight and whose columns lead away from the radar."""

    shape: tuple[int, int]
    row_m: float
    column_m: float
    """Spacing in slant range if `slant`, else on the ground."""
    lon: float = 11.4
    lat: float = 48.2
    heading: float = 347.0
    incidence_deg: float = 36.0
    """In the middle."""
    slant: bool = False
    left: bool = False

    @property
    def look_azimuth(self) -> float:
        return (self.heading + (-90 if self.left else 90)) % 360

    @property
    def pixel_m(self) -> float:
        """Smaller spacing on the ground."""
        across = self.column_m / np.sin(np.radians(self.incidence_deg)) if self.slant else self.column_m
        return float(min(self.row_m, across))

    def slant_range(self, columns: np.ndarray) -> np.ndarray:
        """Distance from the radar in metres at pixel columns (outer-corner convention)."""
        offset = (np.asarray(columns, float) - self.shape[1] / 2) * self.column_m
        if self.slant:
            return RANGE_M + offset
        angle = np.radians(self.incidence_deg)
        return np.hypot(RANGE_M * np.sin(angle) + offset, RANGE_M * np.cos(angle))

    def incidence(self, columns: np.ndarray) -> np.ndarray:
        """Degrees, over a flat surface."""
        return np.degrees(np.arccos(RANGE_M * np.cos(np.radians(self.incidence_deg)) / self.slant_range(columns)))

    def place(
        self, columns: np.ndarray, rows: np.ndarray, height_m: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of pixel coordinates (outer-corner convention) on ground of a height."""
        columns, rows, heights = (a.astype(float) for a in np.broadcast_arrays(columns, rows, height_m))
        shape = columns.shape
        columns, rows, heights = columns.ravel(), rows.ravel(), heights.ravel()
        altitude = RANGE_M * np.cos(np.radians(self.incidence_deg))
        middle = RANGE_M * np.sin(np.radians(self.incidence_deg))
        across = np.sqrt(self.slant_range(columns) ** 2 - (altitude - heights) ** 2) - middle
        along = (rows - self.shape[0] / 2) * self.row_m
        full = np.full(len(along), 1.0)
        lons, lats, back = GEOD.fwd(self.lon * full, self.lat * full, self.heading * full, along)
        side = -90 if self.left else 90
        lons, lats, _ = GEOD.fwd(lons, lats, np.asarray(back) + 180 + side, across)
        return np.asarray(lons).reshape(shape), np.asarray(lats).reshape(shape)


def texture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Complex speckle over brighter and darker fields, (rows, columns) complex128, of the size of digital numbers."""
    rng = np.random.default_rng(seed)
    speckle = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    rows, columns = np.indices(shape)
    return speckle * (60 + 40 * np.sin(rows / 9) * np.cos(columns / 13))
