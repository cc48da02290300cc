"""What tiles a detector or segmenter learned on were like: the sizes of pixels and images, and how levels were made of
power. Whole scenes are shown to it the same way (:mod:`knowlip.inference.scene_grid`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from knowlip.base.rows import Json
from knowlip.dataset import Dataset

ENTRY: Final = "taught_on"
"""Of a card."""


class TaughtOn(NamedTuple):
    """Facts of the training tiles."""

    metres_per_pixel: tuple[float, float] | None
    """Smallest and largest side of a pixel on the ground; None where a tile's is not known."""
    tile_px: int
    """Median of the longer sides of the tiles."""
    quantisers: tuple[str, ...]
    """Names of how levels were made of power, "as-is" where 8-bit pixels were taken as they came."""
    sensors: tuple[str, ...]


def taught_on(data: Dataset, tile_ids: Sequence[str]) -> dict[str, Json]:
    """The facts, as a card keeps them."""
    tiles = data.tiles().set_index("tile_id").loc[list(tile_ids)]
    spacing = tiles["metres_per_pixel"].to_numpy(float)
    known = bool(len(spacing)) and bool(np.isfinite(spacing).all())
    longest = [max(int(side) for side in shape) for shape in tiles["proj:shape"]]
    return {
        "metres_per_pixel": [float(spacing.min()), float(spacing.max())] if known else None,
        "tile_px": int(np.median(longest)) if longest else 0,
        "quantisers": sorted({*map(str, tiles["quantiser"])}),
        "sensors": sorted({*map(str, tiles["platform"])}),
    }


def read_taught_on(card: Mapping[str, Any]) -> TaughtOn | None:
    """The facts of a card; None where it is of before they were kept.

    Raises:
        ValueError: they are there and not sound.
    """
    said = card.get(ENTRY)
    if said is None:
        return None
    try:
        spacing = said["metres_per_pixel"]
        metres = None if spacing is None else (float(spacing[0]), float(spacing[1]))
        lists = [tuple(str(name) for name in said[key]) for key in ("quantisers", "sensors")]
        found = TaughtOn(metres, int(said["tile_px"]), *lists)
    except (KeyError, TypeError, ValueError, IndexError):
        raise ValueError(f"{ENTRY} of the model's card is not sound.") from None
    sound = metres is None or 0 < metres[0] <= metres[1] < np.inf
    if not sound or not 8 <= found.tile_px <= 1 << 16:
        raise ValueError(f"{ENTRY} of the model's card is not sound.")
    return found
