"""Metre-true windows at three scales with parent links, the SRC of arXiv 2509.23927: a large one
holds exactly 4 medium and 16 small ones."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from pyproj import Transformer

from knowlip.base.vocabulary import SCALES, Scale
from knowlip.scenes.geometry import LOCAL
from knowlip.scenes.scene import lonlat_polygon
from knowlip.tiles.ground import Ground

FEWEST_PIXELS = 16.0
"""A window narrower than this many native pixels shows little; refused unless the user lowers it."""


@dataclass(frozen=True, slots=True)
class Window:
    """A square on the ground, in the metric CRS of its scene."""

    tile_id: str
    root_id: str
    parent_id: str  # "" for a large window.
    scale: Scale
    row: int
    column: int  # Place in the scene's grid of this scale.
    left: float
    top: float
    side: float  # CRS units (metres).

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        return self.left, self.top - self.side, self.left + self.side, self.top

    @property
    def center(self) -> tuple[float, float]:
        return self.left + self.side / 2, self.top - self.side / 2

    def transform(self, pixels: int) -> Affine:
        """Pixel -> CRS of this window stored with `pixels` a side."""
        step = self.side / pixels
        return Affine(step, 0, self.left, 0, -step, self.top)


def check_sizes(windows_m: tuple[float, float, float]) -> None:
    """Refuse window sizes that do not halve from scale to scale."""
    if len(windows_m) != 3 or not all(math.isfinite(side) and side > 0 for side in windows_m):
        raise ValueError(f"windows_m needs three positive sizes in metres (large, medium, small), not {windows_m}.")
    large, medium, small = windows_m
    if not (math.isclose(large, 2 * medium) and math.isclose(medium, 2 * small)):
        raise ValueError(f"windows_m must halve from scale to scale (e.g. 1024, 512, 256), not {windows_m}.")


def plan_roots(
    ground: Ground,
    scene_id: str,
    windows_m: tuple[float, float, float],
    overlap: float = 0.0,
    min_valid: float = 0.9,
    anchor: str = "scene",
    fewest_px: float = FEWEST_PIXELS,
) -> list[Window]:
    """Large windows over a scene, row by row. Those in the corners between the image, which may lie askew, and the
    rectangle around it show nothing of it and are left out.

    Args:
        ground: the scene in its metric CRS.
        scene_id: first part of the tile identifiers.
        windows_m: sides of large, medium and small windows in metres.
        overlap: share of a large window that its neighbour repeats, 0 <= overlap < 1.
        min_valid: windows may reach over the scene's edge as long as this share of their side stays inside.
        anchor: "scene" centres the grid on the scene (snapped to whole pixels); "utm" uses multiples of the window
            step in the CRS, so that every sensor that sees the place gets identical windows.
        fewest_px: native pixels that a small window must be wide.

    Raises:
        ValueError: the scene is smaller than a large window, or a small window would hold too few native pixels.
    """
    # Refusals name the setting and a value that works, because sizes that fit one sensor are too small for another.
    check_sizes(windows_m)
    side = windows_m[0] * ground.unit_per_metre
    step = side * (1 - overlap)
    pixel_x, pixel_y = ground.transform.a, -ground.transform.e
    pixels = windows_m[2] * ground.unit_per_metre / max(pixel_x, pixel_y)
    if pixels < fewest_px:
        larger = 2 ** math.ceil(math.log2(fewest_px / pixels))
        raise ValueError(
            f"{ground.scene.path}: a {windows_m[2]:g} m window holds only {pixels:.1f} pixels of "
            f"{max(pixel_x, pixel_y) / ground.unit_per_metre:.3g} m: use larger windows, "
            f"--windows_m {' '.join(f'{side * larger:g}' for side in windows_m)}, or a lower fewest_px."
        )
    left, bottom, right, top = ground.bounds
    if anchor == "utm":
        slack = (1 - min_valid) * side
        lefts = _multiples(left - slack, right + slack, side, step)
        tops = [-value for value in _multiples(-top - slack, -bottom + slack, side, step)]
    else:
        lefts = [left + x for x in _centered(right - left, side, step, min_valid, pixel_x)]
        tops = [top - y for y in _centered(top - bottom, side, step, min_valid, pixel_y)]
    if not lefts or not tops:
        raise ValueError(
            f"{ground.scene.path} covers {right - left:.0f} x {top - bottom:.0f} m, which holds no window of "
            f"{windows_m[0]:g} m; set windows_m smaller."
        )
    roots = []
    for row, y in enumerate(tops):
        shown = ground.touched(np.array(lefts), y, side).tolist()
        for column, x in enumerate(lefts):
            if shown[column]:
                name = _tile_id(scene_id, "large", row, column)
                roots.append(Window(name, name, "", "large", row, column, x, y, side))
    return roots


def children(window: Window) -> list[Window]:
    """The four windows of the next scale that together are `window`; none below a small one."""
    level = SCALES.index(window.scale) + 1
    if level == len(SCALES):
        return []
    scale: Scale = SCALES[level]
    scene_id = window.tile_id.rsplit("-", 1)[0]
    half = window.side / 2
    result = []
    for j in range(2):
        for i in range(2):
            row, column = 2 * window.row + j, 2 * window.column + i
            name = _tile_id(scene_id, scale, row, column)
            corner = window.left + i * half, window.top - j * half
            result.append(Window(name, window.root_id, window.tile_id, scale, row, column, *corner, half))
    return result


def family(root: Window) -> list[Window]:
    """A large window with its 4 medium and 16 small ones (21 windows, each after its parent)."""
    mediums = children(root)
    return [root, *mediums, *(small for medium in mediums for small in children(medium))]


def _tile_id(scene_id: str, scale: Scale, row: int, column: int) -> str:
    return f"{scene_id}-{scale[0]}{row:03d}x{column:03d}"


def _centered(extent: float, side: float, step: float, min_valid: float, pixel: float) -> list[float]:
    """Offsets of windows along one axis, the row of them centred on the extent and snapped to whole pixels."""
    tiny = 1e-6 * side
    if extent < side * min_valid - tiny:
        return []
    count = math.floor((extent - side * min_valid + tiny) / step) + 1
    offset = (extent - (count - 1) * step - side) / 2
    offset = round(offset / pixel) * pixel
    return [offset + i * step for i in range(count)]


def _multiples(low: float, high: float, side: float, step: float) -> list[float]:
    """Multiples of `step` at which a window of `side` lies between `low` and `high`."""
    first = math.ceil(low / step - 1e-9)
    last = math.floor((high - side) / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def footprints(crs: Any, windows: list[Window]) -> list[Any]:
    """Outlines of windows in longitude and latitude; None for each where the place is unknown."""
    if crs == LOCAL:
        return [None] * len(windows)
    to_lonlat = Transformer.from_crs(crs, 4326, always_xy=True)
    boxes = np.array([window.bounds for window in windows])
    xs = boxes[:, [0, 2, 2, 0]]
    ys = boxes[:, [3, 3, 1, 1]]
    lons, lats = (np.asarray(values) for values in to_lonlat.transform(xs, ys))
    if lons.min() >= -180 and lons.max() < 180 and np.ptp(lons, axis=1).max() < 180:  # far from the antimeridian
        shapes: Any = shapely.polygons(np.stack([lons, lats], axis=-1))
        return list(shapes)
    return [lonlat_polygon(lon, lat) for lon, lat in zip(lons, lats)]


def centers(crs: Any, windows: list[Window]) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of window centres, rounded to 1e-7 degrees (1 cm); NaN where the place is unknown."""
    if crs == LOCAL:
        return np.full(len(windows), np.nan), np.full(len(windows), np.nan)
    xs, ys = zip(*(window.center for window in windows))
    lons, lats = Transformer.from_crs(crs, 4326, always_xy=True).transform(np.array(xs), np.array(ys))
    return np.round(lons, 7), np.round(lats, 7)
