"""The black collar around a scene: zeros that run inwards from the border, found without reading what lies inside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.geometry import slices

_SHORTEST = 3
"""Zeros that run in from the border over at least this many pixels are a collar; its inner edge is eroded by one pixel,
because resampling and filtering leave half-empty pixels there."""
_BAND, _STEP, _PIXELS = 512, 256, 2_000_000
"""Rows (columns) looked at together, how far the first look goes inwards, and the most pixels of one look."""
_Reader = Callable[[Window], np.ndarray]
_Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Collar:
    """First and one-past-last pixel inside the collar, of every row and of every column."""

    left: np.ndarray  # (rows,)
    right: np.ndarray
    top: np.ndarray  # (columns,)
    bottom: np.ndarray

    def inside(self, window: Window) -> np.ndarray | None:
        """Which pixels of a window lie inside, (rows, columns) bool; None where all do."""
        rows, columns = slices(window)
        x = np.arange(columns.start, columns.stop)[None, :]
        y = np.arange(rows.start, rows.stop)[:, None]
        result: np.ndarray | None = None
        if self.left[rows].max() > columns.start or self.right[rows].min() < columns.stop:
            result = (x >= self.left[rows, None]) & (x < self.right[rows, None])
        if self.top[columns].max() > rows.start or self.bottom[columns].min() < rows.stop:
            across = (y >= self.top[None, columns]) & (y < self.bottom[None, columns])
            result = across if result is None else result & across
        return result


def find_collar(values: _Reader, shape: _Size, block_shape: _Size) -> Collar:
    """Look inwards from the four borders until data is met.

    Args:
        values: reads a window.
        shape: rows and columns of the raster.
        block_shape: rows and columns of the blocks it is stored in; a file stored in whole rows is read in whole rows.
    """
    rows, columns = shape
    whole_rows = block_shape[1] >= columns
    down = (_BAND, columns) if whole_rows else (_BAND, _STEP)
    across = (columns, max(1, min(_STEP, _PIXELS // columns))) if whole_rows else (_BAND, _STEP)
    left = _seek(values, shape, 0, False, down, np.ones(rows, bool))
    right = columns - _seek(values, shape, 0, True, down, left < columns)
    top = _seek(values, shape, 1, False, across, np.ones(columns, bool))
    bottom = rows - _seek(values, shape, 1, True, across, top < rows)
    left, top = left + (left >= _SHORTEST), top + (top >= _SHORTEST)
    return Collar(left, right - (columns - right >= _SHORTEST), top, bottom - (rows - bottom >= _SHORTEST))


def _seek(values: _Reader, shape: _Size, axis: int, backwards: bool, look: _Size, wanted: np.ndarray) -> np.ndarray:
    """Pixels from the border to the first one that is not zero, of every row (axis 0) or column (axis 1); the whole
    extent where all are zero, or where the row is not wanted."""
    count, extent = shape[axis], shape[1 - axis]
    found = np.full(count, extent)
    band = max(1, min(look[0], _PIXELS // look[1]))
    # Steps double: most scenes have no collar and are done after the first look, a wide one is crossed in few reads.
    for start in range(0, count, band):
        stop = min(start + band, count)
        missing = wanted[start:stop].copy()
        at, step = 0, look[1]
        while at < extent and missing.any():
            size = min(step, extent - at)
            first = extent - at - size if backwards else at
            window = Window(first, start, size, stop - start) if axis == 0 else Window(start, first, stop - start, size)
            data = values(window) != 0
            if axis == 1:
                data = data.T
            if backwards:
                data = data[:, ::-1]
            met = missing & data.any(axis=1)
            found[start:stop][met] = at + data[met].argmax(axis=1)
            missing &= ~met
            at, step = at + size, max(1, min(step * 2, _PIXELS // (stop - start)))
    return found
