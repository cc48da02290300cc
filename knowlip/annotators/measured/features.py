"""Brightness and texture of a tile on a coarse grid of cells: what the land-cover rules look at."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CELLS: Final = 64
"""Cells along the longer side."""
FEATURES: Final = (
    *("mean", "mean_wide", "mean_far", "texture", "texture_wide", "texture_far"),
    *("peak", "dip", "edge", "bright", "dark", "line", "top", "spread"),
)
_NEAR_M: Final = 14.0
_WIDE_M: Final = 60.0
_FAR_M: Final = 180.0
_LINE_M: Final = 22.0
"""Dark lines narrower than this (roads, taxiways) show in the feature "line"."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Cells:
    """Features on the cell grid."""

    values: Array
    """(rows, columns, len(FEATURES))."""
    valid: NDArray[np.bool_]
    """(rows, columns) at least half of the cell holds data."""
    cell_px: int
    noise: float
    """Speckle of the tile: tenth percentile of `texture`."""


def cell_features(image: NDArray[np.uint8], metres_per_pixel: float) -> Cells:
    """Measure every cell.

    Args:
        image: (H, W) 8 bit, 0 = nodata, logarithmic brightness.
        metres_per_pixel: of `image`; the windows of the wide features are set in metres.

    Returns:
        The features in the order of `FEATURES`: mean grey level near (about 14 m), wide (60 m) and far (180 m);
        standard deviation of pixels there, as log2(1 + sd); highest and lowest cell of the surroundings relative to
        the wide mean; contrast between neighbouring cells; roots of the shares of very bright and very dark pixels;
        depth of narrow dark lines; brightest smoothed pixel and spread of the pixels inside the cell.
    """
    # Sums over cells come first: every window is then a filter on the small grid, whatever the image's size.
    cell_px = max(1, -(-max(image.shape) // CELLS))
    rows, cols = image.shape[0] // cell_px, image.shape[1] // cell_px
    pixels = image[: rows * cell_px, : cols * cell_px].astype(np.float32)
    blocks = pixels.reshape(rows, cell_px, cols, cell_px)
    weight = (blocks > 0).mean(axis=(1, 3), dtype=np.float32)
    valid = weight >= 0.5
    safe = np.maximum(weight, 1e-3)
    first = blocks.mean(axis=(1, 3)) / safe
    second = (blocks * blocks).mean(axis=(1, 3)) / safe
    fill = float(first[valid].mean()) if valid.any() else 0.0
    first = np.where(valid, first, fill).astype(np.float32)
    second = np.where(valid, second, fill * fill).astype(np.float32)
    cell_m = cell_px * metres_per_pixel
    near, wide = _odd(_NEAR_M / cell_m, 1), _odd(_WIDE_M / cell_m, 5)

    def smooth(values: Array, size: int) -> Array:
        return np.asarray(ndimage.uniform_filter(values, size, mode="nearest") if size > 1 else values)

    far = _odd(_FAR_M / cell_m, 9)
    mean, mean_wide, mean_far = smooth(first, near), smooth(first, wide), smooth(first, far)
    texture = np.sqrt(np.maximum(smooth(second, max(near, 3)) - smooth(first, max(near, 3)) ** 2, 0.0))
    texture_wide = np.sqrt(np.maximum(smooth(second, wide) - mean_wide**2, 0.0))
    texture_far = np.sqrt(np.maximum(smooth(second, far) - mean_far**2, 0.0))
    peak = ndimage.maximum_filter(first, wide, mode="nearest") - mean_wide
    dip = mean_wide - ndimage.minimum_filter(first, wide, mode="nearest")
    edge = np.hypot(ndimage.sobel(first, 0), ndimage.sobel(first, 1)) / 8.0
    level = np.repeat(np.repeat(mean_far, cell_px, 0), cell_px, 1).reshape(blocks.shape)
    bright = smooth((blocks > level + 70.0).mean(axis=(1, 3), dtype=np.float32), wide)
    dark = smooth(((blocks < level - 55.0) & (blocks > 0)).mean(axis=(1, 3), dtype=np.float32), wide)
    soft = ndimage.uniform_filter(pixels, max(3, _odd(5.0 / metres_per_pixel, 1)), mode="nearest")
    line = _dark_lines(soft, metres_per_pixel).reshape(blocks.shape).max(axis=(1, 3))
    top = soft.reshape(blocks.shape).max(axis=(1, 3)) - mean_wide
    spread = np.sqrt(np.maximum(second - first**2, 0.0))
    textures = [np.log2(1 + values) for values in (texture, texture_wide, texture_far)]
    points = [peak, dip, np.log2(1 + smooth(edge, 3)), np.sqrt(bright), np.sqrt(dark), smooth(line, 3)]
    layers = [mean, mean_wide, mean_far, *textures, *points, top, np.log2(1 + spread)]
    values = np.stack(layers, axis=-1).astype(np.float32)
    noise = float(np.percentile(values[..., 3][valid], 10)) if valid.any() else 0.0
    return Cells(values, valid, cell_px, noise)


def _dark_lines(soft: Array, metres_per_pixel: float) -> Array:
    """Depth of dark lines and spots narrower than about 22 m in the smoothed image: closing minus the image."""
    width = max(5, _odd(_LINE_M / metres_per_pixel, 5))
    closed = ndimage.minimum_filter(ndimage.maximum_filter(soft, width, mode="nearest"), width, mode="nearest")
    return np.asarray(closed - soft)


def _odd(size: float, least: int) -> int:
    return max(least, 2 * int(size / 2) + 1)
