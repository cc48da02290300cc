"""Divisions: every tile is asked about once, copies stay on one side, and what cannot be divided is one sentence."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowlip.dataset import Dataset
from knowlip.tasks import protocols
from knowlip.tasks.protocols import BOTH_SIDES, divide, joined, own_split, parts, tile_groups, why_not
from knowlip.tiles.imports import ImportConfig, import_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twelve pictures of each of two classes, four copies of each picture (other brightness and noise)."""
    folder, rng = tmp_path_factory.mktemp("divided"), np.random.default_rng(0)
    for name in ("ship", "tank"):
        for number in range(12):
            picture = np.kron(rng.uniform(40, 200, (6, 6)), np.ones((8, 8)))
            for copy in range(4):
                path = folder / "set" / name / f"{number:02d}-{copy}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = picture * rng.uniform(0.8, 1.1) + rng.normal(0, 4, picture.shape)
                Image.fromarray(pixels.clip(1, 255).astype(np.uint8)).save(path)
    import_dataset(ImportConfig(source=folder / "set", format="folder", out=folder / "data"))
    return Dataset(folder / "data")


def picture_of(tile_id: str) -> str:
    return tile_id.rpartition("-")[0]


def classes(data: Dataset) -> tuple[list[str], list[str]]:
    tile_ids = data.tiles()["tile_id"].to_list()
    return tile_ids, ["ship" if "ship" in tile_id else "tank" for tile_id in tile_ids]


@pytest.mark.parametrize("strata", [True, False])
@pytest.mark.parametrize("protocol", ["random", "groups"])
def test_the_folds_ask_about_every_tile_once(data: Dataset, protocol: Any, strata: bool, tmp_path: Path) -> None:
    tile_ids, names = classes(data)
    given = names if strata else None
    found = [divide(data, tile_ids, given, protocol, fold, 4, 3, cache=tmp_path) for fold in range(4)]
    assert Counter(tile for one in found for tile in one.test) == Counter(tile_ids)
    for one in found:
        assert sorted([*one.train, *one.test]) == sorted(tile_ids)
        assert list(one.test) == sorted(one.test)
        shared = {picture_of(tile) for tile in one.train} & {picture_of(tile) for tile in one.test}
        assert bool(shared) == (protocol == "random"), "copies on both sides at random alone"
        assert (one.note == BOTH_SIDES) == (protocol == "random")
        if strata:
            count = Counter(name for tile, name in zip(tile_ids, names) if tile in one.test)
            assert abs(count["ship"] - count["tank"]) <= 4, "a group at most"
    other = divide(data, tile_ids, given, protocol, 0, 4, 4, cache=tmp_path)
    assert other.test != found[0].test, "another seed, other parts"


def test_order_of_the_tiles_changes_nothing(data: Dataset, tmp_path: Path) -> None:
    tile_ids, names = classes(data)
    one = divide(data, tile_ids, names, "groups", 1, cache=tmp_path)
    assert divide(data, tile_ids[::-1], names[::-1], "groups", 1, cache=tmp_path) == one


def test_own_is_the_split_of_the_set(data: Dataset) -> None:
    tile_ids, names = classes(data)
    found = divide(data, tile_ids, names, "own")
    assert [list(some) for some in (found.train, found.test)] == [
        data.tiles(split)["tile_id"].to_list() for split in ("train", "test")
    ]
    assert len({*found.clusters(found.test)}) == len({picture_of(tile) for tile in found.test})
    assert found.note == ""


def test_groups_are_made_once_and_kept(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile_ids, _ = classes(data)
    found = tile_groups(data, tile_ids, tmp_path)
    assert len(np.unique(found)) == 24
    monkeypatch.setattr(protocols, "NearDuplicateFinder", None)
    assert (tile_groups(data, tile_ids, tmp_path) == found).all()
    with pytest.raises(TypeError):
        tile_groups(data, tile_ids[1:], tmp_path)  # other tiles are not answered from the same file


def test_groups_join_where_any_label_is_the_same() -> None:
    found = joined(np.array([0, 0, 1, 2, 3]), np.array(["a", "b", "b", "c", "d"]))
    assert found[0] == found[1] == found[2]
    assert len({*found.tolist()}) == 3


def test_own_split_leaves_out_what_is_neither() -> None:
    splits = np.array(["train", "val", "test", "train"])
    assert [part.tolist() for part in own_split(splits)] == [[0, 3], [1, 2]]
    assert [part.tolist() for part in own_split(splits, ("test",))] == [[0, 3], [2]]


@pytest.mark.parametrize(
    ("protocol", "strata", "groups", "words"),
    [
        ("random", ["a"] * 4, [0, 1, 2, 3], "4 tiles, fewer than 5"),
        ("random", ["a"] * 6 + ["b"] * 2, list(range(8)), "a class has 2 tiles"),
        ("groups", None, [0] * 6 + [1, 2, 3, 4], "holds 6 of 10"),
        ("groups", None, [0, 0, 1, 1, 2, 2, 3, 3], "4 groups of copies"),
        ("groups", ["a"] * 8 + ["b"] * 8, [0, 0, 0, 0, 1, 2, 3, 4, *range(5, 13)], ""),
        ("groups", ["a"] * 8 + ["b"] * 8, [0, 0, 1, 1, 2, 2, 3, 3, *range(5, 13)], "a class lies in 4 groups"),
    ],
)
def test_what_cannot_be_divided_is_told(protocol: Any, strata: list[str] | None, groups: list[int], words: str) -> None:
    reason = why_not(protocol, None if strata is None else np.array(strata), np.array(groups))
    assert words in reason
    if not words:
        assert len(list(parts(protocol, np.array(strata), np.array(groups)))) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "copies"}, "protocol must be one of own, random, groups"),
        ({"protocol": "random", "fold": 5}, "not fold 5 of 5"),
        ({"protocol": "random", "folds": 1}, "folds must be at least 2"),
        ({"protocol": "own", "fold": 1}, "leave fold at 0"),
        ({"protocol": "own", "split": "train"}, "split must be val or test"),
        ({"protocol": "groups", "folds": 13}, "a class lies in 12 groups of copies, fewer than 13 parts"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    data: Dataset, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    tile_ids, names = classes(data)
    with pytest.raises(ValueError, match=words):
        divide(data, tile_ids, names, **changes, cache=tmp_path)
