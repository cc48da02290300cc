"""Bright targets by signal processing alone: cell-averaging CFAR, the floor of detection and counting."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

from knowlip.dataset import Dataset
from knowlip.tasks.metrics.boxes import Boxes, Detections, matched

_FALSE_ALARMS: Final = (1e-4, 1e-6, 1e-9, 1e-13)
_SMALLEST_PX: Final = (4, 9, 16, 30)
_INNER, _OUTER = 31, 61
"""Sides of the guard and of the ring around a pixel; a ship of SSDD is 10 to 40 pixels long."""
_DECIBELS: Final = 45.0
"""What 8 bits are taken for."""
_FIT: Final = 100
"""Images on which the settings of CFAR are chosen."""


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


class FittedCfar(NamedTuple):
    """Settings that count best on some images."""

    exact: Cfar
    """Right most often."""
    near: Cfar
    """Of the smallest absolute error."""


def fitted(images: Sequence[np.ndarray], counts: Sequence[int]) -> FittedCfar:
    """The settings that count best on images that are not measured."""
    right: Counter[Cfar] = Counter()
    error: Counter[Cfar] = Counter()
    for image, count in zip(images, counts, strict=True):
        contrast = contrast_of(image)
        for one in all_settings():
            missed = abs(len(one.in_contrast(contrast)) - count)
            right[one] += missed == 0
            error[one] += missed
    every = list(all_settings())
    return FittedCfar(max(every, key=lambda one: right[one]), min(every, key=lambda one: error[one]))


def contrast_of(image: np.ndarray) -> np.ndarray:
    """Power of each pixel (H, W) over the mean of the ring around it."""
    power = 10 ** (image.astype(np.float32) / 254 * _DECIBELS / 10)
    outer, inner = (ndimage.uniform_filter(power, side, mode="reflect") * side**2 for side in (_OUTER, _INNER))
    return np.asarray(power * (_OUTER**2 - _INNER**2) / np.maximum(outer - inner, 1.0))


def cfar_detections(
    images: Mapping[int, np.ndarray], there: Sequence[Boxes], learn: Sequence[int], ask: Sequence[int]
) -> tuple[Detections, Cfar]:
    """What CFAR finds in the images `ask`, with the settings that find most in some of the images `learn`.

    Args:
        images: number -> (H, W) uint8, read when asked for.
        there: true boxes of all images in pixels.
        learn: images to choose settings on.
        ask: images to measure.
    """
    step = max(1, len(learn) // _FIT)
    chosen = list(learn)[::step][:_FIT]
    best = _best([contrast_of(images[number]) for number in chosen], [there[number] for number in chosen])
    found = [_boxes(best, contrast_of(images[number])) for number in ask]
    return matched(found, [there[number] for number in ask]), best


def _boxes(settings: Cfar, contrast: np.ndarray) -> tuple[Boxes, np.ndarray]:
    found = settings.in_contrast(contrast)
    boxes = np.array([one.box for one in found], float).reshape(-1, 4)
    return boxes, np.array([one.contrast for one in found], float)


def cfar_boxes(
    learn: Dataset, learn_ids: Sequence[str], there: Mapping[str, Boxes], ask: Dataset, ask_ids: Sequence[str]
) -> tuple[list[tuple[Boxes, np.ndarray]], Cfar]:
    """Boxes and contrasts that CFAR finds in some tiles, with the settings that find most in others.

    Args:
        learn, learn_ids: tiles to choose settings on.
        there: true boxes of these, with a fifth column for what nobody need find.
        ask, ask_ids: tiles to look at.
    """
    step = max(1, len(learn_ids) // _FIT)
    chosen = list(learn_ids)[::step][:_FIT]
    best = _best([contrast_of(learn.image(tile_id)) for tile_id in chosen], [there[tile_id] for tile_id in chosen])
    return [_boxes(best, contrast_of(ask.image(tile_id))) for tile_id in ask_ids], best


def _best(contrasts: Sequence[np.ndarray], true: Sequence[Boxes]) -> Cfar:
    """The settings of the highest AP50."""
    scores = {
        one: matched([_boxes(one, each) for each in contrasts], true).average_precision() for one in all_settings()
    }
    return max(scores, key=lambda one: np.nan_to_num(scores[one], nan=-1.0))
