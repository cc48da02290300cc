"""How often groups are met: shares, limits, and whole numbers from expected ones."""

from collections import Counter

import numpy as np
import pytest

from knowlip.training.balance import balanced, check_balance, drawn, limited, rows_by_group, shares, told

GROUPS = ["terrain small"] * 700 + ["terrain large"] * 200 + ["marine small"] * 90 + ["ground large"] * 10


def cut_one_by_one(weights: np.ndarray, total: float, most: float) -> np.ndarray:
    """The slow way: cut the largest, share the rest anew, look again."""
    found, free, rest = np.zeros(len(weights)), weights > 0, total
    while free.any():
        found[free] = weights[free] / weights[free].sum() * rest
        above = free & (found > most)
        if not above.any():
            break
        worst = np.flatnonzero(above)[weights[above].argmax()]
        found[worst], free[worst], rest = most, False, rest - most
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_limit_shares_out_what_it_cuts_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.pareto(1.0, 60) * (rng.random(60) < 0.9)
    total = float(rng.integers(1, np.count_nonzero(weights)))
    for most in (1.0, 2.5, np.inf):
        found = limited(weights, total, most)
        np.testing.assert_allclose(found, cut_one_by_one(weights, total, most), rtol=1e-9, atol=1e-12)
        assert found.sum() == pytest.approx(total)
        assert found.max() <= most * (1 + 1e-12)
        assert (found[weights == 0] == 0).all()


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows of at most 1 each do not make 3"):
        limited(np.array([1.0, 5.0, 0.0]), 3, 1)
    for bad in ([-1.0, 2.0], [np.nan, 1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="not all 0"):
            limited(np.array(bad), 1)
    np.testing.assert_allclose(limited(np.array([3.0, 1.0, 2.0]), 3, 1), 1)
    assert limited(np.zeros(0), 0).shape == (0,)


def test_numbers_are_the_expected_ones_rounded_and_unbiased() -> None:
    expected = limited(np.random.default_rng(0).gamma(0.7, size=101), 64)
    numbers = np.stack([drawn(expected, 64, offset) for offset in (np.arange(4000) + 0.5) / 4000])
    assert (numbers.sum(1) == 64).all()
    assert (numbers >= np.floor(expected)).all()
    assert (numbers <= np.ceil(expected)).all()
    np.testing.assert_allclose(numbers.mean(0), expected, atol=2e-3)
    broken = drawn(np.full(7, 0.5), 3.5, 0.4999), drawn(np.full(7, 0.5), 3.5, 0.5)
    assert [part.sum() for part in broken] == [3, 4]
    assert drawn(np.full(10, 0.1), 1.0, 0.0).sum() == 1, "a sum of floats that is not quite 1"


def test_groups_get_tempered_shares() -> None:
    sizes = Counter(GROUPS)
    for balance in (0.0, 0.5, 0.8, 1.0):
        times = balanced(GROUPS, balance)
        found = rows_by_group(GROUPS, times)
        tempered = {name: size ** (1 - balance) for name, size in sizes.items()}
        for name, share in tempered.items():
            assert found[name] == pytest.approx(1000 * share / sum(tempered.values()), abs=0.06)
        assert all(len(set(times[np.array(GROUPS) == name].round(9))) == 1 for name in sizes)
    np.testing.assert_allclose(balanced(GROUPS, 0.0), 1)
    np.testing.assert_allclose(list(rows_by_group(GROUPS, balanced(GROUPS, 1.0)).values()), 250)
    np.testing.assert_allclose(shares(np.array([1.0, 9.0]), 0.5), [0.25, 0.75])


def test_no_row_is_met_more_often_than_the_limit() -> None:
    times = balanced(GROUPS, 1.0, 4.0)
    assert times.max() == pytest.approx(4)
    assert times.sum() == pytest.approx(1000)
    assert rows_by_group(GROUPS, times) == {
        "ground large": 40.0,
        "marine small": 320.0,
        "terrain large": 320.0,
        "terrain small": 320.0,
    }
    np.testing.assert_allclose(balanced(GROUPS, 1.0, 1.0), 1)


def test_an_epoch_is_told_beside_what_there_is() -> None:
    said = told({"marine": 30.0, "terrain": 70.0}, {"marine": 5.0, "terrain": 95.0})
    assert said == "marine 30 (30.0%; as they come 5, 5.0%); terrain 70 (70.0%; as they come 95, 95.0%)"


@pytest.mark.parametrize(
    ("balance", "repeats"), [(-0.1, 4), (1.1, 4), (0.5, 0.5), (float("nan"), 4), (0.5, float("nan"))]
)
def test_settings_out_of_range_are_refused(balance: float, repeats: float) -> None:
    with pytest.raises(ValueError, match=r"data\.(balance|repeats) must be"):
        check_balance(balance, repeats, "data.")
