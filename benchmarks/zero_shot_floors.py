"""What a few lines of signal processing answer about real images: CFAR for ships, a threshold for water."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from knowlip.base.vocabulary import region_of
from knowlip.language.questions import MAX_COUNT

WATER_DB = -16.0
"""Below this Sentinel-1 VV backscatter is usually open water."""


def said_count(centres: Sequence[tuple[float, float]]) -> str:
    """A count as an answer; more than the vocabulary holds is its largest number."""
    return str(min(len(centres), MAX_COUNT))


def fullest_region(centres: Sequence[tuple[float, float]]) -> int | None:
    """The region that holds most centres; None for none, the first of equal ones."""
    held = Counter(region_of(x, y) for x, y in centres)
    return held.most_common(1)[0][0] if held else None


def water_masks(power: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Water (H, W) by two thresholds on the power averaged over 5 x 5 pixels: Otsu's of the image, and a fixed one.

    Args:
        power: calibrated power (H, W), linear.
        valid: where it is known.
    """
    weight = ndimage.uniform_filter(valid.astype(np.float32), 5)
    mean = ndimage.uniform_filter(np.where(valid, power, 0).astype(np.float32), 5) / np.maximum(weight, 1e-6)
    db = 10 * np.log10(np.maximum(mean, 1e-6))
    return {
        "Otsu's threshold": valid & (db < threshold_otsu(db[valid])),
        f"threshold of {WATER_DB:g} dB": valid & (db < WATER_DB),
    }
