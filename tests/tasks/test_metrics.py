"""Metrics against closed forms and independent packages."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from knowlip.tasks.metrics import (
    auroc,
    chance_recall,
    cluster_bootstrap,
    grouped_auroc,
    majority_answers,
    mean,
    precision_recall,
    proportion,
    ranks_of_positives,
    recall_at,
    retrieval,
    tokenise,
    typical_text,
    wilson,
)
from knowlip.tasks.metrics.intervals import ALL_ALIKE, NO_INTERVAL, over_clusters


def test_wilson_matches_the_printed_values() -> None:
    # Newcombe 1998, table I: 81/263 and 0/20, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0
    with pytest.raises(ValueError, match="at least one trial"):
        wilson(0, 0)


def test_bootstrap_of_independent_clusters_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(3).random(400) < 0.3
    low, high = cluster_bootstrap(values, np.arange(400).astype(str))
    half = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_identical_neighbours_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).random(20) < 0.5, 30)
    clusters = np.repeat(np.arange(20), 30).astype(str)
    clustered, independent = proportion(values, clusters), proportion(values)
    assert clustered.method == "bootstrap over 20 clusters"
    assert independent.method == "Wilson's score"
    assert clustered.ci is not None
    assert independent.ci is not None
    assert clustered.ci[1] - clustered.ci[0] > 3 * (independent.ci[1] - independent.ci[0])


def test_few_clusters_are_few_trials() -> None:
    """Groups of copies that are wholly right or wrong: the interval is that of one trial a group."""
    groups = np.repeat([f"g{number}" for number in range(6)], 200)
    half = proportion(groups < "g3", groups)
    assert half.ci == pytest.approx((0.1876, 0.8124), abs=5e-5)
    assert half.note == "Interval: Wilson's score over 6 clusters."
    assert half.n == 1200
    every = np.repeat(np.arange(10), 120)
    assert proportion(np.ones(1200), every).ci == wilson(10, 10)
    assert proportion(np.zeros(1200), every).ci == wilson(0, 10)
    assert proportion(np.arange(1200) % 2 == 0, every).ci == pytest.approx(wilson(5, 10)), "all draws are alike"
    # One group of 1,000 beside six single tiles is hardly more than one trial (Kish 1965: (sum m)^2 / sum m^2).
    uneven = proportion([True] * 1000 + [False] * 6, ["copies"] * 1000 + [f"g{number}" for number in range(6)])
    assert uneven.ci == pytest.approx(wilson(1006**2 / 1_000_006 * 1000 / 1006, 1006**2 / 1_000_006))
    assert uneven.note == "Interval: Wilson's score over 7 clusters that count as 1.0 equal ones."
    assert proportion(np.arange(90) % 3 == 0, np.arange(90) // 5).note == "", "drawn over clusters"


def test_a_score_over_groups_of_copies_covers_what_is_true() -> None:
    chance, share = np.random.default_rng(5), 0.7
    held = 0
    for _ in range(500):
        right = np.repeat(chance.random(6) < share, 50)
        low, high = proportion(right, np.repeat(np.arange(6), 50)).ci or (1.0, 0.0)
        held += low <= share <= high
    assert held / 500 > 0.9


def test_draws_that_are_all_alike_give_no_interval() -> None:
    places = [f"b{number // 3}" for number in range(60)]
    nothing = over_clusters(lambda times: 0.0, places, 60)
    assert (nothing.value, nothing.ci, nothing.note) == (0.0, None, ALL_ALIKE)
    assert mean(np.ones(60), places).ci is None
    assert mean(np.arange(60.0), places).ci is not None
    assert mean(np.arange(60.0), ["a"] * 60).note == NO_INTERVAL
    assert over_clusters(lambda times: float(times[:30].sum() / times.sum()), places, 60).note == ""


def test_chance_recall_is_the_mean_over_all_orders() -> None:
    gallery, positives = 5, [1, 2, 3]
    for k in (1, 2, 4):
        shares = [np.mean([min(order[:p]) < k for order in itertools.permutations(range(gallery))]) for p in positives]
        assert chance_recall(positives, gallery, k) == pytest.approx(np.mean(shares))


def test_ranks_use_the_best_right_answer_and_lose_ties() -> None:
    scores = np.array([[0.9, 0.5, 0.7], [0.1, 0.1, 0.1], [0.2, 0.3, 0.3]])
    positive = np.array([[False, True, True], [True, False, False], [False, True, True]])
    assert ranks_of_positives(scores, positive).tolist() == [2, 3, 1]
    assert recall_at(np.array([2, 3, 1]), 2) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="at least one right"):
        ranks_of_positives(scores, np.zeros((3, 3), dtype=bool))


@pytest.mark.parametrize("at_once", [1, 100, 10_000])
def test_ranks_do_not_depend_on_how_many_are_looked_at_together(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(retrieval, "_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    scores = np.round(rng.random((23, 40)), 1)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    positive = rng.random(scores.shape) < 0.1
    positive[:, 7] = True
    known = np.nan_to_num(scores, nan=-1.0)
    best = [max(row[right]) for row, right in zip(known, positive)]
    before = [sum((row >= top) & ~right) for row, right, top in zip(known, positive, best)]
    assert ranks_of_positives(scores, positive).tolist() == [1 + number for number in before]
    own = rng.integers(0, 40, 23)
    expected = [int(sum(row >= row[at])) for row, at in zip(known, own)]
    assert retrieval.diagonal_ranks(scores, own).tolist() == expected


def test_random_scores_reach_chance() -> None:
    rng = np.random.default_rng(0)
    positive = np.zeros((3000, 40), dtype=bool)
    positive[np.arange(3000), rng.integers(0, 40, 3000)] = True
    ranks = ranks_of_positives(rng.random((3000, 40)), positive)
    assert recall_at(ranks, 5) == pytest.approx(chance_recall(positive.sum(1), 40, 5), abs=0.02)


def test_detection_scores_match_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(200) < 0.3
    score = np.round(wrong * 0.5 + rng.random(200), 1)  # with ties
    flagged = score > 0.8
    found = precision_recall(flagged, wrong)
    assert found["precision"] == pytest.approx(precision_score(wrong, flagged))
    assert found["recall"] == pytest.approx(recall_score(wrong, flagged))
    assert found["base_rate"] == pytest.approx(wrong.mean())
    assert auroc(score, wrong) == pytest.approx(roc_auc_score(wrong, score))
    assert auroc(score, np.zeros(200, dtype=bool)) is None


def test_knowing_only_the_group_scores_half_within_groups() -> None:
    groups = np.repeat(["often wrong", "seldom wrong"], 100)
    rng = np.random.default_rng(2)
    wrong = rng.random(200) < np.where(groups == "often wrong", 0.8, 0.1)
    score = np.where(groups == "often wrong", 1.0, 0.0)
    assert auroc(score, wrong) > 0.7
    assert grouped_auroc(score, wrong, groups) == pytest.approx(0.5)


def test_tokenise_undoes_word_pieces() -> None:
    assert tokenise("Built - up land, 30. 5 m; L-shaped!") == tokenise("built-up land 30.5 m l-shaped")


def test_baselines_fit_what_is_frequent() -> None:
    assert majority_answers([("a", "x"), ("a", "y"), ("a", "y"), ("b", "z"), ("b", "w")]) == {"a": "y", "b": "w"}
    texts = ["two ships at the quay", "two ships at sea", "two ships at the port", "a wood of old oaks"]
    assert typical_text(texts) in texts[:3]
