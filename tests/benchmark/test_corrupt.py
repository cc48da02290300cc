"""Texts with known errors, judged by truth: right ones are right, and exactly the wanted share becomes wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.right_texts import main
from knowlip.benchmark.corrupt import (
    GENERATORS,
    OTHER_TILE,
    KnownTexts,
    changed,
    check_generator,
    right_texts,
    wrong_texts,
)
from knowlip.dataset import Dataset
from tests.benchmark.numbered import build


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("data") / "ds", revisions=False)


def known(data: Dataset, texts: pd.DataFrame | None = None) -> KnownTexts:
    if texts is None:
        texts = data.texts(0).sort_values(["tile_id", "slot"], ignore_index=True)
    tiles = data.tiles()
    windows = dict(zip(tiles["tile_id"], tiles["window_m"]))
    return KnownTexts(texts, data.truth(), windows, dict(zip(tiles["tile_id"], tiles["block"])))


def test_what_is_wrong_becomes_right_in_the_words_of_others(data: Dataset) -> None:
    before = known(data)
    wrong = before.true == False  # noqa: E712 (objects, None among them)
    assert 0.02 < wrong.mean() < 0.5
    changes, left = right_texts(before, before.texts, np.random.default_rng(0))
    assert len(changes) + left == wrong.sum()
    assert {one.at for one in changes} <= set(np.flatnonzero(wrong))
    after = known(data, changed(before.texts, changes))
    assert (after.true == False).sum() == left  # noqa: E712
    said = {(dimension, text) for dimension, text in zip(before.texts["dimension"], before.texts["text"])}
    assert {(before.texts["dimension"][one.at], one.text) for one in changes} <= said
    kept = np.setdiff1d(np.arange(len(wrong)), [one.at for one in changes])
    assert after.texts.loc[kept].equals(before.texts.loc[kept])


def test_templates_help_where_no_other_tile_does(data: Dataset) -> None:
    texts = data.texts(0).sort_values(["tile_id", "slot"], ignore_index=True)
    one = texts[texts["tile_id"] == "t4"].reset_index(drop=True)  # says 3 ships where there are 2
    templates = one.assign(text=[f"two ships: {name}" if name == "Count" else "" for name in one["dimension"]])
    alone = known(data, one)
    counts = int((one["dimension"] == "Count").to_numpy().argmax())
    changes, _ = right_texts(alone, templates, np.random.default_rng(0))
    assert [(change.at, change.kind, change.text) for change in changes if change.at == counts] == [
        (counts, "template", "two ships: Count")
    ]


def test_a_copy_has_right_texts_where_the_training_is(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["right_texts", str(data.path), "--out", str(tmp_path)])
    main()
    copy = Dataset(tmp_path / "datasets" / "wrong-0")
    assert str(copy.path) in capsys.readouterr().out
    train = set(data.tiles("train")["tile_id"])
    for texts, of_train in ((copy.texts(0), True), (copy.texts(0), False)):
        mine = texts[texts["tile_id"].isin(train) == of_train].sort_values(["tile_id", "slot"], ignore_index=True)
        theirs = data.texts(0)
        before = theirs[theirs["tile_id"].isin(train) == of_train].sort_values(["tile_id", "slot"], ignore_index=True)
        wrong, was = ((known(data, one).true == False).sum() for one in (mine, before))  # noqa: E712
        assert was > 0
        assert wrong < was / 2 if of_train else wrong == was
    with pytest.raises(SystemExit, match="holds texts of an earlier call"):
        main()
    monkeypatch.setattr("sys.argv", ["right_texts", str(data.path), "--out", str(tmp_path / "new")])
    (data.path / "truth.parquet").rename(tmp_path / "truth.parquet")
    try:
        with pytest.raises(SystemExit, match="has no truth"):
            main()
    finally:
        (tmp_path / "truth.parquet").rename(data.path / "truth.parquet")


@pytest.mark.parametrize("generator", sorted(GENERATORS))
def test_exactly_the_wanted_share_becomes_wrong(data: Dataset, generator: str) -> None:
    first = known(data)
    changes, _ = right_texts(first, first.texts, np.random.default_rng(0))
    right = known(data, changed(first.texts, changes))
    found = wrong_texts(right, [0.25, 0.5], generator, seed=1)
    assert found == wrong_texts(right, [0.25, 0.5], generator, seed=1)
    small, large = ({(one.at, one.text) for one in found[share]} for share in (0.25, 0.5))
    assert small < large
    was_true = right.true == True  # noqa: E712
    for share, some in found.items():
        texts = changed(right.texts, some)
        now = known(data, texts)
        at = [one.at for one in some]
        assert was_true[at].all()
        assert not now.true[at].any()
        assert (now.texts["text"] != right.texts["text"]).sum() == len(some)
        by_dimension = pd.Series(now.true[was_true] == False).groupby(right.group[was_true]).mean()  # noqa: E712
        assert by_dimension.max() < share + 0.02
        assert ((by_dimension - share).abs() < 0.02).sum() >= 3, "the others say the same of all tiles"
    kinds = {one.kind for one in found[0.5]}
    assert (kinds == {OTHER_TILE}) is (generator == OTHER_TILE)


def test_an_unknown_generator_is_refused() -> None:
    with pytest.raises(ValueError, match="no generator 'noise'"):
        check_generator("noise")
