"""What one reaches without a model where boxes are asked for: CFAR, boxes around connected bright pixels
(:mod:`knowlip.benchmark.cfar`), whose settings are chosen on the images that may be learned from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from knowlip.benchmark.cfar import Cfar, all_settings, contrast_of
from knowlip.tasks.metrics import Estimate
from knowlip.tasks.metrics.intervals import over_clusters

OVERLAP: Final = 0.5
"""Intersection over union from which a box is found."""
_FIT: Final = 100
"""Images on which the settings of CFAR are chosen."""
Boxes = np.ndarray
"""(N, 4): left, top, right, bottom. Of true ones a fifth column may be 1: nobody need find it."""


def overlaps(one: Boxes, other: Boxes) -> np.ndarray:
    """(N, M) intersection over union of boxes."""
    low, high = np.maximum(one[:, None, :2], other[None, :, :2]), np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (one, other)]
    return np.asarray(shared / np.maximum(area[0][:, None] + area[1][None] - shared, 1e-9))


@dataclass(frozen=True)
class Detections:
    """What was found in some images, against what is there: of all images, best score first in each."""

    image: np.ndarray
    """(D,) number of the image of each detection."""
    score: np.ndarray
    right: np.ndarray
    """(D,) whether it is the best match of a box that no better detection has found. Detections of boxes that nobody
    need find are left out."""
    there: np.ndarray
    """(I,) boxes in each image."""

    def average_precision(self, times: np.ndarray | None = None) -> float:
        """Area under the precision-recall curve at 101 recalls, as COCO has it at one overlap.

        Args:
            times: (I,) how often each image counts; once where not given.
        """
        times = np.ones(len(self.there)) if times is None else times
        order = np.argsort(-self.score, kind="stable")
        weight, right = times[self.image[order]], self.right[order]
        found, all_found = np.cumsum(weight * right), np.cumsum(weight)
        total = float((times * self.there).sum())
        if not total:
            return float("nan")
        if not len(found):
            return 0.0
        precision = np.maximum.accumulate((found / np.maximum(all_found, 1e-9))[::-1])[::-1]
        place = np.searchsorted(found / total, np.linspace(0, 1, 101), side="left")
        return float(np.append(precision, 0.0)[np.minimum(place, len(precision))].mean())


def matched(found: Sequence[tuple[Boxes, np.ndarray]], there: Sequence[Boxes], overlap: float = OVERLAP) -> Detections:
    """Detections against boxes, image by image: the best score takes its best free box.

    Args:
        found: boxes and scores of each image.
        there: the true boxes of each image.
        overlap: intersection over union that a match needs.
    """
    image, score, right, counts = [], [], [], []
    for number, ((boxes, scores), true) in enumerate(zip(found, there, strict=True)):
        order = np.argsort(-scores, kind="stable")
        free = true[:, 4] > 0 if true.shape[1] > 4 else np.zeros(len(true), bool)
        shared, taken = overlaps(boxes[order], true[:, :4]), np.zeros(len(true), bool)
        counts.append(int((~free).sum()))
        for at, row in enumerate(shared):
            best = int(np.where(taken | free, -1, row).argmax()) if len(true) else -1
            hit = best >= 0 and not taken[best] and not free[best] and row[best] >= overlap
            if hit:
                taken[best] = True
            elif (row[free] >= overlap).any():
                continue
            image.append(number)
            score.append(float(scores[order[at]]))
            right.append(hit)
    return Detections(np.array(image, int), np.array(score), np.array(right, bool), np.array(counts, float))


def together(parts: Sequence[Detections]) -> Detections:
    """Detections of several lots of images as one, numbered one behind the other."""
    first = np.cumsum([0, *(len(part.there) for part in parts[:-1])])
    image = [part.image + at for part, at in zip(parts, first)]
    rest = ([getattr(part, name) for part in parts] for name in ("score", "right", "there"))
    return Detections(np.concatenate(image), *map(np.concatenate, rest))


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
    contrasts = [contrast_of(images[number]) for number in chosen]
    true = [there[number] for number in chosen]
    scores = {
        one: matched([_boxes(one, each) for each in contrasts], true).average_precision() for one in all_settings()
    }
    best = max(scores, key=lambda one: np.nan_to_num(scores[one], nan=-1.0))
    found = [_boxes(best, contrast_of(images[number])) for number in ask]
    return matched(found, [there[number] for number in ask]), best


def _boxes(settings: Cfar, contrast: np.ndarray) -> tuple[Boxes, np.ndarray]:
    found = settings.in_contrast(contrast)
    boxes = np.array([one.box for one in found], float).reshape(-1, 4)
    return boxes, np.array([one.contrast for one in found], float)


def precision_estimate(found: Detections, clusters: Sequence[str]) -> Estimate:
    """AP with a bootstrap over clusters of images (no interval where they are few)."""
    return over_clusters(found.average_precision, clusters, int(found.there.sum()))
