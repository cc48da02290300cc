"""Native pixels of a large window -> the three stored scales, averaging power (multilook), never amplitude or dB."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from rasterio.windows import Window as PixelWindow

from knowlip.base.vocabulary import SCALES
from knowlip.tiles.ground import Ground
from knowlip.tiles.quantise import PowerHistogram
from knowlip.tiles.windows import Window

_CHUNK_PIXELS = 600_000
_SNAP = 1e-6


@dataclass
class Level:
    """A large window at the pixel spacing of one scale. All its tiles of that scale are crops of it."""

    power: np.ndarray  # (side, side) float32; 0 where not valid.
    valid: np.ndarray
    """(side, side) bool: at least half of the pixel's area holds data. Not to be written to: windows share it."""
    coverage: np.ndarray  # (side, side) float32: share of the pixel's area that holds data. Not to be written to.
    averaged: bool
    """True where native pixels were averaged, False where they were interpolated (the sensor is coarser)."""
    whole: bool = False  # Everything is valid.


@dataclass
class _Sums:
    """Sums over cells of native pixels."""

    power: np.ndarray  # (side, side) float32.
    weight: np.ndarray | None  # (side, side) float32 valid area in native pixels; None: all of it.


@dataclass(frozen=True)
class _Place:
    """A large window in native pixels."""

    x: float
    y: float
    width: float
    height: float

    def averaged(self, side: int) -> bool:
        """Whether the sensor is at least as fine as `side` pixels over the window."""
        return min(self.width, self.height) >= side * (1 - _SNAP)

    def whole_factors(self, side: int) -> tuple[int, int] | None:
        """Native rows and columns of a cell, where cells are whole numbers of whole pixels."""
        fx, fy = self.width / side, self.height / side
        if all(value == int(value) for value in (self.x, self.y, fx, fy)):
            return int(fy), int(fx)
        return None


def levels_of(ground: Ground, root: Window, tile_px: int) -> list[Level]:
    """The large, medium and small level of a root window: `tile_px`, 2 and 4 times `tile_px` pixels a side.

    A level at which the sensor is finer than the stored pixel is the area average of native power; a finer level is
    interpolated linearly. Native pixels are read once, in strips.
    """
    place = _place(ground, root)
    sides = [tile_px * 2**level for level in range(len(SCALES))]
    levels: dict[int, Level] = {}
    sums: _Sums | None = None
    for side in reversed(sides):
        if not place.averaged(side):
            continue
        sums = _box_sums(ground, place, side) if sums is None else _halved(sums)
        levels[side] = _level(sums, (place.width / side) * (place.height / side))
    finer = [side for side in sides if side not in levels]
    if finer:
        native = _native(ground, place)
        levels |= {side: _interpolated(native, place, side) for side in finer}
    return [levels[side] for side in sides]


def level_of(ground: Ground, window: Window, side: int) -> Level:
    """A square window of the ground as `side` x `side` pixels: the area average of native power where the sensor is at
    least as fine as such a pixel, else interpolated. The window may reach over the edge of the scene.
    """
    place = _place(ground, window)
    if not place.averaged(side):
        return _interpolated(_native(ground, place), place, side)
    return _level(_box_sums(ground, place, side), (place.width / side) * (place.height / side))


def count_power(ground: Ground, root: Window, tile_px: int, histogram: PowerHistogram) -> None:
    """Count the valid pixels of a root window at the finest averaged scale (where none is: the large one), exactly as
    they appear in :func:`levels_of`."""
    place = _place(ground, root)
    sides = [tile_px * 2**level for level in reversed(range(len(SCALES)))]
    side = next((side for side in sides if place.averaged(side)), 0)
    if not side:
        level = _interpolated(_native(ground, place), place, tile_px)
        histogram.add(level.power, None if level.whole else level.valid)
        return
    table = ground.scene.raster.table
    if table is not None and place.whole_factors(side) == (1, 1):
        stored = ground.read_stored(PixelWindow(int(place.x), int(place.y), side, side))
        if stored is not None:
            histogram.add_stored(stored[0], table, stored[1])
            return
    level = _level(_box_sums(ground, place, side), (place.width / side) * (place.height / side))
    histogram.add(level.power, None if level.whole else level.valid)


def _place(ground: Ground, root: Window) -> _Place:
    inverse = ~ground.transform
    x, y = inverse @ (root.left, root.top)
    return _Place(_snapped(x), _snapped(y), _snapped(root.side * inverse.a), _snapped(-root.side * inverse.e))


def _level(sums: _Sums, area: float) -> Level:
    side = len(sums.power)
    if sums.weight is None:
        power = sums.power if area == 1 else sums.power / np.float32(area)
        return Level(power, _ones(side, bool), _ones(side, np.float32), averaged=True, whole=True)
    coverage = np.minimum(sums.weight / np.float32(area), 1)
    valid = coverage >= 0.5
    power = np.divide(sums.power, sums.weight, out=np.zeros_like(sums.power), where=valid)
    return Level(power, valid, coverage, averaged=True, whole=bool(valid.all()))


@lru_cache(12)
def _ones(side: int, dtype: type) -> np.ndarray:
    """Shared by all windows, which saves the time to fill them."""
    return np.ones((side, side), dtype)


def _box_sums(ground: Ground, place: _Place, side: int) -> _Sums:
    """Sum of power and of valid area for each of side x side cells."""
    # In strips, for a window of a fine sensor holds 25 million pixels; by blocks where cells are whole pixels, which is
    # ten times as fast as weighting. Weights are only summed from the first strip on that is not wholly valid.
    fx, fy = place.width / side, place.height / side
    left, right = math.floor(place.x), math.ceil(place.x + place.width)
    whole = place.whole_factors(side)
    columns = None if whole else _overlaps(place.x - left, fx, side, right - left)
    rows_at_once = max(1, min(side, int(_CHUNK_PIXELS / ((right - left) * fy))))
    power_sum = np.empty((side, side), np.float32)
    weight_sum: np.ndarray | None = None
    for start in range(0, side, rows_at_once):
        stop = min(side, start + rows_at_once)
        top, bottom = math.floor(place.y + start * fy), math.ceil(place.y + stop * fy)
        power, valid = ground.read(PixelWindow(left, top, right - left, bottom - top))
        full = bool(valid.all())
        if whole == (1, 1):
            power_sum[start:stop] = power
        elif whole is not None:
            _block_sum(power, *whole, power_sum[start:stop])
        else:
            assert columns is not None
            rows = _overlaps(place.y + start * fy - top, fy, stop - start, bottom - top)
            power_sum[start:stop] = _weighed(rows, columns, power)
        if full and weight_sum is None:
            continue
        if weight_sum is None:
            weight_sum = np.full((side, side), np.float32(fx * fy))
        if whole == (1, 1):
            weight_sum[start:stop] = valid
        elif whole is not None:
            _block_sum(valid, *whole, weight_sum[start:stop])
        elif not full:
            assert columns is not None
            weight_sum[start:stop] = _weighed(rows, columns, valid)
    return _Sums(power_sum, weight_sum)


@njit(nogil=True, cache=True)
def _block_sum(values, fy, fx, out):  # type: ignore[no-untyped-def]
    """Sums of fy x fx blocks."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for r in range(i * fy, (i + 1) * fy):
                for c in range(j * fx, (j + 1) * fx):
                    total += values[r, c]
            out[i, j] = total


def _halved(sums: _Sums) -> _Sums:
    side = len(sums.power) // 2
    return _Sums(_quads(sums.power, side), None if sums.weight is None else _quads(sums.weight, side))


@njit(nogil=True, cache=True)
def _quads(values, side):  # type: ignore[no-untyped-def]
    """Sums of 2 x 2 blocks."""
    out = np.empty((side, side), np.float32)
    for i in range(side):
        for j in range(side):
            upper = values[2 * i, 2 * j] + values[2 * i, 2 * j + 1]
            out[i, j] = upper + values[2 * i + 1, 2 * j] + values[2 * i + 1, 2 * j + 1]
    return out


def _overlaps(start: float, step: float, cells: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel lies in each cell of `step` pixels, the first at `start`: the first of a cell's pixels
    (cells,), and the shares of that and the next ones (cells, M) float32."""
    low = start + np.arange(cells) * step
    high = low + step
    first = np.maximum(np.floor(low).astype(int), 0)
    most = int(np.ceil(step)) + 1
    at = first[:, None] + np.arange(most)[None, :]
    weights = np.minimum(high[:, None], at + 1) - np.maximum(low[:, None], at)
    return first, np.where((weights > _SNAP) & (at < pixels), weights, 0).astype(np.float32)


def _weighed(
    rows: tuple[np.ndarray, np.ndarray], columns: tuple[np.ndarray, np.ndarray], values: np.ndarray
) -> np.ndarray:
    """Sums of values (float32 or bool) over cells, weighed by :func:`_overlaps`."""
    out = np.empty((len(rows[0]), len(columns[0])), np.float32)
    _weigh(values, *rows, *columns, out)
    return out


@njit(nogil=True, cache=True)
def _weigh(values, tops, down, lefts, across, out):  # type: ignore[no-untyped-def]
    """Rows first, for all native columns, then columns; in single precision, in the order of the pixels."""
    # Where the shares of a cell begin and end is found once: asking of each whether it is 0 takes most of the time.
    starts, ends = np.zeros(lefts.size, np.int64), np.full(lefts.size, across.shape[1])
    for j in range(lefts.size):
        while starts[j] < ends[j] and across[j, starts[j]] == 0:
            starts[j] += 1
        while ends[j] > starts[j] and across[j, ends[j] - 1] == 0:
            ends[j] -= 1
    total = np.empty(values.shape[1], np.float32)
    for i in range(out.shape[0]):
        total[:] = 0
        for k in range(down.shape[1]):
            share = down[i, k]
            if share != 0:
                row = values[tops[i] + k]
                for c in range(total.size):
                    total[c] += share * np.float32(row[c])
        for j in range(out.shape[1]):
            cell = np.float32(0)
            for k in range(starts[j], ends[j]):
                cell += across[j, k] * total[lefts[j] + k]
            out[i, j] = cell


@dataclass(frozen=True)
class _Native:
    """Native pixels of a large window and one more around it, from the pixel (left, top) on."""

    power: np.ndarray  # (rows, columns) float32; 0 where not valid.
    valid: np.ndarray  # (rows, columns) bool.
    left: int
    top: int


def _native(ground: Ground, place: _Place) -> _Native:
    left, right = math.floor(place.x) - 1, math.ceil(place.x + place.width) + 1
    top, bottom = math.floor(place.y) - 1, math.ceil(place.y + place.height) + 1
    return _Native(*ground.read(PixelWindow(left, top, right - left, bottom - top)), left, top)


def _interpolated(native: _Native, place: _Place, side: int) -> Level:
    """Linear interpolation between native pixel centres, valid pixels only."""
    rows, columns = native.power.shape
    down = _neighbours(place.y - native.top, place.height / side, side, rows)
    across = _neighbours(place.x - native.left, place.width / side, side, columns)
    power = np.empty((side, side), np.float32)
    if native.valid.all():
        _interpolate_whole(native.power, *down, *across, power)
        return Level(power, _ones(side, bool), _ones(side, np.float32), averaged=False, whole=True)
    usable, coverage = np.empty((side, side), bool), np.empty((side, side), np.float32)
    _interpolate(native.power, native.valid, *down, *across, power, usable, coverage)
    return Level(power, usable, coverage, averaged=False)


def _neighbours(start: float, step: float, cells: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """First of the two pixels between whose centres each cell's centre lies (cells,), and the weights of both
    (cells, 2) float32."""
    at = start + (np.arange(cells) + 0.5) * step - 0.5
    low = np.clip(np.floor(at).astype(int), 0, pixels - 2)
    share = np.clip(at - low, 0, 1).astype(np.float32)
    return low, np.column_stack([1 - share, share])


@njit(nogil=True, cache=True)
def _interpolate(power, valid, tops, down, lefts, across, out, usable, coverage):  # type: ignore[no-untyped-def]
    """Fill `out`, `usable` and `coverage` (cells, cells): weighted mean of the valid ones of four pixels, and the
    weight of these. Between two rows first, for all native columns, then between two columns."""
    columns = power.shape[1]
    total, weight = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for i in range(out.shape[0]):
        above, below, a, b = tops[i], tops[i] + 1, down[i, 0], down[i, 1]
        for c in range(columns):
            total[c] = a * power[above, c] + b * power[below, c]
            weight[c] = a * np.float32(valid[above, c]) + b * np.float32(valid[below, c])
        for j in range(out.shape[1]):
            at, c, d = lefts[j], across[j, 0], across[j, 1]
            share = c * weight[at] + d * weight[at + 1]
            usable[i, j] = share >= np.float32(0.5)
            coverage[i, j] = min(share, np.float32(1))
            value = c * total[at] + d * total[at + 1]
            out[i, j] = value / share if share >= np.float32(0.5) else np.float32(0)


@njit(nogil=True, cache=True, error_model="numpy")
def _interpolate_whole(power, tops, down, lefts, across, out):  # type: ignore[no-untyped-def]
    """`_interpolate` where all pixels are valid. Rounding may leave their weight a hair off 1: it is divided by too,
    so that a pixel does not depend on what is beside the four that it is made of."""
    columns = power.shape[1]
    total = np.empty(columns, np.float32)
    for i in range(out.shape[0]):
        above, below, a, b = tops[i], tops[i] + 1, down[i, 0], down[i, 1]
        weight = a + b
        for c in range(columns):
            total[c] = a * power[above, c] + b * power[below, c]
        for j in range(out.shape[1]):
            at, c, d = lefts[j], across[j, 0], across[j, 1]
            out[i, j] = (c * total[at] + d * total[at + 1]) / (c * weight + d * weight)


def _snapped(value: float) -> float:
    """Remove rounding noise of the geotransform: 5119.9999999 is 5120."""
    return round(value) if abs(value - round(value)) < 1e-5 else value
