"""Grey-level co-occurrence (GLCM) features of a tile (Haralick 1973): mask-aware, four angles in one pass.

Definitions are those of `skimage.feature.graycomatrix(levels=32, symmetric=True, normed=True)` and `graycoprops`,
averaged over the angles; pairs with a nodata pixel are not counted, which that package cannot do.
"""

import numpy as np
from numba import njit

LEVELS = 32
FEATURES = ("contrast", "dissimilarity", "homogeneity", "asm", "energy", "correlation", "entropy")

_SIDE = LEVELS + 1
"""Level 32 stands for nodata: counted like the others, which is faster than asking, and left out afterwards."""
_CELLS = _SIDE * _SIDE
_ANGLES = 4


def level_table() -> np.ndarray:
    """(256,) uint8: grey value 1 to 255 -> level 0 to 31, (value - 1) * 32 // 255; 0 (nodata) -> 32."""
    values = np.arange(256)
    return np.where(values == 0, LEVELS, (values - 1) * LEVELS // 255).astype(np.uint8)


_TABLE = level_table()


def glcm_features(tile: np.ndarray) -> dict[str, float]:
    """Features of a tile (H, W) uint8, 0 = nodata: neighbours at distance 1 at 0, 45, 90 and 135 degrees.

    Returns: `FEATURES` by name, entropy in nats; mean over the angles that have pairs, all 0 where none has.

    Raises:
        ValueError: the tile is not a two-dimensional uint8 array.
    """
    return dict(zip(FEATURES, glcm_array(tile).tolist()))


def glcm_array(tile: np.ndarray) -> np.ndarray:
    """The features (7,) float64 in the order of `FEATURES`; see `glcm_features`."""
    if tile.ndim != 2 or tile.dtype != np.uint8:
        raise ValueError(f"A tile must be (H, W) uint8, not {tile.shape} {tile.dtype}.")
    result: np.ndarray = _features(np.ascontiguousarray(tile), _TABLE)
    return result


@njit(nogil=True, cache=True, boundscheck=False)
def _features(tile, table):  # type: ignore[no-untyped-def]
    counts = _count(tile, table)
    result = np.zeros(7)
    angles = 0
    for angle in range(_ANGLES):
        angles += _add_properties(counts[angle], result)
    if angles:
        result /= angles
    return result


@njit(nogil=True, cache=True, boundscheck=False)
def _count(tile, table):  # type: ignore[no-untyped-def]
    """Pairs by angle, (4, 33 * 33): from a pixel to its right, lower right, lower and lower left neighbour.

    Even and odd columns have counters of their own: in smooth ground the same cell is met again and again, and each
    increment would wait for the one before. All counters together stay within the first-level cache.
    """
    rows, columns = tile.shape
    total = np.zeros((_ANGLES, _CELLS), np.int64)
    even = np.zeros(_ANGLES * _CELLS, np.uint32)
    odd = np.zeros(_ANGLES * _CELLS, np.uint32)
    # A margin of nodata on both sides spares every question about edges.
    here, below = np.full(columns + 3, LEVELS, np.uint8), np.full(columns + 3, LEVELS, np.uint8)
    if rows:
        for x in range(columns):
            below[x + 1] = table[tile[0, x]]
    for y in range(rows):
        here, below = below, here
        if y + 1 < rows:
            for x in range(columns):
                below[x + 1] = table[tile[y + 1, x]]
        else:
            below[:] = LEVELS
        left, down, level = np.intp(below[0]), np.intp(below[1]), np.intp(here[1])
        for x in range(1, columns + 1, 2):
            right, corner = np.intp(here[x + 1]), np.intp(below[x + 1])
            base = level * _SIDE
            even[base + right] += np.uint32(1)
            even[base + corner + _CELLS] += np.uint32(1)
            even[base + down + 2 * _CELLS] += np.uint32(1)
            even[base + left + 3 * _CELLS] += np.uint32(1)
            level, next_right, next_corner = right, np.intp(here[x + 2]), np.intp(below[x + 2])
            base = level * _SIDE
            odd[base + next_right] += np.uint32(1)
            odd[base + next_corner + _CELLS] += np.uint32(1)
            odd[base + corner + 2 * _CELLS] += np.uint32(1)
            odd[base + down + 3 * _CELLS] += np.uint32(1)
            level, left, down = next_right, corner, next_corner
    for angle in range(_ANGLES):
        for cell in range(_CELLS):
            at = angle * _CELLS + cell
            total[angle, cell] = np.int64(even[at]) + np.int64(odd[at])
    return total


@njit(nogil=True, cache=True, boundscheck=False)
def _add_properties(counts, result):  # type: ignore[no-untyped-def]
    """Add the properties of one angle's matrix to `result`; returns 1, or 0 where there is no pair."""
    pairs = 0
    contrast, dissimilarity, homogeneity = 0.0, 0.0, 0.0
    squares, logs = 0.0, 0.0
    mean, second, product = 0.0, 0.0, 0.0
    for i in range(LEVELS):
        for j in range(i, LEVELS):
            n = counts[i * _SIDE + j] + (counts[j * _SIDE + i] if i != j else counts[i * _SIDE + i])
            if n == 0:
                continue
            # Two equal cells off the diagonal, one on it.
            cells = 1.0 if i == j else 2.0
            weight = cells * n
            gap = j - i
            pairs += int(weight)
            contrast += weight * gap * gap
            dissimilarity += weight * gap
            homogeneity += weight / (1.0 + gap * gap)
            squares += weight * n
            logs += weight * np.log(n)
            mean += 0.5 * weight * (i + j)
            second += 0.5 * weight * (i * i + j * j)
            product += weight * i * j
    if pairs == 0:
        return 0
    mean /= pairs
    variance = second / pairs - mean * mean
    asm = squares / pairs / pairs
    result[0] += contrast / pairs
    result[1] += dissimilarity / pairs
    result[2] += homogeneity / pairs
    result[3] += asm
    result[4] += np.sqrt(asm)
    result[5] += (product / pairs - mean * mean) / variance if variance > 1e-12 else 1.0
    result[6] += np.log(pairs) - logs / pairs
    return 1
