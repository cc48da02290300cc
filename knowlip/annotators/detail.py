"""A tile's window in the finer pixels of the small tiles that were cut from it, and the large tile around it."""

from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from knowlip.annotators.types import TileFrame, TileWindow
from knowlip.dataset import Dataset

_LEAST_SHARE: Final = 0.5
"""Share of the window that accepted small tiles must cover; the tile's own pixels fill the rest."""
_FRAMES: Final = 4
"""Frames that are kept for the next tile."""
_LARGEST_FRAME: Final = 1024
"""Side in pixels up to which there are frames."""
_OF_SMALL: Final = ("tile_id", "root_id", "window_m", "proj:transform")
_OF_LARGE: Final = (*_OF_SMALL, "scale")
_COEFFICIENTS: Final = 6
"""Of a transform; a tile without them lies nowhere."""


class Details:
    """Puts small tiles of a data set side by side."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._frames: OrderedDict[str, TileFrame | None] = OrderedDict()

    @cached_property
    def _large(self) -> dict[str, dict[str, Any]]:
        """Large tile -> its index row."""
        rows = self.dataset.tiles(scale="large", columns=_OF_LARGE).to_dict("records")
        return {row["tile_id"]: {str(key): value for key, value in row.items()} for row in rows}

    def within(self, row: dict[str, Any]) -> TileWindow | None:
        """Where a tile lies in its large tile, as the small tiles show it.

        Args:
            row: its index row.

        Returns:
            None where the large tile was rejected, or shows no more than its own pixels.
        """
        # What surrounds a tile is measured with it: a target that its edge cuts, a quay that looks like houses.
        root = row["root_id"]
        if root not in self._frames:
            self._frames[root] = self._frame(root)
            while len(self._frames) > _FRAMES:
                self._frames.popitem(last=False)
        frame, large = self._frames[root], self._large.get(root)
        if frame is None or large is None:
            return None
        if row["scale"] == "medium" and not self._is_shown(*self._small_in(row)):
            return None  # the frame holds the large tile's pixels there, and the tile's own are finer
        scale = frame.metres_per_pixel
        left, top = ((float(row["proj:transform"][at]) - float(large["proj:transform"][at])) for at in (2, 5))
        column, line, side = round(left / scale), round(-top / scale), round(row["window_m"] / scale)
        height, width = frame.pixels.shape
        if not (0 <= line <= height - side and 0 <= column <= width - side):
            return None
        return TileWindow(frame, slice(line, line + side), slice(column, column + side))

    def _frame(self, root: str) -> TileFrame | None:
        large = self._large.get(root)
        if large is None:
            return None
        (image,) = self.dataset.images([root])
        pixels = self.of(large, image)
        if pixels is None or max(pixels.shape) > _LARGEST_FRAME or pixels.shape[0] != pixels.shape[1]:
            return None
        return TileFrame(pixels, float(large["window_m"]) / pixels.shape[0])

    @cached_property
    def _small(self) -> "_SmallTiles":
        return _SmallTiles(self.dataset.tiles(scale="small", columns=_OF_SMALL))

    def of(self, row: dict[str, Any], image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The window of a tile in the pixels of its small tiles.

        Args:
            row: its index row.
            image: (H, W) its own pixels.

        Returns:
            (k * H, k * W) with k = 2 for a medium tile and 4 for a large one; None of a small tile, and where less than
            half of the window was accepted at the small scale.
        """
        if row["scale"] == "small" or len(row["proj:transform"]) < _COEFFICIENTS:
            return None
        factor, found = self._small_in(row)
        if not self._is_shown(factor, found):
            return None
        height, width = image.shape
        detail = image.repeat(factor, axis=0).repeat(factor, axis=1)
        for (line, column), part in zip(found, self.dataset.images(found.values()), strict=True):
            if part.shape == image.shape:
                detail[line * height : (line + 1) * height, column * width : (column + 1) * width] = part
        return detail

    @staticmethod
    def _is_shown(factor: int, found: dict[tuple[int, int], str]) -> bool:
        """Whether small tiles show enough of a window."""
        return factor >= 2 and len(found) >= _LEAST_SHARE * factor * factor

    def _small_in(self, row: dict[str, Any]) -> tuple[int, dict[tuple[int, int], str]]:
        """How many small tiles a side fit into a tile's window, and the accepted ones: (line, column) -> name."""
        left, top = float(row["proj:transform"][2]), float(row["proj:transform"][5])
        found: dict[tuple[int, int], str] = {}
        factor = 1
        for name, west, north, side in self._small.within(row["root_id"]):
            factor = round(row["window_m"] / side)
            column, line = round((west - left) / side), round((top - north) / side)
            if 0 <= column < factor and 0 <= line < factor:
                found[line, column] = name
        return factor, found


class _SmallTiles:
    """The accepted small tiles by large tile: as rows of Python they would take six times as much in every process."""

    def __init__(self, tiles: pd.DataFrame) -> None:
        tiles = tiles[tiles["proj:transform"].map(len) >= _COEFFICIENTS]
        roots, of_root = np.unique(tiles["root_id"].to_numpy(str), return_inverse=True)
        order = np.argsort(of_root, kind="stable")
        ends = np.cumsum(np.bincount(of_root, minlength=len(roots))).tolist()
        self._span = dict(zip(roots.tolist(), zip([0, *ends], ends)))
        self._names = pa.array(tiles["tile_id"].to_numpy()[order], pa.string())
        corners = [(transform[2], transform[5]) for transform in tiles["proj:transform"]]
        self._corners = np.array(corners, float).reshape(-1, 2)[order]
        self._sides = tiles["window_m"].to_numpy(float)[order]

    def within(self, root: str) -> Iterator[tuple[str, float, float, float]]:
        """Name, left and top of the window and its side of those within a large tile."""
        start, end = self._span.get(root, (0, 0))
        names = self._names.slice(start, end - start).to_pylist()
        for name, (left, top), side in zip(names, self._corners[start:end].tolist(), self._sides[start:end].tolist()):
            yield name, left, top, side
