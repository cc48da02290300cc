"""Class probabilities of overlapping windows as one map: each window counts by a cosine that falls towards its border,
and what no further window reaches is finished and leaves the memory.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from knowlip.inference.scene_grid import SceneGrid

_LEAST: Final = 1e-3
"""Weight of a window at its very border: pixels that no other window sees have one too."""


def cosine(side: int) -> np.ndarray:
    """(S, S) float32 weights: the product of two raised cosines, highest in the middle."""
    ramp = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.maximum(np.outer(ramp, ramp), _LEAST).astype(np.float32)


class Blend:
    """A strip of a scene that windows still write to.

    Args:
        grid: of the scene.
        classes: how many.
        top: first row of the strip, that of a row of windows.
    """

    def __init__(self, grid: SceneGrid, classes: int, top: int) -> None:
        self.grid, self.top = grid, top
        width = max(grid.shape[1], grid.window)
        self._sum = np.zeros((classes, grid.window, width), np.float32)
        self._weight = np.zeros((grid.window, width), np.float32)
        self._valid = np.zeros((grid.window, width), bool)
        self._cosine = cosine(grid.window)

    def add(self, top: int, left: int, probabilities: np.ndarray, valid: np.ndarray) -> None:
        """Add a window. What lies above the strip is finished and passed over.

        Args:
            top, left: its first pixel in the grid.
            probabilities: (C, T, T).
            valid: (T, T).
        """
        side = self.grid.window
        skip = max(0, self.top - top)
        if skip >= side:
            return
        rows, columns = slice(top + skip - self.top, top + side - self.top), slice(left, left + side)
        self._sum[:, rows, columns] += probabilities[:, skip:] * self._cosine[skip:]
        self._weight[rows, columns] += self._cosine[skip:]
        self._valid[rows, columns] |= valid[skip:]

    def finish(self, stop: int, nodata: int) -> tuple[np.ndarray, np.ndarray]:
        """Classes and their probability in percent (rows, W) uint8 of the rows up to `stop`, and go on from there.

        Args:
            stop: first row of the grid that is not finished.
            nodata: what stands where nothing is valid.
        """
        rows, width = stop - self.top, self.grid.shape[1]
        total, weight = self._sum[:, :rows, :width], np.maximum(self._weight[:rows, :width], 1e-12)
        best = total.argmax(0).astype(np.uint8)
        share = np.take_along_axis(total, best[None].astype(np.intp), 0)[0] / weight
        there = self._valid[:rows, :width]
        classes = np.where(there, best, np.uint8(nodata))
        percent = np.where(there, np.clip(np.rint(100 * share), 0, 100).astype(np.uint8), np.uint8(nodata))
        for array in (self._sum, self._weight, self._valid):
            kept = array[..., rows:, :].copy()
            array[...] = 0
            array[..., : kept.shape[-2], :] = kept
        self.top = stop
        return classes, percent


def reaching(grid: SceneGrid, row: int) -> Iterable[int]:
    """Rows of windows before `row` that reach beyond its first pixel: what has to be looked at again to go on there."""
    return [before for before in range(row) if grid.tops[before] + grid.window > grid.tops[row]]
