"""The other tile of each tile: same set, elsewhere, each once where that can be."""

import numpy as np
import pytest

from knowlip.dataset.others import other_tiles


@pytest.mark.parametrize("seed", range(20))
def test_others_are_of_the_same_set_and_scale_and_of_another_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = rng.choice(["ground", "marine", "terrain"], 200)
    scales = rng.choice(["small", "large"], 200)
    blocks = np.array([f"b{n}" for n in rng.choice(5, 200, p=[0.4, 0.3, 0.1, 0.1, 0.1])])
    columns = sets.tolist(), scales.tolist(), blocks.tolist(), [f"r{n}" for n in range(200)]
    found = other_tiles(*columns, seed=seed)
    other = found.position_T
    assert found.missing == found.of_same_block == 0
    assert (sets[other] == sets).all()
    assert (blocks[other] != blocks).all()
    assert found.of_other_scale == (scales[other] != scales).sum()
    for name in set(sets):
        for scale in set(scales):
            mine = np.flatnonzero((sets == name) & (scales == scale))
            if 2 * max(np.unique(blocks[mine], return_counts=True)[1]) <= len(mine):
                assert sorted(other[mine]) == mine.tolist()
    assert (other_tiles(*columns, seed=seed).position_T == other).all()


def test_a_set_of_one_block_borrows_from_other_roots() -> None:
    found = other_tiles(["marine"] * 6, ["small"] * 6, ["b"] * 6, list("aabbcc"))
    assert all("aabbcc"[i] != "aabbcc"[j] for i, j in enumerate(found.position_T))
    assert (found.of_same_block, found.missing) == (6, 0)


def test_a_dominating_place_borrows_more_than_once_and_another_scale() -> None:
    found = other_tiles(["marine"] * 4, ["small", "small", "large", "small"], ["a", "a", "a", "b"], list("wxyz"))
    assert found.position_T[:3].tolist() == [3, 3, 3]
    assert found.position_T[3] in (0, 1)
    assert found.of_other_scale == 1


def test_a_tile_without_another_place_has_none() -> None:
    found = other_tiles(["marine", "ground", "ground"], ["small"] * 3, ["a", "b", "b"], ["r", "s", "s"])
    assert found.position_T.tolist() == [-1, -1, -1]
    assert found.missing == 3
