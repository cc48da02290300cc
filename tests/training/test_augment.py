"""Augmentation: gain, speckle and looks are what they are called in power; the same from the same seeds."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special, stats

from knowlip.tiles.quantise import Quantiser
from knowlip.training.augment import AugmentConfig, GreyScale, augment, gamma_db, normals, uniforms

NOTHING = AugmentConfig(gain_db=0, speckle_looks=0)


def scales(*quantisers: tuple[str, float, float]) -> GreyScale:
    return GreyScale.of(pd.DataFrame(quantisers, columns=["quantiser", "quantiser_lo", "quantiser_hi"]))


DB = ("db-window-v1(-25,5)", -25.0, 5.0)
AMPLITUDE = ("sqrt-percentile-v1(0.5,99.8)", -20.0, 8.0)
IMPORTED = ("as-is-v1", math.nan, math.nan)


def seeds(count: int, first: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(first).integers(2**62, size=count))


def test_chance_is_uniform_normal_and_not_the_same_twice() -> None:
    chance = uniforms(seeds(200), 500)
    assert stats.kstest(chance.flatten().numpy(), "uniform").pvalue > 1e-3
    assert 0 < float(chance.min()) <= float(chance.max()) < 1
    normal = normals(seeds(200, 1), 501)
    assert normal.shape == (200, 501)
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(normal.numpy())[~np.eye(200, dtype=bool)]).max() < 0.25, "rows are independent"
    assert abs(np.corrcoef(normal.numpy().T[:200])[~np.eye(200, dtype=bool)]).max() < 0.4, "and so are places"
    neighbours = uniforms(torch.arange(1000), 50)
    assert abs(np.corrcoef(neighbours[:-1].flatten(), neighbours[1:].flatten())[0, 1]) < 0.02, "also for seeds in a row"
    assert torch.equal(uniforms(seeds(4), 10)[2:], uniforms(seeds(4)[2:], 10)), "a row's chance is its own"


@pytest.mark.parametrize("looks", [1.0, 2.0, 5.0, 20.0])
def test_speckle_is_gamma_distributed(looks: float) -> None:
    power = 10 ** (gamma_db(normals(seeds(40), 5000), looks).double().flatten().numpy() / 10)
    assert stats.ks_1samp(power, stats.gamma(looks, scale=1 / looks).cdf).statistic < (0.012 if looks < 5 else 0.004)
    assert power.mean() == pytest.approx(1, abs=0.01)
    assert power.var() == pytest.approx(1 / looks, rel=0.05)


@pytest.mark.parametrize("quantiser", [DB, AMPLITUDE])
def test_grey_scale_is_the_quantiser_up_to_a_constant(quantiser: tuple[str, float, float]) -> None:
    level = np.arange(1, 256)
    scale = scales(quantiser)
    ours = scale.to_db(torch.from_numpy(level)[None, None])[0, 0].double().numpy()
    difference = ours - Quantiser(*quantiser).to_db(level)
    assert np.ptp(difference) < 1e-3
    assert scale.to_level(scale.to_db(torch.from_numpy(level)[None, None]))[0, 0].tolist() == level.tolist()


def test_images_imported_as_they_are_count_as_amplitude() -> None:
    db = scales(IMPORTED).to_db(torch.tensor([[[1, 10, 100]]]))[0, 0]
    assert (db[1:] - db[:-1]).tolist() == pytest.approx([20, 20], abs=1e-4)


def test_gain_and_speckle_have_their_size_in_db() -> None:
    count = 300
    pixels = torch.full((count, 20, 20), 128, dtype=torch.uint8)
    for quantiser in (DB, AMPLITUDE):
        scale, quantise = scales(*[quantiser] * count), Quantiser(*quantiser)
        gained = augment(pixels, seeds(count), scale, AugmentConfig(gain_db=1.5, speckle_looks=0))
        change = quantise.to_db(gained.numpy()) - quantise.to_db(np.array(128))
        assert np.ptp(change, axis=(1, 2)).max() == 0, "the whole image has one gain"
        assert change[:, 0, 0].std() == pytest.approx(1.5, rel=0.1)
        speckled = augment(pixels, seeds(count), scale, AugmentConfig(gain_db=0, speckle_looks=20))
        change = quantise.to_db(speckled.numpy()) - quantise.to_db(np.array(128))
        assert change.std() == pytest.approx(10 / math.log(10) * math.sqrt(special.polygamma(1, 20)), rel=0.02)
        assert (10 ** (change / 10)).mean() == pytest.approx(1, abs=0.01), "mean power stays"


def test_multilook_averages_power() -> None:
    rng = np.random.default_rng(0)
    quantise = Quantiser(*DB)
    pixels = quantise(np.asarray(0.1 * rng.gamma(4, 0.25, (6, 16, 16)), np.float32))
    pixels[:, :4, :5] = 0
    looked = augment(
        torch.from_numpy(pixels), seeds(6), scales(*[DB] * 6), AugmentConfig(0, 0, multilook=1.0, multilook_px=3)
    ).numpy()
    power = np.where(pixels > 0, 10 ** (quantise.to_db(pixels) / 10), 0)
    expected = np.zeros_like(pixels)
    for image, row, column in zip(*np.nonzero(pixels)):
        box = (image, slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2))
        expected[image, row, column] = quantise(np.array([power[box].sum() / (pixels[box] > 0).sum()], np.float32))[0]
    assert (abs(looked.astype(int) - expected) <= 1).all()
    assert ((looked == 0) == (pixels == 0)).all()
    half = augment(
        torch.from_numpy(np.repeat(pixels, 50, 0)), seeds(300), scales(*[DB] * 300), AugmentConfig(0, 0, multilook=0.5)
    ).numpy()
    share = np.mean([not np.array_equal(a, b) for a, b in zip(half, np.repeat(pixels, 50, 0))])
    assert share == pytest.approx(0.5, abs=0.1)


def test_shifts_mirror_at_the_edges() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 12, 12)).astype(np.uint8)
    config = AugmentConfig(0, 0, shift_px=3)
    shifted = augment(torch.from_numpy(pixels), seeds(200), scales(*[DB] * 200), config).numpy()
    met = set()
    for before, after in zip(pixels, shifted):
        wide = np.pad(before, 3, mode="reflect")
        found = [(y, x) for y in range(7) for x in range(7) if np.array_equal(wide[y : y + 12, x : x + 12], after)]
        assert len(found) == 1
        met.add(found[0])
    assert len(met) > 40, "all shifts up to 3 pixels happen"


def test_no_data_stays_and_nothing_becomes_no_data() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (8, 16, 16)).astype(np.uint8) * 127)
    config = AugmentConfig(gain_db=20, speckle_looks=1, multilook=0.5)
    changed = augment(pixels, seeds(8), scales(*[DB, AMPLITUDE, IMPORTED, DB] * 2), config)
    assert changed.dtype == torch.uint8
    assert torch.equal(changed == 0, pixels == 0)


def test_rows_do_not_depend_on_each_other() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 15, 15)).astype(np.uint8))
    scale = scales(*[DB, AMPLITUDE] * 4)
    config = AugmentConfig(multilook=0.5, shift_px=2)
    whole = augment(pixels, seeds(8), scale, config)
    part = augment(pixels[2::3], seeds(8)[2::3], scale.rows(np.arange(8)[2::3]), config)
    assert torch.equal(part, whole[2::3])
    assert torch.equal(augment(pixels, seeds(8), scale, NOTHING), pixels)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"flips": 1.5}, "flips"),
        ({"gain_db": -1.0}, "gain_db"),
        ({"speckle_looks": 0.5}, "looks"),
        ({"multilook_px": 2}, "odd"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        AugmentConfig(**change)  # type: ignore[arg-type]
