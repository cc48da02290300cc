"""Statistics against NumPy, the vote, and the reasons."""

import dataclasses

import numpy as np
import pytest

from benchmarks.quality_defects import few_levels
from knowlip.tiles.quality import STATISTICS, QualityConfig, measure, reject_reason, statistics


def tile(seed=0, side=128):
    """Fields of different brightness under four-look speckle, in dB, like a calm rural tile."""
    random = np.random.default_rng(seed)
    field = np.kron(random.normal(0, 3, (side // 32, side // 32)), np.ones((32, 32)))
    decibel = field + 10 * np.log10(random.gamma(4, 0.25, (side, side)))
    return np.clip(120 + 7 * decibel, 1, 255).astype(np.uint8)


def slow_edge(t):
    blocks = t.reshape(t.shape[0] // 2, 2, t.shape[1] // 2, 2).astype(float).mean(axis=(1, 3))
    whole = t.reshape(t.shape[0] // 2, 2, t.shape[1] // 2, 2).min(axis=(1, 3)) > 0
    total, pairs = 0.0, 0
    for axis in (0, 1):
        both = whole[1:] & whole[:-1] if axis == 0 else whole[:, 1:] & whole[:, :-1]
        total, pairs = total + np.abs(np.diff(blocks, axis=axis))[both].sum(), pairs + both.sum()
    return total / pairs


def test_statistics_against_numpy():
    image = tile()
    image[10:20, 30:50] = 0
    numbers, data = statistics(image), image[image > 0]
    assert tuple(numbers) == STATISTICS
    assert numbers["q_mean"] == pytest.approx(data.mean(), abs=1e-4)
    assert numbers["q_std"] == pytest.approx(data.std(), abs=1e-4)
    share = np.bincount(data) / data.size
    assert numbers["q_entropy"] == pytest.approx(-(share[share > 0] * np.log2(share[share > 0])).sum(), abs=1e-4)
    assert numbers["q_edge"] == pytest.approx(slow_edge(image), abs=1e-4)
    assert measure(np.zeros((16, 16), np.uint8)) is None
    assert set(statistics(np.zeros((16, 16), np.uint8)).values()) == {0.0}


def test_stripes_show_at_any_side():
    for side in (64, 256):
        noise = np.random.default_rng(1).integers(60, 200, (side, side)).astype(np.uint8)
        striped = np.tile(np.random.default_rng(2).integers(60, 200, side).astype(np.uint8)[:, None], (1, side))
        assert statistics(noise)["q_stripe"] < 0.06
        assert statistics(striped)["q_stripe"] == pytest.approx(1)
        assert statistics(striped.T)["q_stripe"] == pytest.approx(1)


def test_the_default_vote_tells_noise_and_few_levels_from_ground():
    config = QualityConfig()
    good = tile(side=256)
    coarse = few_levels(good, np.random.default_rng(0))
    noise = np.random.default_rng(0).integers(1, 256, (256, 256)).astype(np.uint8)
    assert reject_reason(statistics(good), 1.0, 0.9, config) == ""
    assert reject_reason(statistics(noise), 1.0, 0.9, config) == "poor"
    assert reject_reason({**statistics(coarse), "q_edge": 9.0, "q_entropy": 9.0}, 1.0, 0.9, config) == "poor"
    off = QualityConfig(min_good=0.0)
    assert reject_reason(statistics(noise, off), 1.0, 0.9, off) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"q_saturated": 0.6}, "saturated"),
        ({"q_dark": 0.95}, "dark"),
        ({"q_std": 1.0}, "blank"),
        ({"q_entropy": 1.0}, "structureless"),
        ({"q_edge": 0.1}, "structureless"),
        ({"q_good": 0.2}, "poor"),
    ],
)
def test_reasons(changes, reason):
    fine = {"q_saturated": 0.0, "q_dark": 0.0, "q_std": 40.0, "q_entropy": 7.0, "q_edge": 8.0, "q_good": 1.0}
    assert reject_reason(fine, 1.0, 0.9, QualityConfig()) == ""
    assert reject_reason({**fine, **changes}, 1.0, 0.9, QualityConfig()) == reason
    assert reject_reason({**fine, **changes}, 0.5, 0.9, QualityConfig()) == "nodata"


@pytest.mark.parametrize(
    "changes",
    [{"min_good": 1.5}, {"neighbours": 0}, {"neighbours": 10**6}, {"reference": "none.json"}, {"min_std": -1.0}],
)
def test_settings_that_cannot_work(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        dataclasses.replace(QualityConfig(), **changes).check_files()


def test_neighbours_are_not_asked_about_tiles_that_were_enlarged_much():
    numbers = {"q_saturated": 0.0, "q_dark": 0.0, "q_std": 30.0, "q_entropy": 6.0, "q_edge": 5.0, "q_good": 0.0}
    assert reject_reason(numbers, 1.0, 0.9, QualityConfig(), enlarged=1.0) == "poor"
    assert reject_reason(numbers, 1.0, 0.9, QualityConfig(), enlarged=3.0) == "poor"
    assert reject_reason(numbers, 1.0, 0.9, QualityConfig(), enlarged=4.0) == ""
