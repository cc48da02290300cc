"""Splits keep together what lies together."""

import numpy as np
import pytest
import shapely

from knowlip.tiles.blocks import WindowPlace, assign_splits, block_names, choose_block_km

KM = 1 / 111.195


def place(x_km, y_km, scene="a", side_km=1.0, stratum="s", lon=10.0):
    x, y = lon + x_km * KM, y_km * KM
    half = side_km * KM / 2
    return WindowPlace(scene, x, y, shapely.box(x - half, y - half, x + half, y + half), stratum)


def test_near_windows_share_a_block_and_far_ones_do_not():
    places = [place(0, 0, "a"), place(18, 0, "b"), place(36, 0, "c"), place(200, 0, "d")]
    names = block_names(places, 20)
    assert len(set(names[:3])) == 1
    assert names[3] != names[0]


def test_a_long_strip_is_cut_but_never_between_overlapping_windows():
    strip = [place(i, 0) for i in range(300)]
    names = block_names(strip, 20)
    assert len(set(names)) > 5
    overlapping = [place(i * 0.5, 0, f"s{i}") for i in range(300)]
    assert len(set(block_names(overlapping, 20))) == 1


def test_blocks_across_the_antimeridian():
    places = [place(-0.5, 0, "a", lon=180.0), place(0.6, 0, "b", lon=-180.0), place(300, 0, "c")]
    names = block_names(places, 20)
    assert names[0] == names[1] != names[2]


def test_one_place_is_divided_when_it_would_be_one_block():
    places = [place(i, j) for i in range(10) for j in range(10)]
    size, names = choose_block_km(places, 50, 1.0)
    assert size < 50
    assert len(set(names)) >= 5
    single = [place(0, 0)]
    assert choose_block_km(single, 50, 1.0)[0] == 50


@pytest.mark.parametrize("count", [2, 3, 5, 12, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_met_and_train_and_test_are_never_empty(count, seed):
    places = [place(100 * i, 0, f"s{i}", stratum=f"t{i % 3}") for i in range(count) for _ in range(4)]
    blocks = [p.scene_id for p in places]
    split_of = assign_splits(places, blocks, (0.7, 0.1, 0.2), seed)
    assert set(split_of) == set(blocks)
    assert {"train", "test"} <= set(split_of.values())
    if count >= 12:
        shares = {split: np.mean([split_of[b] == split for b in blocks]) for split in ("train", "val", "test")}
        assert shares["train"] == pytest.approx(0.7, abs=0.08)
        assert shares["test"] == pytest.approx(0.2, abs=0.08)
        assert {p.stratum for p in places if split_of[p.scene_id] == "test"} == {"t0", "t1", "t2"} or count == 12
    assert split_of == assign_splits(places, blocks, (0.7, 0.1, 0.2), seed)


def test_one_block_trains():
    assert assign_splits([place(0, 0)], ["b"], (0.7, 0.1, 0.2), 0) == {"b": "train"}
