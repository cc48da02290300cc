"""Resampled figures against plain loops, and detection of wrong texts on evidence whose quality is known."""

import numpy as np
import pytest

from knowlip.tasks.metrics import auroc, grouped_auroc
from knowlip.tasks.metrics.error_detection import accuracy_change, detection
from knowlip.tasks.metrics.resampled import (
    cluster_weights,
    interval,
    weighted_auroc,
    weighted_auroc_within,
    weighted_precision,
)


def sample(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    wrong = rng.random(count) < 0.25
    score = np.round(rng.normal(0, 1, count) + wrong, 1)  # rounded: many ties
    groups = np.array(["a", "b", "c"])[rng.integers(0, 3, count)]
    clusters = np.array([f"r{n // 6}" for n in range(count)])
    return score, wrong, groups, clusters


def test_weights_are_counts_of_whole_clusters() -> None:
    clusters = np.array(["x", "x", "y", "z", "z", "z"])
    weights = cluster_weights(clusters, replicates=50, seed=3)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()
    assert (weights == cluster_weights(clusters, replicates=50, seed=3)).all()
    with pytest.raises(ValueError, match="at least two clusters"):
        cluster_weights(["x", "x"])


def test_weighted_curves_equal_those_of_repeated_rows() -> None:
    score, wrong, groups, clusters = sample()
    weights = cluster_weights(clusters, replicates=5)
    drawn = weighted_auroc(score, wrong, weights)
    within = weighted_auroc_within(score, wrong, groups, weights)
    precision = weighted_precision(score > 1, wrong, weights)
    for replicate, counts in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(len(score)), counts)
        assert drawn[replicate] == pytest.approx(auroc(score[rows], wrong[rows]))
        assert within[replicate] == pytest.approx(grouped_auroc(score[rows], wrong[rows], groups[rows]))
        assert precision[replicate] == pytest.approx(wrong[rows][score[rows] > 1].mean())


def test_one_class_has_no_curve() -> None:
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    values = weighted_auroc(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]), weights)
    assert np.isnan(values[0])
    assert values[1] == 1.0
    assert interval(np.array([np.nan, np.nan, np.nan, 0.5])) is None
    assert interval(np.array([0.1, 0.2, 0.3])) == pytest.approx([0.105, 0.295])


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Normal scores one deviation apart have AUROC 0.760."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        wrong = rng.random(400) < 0.3
        score = rng.normal(0, 1, 400) + wrong
        low, high = interval(weighted_auroc(score, wrong, cluster_weights(np.arange(400), 200))) or (0, 0)
        hits += low <= 0.7602 <= high
    assert 51 <= hits <= 60


def test_better_evidence_is_seen_to_be_better_by_kind_and_dimension() -> None:
    rng = np.random.default_rng(0)
    count = 1200
    wrong = rng.random(count) < 0.2
    kinds = np.where(rng.random(count) < 0.5, "count", "swap")
    groups = np.array(["marine Count", "terrain Roads"])[rng.integers(0, 2, count)]
    clusters = np.array([f"r{n // 12}" for n in range(count)])
    scores = {
        "deltas": rng.normal(0, 1, count),
        "all": rng.normal(0, 1, count) + 2 * (wrong & (kinds == "swap")),
    }
    found = detection(scores, wrong, kinds, groups, clusters, thresholds={"all": 2.0})
    better = found["evidence"]["all"]
    assert found["n"] == count
    assert found["roots"] == 100
    assert better["minus_baseline_within_dimension"]["ci"][0] > 0
    assert better["auroc"]["ci"][0] < better["auroc"]["value"] < better["auroc"]["ci"][1]
    assert better["per_kind"]["swap"]["value"] > 0.85
    assert better["per_kind"]["count"]["value"] == pytest.approx(0.5, abs=0.1)
    assert set(better["per_dimension"]) == set(groups)
    flagged = scores["all"] > 2
    assert better["precision"]["value"] == pytest.approx(wrong[flagged].mean())
    assert better["recall"]["value"] == pytest.approx(flagged[wrong].mean())
    assert better["recall_per_kind"]["swap"]["value"] == pytest.approx(flagged[wrong & (kinds == "swap")].mean())
    most = np.argsort(-scores["all"], kind="stable")[:60]
    assert better["precision_top_5"]["value"] == pytest.approx(wrong[most].mean())
    assert "minus_baseline" not in found["evidence"]["deltas"]


def test_evidence_that_cannot_be_scored_is_refused() -> None:
    wrong, names = np.array([True, False]), ["a", "b"]
    with pytest.raises(ValueError, match="some are right"):
        detection({"x": np.zeros(2)}, np.zeros(2, bool), names, names, names)
    with pytest.raises(ValueError, match="'x' must be one finite number"):
        detection({"x": np.array([0.0, np.nan])}, wrong, names, names, names)


def test_a_dimension_falls_only_when_its_whole_interval_does() -> None:
    count = 400
    groups = np.array(["Count", "Roads", "Water", "Size"] * (count // 4))
    clusters = np.array([f"r{n // 8}" for n in range(count)])
    before = np.array([True] * count, object)
    before[::8] = False  # every second Count
    before[groups == "Size"] = None
    after = before.copy()
    after[groups == "Count"] = True
    after[(groups == "Roads") & (np.arange(count) % 3 == 0)] = False
    after[np.flatnonzero(groups == "Water")[:1]] = False
    found = accuracy_change(before, after, groups, clusters)
    assert found["falls"] == ["Roads"]
    assert found["per_dimension"]["Count"]["before"]["value"] == 0.5
    assert found["per_dimension"]["Count"]["difference"]["value"] == 0.5
    assert found["per_dimension"]["Water"]["difference"]["ci"][1] == 0.0
    assert found["per_dimension"]["Size"]["difference"]["value"] is None
    assert found["overall"]["n"] == 300
