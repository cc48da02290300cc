"""How well a heat map points: at true boxes, and at what the answer depends on.

Shapes: H, W of a map and its image; K pixels in the order in which they are blanked or shown.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy.ndimage import uniform_filter

SHARES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of the pixels that are blanked or shown, at which the answer's probability is taken."""
_BRIGHT_PX: Final = 8
"""Side of the square over which brightness is averaged for its second map: speckle is in single pixels."""


def inside_boxes(outlines: Sequence[Sequence[Sequence[float]]], shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: pixels that an upright box around an outline touches.

    Args:
        outlines: polygons with corners (x, y) in fractions of width and height; what lies outside is cut off.
        shape: H, W.
    """
    found = np.zeros(shape, bool)
    for outline in outlines:
        corners = np.clip(np.asarray(outline, float), 0, 1) * shape[::-1]
        (left, top), (right, bottom) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
        found[top:bottom, left:right] = True
    return found


def points_inside(heat: np.ndarray, inside: np.ndarray) -> float:
    """The pointing game (Zhang et al., ECCV 2016), without a margin: 1 where the highest pixel lies inside, else 0.

    Of several equal ones the share that lies inside: an 8-bit image has hundreds of pixels at its highest level, and
    the first of them in reading order would be a poor choice. A map that is the same everywhere points nowhere.
    """
    return float(inside[heat == heat.max()].mean()) if heat.max() > heat.min() else 0.0


def energy_inside(heat: np.ndarray, inside: np.ndarray) -> float:
    """Share of a map's sum that lies inside; the share of the pixels where the map is 0 everywhere."""
    total = float(heat.sum())
    return float(heat[inside].sum() / total) if total > 0 else float(inside.mean())


def plain_maps(image: np.ndarray) -> dict[str, np.ndarray]:
    """Maps that need no model: name -> (H, W), at least 0.

    Args:
        image: (H, W) uint8.
    """
    height, width = image.shape
    y, x = np.ogrid[:height, :width]
    away = ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2
    bright = image.astype(np.float64)
    return {
        "image centre": np.exp(-away / (2 * 0.25**2)),
        "brightest pixels": bright,
        f"brightest {_BRIGHT_PX} x {_BRIGHT_PX} pixels": uniform_filter(bright, _BRIGHT_PX, mode="nearest"),
    }


def by_evidence(heat: np.ndarray) -> np.ndarray:
    """Positions (H * W,) of the pixels, the highest first; equal ones in a fixed random order."""
    mixed = np.random.default_rng(0).permutation(heat.size)
    return mixed[np.argsort(-heat.ravel()[mixed], kind="stable")]


def blanked(image: np.ndarray, order_K: np.ndarray, show: bool) -> list[np.ndarray]:
    """The image with `SHARES` of its pixels at its mean level (deletion), or all others (insertion, `show`).

    Args:
        image: (H, W) uint8.
        order_K: of :func:`by_evidence`.
        show: begin with an image of its mean level and show pixels.
    """
    level, found = np.uint8(round(float(image.mean()))), []
    for share in SHARES:
        chosen = order_K[: round(share * image.size)]
        one = np.full_like(image, level) if show else image.copy()
        one.flat[chosen] = image.flat[chosen] if show else level
        found.append(one)
    return found


def under_curve(values: Sequence[float] | np.ndarray) -> float:
    """Area under values at `SHARES`, by trapezoids: their mean over the shares."""
    return float(np.trapezoid(values, SHARES))


Probability = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Images -> probability of one answer in each."""


def deletion_and_insertion(image: np.ndarray, heat: np.ndarray, probability: Probability) -> tuple[float, float]:
    """How fast an answer's probability falls when the pixels of most evidence are blanked, and rises when they are
    shown (RISE, Petsiuk et al., BMVC 2018): areas under both curves. Low and high are good."""
    order = by_evidence(heat)
    both = probability([*blanked(image, order, False), *blanked(image, order, True)])
    return under_curve(both[: len(SHARES)]), under_curve(both[len(SHARES) :])
