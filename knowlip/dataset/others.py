"""Which other tile lends each tile its image where a model is asked without the right one: the blind twin.

What a model says with the image of another tile of the same instruction set is what it knows without looking: the kind
of image is right, what it shows is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Others:
    """The other tile of each of T tiles."""

    position_T: np.ndarray
    """Position of the other tile among the T; -1 where no tile of the set lies elsewhere."""
    of_other_scale: int
    """How many tiles have one of another scale."""
    of_same_block: int
    """How many have one of the same geographic block (never of the same root): all tiles of their set lie in one."""

    @property
    def missing(self) -> int:
        """How many have none."""
        return int((self.position_T < 0).sum())


def other_tiles(
    sets: Sequence[str], scales: Sequence[str], blocks: Sequence[str], roots: Sequence[str], seed: int = 0
) -> Others:
    """Choose for each of T tiles another one of its instruction set, of its scale where that can be, and never of its
    place; each is the other of one tile, but for sets of which one place holds more than half.

    Args:
        sets: instruction set of each tile.
        scales: of each tile.
        blocks: geographic block of each, the place; of a set that lies in a single block, the root tile is.
        roots: root tile of each.
        seed: of the choice.
    """
    set_T, scale_T, block_T, root_T = (np.asarray(values, dtype=str) for values in (sets, scales, blocks, roots))
    rng, other_T = np.random.default_rng(seed), np.full(len(set_T), -1)
    for name in np.unique(set_T):
        mine = np.flatnonzero(set_T == name)
        place_T = block_T if len(np.unique(block_T[mine])) > 1 else root_T
        left = []
        for scale in np.unique(scale_T[mine]):
            rows = mine[scale_T[mine] == scale]
            if not _rotate(rows, place_T, other_T, rng):
                left.append(rows)
        # What one place dominates at its scale is mixed over scales; what it dominates there too borrows with repeats.
        if left and not _rotate(np.concatenate(left), place_T, other_T, rng):
            for row in np.concatenate(left):
                elsewhere = mine[place_T[mine] != place_T[row]]
                alike = elsewhere[scale_T[elsewhere] == scale_T[row]]
                pool = alike if len(alike) else elsewhere
                other_T[row] = rng.choice(pool) if len(pool) else -1
    found = np.flatnonzero(other_T >= 0)
    of_other_scale = int((scale_T[found] != scale_T[other_T[found]]).sum())
    return Others(other_T, of_other_scale, int((block_T[found] == block_T[other_T[found]]).sum()))


def others_of(tiles: "pd.DataFrame", sets: Sequence[str], seed: int = 0) -> Others:
    """:func:`other_tiles` of rows of `Dataset.tiles()` and the instruction set of each."""
    scales, blocks, roots = (tiles[name].astype(str).to_list() for name in ("scale", "block", "root_id"))
    return other_tiles(sets, scales, blocks, roots, seed)


def _rotate(rows: np.ndarray, place_T: np.ndarray, other_T: np.ndarray, rng: np.random.Generator) -> bool:
    """Give each of some tiles another one of them of another place, each once; False where a place holds more than
    half of them."""
    # Tiles sorted by place and shifted by the size of the largest place always land in another place.
    mixed = rng.permutation(rows)
    names, place, counts = np.unique(place_T[mixed], return_inverse=True, return_counts=True)
    largest = int(counts.max())
    if 2 * largest > len(rows):
        return False
    ordered = mixed[np.argsort(rng.permutation(len(names))[place], kind="stable")]
    other_T[ordered] = np.roll(ordered, -largest)
    return True
