"""The perceptrons on whole tiles: their shapes, and decisions against the tolerances written out again."""

from itertools import pairwise

import numpy as np
import pytest

from knowlip.annotators.measured import overall
from knowlip.annotators.measured.evidence import Overall, Target
from knowlip.annotators.measured.locate import Located
from knowlip.annotators.measured.overall import (
    HEADS,
    LENGTHS,
    MOST,
    PATTERNS,
    answers_of,
    calibrated,
    overall_of,
    probabilities,
)
from knowlip.annotators.measured.statistics import NUMBERS, SOME, STATISTICS, TOTAL
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.definitions import count_holds, spread_of

LIMIT_M = {"ship": 50.0, "aircraft": 32.0}


def given(category: str, **chosen: dict[int, float]) -> tuple[float, Overall]:
    """The answers for the given probabilities of classes, the other questions being even."""
    sizes = {**HEADS, "count": MOST + 1}
    chances = {name: np.full(size, 1.0 / size, np.float32) for name, size in sizes.items()}
    for name, classes in chosen.items():
        chances[name] = np.zeros(sizes[name], np.float32)
        for at, chance in classes.items():
            chances[name][at] = chance
    return answers_of(category, chances)


def length_class(length_m: float) -> int:
    return int(np.searchsorted(LENGTHS, length_m)) - 1


@pytest.mark.parametrize("category", TARGET_CATEGORIES)
def test_probabilities_of_each_question_add_up(category: str) -> None:
    rng = np.random.default_rng(1)
    for values in (np.zeros(STATISTICS, np.float32), rng.normal(0, 100, STATISTICS).astype(np.float32)):
        for name, chances in probabilities(category, values).items():
            assert chances.shape == (MOST + 1 if name == "count" else HEADS[name],)
            assert chances.min() >= 0
            assert chances.sum() == pytest.approx(1.0, abs=1e-4)


def test_perceptrons_against_plain_sums() -> None:
    weights = overall._weights()["ship"]
    values = np.random.default_rng(2).normal(0, 1, STATISTICS).astype(np.float32)
    x = np.clip((values - weights.centre) / weights.scale, -4, 4)
    expected = np.zeros(SOME + 1)
    for first, first_bias, second, second_bias, numbers in weights.members:
        hidden = [
            max(0.0, float(sum(x[i] * first[i, j] for i in range(STATISTICS)) + first_bias[j])) for j in range(48)
        ]
        scores = np.array([sum(hidden[j] * second[j, k] for j in range(48)) + second_bias[k] for k in range(SOME + 1)])
        scores += numbers[0] * values[NUMBERS]
        expected += np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum() / len(weights.members)
    chances = probabilities("ship", values)["count"]
    np.testing.assert_allclose(chances[:SOME], expected[:SOME], atol=1e-3)
    assert chances[SOME:].sum() == pytest.approx(expected[SOME], abs=1e-3)


def test_many_targets_are_about_as_many_as_expected() -> None:
    chances = np.zeros(SOME + 1, np.float32)
    chances[SOME] = 1.0
    for total in (9.0, 30.0, 80.0):
        numbers = overall.numbers_of(chances, float(np.log(total)), np.array([0.0, 0.1], np.float32))
        assert numbers[:SOME].sum() == 0
        assert np.arange(MOST + 1) @ numbers == pytest.approx(total, rel=0.1)


def test_the_number_is_the_one_most_probably_true() -> None:
    none, found = given("ship", count={0: 0.2, 2: 0.2, 9: 0.2, 10: 0.2, 11: 0.2})
    assert none == pytest.approx(0.2)
    assert found.number in (9, 10, 11)
    sure = sum(0.25 * count_holds(found.number, n) for n in (2, 9, 10, 11))
    assert found.sure["Count"] == pytest.approx(0.8 * sure, rel=1e-4)


def test_one_target_stands_alone_and_two_make_no_row() -> None:
    row = {PATTERNS.index("row"): 0.9, PATTERNS.index("cluster"): 0.1}
    for count, pattern in ((1, "single"), (2, "cluster"), (3, "row")):
        assert given("ship", count={count: 1.0}, pattern=row)[1].pattern == pattern


@pytest.mark.parametrize("length", [20.0, 45.0, 120.0, 280.0])
def test_length_type_and_whether_it_is_resolved(length: float) -> None:
    for category, table in (("ship", SHIP_TYPES), ("aircraft", AIRCRAFT_TYPES)):
        found = given(category, count={1: 1.0}, length={length_class(length): 1.0}, type={3: 0.6, 1: 0.4})[1]
        assert abs(found.length_m - length) <= 0.3 * length
        assert found.resolved == (length >= LIMIT_M[category])
        assert found.type == table[3].name
        assert found.sure["Size"] > 0.8


@pytest.mark.parametrize("category", TARGET_CATEGORIES)
def test_certainties_are_calibrated_and_rise(category: str) -> None:
    target = Target(category, 0.1, 0.9, 30.0, 20.0, 0.0, "", 1.0)
    regions = np.eye(9, dtype=np.float32)[6]
    values = np.zeros(STATISTICS, np.float32)
    values[TOTAL] = 0.05
    _, found = overall_of(category, values, [Located(target, regions, np.full(5, 0.2, np.float32))])
    assert found.regions == (6,)
    assert set(found.sure) == {"Count", "Location", "Size", "Feature", "Category", "Distribution"}
    for name in found.sure:
        rising = [calibrated(category, name, chance) for chance in np.linspace(0, 1, 21)]
        assert all(0 <= a <= b <= 1 for a, b in pairwise(rising))


def test_spread_of_points() -> None:
    assert spread_of([(0.5, 0.5)]) == (0.0, 0.0)
    extent, flatness = spread_of([(0.0, 0.0), (0.3, 0.4), (0.6, 0.8)])
    assert extent == pytest.approx(1.0)
    assert flatness == pytest.approx(0.0, abs=1e-9)
