"""A scene as seen on the ground: power on a north-up grid in local UTM (polar stereographic near the poles)."""

import math
from functools import cached_property

import numpy as np
from affine import Affine
from pyproj import CRS, Proj, Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window

from knowlip.scenes import Scene
from knowlip.scenes.scene import apply

_SCALE_TOLERANCE = 0.0015
"""UTM distorts lengths by up to 0.1 % inside a zone; beyond this, window sides are corrected for the projection."""


def utm_crs(lon: float, lat: float) -> CRS:
    """Local metric CRS: the UTM zone of the longitude, or universal polar stereographic beyond 84 N / 80 S."""
    if lat >= 84:
        return CRS.from_epsg(32661)
    if lat <= -80:
        return CRS.from_epsg(32761)
    zone = int((lon + 180) // 6) % 60 + 1
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


class Ground:
    """North-up raster of power in local UTM.

    Where the scene already lies in that CRS and north up, pixels pass through untouched; else power is resampled
    (bilinear, in power) to a grid of the scene's true resolution. Only the window asked for is ever in memory.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        lon, lat = scene.center
        self.crs = utm_crs(lon, lat)
        t = scene.transform
        self.native = scene.crs.to_epsg() == self.crs.to_epsg() and t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0
        if self.native:
            self.transform, self.shape = t, scene.shape
        else:
            self.transform, self.shape = self._own_grid()

    @cached_property
    def unit_per_metre(self) -> float:
        """Grid units for one true metre: 1 in UTM (within 0.1 %), corrected where the projection needs it."""
        lon, lat = self.scene.center
        scale = Proj(self.crs).get_factors(lon, lat).meridional_scale
        return scale if abs(scale - 1) > _SCALE_TOLERANCE else 1.0

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in `crs`."""
        rows, columns = self.shape
        left, top = self.transform @ (0, 0)
        right, bottom = self.transform @ (columns, rows)
        return left, bottom, right, top

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Power (rows, columns) float32 and valid mask of a window, which may reach over the edge (not valid there)."""
        if self.native:
            return _read_padded(self.scene, window)
        return self._reproject(window)

    def _own_grid(self) -> tuple[Affine, tuple[int, int]]:
        rows, columns = self.scene.shape
        t = np.linspace(0, 1, 65)
        edge_x = np.concatenate([t, np.ones(65), t, np.zeros(65)]) * columns
        edge_y = np.concatenate([np.zeros(65), t, np.ones(65), t]) * rows
        xs, ys = apply(self.scene.transform, edge_x, edge_y)
        xs, ys = Transformer.from_crs(self.scene.crs, self.crs, always_xy=True).transform(xs, ys)
        if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(ys))):
            raise ValueError(f"{self.scene.path} cannot be projected to EPSG:{self.crs.to_epsg()}.")
        side = self.scene.resolution_m
        left, top = math.floor(xs.min() / side) * side, math.ceil(ys.max() / side) * side
        shape = (math.ceil((top - ys.min()) / side), math.ceil((xs.max() - left) / side))
        return Affine(side, 0, left, 0, -side, top), shape

    def _reproject(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = int(window.height), int(window.width)
        target = self.transform @ Affine.translation(window.col_off, window.row_off)
        t = np.linspace(0, 1, 17)
        grid_x, grid_y = np.meshgrid(t * columns, t * rows)
        xs, ys = apply(target, grid_x.ravel(), grid_y.ravel())
        xs, ys = Transformer.from_crs(self.crs, self.scene.crs, always_xy=True).transform(xs, ys)
        source_x, source_y = apply(~self.scene.transform, xs, ys)
        margin = 3
        left, top = math.floor(source_x.min()) - margin, math.floor(source_y.min()) - margin
        right, bottom = math.ceil(source_x.max()) + margin, math.ceil(source_y.max()) + margin
        power, valid = _read_padded(self.scene, Window(left, top, right - left, bottom - top))
        result = np.full((rows, columns), np.nan, np.float32)
        if valid.any():
            power[~valid] = np.nan
            reproject(
                power,
                result,
                src_transform=self.scene.transform @ Affine.translation(left, top),
                src_crs=self.scene.crs.to_wkt(),
                src_nodata=np.nan,
                dst_transform=target,
                dst_crs=self.crs.to_wkt(),
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
            )
        valid = np.isfinite(result)
        result[~valid] = 0
        return result, valid


def _read_padded(scene: Scene, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read a whole-pixel window that may reach over the edge of the scene; what lies outside is not valid."""
    rows, columns = scene.shape
    left, top = int(window.col_off), int(window.row_off)
    right, bottom = left + int(window.width), top + int(window.height)
    inside = max(left, 0), max(top, 0), min(right, columns), min(bottom, rows)
    if inside == (left, top, right, bottom):
        return scene.read(window)
    power = np.zeros((bottom - top, right - left), np.float32)
    valid = np.zeros(power.shape, bool)
    if inside[0] < inside[2] and inside[1] < inside[3]:
        part = Window(inside[0], inside[1], inside[2] - inside[0], inside[3] - inside[1])
        here = slice(inside[1] - top, inside[3] - top), slice(inside[0] - left, inside[2] - left)
        power[here], valid[here] = scene.read(part)
    return power, valid
