"""Copies: identical tiles, and tiles of two splits that show the same."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from knowlip.dataset.layout import SPLITS
from knowlip.dataset.likeness import close_hashes, difference_hash, thumbnail

if TYPE_CHECKING:
    import pandas as pd

_BITS = 6
"""Hashes of 64 bits that differ in more say that the images do."""
_CORRELATION = 0.95
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
    """Collects a hash and a thumbnail of every tile (4 KB a tile), then compares all tiles of different splits."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.splits: list[str] = []
        self._hashes: list[int] = []
        self._thumbnails: list[np.ndarray] = []

    def add(self, name: str, split: str, pixels: np.ndarray) -> None:
        """Remember a tile (H, W) uint8."""
        self.names.append(name)
        self.splits.append(split)
        self._hashes.append(difference_hash(pixels))
        self._thumbnails.append(thumbnail(pixels))

    def result(self) -> dict[str, Any]:
        """Pairs in two splits whose hashes are close and whose thumbnails correlate by 0.95 or more."""
        hashes = np.array(self._hashes, np.uint64)
        splits = np.array(self.splits)
        pairs = []
        for position, one in enumerate(SPLITS):
            for other in SPLITS[position + 1 :]:
                a, b = np.flatnonzero(splits == one), np.flatnonzero(splits == other)
                for i, j in close_hashes(hashes[a], hashes[b], _BITS):
                    likeness = float(self._thumbnails[a[i]] @ self._thumbnails[b[j]])
                    if likeness >= _CORRELATION:
                        pairs.append((round(likeness, 4), self.names[a[i]], self.names[b[j]], one, other))
        pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
        return {
            "pairs": len(pairs),
            "between": {f"{a}-{b}": n for (a, b), n in sorted(Counter(pair[3:] for pair in pairs).items())},
            "first": [{"likeness": likeness, "tiles": [a, b]} for likeness, a, b, *_ in pairs[:_SHOWN]],
        }
