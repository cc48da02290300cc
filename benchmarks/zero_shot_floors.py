"""What a few lines of signal processing answer about real images: CFAR for ships, a threshold for water."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from knowlip.base.vocabulary import region_of
from knowlip.language.questions import MAX_COUNT

_FALSE_ALARMS = (1e-4, 1e-6, 1e-9, 1e-13)
_SMALLEST_PX = (4, 9, 16, 30)
_INNER, _OUTER = 31, 61
"""Sides of the guard and of the ring around a pixel; a ship of SSDD is 10 to 40 pixels long."""
WATER_DB = -16.0
"""Below this Sentinel-1 VV backscatter is usually open water."""


class Cfar(NamedTuple):
    """Cell-averaging CFAR: a pixel is bright when exponential clutter of its ring's mean power is so bright with this
    probability; connected bright pixels are a ship when there are enough of them."""

    false_alarm: float
    smallest_px: int

    def centres(self, image: np.ndarray) -> list[tuple[float, float]]:
        """Centres (x, y) of the ships in an image (H, W) uint8, as fractions of its width and height."""
        return _blobs(_contrast(image), image.shape, self)


def fitted(images: Sequence[np.ndarray], counts: Sequence[int]) -> Cfar:
    """The settings that count right most often on images that are not measured."""
    settings = [Cfar(*pair) for pair in product(_FALSE_ALARMS, _SMALLEST_PX)]
    right: Counter[Cfar] = Counter()
    for image, count in zip(images, counts, strict=True):
        contrast = _contrast(image)
        right.update(one for one in settings if len(_blobs(contrast, image.shape, one)) == count)
    return max(settings, key=lambda one: right[one])


def _contrast(image: np.ndarray) -> np.ndarray:
    """Power of each pixel over the mean of the ring around it; 8 bits are taken for 45 dB."""
    power = 10 ** (image.astype(np.float32) / 254 * 4.5)
    outer, inner = (ndimage.uniform_filter(power, side, mode="reflect") * side**2 for side in (_OUTER, _INNER))
    return np.asarray(power * (_OUTER**2 - _INNER**2) / np.maximum(outer - inner, 1.0))


def _blobs(contrast: np.ndarray, shape: tuple[int, ...], settings: Cfar) -> list[tuple[float, float]]:
    labels, count = ndimage.label(contrast > -np.log(settings.false_alarm), structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = np.flatnonzero(sizes >= settings.smallest_px) + 1
    middles = ndimage.center_of_mass(labels > 0, labels, kept) if len(kept) else []
    return [((x + 0.5) / shape[1], (y + 0.5) / shape[0]) for y, x in middles]


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
