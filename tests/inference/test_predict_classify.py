"""Classes of windows of whole scenes: those that the classifier gives the same pixels as tiles, killed or not."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

from knowlip.inference.predict import predict_scenes
from knowlip.inference.predict_classify import ScenesClassifier, predict_classify, show
from knowlip.inference.scene_settings import PredictClassifyConfig
from knowlip.models.towers import resize
from knowlip.tasks.classifier import classifier_taught_on, load_classifier, predict
from knowlip.tasks.classify import classify
from tests.inference.test_predict import write
from tests.tasks.test_classify import SIDE, config, dataset

__all__ = ["dataset"]


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a classifier of stripes."""
    out = tmp_path_factory.mktemp("run")
    classify(config(dataset, out))
    return out


def striped(rows: int, columns: int) -> tuple[np.ndarray, list[str]]:
    """A scene of windows with stripes along rows, along columns, or none; and which."""
    rng, names, wave = np.random.default_rng(3), [], 60 * np.sin(np.arange(SIDE) * np.pi / 4)
    values = rng.normal(120, 25, (rows * SIDE, columns * SIDE))
    for row in range(rows):
        for column in range(columns):
            names.append(("columns", "plain", "rows")[int(rng.integers(3))])
            along = {"columns": wave[None, :], "rows": wave[:, None], "plain": np.zeros((1, 1))}[names[-1]]
            values[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] += along
    return np.clip(values, 1, 255).astype(np.uint8), names


def settings(trained: Path, scene: Path, out: Path, **more: Any) -> PredictClassifyConfig:
    same: dict[str, Any] = {"metres_per_pixel": 3.0, "device": "cpu"}
    return PredictClassifyConfig(scenes=[scene], model=trained, out=out, **{**same, **more})


def test_windows_get_the_class_that_their_pixels_get_as_tiles(trained: Path, tmp_path: Path) -> None:
    values, names = striped(4, 5)
    scene = write(tmp_path / "stripes.tif", values)
    result = predict_classify(settings(trained, scene, tmp_path / "out"))
    table = geopandas.read_parquet(tmp_path / "out" / "stripes.parquet")
    assert len(table) == 20
    classifier = load_classifier(trained / "model")
    tiles = values.reshape(4, SIDE, 5, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)
    scores = predict(classifier, np.stack([resize(one, 32) for one in tiles])).numpy()
    assert table["class"].tolist() == [classifier.classes[at] for at in scores.argmax(1)]
    assert table["score"].tolist() == pytest.approx(scores.max(1).tolist(), abs=1e-4)
    assert (table["class"].to_numpy() == np.array(names)).mean() > 0.8
    assert ((table["second_score"] <= table["score"]) & (table["second"] != table["class"])).all()
    assert table.to_crs(32631).area.to_numpy() == pytest.approx((SIDE * 3.0) ** 2, rel=1e-6)
    features = json.loads((tmp_path / "out" / "stripes.geojson").read_text())["features"]
    assert [one["properties"]["class"] for one in features] == table["class"].tolist()
    assert sum(result["scenes"][0]["classes"].values()) == 20
    assert "20 windows" in show(result)
    taught, contrast = classifier_taught_on(trained / "model")
    assert taught is not None
    assert (taught.tile_px, taught.metres_per_pixel, contrast) == (SIDE, None, "stored")


def test_a_killed_classification_ends_with_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    scene = write(tmp_path / "stripes.tif", striped(4, 5)[0])
    predict_classify(settings(trained, scene, tmp_path / "whole"))
    killed = settings(trained, scene, tmp_path / "killed", batch_size=3)
    one = ScenesClassifier(killed)
    say, seen = one.say, []

    def dies(work: Any, images: list[np.ndarray]) -> list[dict[str, Any]]:
        seen.append(len(images))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return say(work, images)

    one.say = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        predict_scenes(killed, one)
    assert not (killed.out / "stripes.json").exists()
    predict_classify(killed)
    for name in ("stripes.parquet", "stripes.geojson"):
        assert (killed.out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_the_card_does_not_say_is_asked_for(trained: Path, tmp_path: Path) -> None:
    scene = write(tmp_path / "stripes.tif", striped(2, 2)[0])
    with pytest.raises(ValueError, match="--metres_per_pixel"):
        predict_classify(settings(trained, scene, tmp_path / "out", metres_per_pixel=None))
    card = json.loads((trained / "model" / "classifier.json").read_text())
    old = {name: value for name, value in card.items() if name not in ("taught_on", "contrast")}
    (trained / "model" / "classifier.json").write_text(json.dumps(old))
    try:
        with pytest.raises(ValueError, match="--window_px"):
            predict_classify(settings(trained, scene, tmp_path / "out"))
        assert predict_classify(settings(trained, scene, tmp_path / "old", window_px=32))["scenes"][0]["said_of"] == 4
    finally:
        (trained / "model" / "classifier.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="is not a classifier"):
        predict_classify(settings(tmp_path, scene, tmp_path / "none"))
