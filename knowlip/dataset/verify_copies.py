"""Copies: identical tiles, and tiles of two splits that show the same."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from knowlip.dataset.layout import SPLITS
from knowlip.dataset.near_duplicates import NearDuplicateFinder

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20


def check_identical(accepted: "pd.DataFrame") -> dict[str, int]:
    """Count byte-identical tiles.

    Args:
        accepted: rows of accepted tiles with tile_id, split, png_sha256.

    Raises:
        ValueError: two splits hold the same tile.
    """
    again = accepted[accepted["png_sha256"].duplicated(keep=False)]
    copies = again.groupby("png_sha256", sort=True)
    leak = copies["split"].nunique() > 1
    if leak.any():
        some = again[again["png_sha256"] == leak.index[leak][0]].drop_duplicates("split")
        (a, split_a), (b, split_b) = some[["tile_id", "split"]].iloc[:2].to_numpy()
        raise ValueError(
            f"The pixels of {a} ({split_a}) and {b} ({split_b}) are identical: the splits leak, in {int(leak.sum())} "
            "group(s) of copies."
        )
    return {"groups": len(leak), "tiles": len(again)}


class NearCopies:
    """Remembers every tile by hash and thumbnail, then compares all tiles of different splits."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._splits: list[str] = []
        self._finder = NearDuplicateFinder()

    def add(self, name: str, split: str, pixels: np.ndarray) -> None:
        """Remember a tile (H, W) uint8."""
        self._names.append(name)
        self._splits.append(split)
        self._finder.add(pixels)

    def result(self) -> dict[str, Any]:
        """Pairs of tiles in two splits that show the same, the most alike first."""
        splits = np.array(self._splits)
        pairs = []
        for position, one in enumerate(SPLITS):
            for other in SPLITS[position + 1 :]:
                first, second = np.flatnonzero(splits == one), np.flatnonzero(splits == other)
                for a, b, correlation in self._finder.pairs(first.tolist(), second.tolist()):
                    pairs.append((round(correlation, 4), self._names[a], self._names[b], one, other))
        pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
        return {
            "pairs": len(pairs),
            "between": {f"{a}-{b}": n for (a, b), n in sorted(Counter(pair[3:] for pair in pairs).items())},
            "first": [{"correlation": correlation, "tiles": [a, b]} for correlation, a, b, *_ in pairs[:_SHOWN]],
        }
