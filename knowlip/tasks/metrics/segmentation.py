"""Segmentation as counts: confusion matrices of tiles, what is made of them, and what needs no model.

Everything is a function of confusion matrices (C, C), rows: what a pixel is, columns: what it was called. Those of many
tiles, or parts of tiles, are added; an interval draws whole clusters of them anew.

    majority class  every pixel is what most pixels of the training images are
    grey level      every pixel is what most training pixels of its grey level (mean over 5 x 5) are: no single
                    threshold does better
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy import ndimage

from knowlip.dataset.annotations import IGNORE
from knowlip.tasks.metrics.intervals import Estimate, over_clusters

FLOORS: Final = {"majority class": False, "grey level": True}
"""Name -> whether it looks at grey levels."""
_GREY: Final = 256


def confusion_of(mask: np.ndarray, said: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) of one image; pixels whose mask is no class do not count.

    Args:
        mask: codes below `classes`; others have no class.
        said: codes below `classes`, of the same shape.
        classes: C.
    """
    known = mask < classes
    both = mask[known].astype(int) * classes + said[known]
    return np.bincount(both, minlength=classes * classes).reshape(classes, classes)


def overall_accuracy(matrix: np.ndarray) -> float:
    """Share of pixels that were called what they are; NaN without pixels."""
    total = matrix.sum()
    return float(np.diag(matrix).sum() / total) if total else float("nan")


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """(C,) intersection over union of each class; NaN of those that are not there and were not called."""
    right, all_of = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return np.divide(right, all_of, out=np.full(len(right), np.nan), where=all_of > 0)


def mean_iou(matrix: np.ndarray) -> float:
    """Mean over classes that are there or were called, of a confusion matrix (C, C)."""
    found = class_iou(matrix)
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def matrix_estimate(
    figure: Callable[[np.ndarray], float], matrices_NCC: np.ndarray, clusters: Sequence[str]
) -> Estimate:
    """A figure of all matrices added, with a bootstrap over their clusters (no interval where they are few)."""
    flat = matrices_NCC.reshape(len(matrices_NCC), -1).astype(float)
    shape = matrices_NCC.shape[1:]
    return over_clusters(lambda times: figure((times @ flat).reshape(shape)), clusters, len(matrices_NCC))


# ---- floors ---------------------------------------------------------------------------------------------------------


def smoothed(pixels: np.ndarray) -> np.ndarray:
    """Grey levels (H, W) int averaged over 5 x 5 pixels."""
    mean = ndimage.uniform_filter(pixels.astype(np.float32), 5, mode="nearest")
    return np.asarray(np.rint(mean).astype(int).clip(0, _GREY - 1))


def grey_counts(grey: np.ndarray, mask: np.ndarray, classes: int) -> np.ndarray:
    """(C, 256): pixels of each class and grey level.

    Args:
        grey: (H, W) of :func:`smoothed`.
        mask: (H, W) codes below `classes`; others have no class.
        classes: how many codes there are.
    """
    known = (mask != IGNORE) & (mask < classes)
    both = mask[known].astype(int) * _GREY + grey[known]
    return np.bincount(both, minlength=classes * _GREY).reshape(classes, _GREY)


def called_by(known: np.ndarray, by_grey: bool) -> np.ndarray:
    """(256,) class that a pixel of each grey level is called.

    Args:
        known: (C, 256) pixels to learn from, of :func:`grey_counts`.
        by_grey: what most pixels of a grey level are, else what most pixels are.
    """
    usual = int(known.sum(1).argmax())
    return np.where(known.sum(0) > 0, known.argmax(0), usual) if by_grey else np.full(_GREY, usual)


def floor_confusion(known: np.ndarray, asked: np.ndarray, by_grey: bool) -> np.ndarray:
    """(N, C, C) of images with counts `asked` (N, C, 256), by what was learned from `known` (C, 256)."""
    called = np.eye(len(known), dtype=int)[called_by(known, by_grey)]  # (256, C)
    return np.asarray(asked @ called)
