"""A scene as seen on the ground: power on a north-up grid in local UTM (polar stereographic near the poles)."""

import math
import threading
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS, Proj, Transformer
from rasterio.windows import Window

from knowlip.scenes import Scene
from knowlip.scenes.errors import NoLocation
from knowlip.scenes.geometry import LOCAL, apply
from knowlip.scenes.terrain import geometry_mesh
from knowlip.scenes.warp import multilook, sample

_SCALE_TOLERANCE = 0.0015
"""UTM distorts lengths by up to 0.1 % inside a zone; beyond this, window sides are corrected for the projection."""
_MESH = 64
"""Positions are computed every so many pixels and interpolated between: 1 cm off in 64 pixels of 10 m."""
_UNEQUAL = 1.5
"""Pixels whose sides differ by more than this factor are averaged along the shorter one (single-look complex data)."""


def utm_crs(lon: float, lat: float) -> CRS:
    """Local metric CRS: the UTM zone of the longitude, or universal polar stereographic beyond 84 N / 80 S."""
    if lat >= 84:
        return CRS.from_epsg(32661)
    if lat <= -80:
        return CRS.from_epsg(32761)
    zone = int((lon + 180) // 6) % 60 + 1
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


class Ground:
    """North-up raster of power in local UTM, or in a plane of its own where the place is unknown.

    Where the scene already lies in that CRS and north up, pixels pass through untouched; else power is resampled
    (averaged along an axis that is much finer than the other, then bilinear, always in power) to a grid of the scene's
    true resolution. Only the window asked for is ever in memory. Reading is safe from several threads.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self.crs = utm_crs(*scene.center) if scene.located else LOCAL
        t = scene.transform
        width, height = scene.pixel_size_m
        # Pixels of unknown place pass through unless they are much finer one way (single-look complex data).
        same = scene.crs.to_epsg() == self.crs.to_epsg() if scene.located else not _unequal(width, height)
        self.native = t is not None and same and t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0
        self._lock = threading.Lock()
        self._looks = (1, 1)
        if self.native and t is not None:
            self.transform, self.shape = t, scene.shape
        else:
            self.transform, self.shape = self._own_grid()

    @property
    def located(self) -> bool:
        """Whether the place on the Earth is known."""
        return self.scene.located

    @cached_property
    def code(self) -> str:
        """ "EPSG:32631" and the like; "" where the place is unknown."""
        return f"EPSG:{self.crs.to_epsg()}" if self.located else ""

    @cached_property
    def unit_per_metre(self) -> float:
        """Grid units for one true metre: 1 in UTM (within 0.1 %), corrected where the projection needs it."""
        if not self.located:
            return 1.0
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
        return self._resample(window)

    def read_stored(self, window: Window) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Stored values of a window and which are data (None: all), see `Raster.stored`; None where they are not what
        `read` shows: pixels are resampled, or the window reaches over the edge."""
        rows, columns = self.shape
        inside = window.col_off >= 0 and window.row_off >= 0
        inside &= window.col_off + window.width <= columns and window.row_off + window.height <= rows
        return self.scene.raster.stored(window) if self.native and inside else None

    def touched(self, lefts: np.ndarray, top: float, side: float) -> np.ndarray:
        """Which squares (N,) of a row, given by their left edges, show any of the image."""
        if self._outline is None:
            return np.ones(len(lefts), bool)
        found: np.ndarray = shapely.intersects(self._outline, shapely.box(lefts, top - side, lefts + side, top))
        return found

    @cached_property
    def _outline(self) -> shapely.Polygon | None:
        """The image on the ground; None where it is the whole rectangle, or its border crosses itself."""
        if self.native:
            return None
        outline = shapely.Polygon(np.column_stack(self._border()))
        if not outline.is_valid:
            return None
        # Two pixels of room: between its points the border is not straight.
        outline = outline.buffer(2 * abs(self.transform.a))
        shapely.prepare(outline)
        return outline

    def _border(self) -> tuple[np.ndarray, np.ndarray]:
        """Places (260,) along the image's border in `crs`, once around."""
        rows, columns = self.scene.shape
        t = np.linspace(0, 1, 65)
        edge_x = np.concatenate([t, np.ones(65), 1 - t, np.zeros(65)]) * columns
        edge_y = np.concatenate([np.zeros(65), t, np.ones(65), 1 - t]) * rows
        xs, ys = self.scene.geometry.forward(edge_x, edge_y)
        x, y = self._transformer(self.scene.crs, self.crs)(xs, ys)
        return x, y

    def _own_grid(self) -> tuple[Affine, tuple[int, int]]:
        xs, ys = self._border()
        if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(ys))):
            raise NoLocation(f"{self.scene.path} cannot be projected to EPSG:{self.crs.to_epsg()}.")
        width, height = self.scene.pixel_size_m
        side = math.sqrt(width * height)
        if _unequal(width, height):
            side = max(width, height)
            self._looks = max(1, round(side / height)), max(1, round(side / width))
        side *= self.unit_per_metre
        left, top = math.floor(xs.min() / side) * side, math.ceil(ys.max() / side) * side
        shape = (math.ceil((top - ys.min()) / side), math.ceil((xs.max() - left) / side))
        return Affine(side, 0, left, 0, -side, top), shape

    @staticmethod
    def _transformer(source: CRS, target: CRS):  # type: ignore[no-untyped-def]
        if source == target:
            return lambda x, y: (np.asarray(x), np.asarray(y))
        return Transformer.from_crs(source, target, always_xy=True).transform

    @cached_property
    def _step(self) -> int:
        """Pixels between the nodes of the mesh; fewer where places follow relief."""
        return geometry_mesh(self.scene.geometry, _MESH)

    @cached_property
    def _mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """Source column and row at the grid's corners 0, step, 2 step, ... in both directions, to beyond its end."""
        rows, columns = self.shape
        step = self._step
        down, across = np.arange(-(-rows // step) + 1) * step, np.arange(-(-columns // step) + 1) * step
        grid_x, grid_y = np.meshgrid(across.astype(float), down.astype(float))
        xs, ys = apply(self.transform, grid_x, grid_y)
        to_scene = self._transformer(self.crs, self.scene.crs)
        lines = [self.scene.geometry.inverse(*self._unwrapped(*to_scene(x, y))) for x, y in zip(xs, ys)]
        mesh_x, mesh_y = zip(*lines)
        return np.array(mesh_x), np.array(mesh_y)

    def _unwrapped(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitudes within 180 degrees of the scene's middle: its own may run beyond 180 at the antimeridian."""
        if self.scene.crs.is_geographic:
            rows, columns = self.scene.shape
            middle = float(self.scene.geometry.forward(np.array(columns / 2), np.array(rows / 2))[0])
            x = middle + (x - middle + 180) % 360 - 180
        return x, y

    def _resample(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Power of a window of the own grid; what lies outside the grid is not valid."""
        rows, columns = int(window.height), int(window.width)
        top, left = int(window.row_off), int(window.col_off)
        power, valid = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), bool)
        first = max(top, 0), max(left, 0)
        last = min(top + rows, self.shape[0]), min(left + columns, self.shape[1])
        if first[0] < last[0] and first[1] < last[1]:
            here = slice(first[0] - top, last[0] - top), slice(first[1] - left, last[1] - left)
            power[here], valid[here] = self._resample_inside(first, last)
        return power, valid

    def _resample_inside(self, first: tuple[int, int], last: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Power and validity of the pixels from `first` (row, column) up to, not including, `last` of the own grid."""
        with self._lock:
            mesh_x, mesh_y = self._mesh
        shape = last[0] - first[0], last[1] - first[1]
        node = first[0] // self._step, first[1] // self._step
        nodes = slice(node[0], -(-last[0] // self._step) + 1), slice(node[1], -(-last[1] // self._step) + 1)
        part_x, part_y = mesh_x[nodes], mesh_y[nodes]
        down, across = self._looks
        box = _around(part_y, down, self.scene.shape[0]), _around(part_x, across, self.scene.shape[1])
        (y_0, y_1), (x_0, x_1) = box
        if x_0 >= x_1 or y_0 >= y_1 or not (np.isfinite(part_x).all() and np.isfinite(part_y).all()):
            return np.zeros(shape, np.float32), np.zeros(shape, bool)
        power, valid = _read_padded(self.scene, Window(x_0, y_0, x_1 - x_0, y_1 - y_0))
        if (down, across) != (1, 1):
            power, valid = multilook(power, valid, down, across)
        offset = first[0] - node[0] * self._step, first[1] - node[1] * self._step
        mesh = (part_x - x_0) / across, (part_y - y_0) / down
        return sample(power, valid, mesh, self._step, shape, offset)


def _unequal(width: float, height: float) -> bool:
    return max(width, height) > _UNEQUAL * min(width, height)


def _around(places: np.ndarray, looks: int, extent: int) -> tuple[int, int]:
    """First and one-past-last source pixel that interpolation at `places` needs, in whole looks, near the raster."""
    with np.errstate(invalid="ignore"):
        low, high = np.nan_to_num([places.min() / looks - 2, places.max() / looks + 2], posinf=0, neginf=0)
    ends = max(math.floor(low), -1), min(math.ceil(high), -(-extent // looks) + 1)
    return ends[0] * looks, ends[1] * looks


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
