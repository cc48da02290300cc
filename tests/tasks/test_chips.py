"""What the size of a chip gives away: nothing through the smallest window, to no simple figure through a larger one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knowlip.dataset import Dataset
from knowlip.dataset.decode import resize_grey
from knowlip.tasks.chips import ChipWindow, chip_roots, evened, load_chips, seen_through
from knowlip.tiles.imports import ImportConfig, import_dataset
from knowlip.training.augment import AugmentConfig, GreyScale, augment

SMALL, LARGE, INPUT = (40, 52), (76, 90), 48


def noise(chance: np.random.Generator, large: bool) -> np.ndarray:
    """Speckle and nothing else; its size tells one class from the other."""
    sides = chance.integers(*(LARGE if large else SMALL), 2)
    return (40 * np.sqrt(chance.gamma(1.0, 1.0, sides)) + 1).clip(1, 255).astype(np.uint8)


def figures(pixels: np.ndarray) -> np.ndarray:
    """What betrays a border: zeros, mean and spread of the rim against the middle and of each row and column, and how
    much neighbours differ in each."""
    grey = pixels.astype(float)
    rim = np.concatenate([grey[:4].ravel(), grey[-4:].ravel(), grey[:, :4].ravel(), grey[:, -4:].ravel()])
    whole = [(pixels == 0).mean(), rim.mean() - grey.mean(), rim.std() - grey.std(), grey.std()]
    lines = [grey.mean(0), grey.mean(1), grey.std(0), grey.std(1)]
    steps = [np.abs(np.diff(grey, axis=axis)).mean(1 - axis) for axis in (0, 1)]
    return np.concatenate([whole, *lines, *steps])


def read_size(seen: list[np.ndarray], large: np.ndarray) -> float:
    """How well a logistic regression on these figures tells large chips, on the half that it did not learn from."""
    features, half = np.stack([figures(one) for one in seen]), len(seen) // 2
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    return float(model.fit(features[:half], large[:half]).score(features[half:], large[half:]))


def test_size_cannot_be_read_from_noise_through_a_window_and_can_where_chips_are_stretched() -> None:
    chance = np.random.default_rng(0)
    large = np.arange(600) % 2 == 0
    chips = [noise(chance, bool(one)) for one in large]
    bound = 0.5 + 3 * 0.5 / np.sqrt(300)
    assert read_size([seen_through(one, SMALL[0]) for one in chips], large) < bound
    assert read_size([seen_through(one, 64) for one in chips], large) < bound, "half of them are mirrored"
    assert read_size([resize_grey(one, INPUT) for one in chips], large) > 0.95
    padded = [np.pad(one, [(0, 90 - one.shape[0]), (0, 90 - one.shape[1])]) for one in chips]
    assert read_size(padded, large) > 0.95, "zeros show the size"


def test_mirroring_leaks_to_who_looks_for_the_mirror() -> None:
    """Stated in docs/classification.md: pixels around the old edge are pairwise equal."""
    chip = noise(np.random.default_rng(1), large=False)
    seen = seen_through(chip, 64).astype(int)
    first = (64 - chip.shape[1] + 1) // 2
    assert (seen[:, first - 1] == seen[:, first + 1]).all()


def test_the_window_is_the_middle_and_goes_on_mirrored() -> None:
    chip = np.arange(30, dtype=np.uint8).reshape(5, 6)
    assert (seen_through(chip, 3) == chip[1:4, 1:4]).all()
    expected = np.pad(chip, [(2, 2), (2, 1)], mode="reflect")
    assert (seen_through(chip, 9) == expected).all()
    assert seen_through(np.full((1, 1), 7, np.uint8), 3).tolist() == [[7] * 3] * 3


def test_brightness_tells_nothing_of_evened_chips() -> None:
    chance = np.random.default_rng(3)
    chip = (chance.gamma(1.0, 12.0, (64, 64)) + 1).clip(1, 60).astype(np.uint8)
    found = evened(chip)
    assert (found.mean(), found.std()) == (pytest.approx(0.45 * 255, abs=3), pytest.approx(0.25 * 255, abs=3))
    assert np.abs(found.astype(int) - evened(chip * 4)).max() <= 1, "four times as bright"
    assert np.unique(evened(np.full((5, 5), 9, np.uint8))).tolist() == [115], "a flat one is grey"


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder, chance = tmp_path_factory.mktemp("chips"), np.random.default_rng(2)
    for name, large in (("ship", False), ("tank", True)):
        for number in range(4):
            path = folder / "set" / "train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(chance, large)).save(path)
    import_dataset(ImportConfig(source=folder / "set", format="folder", out=folder / "data"))
    return Dataset(folder / "data")


def test_the_smallest_side_is_the_window_unless_another_is_given(chips: Dataset, tmp_path: Path) -> None:
    tile_ids = chips.tiles()["tile_id"].to_list()
    images = list(chips.images(tile_ids))
    smallest = min(min(one.shape) for one in images)
    found = ChipWindow.of(chips, tile_ids, "auto", None)
    assert found.told == f"one window of {smallest} px on all"
    assert (found.mirrored, {*found.visible_T2.ravel().tolist()}) == (0, {smallest})
    pixels = load_chips(chips, tile_ids, found, smallest, tmp_path)
    assert all((one == seen_through(image, smallest)).all() for one, image in zip(pixels, images))
    wide = ChipWindow.of(chips, tile_ids, "yes", 64)
    assert wide.mirrored == sum(min(one.shape) < 64 for one in images)
    assert wide.visible_T2.tolist() == [[min(side, 64) for side in one.shape] for one in images]
    stretched = ChipWindow.of(chips, tile_ids, "no", None)
    assert (stretched.side_T, stretched.mirrored, stretched.shown) == (None, 0, 1.0)
    assert (load_chips(chips, tile_ids, stretched, 32, tmp_path)[0] == resize_grey(images[0], 32)).all()


def test_a_window_of_metres_holds_the_same_ground(chips: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = chips.tiles()
    tiles["metres_per_pixel"] = np.where(tiles.index % 2 == 0, 1.0, 2.0)
    monkeypatch.setattr(chips, "tiles", lambda: tiles)
    found = ChipWindow.of(chips, tiles["tile_id"].to_list(), "auto", 60)
    assert found.told == "one window of 60 m on all"
    assert found.side_T is not None
    assert found.side_T.tolist() == [60, 30] * 4


def test_metres_that_only_some_tiles_say_are_told_to_be_pixels(chips: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = chips.tiles()
    tiles["metres_per_pixel"] = np.where(tiles.index == 0, np.nan, 0.5)
    monkeypatch.setattr(chips, "tiles", lambda: tiles)
    found = ChipWindow.of(chips, tiles["tile_id"].to_list(), "auto", 20)
    assert found.told == "one window of 20 px on all, as 1 of 8 tiles do not say the size of their pixels"


@pytest.mark.parametrize(
    ("hide", "window", "words"),
    [
        ("maybe", None, "hide_size must be one of"),
        ("no", 64, "A window hides the size"),
        ("yes", 0.2, "holds no pixel"),
        ("yes", -3, "holds no pixel"),
        ("yes", float("nan"), "holds no pixel"),
    ],
)
def test_windows_that_cannot_be_are_refused(chips: Dataset, hide: Any, window: float | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ChipWindow.of(chips, chips.tiles()["tile_id"].to_list(), hide, window)


@pytest.mark.parametrize("quantiser", [("as-is", np.nan, np.nan), ("sqrt-v1", -30.0, 5.0), ("db-v1", -30.0, 5.0)])
def test_gain_and_speckle_of_evened_chips_happen_in_stored_power(
    quantiser: tuple[str, float, float], tmp_path: Path
) -> None:
    chance = np.random.default_rng(4)
    chips = np.stack([(30 * np.sqrt(chance.gamma(3.0, 1.0, (32, 32))) + 8).clip(1, 250) for _ in range(6)])
    chips = chips.round().astype(np.uint8)
    data = SimpleNamespace(fingerprint="f", images=lambda tile_ids: iter(chips))
    window = ChipWindow(np.full((6, 2), 32), None, "whole tiles")
    scale = GreyScale.of(pd.DataFrame([quantiser] * 6, columns=["quantiser", "quantiser_lo", "quantiser_hi"]))
    shown, seed_B = torch.from_numpy(np.stack([evened(one) for one in chips])), torch.arange(6) * 991
    config = AugmentConfig(gain_db=1.0, speckle_looks=20.0)
    stored = augment(torch.from_numpy(chips), seed_B, scale, config).numpy()
    roots = np.sqrt(chips.astype(float))
    mean, std = (f(roots, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    expected = ((np.sqrt(stored) - mean) / std * 0.25 + 0.45) * 255
    wrong = augment(shown, seed_B, scale, config).numpy().astype(float)
    scale.root_B2 = torch.from_numpy(chip_roots(data, list("abcdef"), window, tmp_path))  # type: ignore[arg-type]
    found = augment(shown, seed_B, scale, config).numpy().astype(float)
    inside = (expected > 3) & (expected < 252) & (shown.numpy() > 1) & (shown.numpy() < 255)
    assert inside.mean() > 0.8
    assert np.abs(found - expected)[inside].max() < 8, "both were rounded to a level"
    assert np.abs(found - expected)[inside].mean() < 1.5 < np.abs(wrong - expected)[inside].mean()
    none = AugmentConfig(gain_db=0.0, speckle_looks=1e9)
    assert np.abs(augment(shown, seed_B, scale, none).int() - shown.int()).max() <= 1, "nothing changes nothing"
