"""Bright targets by signal processing alone: cell-averaging CFAR, the floor of detection and counting."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

_FALSE_ALARMS: Final = (1e-4, 1e-6, 1e-9, 1e-13)
_SMALLEST_PX: Final = (4, 9, 16, 30)
_INNER, _OUTER = 31, 61
"""Sides of the guard and of the ring around a pixel; a ship of SSDD is 10 to 40 pixels long."""
_DECIBELS: Final = 45.0
"""What 8 bits are taken for."""


class BrightTarget(NamedTuple):
    """A target in pixels of the image."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    centre: tuple[float, float]
    """x, y of its bright pixels' middle."""
    contrast: float
    """Power of its brightest pixel over its ring's mean."""


class Cfar(NamedTuple):
    """Cell-averaging CFAR: a pixel is bright when exponential clutter of its ring's mean power is so bright with this
    probability; connected bright pixels are a target when there are enough of them."""

    false_alarm: float
    smallest_px: int

    def targets(self, image: np.ndarray) -> list[BrightTarget]:
        """Targets in an image (H, W) uint8."""
        return self.in_contrast(contrast_of(image))

    def in_contrast(self, contrast: np.ndarray) -> list[BrightTarget]:
        """The same of what :func:`contrast_of` gives."""
        labels, count = ndimage.label(contrast > -np.log(self.false_alarm), structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        kept = (np.flatnonzero(sizes >= self.smallest_px) + 1).tolist()
        if not kept:
            return []
        middles = ndimage.center_of_mass(labels > 0, labels, kept)
        peaks = ndimage.maximum(contrast, labels, kept)
        places = ndimage.find_objects(labels)
        found = []
        for one, (y, x), peak in zip(kept, middles, peaks):
            rows, columns = places[one - 1]
            box = float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)
            found.append(BrightTarget(box, (float(x) + 0.5, float(y) + 0.5), float(peak)))
        return found

    def centres(self, image: np.ndarray) -> list[tuple[float, float]]:
        """Centres (x, y) of the targets as fractions of an image's width and height."""
        height, width = image.shape
        return [(x / width, y / height) for x, y in (one.centre for one in self.targets(image))]


def all_settings() -> Iterator[Cfar]:
    """All that are tried."""
    for pair in product(_FALSE_ALARMS, _SMALLEST_PX):
        yield Cfar(*pair)


def fitted(images: Sequence[np.ndarray], counts: Sequence[int]) -> Cfar:
    """The settings that count right most often on images that are not measured."""
    right: Counter[Cfar] = Counter()
    for image, count in zip(images, counts, strict=True):
        contrast = contrast_of(image)
        right.update(one for one in all_settings() if len(one.in_contrast(contrast)) == count)
    return max(all_settings(), key=lambda one: right[one])


def contrast_of(image: np.ndarray) -> np.ndarray:
    """Power of each pixel (H, W) over the mean of the ring around it."""
    power = 10 ** (image.astype(np.float32) / 254 * _DECIBELS / 10)
    outer, inner = (ndimage.uniform_filter(power, side, mode="reflect") * side**2 for side in (_OUTER, _INNER))
    return np.asarray(power * (_OUTER**2 - _INNER**2) / np.maximum(outer - inner, 1.0))
