"""Where pixels lie on the ground: one interface over affine transforms, control points, RPCs and places unknown.

Pixel coordinates are (column, row) with (0, 0) at the outer corner of the upper left pixel, as GDAL counts; the centre
of that pixel is (0.5, 0.5).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from affine import Affine
from pyproj import CRS, Geod, Transformer
from rasterio.windows import Window

GEOD = Geod(ellps="WGS84")
LOCAL = CRS.from_wkt(
    'ENGCRS["local plane in metres, place unknown",EDATUM["local plane"],CS[Cartesian,2],'
    'AXIS["x",unspecified,ORDER[1]],AXIS["y",unspecified,ORDER[2]],LENGTHUNIT["metre",1]]'
)
"""For images of which only the pixel spacing is known."""


class Geometry(Protocol):
    """Pixels <-> coordinates."""

    @property
    def kind(self) -> str:
        """ "affine", "control-points", "rpc" or "local"."""
        ...

    @property
    def crs(self) -> CRS:
        """CRS of the coordinates; `LOCAL` where the place is unknown."""
        ...

    @property
    def residual_m(self) -> float:
        """RMS distance in metres by which control points that were left out of the fit are missed; 0 where exact."""
        ...

    def forward(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates -> x and y in `crs`, same shape."""
        ...

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and y in `crs` -> column and row, same shape."""
        ...


@dataclass(frozen=True)
class AffineGeometry:
    """A plane grid, rotated or not."""

    crs: CRS
    transform: Affine
    residual_m: float = 0.0

    @property
    def kind(self) -> str:
        return "affine" if is_located(self) else "local"

    def forward(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return apply(self.transform, np.asarray(columns, float), np.asarray(rows, float))

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return apply(~self.transform, np.asarray(x, float), np.asarray(y, float))


def local_plane(row_spacing_m: float, column_spacing_m: float) -> AffineGeometry:
    """Geometry of an image of unknown place with known ground spacing; y rises towards the first row."""
    return AffineGeometry(LOCAL, Affine(column_spacing_m, 0, 0, 0, -row_spacing_m, 0))


def is_located(geometry: Geometry) -> bool:
    """Whether the place on the Earth is known."""
    return geometry.crs != LOCAL


def slices(window: Window) -> tuple[slice, slice]:
    """Rows and columns of a window of whole pixels."""
    top, left = int(window.row_off), int(window.col_off)
    return slice(top, int(window.row_off + window.height)), slice(left, int(window.col_off + window.width))


def geodetic(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitude and latitude in degrees and height in metres of Earth-fixed positions (N, 3) or (3,), each (N,)."""
    lons, lats, heights = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True).transform(*points.T)
    return np.asarray(lons), np.asarray(lats), np.asarray(heights)


def apply(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Affine transform of arrays of points."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f
