"""Native pixels of a large window -> the three stored scales, averaging power (multilook), never amplitude or dB."""

import math
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window as PixelWindow
from scipy.sparse import csr_matrix

from knowlip.tiles.ground import Ground
from knowlip.tiles.windows import Window
from knowlip.vocabulary import SCALES

_CHUNK_PIXELS = 6_000_000
_SNAP = 1e-6


@dataclass
class Level:
    """A large window at the pixel spacing of one scale. All its tiles of that scale are crops of it."""

    power: np.ndarray
    """(side, side) float32; 0 where not valid."""
    valid: np.ndarray
    """(side, side) bool: at least half of the pixel's area holds data."""
    coverage: np.ndarray
    """(side, side) float32: share of the pixel's area that holds data."""
    averaged: bool
    """True where native pixels were averaged, False where they were interpolated (the sensor is coarser)."""


def levels_of(ground: Ground, root: Window, tile_px: int) -> list[Level]:
    """The large, medium and small level of a root window: `tile_px`, 2 and 4 times `tile_px` pixels a side.

    A level at which the sensor is finer than the stored pixel is the area average of native power; a finer level is
    interpolated linearly. Native pixels are read once, in strips.
    """
    inverse = ~ground.transform
    x, y = inverse @ (root.left, root.top)
    width, height = root.side * inverse.a, -root.side * inverse.e
    x, y = _snapped(x), _snapped(y)
    width, height = _snapped(width), _snapped(height)
    sides = [tile_px * 2**level for level in range(len(SCALES))]
    levels: list[Level | None] = [None] * len(sides)
    sums: tuple[np.ndarray, np.ndarray] | None = None
    for level in reversed(range(len(sides))):
        side = sides[level]
        if min(width, height) < side * (1 - _SNAP):
            continue
        if sums is None:
            sums = _box_sums(ground, x, y, width, height, side)
        else:
            sums = _halved(sums[0]), _halved(sums[1])
        area = (width / side) * (height / side)
        levels[level] = _level(sums[0], sums[1], area)
    for level, side in enumerate(sides):
        if levels[level] is None:
            levels[level] = _interpolated(ground, x, y, width, height, side)
    return [level for level in levels if level is not None]


def _level(power_sum: np.ndarray, weight_sum: np.ndarray, area: float) -> Level:
    coverage = np.minimum(weight_sum / np.float32(area), 1)
    valid = coverage >= 0.5
    power = np.divide(power_sum, weight_sum, out=np.zeros_like(power_sum), where=valid)
    return Level(power, valid, coverage, averaged=True)


def _box_sums(
    ground: Ground, x: float, y: float, width: float, height: float, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of power and of valid area (in native pixels) for each of side x side cells; both (side, side) float32."""
    power_sum = np.zeros((side, side), np.float32)
    weight_sum = np.zeros((side, side), np.float32)
    fx, fy = width / side, height / side
    left, right = math.floor(x), math.ceil(x + width)
    whole = x == int(x) and y == int(y) and fx == int(fx) and fy == int(fy)
    columns = None if whole else _overlaps(x - left, fx, side, right - left)
    rows_at_once = max(1, min(side, int(_CHUNK_PIXELS / ((right - left) * fy))))
    for start in range(0, side, rows_at_once):
        stop = min(side, start + rows_at_once)
        top, bottom = math.floor(y + start * fy), math.ceil(y + stop * fy)
        power, valid = ground.read(PixelWindow(left, top, right - left, bottom - top))
        if columns is None:
            power_sum[start:stop] = _block_sum(power, int(fy), int(fx))
            full = valid.all()
            weight_sum[start:stop] = fx * fy if full else _block_sum(valid.astype(np.float32), int(fy), int(fx))
        else:
            rows = _overlaps(y + start * fy - top, fy, stop - start, bottom - top)
            power_sum[start:stop] = _apply(rows, columns, power)
            weight_sum[start:stop] = _apply(rows, columns, valid.astype(np.float32))
    return power_sum, weight_sum


def _block_sum(values: np.ndarray, fy: int, fx: int) -> np.ndarray:
    """Sums of fy x fx blocks."""
    if fy > 1:
        values = values.reshape(-1, fy, values.shape[1]).sum(axis=1)
    if fx > 1:
        values = values.reshape(values.shape[0], -1, fx).sum(axis=2)
    return values


def _halved(values: np.ndarray) -> np.ndarray:
    return values[0::2, 0::2] + values[0::2, 1::2] + values[1::2, 0::2] + values[1::2, 1::2]


def _overlaps(start: float, step: float, cells: int, pixels: int) -> csr_matrix:
    """(cells, pixels) matrix of how much of each pixel lies in each cell of `step` pixels, the first at `start`."""
    rows, columns, weights = [], [], []
    for cell in range(cells):
        low, high = start + cell * step, start + (cell + 1) * step
        for pixel in range(max(0, math.floor(low)), min(pixels, math.ceil(high))):
            weight = min(high, pixel + 1) - max(low, pixel)
            if weight > _SNAP:
                rows.append(cell)
                columns.append(pixel)
                weights.append(weight)
    return csr_matrix((np.array(weights, np.float32), (rows, columns)), shape=(cells, pixels))


def _interpolated(ground: Ground, x: float, y: float, width: float, height: float, side: int) -> Level:
    """Linear interpolation between native pixel centres, valid pixels only."""
    left, right = math.floor(x) - 1, math.ceil(x + width) + 1
    top, bottom = math.floor(y) - 1, math.ceil(y + height) + 1
    power, valid = ground.read(PixelWindow(left, top, right - left, bottom - top))
    rows = _neighbours(y - top, height / side, side, bottom - top)
    columns = _neighbours(x - left, width / side, side, right - left)
    weight = _apply(rows, columns, valid.astype(np.float32))
    total = _apply(rows, columns, power)
    usable = weight >= 0.5
    return Level(
        np.divide(total, weight, out=np.zeros_like(total), where=usable), usable, np.minimum(weight, 1), averaged=False
    )


def _neighbours(start: float, step: float, cells: int, pixels: int) -> csr_matrix:
    """(cells, pixels) matrix of linear interpolation at the cell centres between pixel centres."""
    at = start + (np.arange(cells) + 0.5) * step - 0.5
    low = np.clip(np.floor(at).astype(int), 0, pixels - 2)
    share = np.clip(at - low, 0, 1).astype(np.float32)
    rows = np.repeat(np.arange(cells), 2)
    columns = np.column_stack([low, low + 1]).ravel()
    return csr_matrix((np.column_stack([1 - share, share]).ravel(), (rows, columns)), shape=(cells, pixels))


def _apply(rows: csr_matrix, columns: csr_matrix, values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((columns @ (rows @ values).T).T, dtype=np.float32)


def _snapped(value: float) -> float:
    """Remove rounding noise of the geotransform: 5119.9999999 is 5120."""
    return round(value) if abs(value - round(value)) < 1e-5 else value
