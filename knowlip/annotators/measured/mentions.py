"""Counts and boxes of the targets that the texts speak of, as `mentions.parquet` keeps them."""

from typing import Final

import numpy as np

from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.types import Box
from knowlip.base.vocabulary import TARGET_CATEGORIES

SEEN_FROM: Final = 0.5
"""Expected number of targets of a category from which a tile is said to show some."""

DOUBT: Final = 0.25
"""Probability that a tile holds no target of a category up to which its targets are spoken of."""


def counts_of(evidence: TileEvidence) -> dict[str, int]:
    """Category -> number: what the texts count, and 0 of a category that is not seen.

    A second category that may be there beside the counted one is left out, which means unknown.
    """
    counts = {name: 0 for name in TARGET_CATEGORIES if evidence.expected.get(name, 0.0) < SEEN_FROM}
    if evidence.category is not None:
        found = sum(target.category == evidence.category for target in evidence.targets)
        counts[evidence.category] = evidence.overall.number if evidence.overall else found
    return counts


def boxes_of(evidence: TileEvidence, width_m: float, height_m: float) -> tuple[Box, ...]:
    """One box for each target that can be pointed at: upright, around its oriented outline, cut at the tile's edge.

    Args:
        evidence: what was seen.
        width_m: width of the tile in metres.
        height_m: its height.
    """
    targets = [target for target in evidence.targets if target.category == evidence.category]
    boxes = (box_of(target, width_m, height_m) for target in targets)
    return tuple(box for box in boxes if box.width > 0 and box.height > 0)


def box_of(target: Target, width_m: float, height_m: float) -> Box:
    """Upright box around a rectangle of length x width (beam or wingspan) turned to the heading."""
    east, north = abs(np.sin(np.deg2rad(target.heading_deg))), abs(np.cos(np.deg2rad(target.heading_deg)))
    half_x = (target.length_m * east + target.width_m * north) / (2 * width_m)
    half_y = (target.length_m * north + target.width_m * east) / (2 * height_m)
    left, right = max(0.0, target.x - half_x), min(1.0, target.x + half_x)
    top, bottom = max(0.0, target.y - half_y), min(1.0, target.y + half_y)
    return Box(target.category, float(left), float(top), float(right - left), float(bottom - top))
