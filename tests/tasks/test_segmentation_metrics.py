"""Counts of segmentation against scikit-learn, and the floors against what they say."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from knowlip.dataset.annotations import IGNORE
from knowlip.tasks.metrics.segmentation import (
    class_iou,
    confusion_of,
    floor_confusion,
    grey_counts,
    matrix_estimate,
    mean_iou,
    overall_accuracy,
    smoothed,
)


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 8))
    mask = rng.integers(0, classes, (3, 40, 50)).astype(np.uint8)
    said = np.where(rng.random(mask.shape) < 0.6, mask, rng.integers(0, classes, mask.shape)).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.2] = IGNORE
    matrix = sum(confusion_of(one, other, classes) for one, other in zip(mask, said))
    known = mask != IGNORE
    true, given, names = mask[known], said[known], range(classes)
    assert np.array_equal(matrix, confusion_matrix(true, given, labels=names))
    assert overall_accuracy(matrix) == pytest.approx(accuracy_score(true, given), abs=1e-9)
    np.testing.assert_allclose(class_iou(matrix), jaccard_score(true, given, labels=names, average=None), atol=1e-9)
    assert mean_iou(matrix) == pytest.approx(jaccard_score(true, given, labels=names, average="macro"), abs=1e-9)


def test_a_class_that_is_not_there_and_not_called_does_not_count() -> None:
    matrix = np.array([[8, 0, 2], [0, 0, 0], [0, 0, 10]])
    assert np.isnan(class_iou(matrix)[1])
    assert mean_iou(matrix) == pytest.approx((8 / 10 + 10 / 12) / 2)
    wrongly = matrix + np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert class_iou(wrongly)[1] == 0, "called where it is not"
    assert np.isnan(mean_iou(np.zeros((3, 3), int)))
    assert np.isnan(overall_accuracy(np.zeros((3, 3), int)))


def test_an_interval_draws_whole_clusters() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(40) < 0.5
    matrices = np.array([[[10, 0], [0, 10]] if one else [[0, 10], [10, 0]] for one in right])
    alone = matrix_estimate(overall_accuracy, matrices, [str(i) for i in range(40)])
    assert alone.ci is not None
    assert alone.value == pytest.approx(right.mean())
    assert alone.ci[0] < alone.value < alone.ci[1]
    copies = matrix_estimate(overall_accuracy, np.repeat(matrices, 5, 0), [str(i // 5) for i in range(200)])
    assert copies.ci == pytest.approx(alone.ci), "copies of a tile are no more trials"
    assert matrix_estimate(overall_accuracy, matrices, ["a"] * 20 + ["b"] * 20).ci is None


def test_grey_levels_tell_classes_apart_where_they_differ() -> None:
    mask = np.repeat(np.array([0, 1, 2], np.uint8), 30)[None].repeat(60, 0)
    pixels = np.array([20, 120, 220], np.uint8)[mask]
    counts = grey_counts(smoothed(pixels), mask, 3)
    assert counts.sum() == mask.size
    assert mean_iou(floor_confusion(counts, counts[None], True)[0]) > 0.9
    usual = floor_confusion(counts, counts[None], False)[0]
    assert overall_accuracy(usual) == pytest.approx(1 / 3)
    assert mean_iou(usual) == pytest.approx(1 / 9)
