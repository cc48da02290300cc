"""The quantiser is monotone, exact, and blind to what is not data."""

import hashlib

import numpy as np
import pytest

from knowlip.tiles.quality import QualityConfig, reject_reason, statistics
from knowlip.tiles.quantise import PowerHistogram, Quantiser, percentile_quantiser

ALL = np.ones(1, bool)


@pytest.mark.parametrize(("lo", "hi"), [(-30.0, 5.0), (0.0, 3.0), (20.0, 80.0), (-4.0, 20.0)])
def test_levels_follow_the_definition(lo, hi):
    quantiser = Quantiser("q", lo, hi)
    decibel = np.linspace(lo - 20, hi + 20, 20001)
    power = (10 ** (decibel / 10)).astype(np.float32)
    level = quantiser(power, np.ones(power.shape, bool)).astype(int)
    assert np.all(np.diff(level) >= 0), "monotone"
    assert (level.min(), level.max()) == (1, 255)
    np.testing.assert_array_equal(level, np.searchsorted(quantiser.thresholds, power, side="right") + 1)
    inside = (decibel > lo) & (decibel < hi)
    half = (hi - lo) / 254 / 2
    assert np.abs(quantiser.to_db(level)[inside] - decibel[inside]).max() < half * 1.001


@pytest.mark.parametrize("hi", [-19.0, 0.0])
def test_what_no_level_holds_goes_to_the_ends(hi):
    """Few and many thresholds within a bin of the table."""
    power = np.array([np.nan, np.inf, 3e38, -1.0, 0.0], np.float32)
    np.testing.assert_array_equal(Quantiser("q", -20, hi)(power)[[0, 1, 2, 4]], [255, 255, 255, 1])


def test_zero_is_nodata_and_dark_data_is_one():
    quantiser = Quantiser("q", -20, 0)
    power = np.array([0, 0, 1e-30, 1e30], np.float32)
    np.testing.assert_array_equal(quantiser(power, np.array([False, True, True, True])), [0, 1, 1, 255])


def test_tile_then_quantise_is_quantise_then_tile():
    power = np.random.default_rng(0).exponential(1, (64, 64)).astype(np.float32)
    valid = power > 0.05
    quantiser = Quantiser("q", -15, 8)
    whole = quantiser(power, valid)
    part = quantiser(power[16:48:, 8:40], valid[16:48, 8:40])
    assert hashlib.sha256(whole[16:48, 8:40].tobytes()).digest() == hashlib.sha256(part.tobytes()).digest()


def test_percentiles_agree_with_numpy_and_ignore_a_collar():
    power = np.random.default_rng(0).gamma(4, 25, (300, 200)).astype(np.float32)
    plain, collared = PowerHistogram(), PowerHistogram()
    plain.add(power, np.ones(power.shape, bool))
    for strip in np.array_split(np.pad(power, 37), 9):
        collared.add(strip, strip > 0)
    assert percentile_quantiser(plain, 0.5, 99.8) == percentile_quantiser(collared, 0.5, 99.8)
    for percent in (0.5, 50, 99.8):
        assert plain.percentile_db(percent) == pytest.approx(10 * np.log10(np.percentile(power, percent)), abs=0.1)


def test_a_constant_scene_still_has_a_range_and_an_empty_one_is_refused():
    histogram = PowerHistogram()
    with pytest.raises(ValueError, match="No valid pixel"):
        percentile_quantiser(histogram, 1, 99)
    histogram.add(np.full(10, 4.0, np.float32), np.ones(10, bool))
    quantiser = percentile_quantiser(histogram, 1, 99)
    assert quantiser.hi_db == quantiser.lo_db + 1
    with pytest.raises(ValueError, match="lo < hi"):
        Quantiser("q", 3.0, 3.0)


def test_quality_reasons():
    random = np.random.default_rng(0)
    good = random.integers(1, 256, (64, 64)).astype(np.uint8)
    config = QualityConfig(min_good=0.0)  # white noise would be poor

    def reason(tile, valid=1.0):
        return reject_reason(statistics(tile), valid, 0.9, config)

    assert reason(good) == ""
    assert reason(good, 0.5) == "nodata"
    assert reason(np.zeros((64, 64), np.uint8), 0.0) == "nodata"
    assert reason(np.full((64, 64), 255, np.uint8)) == "saturated"
    assert reason(np.full((64, 64), 1, np.uint8)) == "dark"
    assert reason(np.full((64, 64), 90, np.uint8)) == "blank"
    assert reason(np.where(np.arange(64) < 32, 20, 200).astype(np.uint8)[None, :].repeat(64, 0)) == "structureless"


def test_statistics_against_numpy_and_blind_to_nodata():
    tile = np.random.default_rng(1).integers(1, 256, (64, 64)).astype(np.uint8)
    numbers = statistics(tile)
    assert numbers["q_mean"] == pytest.approx(tile.mean(), abs=1e-3)
    assert numbers["q_std"] == pytest.approx(tile.std(), abs=1e-3)
    assert numbers["q_saturated"] == pytest.approx((tile == 255).mean(), abs=1e-4)
    collared = np.pad(tile, 32)
    assert statistics(collared) == numbers
