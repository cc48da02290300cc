"""The perceptrons on whole tiles: their shapes, and decisions against the tolerances written out again."""

import numpy as np
import pytest

from knowlip.annotators.measured import overall
from knowlip.annotators.measured.overall import COUNTS, HEADS, LENGTHS, PATTERNS, overall_of, probabilities
from knowlip.annotators.measured.statistics import STATISTICS, points_of
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.definitions import count_holds, spread_of

LIMIT_M = {"ship": 50.0, "aircraft": 32.0}


def given(monkeypatch: pytest.MonkeyPatch, **chosen: dict[int, float]) -> None:
    """Make the perceptrons answer with the given class probabilities, the other questions evenly."""
    chances = {name: np.full(size, 1.0 / size, np.float32) for name, size in HEADS.items()}
    for name, classes in chosen.items():
        chances[name] = np.zeros(HEADS[name], np.float32)
        for at, chance in classes.items():
            chances[name][at] = chance
    monkeypatch.setattr(overall, "probabilities", lambda category, values: chances)


def length_class(length_m: float) -> int:
    return int(np.searchsorted(LENGTHS, length_m)) - 1


@pytest.mark.parametrize("category", TARGET_CATEGORIES)
def test_probabilities_of_each_question_add_up(category: str) -> None:
    rng = np.random.default_rng(1)
    for values in (np.zeros(STATISTICS, np.float32), rng.normal(0, 100, STATISTICS).astype(np.float32)):
        for name, chances in probabilities(category, values).items():
            assert chances.shape == (HEADS[name],)
            assert chances.min() >= 0
            assert chances.sum() == pytest.approx(1.0, abs=1e-4)


def test_perceptrons_against_plain_sums() -> None:
    weights = overall._weights()["ship"]
    values = np.random.default_rng(2).normal(0, 1, STATISTICS).astype(np.float32)
    x = np.clip((values - weights.centre) / weights.scale, -4, 4)
    expected = np.zeros(HEADS["count"])
    for first, first_bias, second, second_bias in weights.members:
        hidden = [
            max(0.0, float(sum(x[i] * first[i, j] for i in range(STATISTICS)) + first_bias[j])) for j in range(48)
        ]
        scores = np.array(
            [sum(hidden[j] * second[j, k] for j in range(48)) + second_bias[k] for k in range(len(COUNTS))]
        )
        expected += np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum() / len(weights.members)
    np.testing.assert_allclose(probabilities("ship", values)["count"], expected, atol=1e-3)


def test_the_number_is_the_one_most_probably_true(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, count={0: 0.2, 2: 0.2, 9: 0.2, 10: 0.2, 11: 0.2})
    none, found = overall_of("ship", np.zeros(STATISTICS, np.float32))
    assert none == pytest.approx(0.2)
    assert found.number in (9, 10, 11)
    sure = sum(0.25 * count_holds(found.number, n) for n in (2, 9, 10, 11))
    assert found.sure["Count"] == pytest.approx(0.8 * sure, rel=1e-4)


def test_the_number_stays_within_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, count={10: 0.6, 5: 0.4})
    values = np.zeros(STATISTICS, np.float32)
    assert count_holds(overall_of("ship", values)[1].number, 10)
    assert overall_of("ship", values, (3, 3))[1].number == 3
    assert overall_of("ship", values, (1, 6))[1].number in (4, 5, 6)
    assert overall_of("ship", values, (200, 300))[1].number == 80


def test_one_target_stands_alone_and_two_make_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {PATTERNS.index("row"): 0.9, PATTERNS.index("cluster"): 0.1}
    for count, pattern in ((1, "single"), (2, "cluster"), (3, "row")):
        given(monkeypatch, count={count: 1.0}, pattern=row)
        assert overall_of("ship", np.zeros(STATISTICS, np.float32))[1].pattern == pattern


@pytest.mark.parametrize("length", [20.0, 45.0, 120.0, 280.0])
def test_length_type_and_whether_it_is_resolved(monkeypatch: pytest.MonkeyPatch, length: float) -> None:
    given(monkeypatch, length={length_class(length): 1.0}, type={3: 0.6, 1: 0.4})
    for category, table in (("ship", SHIP_TYPES), ("aircraft", AIRCRAFT_TYPES)):
        found = overall_of(category, np.zeros(STATISTICS, np.float32))[1]
        assert abs(found.length_m - length) <= 0.3 * length
        assert found.resolved == (length >= LIMIT_M[category])
        assert found.type == table[3].name
        assert found.sure["Size"] > 0.8


def test_points_of_touching_boats_are_told_apart() -> None:
    pixels = np.full((128, 128), 55.0, np.float32)
    for number in range(8):
        pixels[40:52, 20 + 10 * number : 25 + 10 * number] = 150.0  # hulls side by side
        pixels[45, 22 + 10 * number] = 250.0  # a mast each
    water = np.ones((128, 128), np.bool_)
    water[36:56, 15:105] = False
    counted = np.expm1(points_of(pixels, water, 1.0))
    assert counted[0] == pytest.approx(8)
    assert not points_of(pixels, np.zeros_like(water), 1.0).any()


def test_spread_of_points() -> None:
    assert spread_of([(0.5, 0.5)]) == (0.0, 0.0)
    extent, flatness = spread_of([(0.0, 0.0), (0.3, 0.4), (0.6, 0.8)])
    assert extent == pytest.approx(1.0)
    assert flatness == pytest.approx(0.0, abs=1e-9)
