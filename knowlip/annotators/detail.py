"""A tile's window in the finer pixels of the small tiles that were cut from it."""

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from knowlip.dataset import Dataset

_LEAST_SHARE: Final = 0.5
"""Share of the window that accepted small tiles must cover; the tile's own pixels fill the rest."""


class Details:
    """Puts small tiles of a data set side by side."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @cached_property
    def _small(self) -> dict[str, list[dict[str, Any]]]:
        """Large tile -> index rows of the accepted small tiles within it."""
        tiles = self.dataset.tiles(scale="small")
        columns = ["tile_id", "root_id", "window_m", "proj:transform"]
        families: dict[str, list[dict[str, Any]]] = {}
        for row in tiles[columns].to_dict("records"):
            families.setdefault(row["root_id"], []).append({str(key): value for key, value in row.items()})
        return families

    def of(self, row: dict[str, Any], image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The window of a tile in the pixels of its small tiles.

        Args:
            row: its index row.
            image: (H, W) its own pixels.

        Returns:
            (k * H, k * W) with k = 2 for a medium tile and 4 for a large one; None of a small tile, and where less than
            half of the window was accepted at the small scale.
        """
        if row["scale"] == "small" or len(row["proj:transform"]) < 6:
            return None
        left, top = float(row["proj:transform"][2]), float(row["proj:transform"][5])
        found: dict[tuple[int, int], str] = {}
        factor = 1
        for small in self._small.get(row["root_id"], []):
            factor = round(row["window_m"] / small["window_m"])
            side = small["window_m"]
            column = round((float(small["proj:transform"][2]) - left) / side)
            line = round((top - float(small["proj:transform"][5])) / side)
            if 0 <= column < factor and 0 <= line < factor:
                found[line, column] = small["tile_id"]
        if factor < 2 or len(found) < _LEAST_SHARE * factor * factor:
            return None
        height, width = image.shape
        detail = image.repeat(factor, axis=0).repeat(factor, axis=1)
        for (line, column), part in zip(found, self.dataset.images(found.values()), strict=True):
            if part.shape == image.shape:
                detail[line * height : (line + 1) * height, column * width : (column + 1) * width] = part
        return detail
