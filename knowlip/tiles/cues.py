"""What region screening looks at: cues of the 16 parts of a large window, so that a small harbour counts beside much
open water."""

import numpy as np
from numba import njit

_BLOCK = 4
"""Side of the blocks, in pixels of the coarsest level, over which power is averaged against speckle."""
_CELL = 8
"""Side of the cells, in blocks, whose median is the background of bright targets."""
_BRIGHT, _GLINT = 6.0, 20.0
"""A pixel so many times the background is a bright target, or a glint."""
_PARTS = 4
"""Parts along a side of the window."""
_TOP = 2
"""How many of the strongest parts count for themselves."""
_FEWEST_BLOCKS = 64


def window_cues(power: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """Cues of a window, (10,) float64, or None with too little valid ground: each of five cues as the mean over
    the 4 x 4 parts of the window, then each as the mean over the two parts where it is strongest.

    In each part, texture: logarithm of the share of 4 x 4 blocks that vary at least three times as much as the calmest
    quarter of the window does (which is speckle); spread: logarithm of the mean variation over that of the calmest
    quarter; edges: logarithm of the share of neighbouring blocks whose means differ by more than speckle explains, and
    by 3 dB; bright, glints: logarithms of the shares of pixels 6 and 20 times above the median of their surroundings.
    All are ratios of powers of the same window. Parts with less than a quarter of valid ground are left out.

    Args:
        power: (H, W) float32.
        valid: (H, W) bool.
    """
    parts = _parts(np.ascontiguousarray(power, np.float32), np.ascontiguousarray(valid))
    blocks = parts[:, 0]
    parts = parts[blocks >= max(blocks.max() / 4, 1.0)]
    if blocks.sum() < _FEWEST_BLOCKS:
        return None
    count, pairs = parts[:, 0], np.maximum(parts[:, 3], 1.0)
    pixels = count * _BLOCK * _BLOCK
    blocks_with, variation, edges = parts[:, 1] / count + 1e-3, parts[:, 2] / count + 1e-9, parts[:, 4] / pairs + 1e-3
    bright, glints = parts[:, 5] / pixels + 1e-4, parts[:, 6] / pixels + 1e-4
    shares = np.stack([blocks_with, variation, edges, bright, glints], axis=1)
    cues = np.sort(np.log(shares), axis=0)
    result = np.concatenate([cues.mean(axis=0), cues[-_TOP:].mean(axis=0)])
    return result if np.isfinite(result).all() else None


@njit(nogil=True, cache=True)
def _parts(power, valid):  # type: ignore[no-untyped-def]
    """Sums over each part: whole blocks, blocks with texture, their variation relative to the calmest quarter, pairs of
    neighbours, edges among them, bright pixels, glints."""
    rows, columns = power.shape[0] // _BLOCK, power.shape[1] // _BLOCK
    means, variation = np.zeros((rows, columns)), np.zeros((rows, columns))
    found = np.zeros(rows * columns)
    blocks = 0
    area = float(_BLOCK * _BLOCK)
    for j in range(rows):
        for i in range(columns):
            total, squares, whole = 0.0, 0.0, True
            for y in range(j * _BLOCK, (j + 1) * _BLOCK):
                for x in range(i * _BLOCK, (i + 1) * _BLOCK):
                    value = float(power[y, x])
                    total += value
                    squares += value * value
                    whole = whole and valid[y, x]
            mean = total / area
            if whole and mean > 0.0:
                means[j, i] = mean
                variation[j, i] = max(squares / area / mean / mean - 1.0, 0.0)
                found[blocks] = variation[j, i]
                blocks += 1
    parts = np.zeros((_PARTS * _PARTS, 7))
    if blocks == 0:
        return parts
    calm = max(np.sort(found[:blocks])[blocks // 4], 1e-4)
    # The difference of two logarithms of block means has a deviation of sqrt(2 / looks).
    gap = np.exp(max(np.log(2.0), 4.0 * np.sqrt(2.0 * calm / area)))
    around = _background(means)
    for j in range(rows):
        for i in range(columns):
            here = means[j, i]
            if here <= 0.0:
                continue
            part = parts[j * _PARTS // rows * _PARTS + i * _PARTS // columns]
            part[0] += 1
            part[1] += variation[j, i] > 3.0 * calm
            part[2] += variation[j, i] / calm
            if i + 1 < columns and means[j, i + 1] > 0.0:
                other = means[j, i + 1]
                part[3] += 1
                part[4] += max(here, other) > gap * min(here, other)
            if j + 1 < rows and means[j + 1, i] > 0.0:
                other = means[j + 1, i]
                part[3] += 1
                part[4] += max(here, other) > gap * min(here, other)
            bright, glint = _BRIGHT * around[j, i], _GLINT * around[j, i]
            for y in range(j * _BLOCK, (j + 1) * _BLOCK):
                for x in range(i * _BLOCK, (i + 1) * _BLOCK):
                    part[5] += power[y, x] > bright
                    part[6] += power[y, x] > glint
    return parts


@njit(nogil=True, cache=True)
def _background(means):  # type: ignore[no-untyped-def]
    """Median of the blocks of each cell, at each of its blocks."""
    rows, columns = means.shape
    medians, some = np.zeros((rows, columns)), np.zeros(_CELL * _CELL)
    for top in range(0, rows, _CELL):
        for left in range(0, columns, _CELL):
            bottom, right, count = min(top + _CELL, rows), min(left + _CELL, columns), 0
            for j in range(top, bottom):
                for i in range(left, right):
                    if means[j, i] > 0.0:
                        some[count] = means[j, i]
                        count += 1
            if count:
                medians[top:bottom, left:right] = np.sort(some[:count])[count // 2]
    return medians
