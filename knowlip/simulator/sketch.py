"""Filling and testing polygons on the world's coarse sketch: compiled scan lines, even-odd rule, cell centres."""

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def _crossings(ring: NDArray[np.float64], y: float, out: NDArray[np.float64]) -> int:
    """Sorted x where the ring crosses the horizontal line at y; returns how many."""
    count = 0
    n = len(ring)
    for i in range(n):
        x0, y0 = ring[i]
        x1, y1 = ring[(i + 1) % n]
        if (y0 <= y) != (y1 <= y):
            x = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
            j = count
            while j > 0 and out[j - 1] > x:
                out[j] = out[j - 1]
                j -= 1
            out[j] = x
            count += 1
    return count


@numba.njit(cache=True)
def fill(grid: NDArray[np.uint8], ring: NDArray[np.float64], value: int) -> int:
    """Set the cells of a ring (x, y in cells); returns how many. A ring that holds no centre sets its middle cell."""
    rows, cols = grid.shape
    out = np.empty(len(ring) + 1)
    filled = 0
    for r in range(max(0, math.ceil(ring[:, 1].min() - 0.5)), min(rows - 1, math.floor(ring[:, 1].max() - 0.5)) + 1):
        k = _crossings(ring, r + 0.5, out)
        for j in range(0, k - 1, 2):
            for c in range(max(0, math.ceil(out[j] - 0.5)), min(cols - 1, math.floor(out[j + 1] - 0.5)) + 1):
                grid[r, c] = value
                filled += 1
    if filled == 0:
        r, c = math.floor(ring[:, 1].mean()), math.floor(ring[:, 0].mean())
        if 0 <= r < rows and 0 <= c < cols:
            grid[r, c] = value
            filled = 1
    return filled


@numba.njit(cache=True)
def fits(
    cover: NDArray[np.uint8], taken: NDArray[np.uint8], ring: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> bool:
    """Whether all cells of a ring are inside the grid, not taken, and of an allowed cover."""
    rows, cols = cover.shape
    out = np.empty(len(ring) + 1)
    if ring.min() < 0 or ring[:, 0].max() > cols or ring[:, 1].max() > rows:
        return False
    seen = 0
    for r in range(max(0, math.ceil(ring[:, 1].min() - 0.5)), min(rows - 1, math.floor(ring[:, 1].max() - 0.5)) + 1):
        k = _crossings(ring, r + 0.5, out)
        for j in range(0, k - 1, 2):
            for c in range(max(0, math.ceil(out[j] - 0.5)), min(cols - 1, math.floor(out[j + 1] - 0.5)) + 1):
                seen += 1
                if taken[r, c] != 0 or not allowed[cover[r, c]]:
                    return False
    if seen == 0:
        r, c = math.floor(ring[:, 1].mean()), math.floor(ring[:, 0].mean())
        return taken[r, c] == 0 and allowed[cover[r, c]]
    return True
