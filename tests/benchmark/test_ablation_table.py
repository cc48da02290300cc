"""Figures of the ablation against sums by hand and simulated trainings; the gate that says what can be compared."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from knowlip.benchmark.ablation_table import ALL, Trials, differences, figures, power, print_arms, summary


def result(right: list[int], blind: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """One seed: trials of two dimensions at ten places."""
    half = len(right) // 2
    kinds = {"marine Count": slice(0, half), "terrain Water": slice(half, None)}
    places = [f"b{n % 10}" for n in range(len(right))]
    return {
        "chosen": {
            "right": {kind: right[at] for kind, at in kinds.items()},
            "blind": {kind: (blind or right)[at] for kind, at in kinds.items()},
            "clusters": {kind: places[at] for kind, at in kinds.items()},
        },
        "texts": {"before": 0.9, "after": 0.95},
        "decisions": None,
        **more,
    }


def drawn(share: float, seeds: int, spread: float = 0.0, trials: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Seeds of an arm that is right in a share of the trials; the share itself differs between seeds by `spread`."""
    rng = np.random.default_rng([seed, round(1000 * share)])
    return [result((rng.random(trials) < share + spread * rng.normal()).astype(int).tolist()) for _ in range(seeds)]


def test_means_and_standard_errors() -> None:
    few, many = [1, 0, 0, 0] * 10, [1, 1, 0, 0] * 10
    found = figures([result(few, many), result(many, many)], "chosen")
    assert list(found) == [ALL, "marine", "terrain", "marine Count", "terrain Water"]
    whole = found[ALL]
    assert [whole["value"], *whole["seeds"], whole["n"], whole["blind"]] == pytest.approx([0.375, 0.25, 0.5, 40, 0.5])
    assert whole["se_seeds"] == pytest.approx(np.std([0.25, 0.5], ddof=1) / np.sqrt(2))
    place_means = np.array([(np.array(few) + np.array(many))[n::10].mean() / 2 for n in range(10)])
    assert whole["se_places"] == pytest.approx(np.std(place_means, ddof=1) / np.sqrt(10))
    assert whole["se"] == pytest.approx(np.hypot(whole["se_seeds"], whole["se_places"]))
    freedom = whole["se"] ** 4 / (whole["se_seeds"] ** 4 / 1 + whole["se_places"] ** 4 / 9)
    assert whole["ci"][1] - 0.375 == pytest.approx(student.ppf(0.975, freedom) * whole["se"])
    single = figures([result(few)], "chosen")[ALL]
    assert single["se_seeds"] is None
    assert single["se"] == single["se_places"]


def test_kinds_count_the_same_where_they_should() -> None:
    value, kind = np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([0, 0, 0, 1])
    assert Trials(value, kind, "abcd", by_kind=True).figure()["value"] == pytest.approx(0.5)
    assert Trials(value, kind, "abcd", by_kind=False).figure()["value"] == pytest.approx(0.75)
    constant = Trials(np.ones((3, 4)), kind, "abcd", by_kind=True).figure()
    assert [constant["se"], *constant["ci"]] == pytest.approx([0, 1, 1])


def test_a_standard_error_is_that_of_repeated_experiments() -> None:
    """Seeds and places are drawn anew many times: the spread of the mean is what `se` says, and not much more."""
    rng, values, errors = np.random.default_rng(0), [], []
    kind = np.zeros(200, int)
    for _ in range(300):
        place = np.repeat(rng.normal(0, 0.3, 20), 10)
        value = place + rng.normal(0, 0.1, (5, 1)) + rng.normal(0, 0.2, (5, 200))
        found = Trials(value, kind, np.repeat(np.arange(20), 10).astype(str).tolist(), by_kind=False).figure()
        values.append(found["value"])
        errors.append(found["se"])
    assert 0.9 < np.mean(errors) / np.std(values) < 1.15


def test_differences_are_taken_trial_by_trial() -> None:
    one, other = drawn(0.6, 3), drawn(0.4, 3)
    found = differences(one, other, "chosen")[ALL]
    expected = [np.mean([*a["chosen"]["right"]["marine Count"], *a["chosen"]["right"]["terrain Water"]]) for a in one]
    means = [
        np.mean([*row["chosen"]["right"]["marine Count"], *row["chosen"]["right"]["terrain Water"]]) for row in other
    ]
    assert found["seeds"] == pytest.approx([a - b for a, b in zip(expected, means)])
    same = differences(one, one, "chosen")[ALL]
    assert [same["value"], same["se"]] == pytest.approx([0, 0])
    moved = [row | {"chosen": row["chosen"] | {"clusters": {}}} for row in other]
    with pytest.raises(ValueError, match="other questions"):
        differences(one, moved, "chosen")


def test_the_gate_opens_at_three_standard_errors() -> None:
    clear = power(drawn(0.7, 5), drawn(0.5, 5), "chosen")
    assert clear["shown"]
    assert clear["difference"] > clear["needed"]
    noisy = power(drawn(0.55, 5, 0.05), drawn(0.5, 5, 0.05), "chosen")
    assert not noisy["shown"]
    assert noisy["seeds_needed"] is None or noisy["seeds_needed"] > 5
    none = power(drawn(0.5, 5), drawn(0.5, 5, seed=1), "chosen")
    assert not none["shown"]
    assert power(drawn(0.5, 5), drawn(0.7, 5), "chosen")["seeds_needed"] is None
    few = power(drawn(0.7, 2), drawn(0.5, 2), "chosen")
    assert (few["shown"], few["seeds_needed"]) == (False, 3)
    alone = power(drawn(0.7, 1), drawn(0.5, 1), "chosen")
    assert not alone["shown"]
    assert "one seed" in alone["reason"]


def test_the_seeds_that_are_needed_are_enough() -> None:
    """As many seeds as the gate asks for open it, on average."""
    asked = []
    for seed in range(20):
        found = power(drawn(0.6, 6, 0.06, seed=seed), drawn(0.5, 6, 0.06, seed=seed + 100), "chosen")
        asked.append(found["seeds_needed"] or 100)
    enough = int(np.median(asked))
    opened = [
        power(drawn(0.6, enough, 0.06, seed=seed), drawn(0.5, enough, 0.06, seed=seed + 100), "chosen")["shown"]
        for seed in range(20)
    ]
    assert 3 <= enough < 60
    assert np.mean(opened) > 0.3


@pytest.mark.parametrize(("most", "shown"), [(0.4, True), (0.69, False)])
def test_loops_are_compared_only_where_the_ceilings_differ(most: float, shown: bool) -> None:
    arms = {
        "wrong-0": drawn(0.7, 3),
        "wrong-50": drawn(most, 3),
        "wrong-25": drawn(0.55, 3),
        "wrong-25+ours": drawn(0.6, 3),
    }
    found = summary(arms, "wrong-0", "wrong-50")
    assert found["power"]["chosen"]["shown"] is shown
    assert found["differences"]["wrong-25"]["than"] == "wrong-0"
    assert "chosen" in found["differences"]["wrong-25"]
    assert found["differences"]["wrong-25+ours"]["than"] == "wrong-25"
    assert ("chosen" in found["differences"]["wrong-25+ours"]) is shown
    told = print_arms(found)
    assert ("NO POWER" in told) is not shown
    assert ("wrong-25+ours minus wrong-25" in told) is shown
    assert "25 % wrong by chance, our screening and rewriting" in told
