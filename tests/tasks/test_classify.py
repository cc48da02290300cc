"""Classification: classes of tiles, floors against an independent oracle, learning on both modes, one result whatever
interrupts it, and sentences for what cannot work."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from knowlip.base.rows import read_results
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.models.encoders import open_encoder, random
from knowlip.tasks import classify as task
from knowlip.tasks.class_rows import voted
from knowlip.tasks.classifier import Classifier, LabelledImages, load_classifier, predict
from knowlip.tasks.classify import BENCH, ClassifyConfig, classify, rows_of, rows_together
from knowlip.tasks.labelled import LabelledTiles
from knowlip.tasks.runs import read_predictions, write_predictions
from knowlip.tiles.imports import ImportConfig, import_dataset
from knowlip.training.augment import AugmentConfig
from knowlip.training.engine import Engine
from tests.inference.tiny_model import tiny_model

SIDE = 24
COUNTS = {"train": 20, "test": 10}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that pixels do not tell apart one by one: stripes along rows or columns at any phase, or none."""
    folder, chance = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name, axis in (("columns", 1), ("plain", None), ("rows", 0)):
            for number in range(count):
                wave = 0.0
                if axis is not None:
                    place = np.arange(SIDE) + chance.integers(8)
                    wave = 60 * np.sin(place * np.pi / 4)[:, None] if axis == 0 else 60 * np.sin(place * np.pi / 4)
                pixels = np.clip(chance.normal(120, 25, (SIDE, SIDE)) + wave, 1, 255).astype(np.uint8)
                path = folder / "set" / split / name / f"{number:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    import_dataset(ImportConfig(source=folder / "set", format="folder", out=folder / "data"))
    return folder / "data"


def config(dataset: Path, out: Path, **changes: Any) -> ClassifyConfig:
    settings = {
        "encoder": "random:test_resnet",
        "size": 32,
        "steps": 40,
        "batch_size": 20,
        "learning_rate": 3e-3,
        "accelerator": "cpu",
        "loggers": (),
        "log_every": 10,
    }
    return ClassifyConfig(dataset=dataset, out=out, **{**settings, **changes})


def values(result: dict[str, Any]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in result["rows"]}


def test_a_tile_has_the_class_of_its_annotations_or_none(dataset: Path) -> None:
    data = Dataset(dataset)
    tiles = LabelledTiles.of(data, ("train",), "category")
    assert tiles.tile_ids == data.tiles("train")["tile_id"].to_list()
    assert [name in tile_id for tile_id, name in zip(tiles.tile_ids, tiles.classes)] == [True] * 60
    assert tiles.left_out == 0
    assert LabelledTiles.of(data, ("train",), "type").no_class == 60


def test_two_categories_on_a_tile_are_none(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset(dataset)
    rows = data.annotations()
    first = rows.iloc[[0]].assign(category="other", annotation_id="x")
    monkeypatch.setattr(data, "annotations", lambda: pd.concat([rows, first]))
    found = LabelledTiles.of(data, None, "category")
    assert (len(found.tile_ids), found.no_class, found.several, found.left_out) == (89, 0, 1, 1)


def test_a_linear_probe_learns_the_head_alone(dataset: Path, tmp_path: Path) -> None:
    result = classify(config(dataset, tmp_path / "run", steps=150))
    assert values(result)["top-1, linear probe"] > 0.8
    assert values(result)["top-3, linear probe"] == 1
    saved = load_classifier(tmp_path / "run" / "model")
    assert [name for name, _ in saved.named_parameters()] == ["head.weight", "head.bias"]
    assert saved.classes == ["columns", "plain", "rows"]
    rows = read_results(tmp_path / "run" / "metrics.json").rows
    assert [(row.task, row.split, row.encoder, row.n) for row in rows[:2]] == [
        ("classify", "test", "random:test_resnet", 30)
    ] * 2
    assert rows[0].floor_name in ("majority class", "chip size", "pixels, 1-NN", "HOG")
    assert rows[0].ci is not None
    assert rows[0].ci[0] <= (rows[0].value or 0) <= rows[0].ci[1] + 1e-9


def test_full_fine_tuning_changes_the_encoder_and_is_saved_whole(dataset: Path, tmp_path: Path) -> None:
    augment = AugmentConfig(gain_db=1.0, speckle_looks=10, shift_px=2, flips=0.5)
    result = classify(config(dataset, tmp_path / "run", mode="full", augment=augment, accumulate=2))
    assert values(result)["top-1, fine-tuned"] > 0.8
    saved, fresh = load_classifier(tmp_path / "run" / "model"), open_encoder("random:test_resnet", size=32)
    tiles = torch.randint(0, 256, (2, 32, 32), dtype=torch.uint8)
    assert not torch.allclose(saved.encoder.summary(tiles), fresh.summary(tiles), atol=1e-3)
    probabilities = predict(saved, tiles.numpy())
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))


@pytest.mark.parametrize("views", [2, 8])
def test_what_is_said_is_the_mean_over_orientations(views: int, dataset: Path, tmp_path: Path) -> None:
    classify(config(dataset, tmp_path / "run", mode="full", steps=2, views=views))
    saved = load_classifier(tmp_path / "run" / "model")
    tiles = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    seen = [np.rot90(one, turn, (1, 2)) for one in (tiles, tiles[..., ::-1]) for turn in range(4)]
    seen = seen if views == 8 else [tiles, tiles[:, ::-1, ::-1]]
    expected = np.mean([saved.logits(torch.from_numpy(one.copy())).softmax(-1).detach().numpy() for one in seen], 0)
    np.testing.assert_allclose(predict(saved, tiles).numpy(), expected, atol=1e-6)


def test_a_stopped_run_ends_the_same(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    augment = AugmentConfig(gain_db=1.0, speckle_looks=0, rotations=0.5)
    changes = {"mode": "full", "steps": 8, "checkpoint_every": 3, "augment": augment, "ema": 0.9, "contrast": "chip"}
    classify(config(dataset, tmp_path / "whole", **changes))
    step = task.ClassBatches._step

    def stop(batches: task.ClassBatches, number: int) -> list[LabelledImages]:
        if number == 5:
            raise KeyboardInterrupt
        return step(batches, number)

    with monkeypatch.context() as patch:
        patch.setattr(task.ClassBatches, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            classify(config(dataset, tmp_path / "cut", **changes))
    classify(config(dataset, tmp_path / "cut", **changes))
    one, two = (load_classifier(tmp_path / run / "model").state_dict() for run in ("whole", "cut"))
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())


@pytest.mark.slow
def test_two_processes_train_what_one_does(dataset: Path, tmp_path: Path) -> None:
    changes = {"encoder": "random:test_vit", "mode": "full", "steps": 3, "log_every": 1}
    for run, world, strategy in (("one", 1, "auto"), ("two", 2, "fsdp")):
        classify(config(dataset, tmp_path / run, devices=world, strategy=strategy, **changes))
    one, two = ([json.loads(line)["loss"] for line in (tmp_path / run / "log.jsonl").open()] for run in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert (tmp_path / "two" / "metrics.json").is_file()


def test_other_weights_under_the_same_name_are_another_encoder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, load = config(dataset, tmp_path / "run", encoder="random:test_vit", steps=1), random.load
    classify(run)
    monkeypatch.setattr(random, "load", lambda name, device, size=None: load(name, device, size, 1))
    with pytest.raises(ValueError, match="on other data, or from another model"):
        classify(run)
    with pytest.raises(ValueError, match="learned on other weights than random:test_vit has now"):
        load_classifier(tmp_path / "run" / "model")


def test_a_seed_draws_the_weights_of_a_random_encoder_that_learns(dataset: Path, tmp_path: Path) -> None:
    found = {}
    for mode in ("full", "linear"):
        for seed in (0, 1):
            settings = config(
                dataset, tmp_path / mode, encoder="random:test_vit", mode=mode, seed=seed, cache=tmp_path / "cache"
            )
            found[mode, seed] = task.Classification(settings, Engine(settings)).encoder_sha256
    assert found["full", 0] != found["full", 1]
    assert found["linear", 0] == found["linear", 1] == found["full", 0]


def test_raw_pixels_have_a_probe_but_nothing_to_fine_tune(dataset: Path, tmp_path: Path) -> None:
    result = classify(config(dataset, tmp_path / "run", encoder="pixels:8", size=None))
    assert result["train_tiles"] == 60
    with pytest.raises(ValueError, match="no weights to fine-tune"):
        classify(config(dataset, tmp_path / "full", encoder="pixels:8", size=None, mode="full"))


def test_an_encoder_that_saw_the_measured_tiles_is_refused(dataset: Path, tmp_path: Path) -> None:
    blocks = Dataset(dataset).tiles("test")["block"].to_list()
    card = {"dataset_fingerprint": "other", "train_blocks": blocks[:1]}
    ours = tiny_model(tmp_path / "ours", card=card)
    with pytest.raises(ValueError, match="part of the training"):
        classify(config(dataset, tmp_path / "run", encoder=str(ours), size=None))
    unknown = tiny_model(tmp_path / "unknown")
    result = classify(config(dataset, tmp_path / "run", encoder=str(unknown), size=None, steps=2))
    assert "not known" in result["rows"][0]["note"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "half"}, "mode must be one of linear, full, knn"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"augment": AugmentConfig()}, "augment is for mode full"),
        ({"layer_decay": 0.7}, "layer_decay are for mode full"),
        ({"mode": "full", "layer_decay": 0.7}, "none that learns"),
        ({"contrast": "more"}, "contrast must be stored or chip"),
        ({"head": "probe"}, "probe in mode full"),
        ({"mode": "full", "drop_path": 1.0}, "drop_path must be"),
        ({"ema": 1.0}, "ema from 0"),
        ({"crop_area": 0.0}, "crop_area must be"),
        ({"mode": "full", "views": 3}, "views must be 1, 2, 4 or 8"),
        ({"mode": "linear", "views": 8}, "is for mode full"),
        ({"mode": "knn", "neighbours": 61}, "fewer than 61 neighbours"),
        ({"warmup_epochs": 2, "warmup_steps": 2}, "not both"),
        ({"window": 64, "hide_size": "no"}, "A window hides the size"),
        ({"label": "type"}, "0 classes in the type"),
        ({"batch_size": 64}, "60 training tiles have a class, fewer than one batch of 64"),
        ({"split": "val"}, "No tile of the split 'val'"),
        ({"split": "train"}, "those of train are learned from"),
        ({"encoder": "nothing"}, "no encoder 'nothing'"),
    ],
)
def test_what_cannot_work_is_one_sentence(changes: dict[str, Any], words: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        classify(config(dataset, tmp_path / "run", **changes))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_broken_classifiers_are_refused(dataset: Path, tmp_path: Path) -> None:
    classify(config(dataset, tmp_path / "run", encoder="pixels:8", size=None, steps=1))
    folder = tmp_path / "run" / "model"
    card = json.loads((folder / "classifier.json").read_text())
    for changes, words in (
        ({"format": 9}, "of no format"),
        ({"classes": None}, "lacks a sound"),
        ({"mode": "half"}, "lacks a sound"),
        ({"views": 5}, "lacks a sound"),
        ({"encoder": "pixels:4"}, "does not fit its encoder"),
    ):
        (folder / "classifier.json").write_text(json.dumps({**card, **changes}))
        with pytest.raises(ValueError, match=words):
            load_classifier(folder)
    with pytest.raises(ValueError, match="is not a classifier"):
        load_classifier(tmp_path)


def test_the_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"classify --dataset {dataset} --encoder pixels:8 --out {tmp_path / 'run'} --steps 20 --batch_size 20"
    assert main([*words.split(), "--accelerator", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "60 training tiles, 3 classes" in said
    assert "top-1, linear probe: " in said
    assert "pixels, 1-NN" in said or "HOG" in said or "majority class" in said or "chip size" in said


def test_neighbours_vote_without_a_step_and_are_saved(dataset: Path, tmp_path: Path) -> None:
    result = classify(config(dataset, tmp_path / "run", mode="knn", neighbours=5))
    assert result["steps"] == 0
    assert values(result)["top-1, k-NN"] > 0.6
    saved = load_classifier(tmp_path / "run" / "model")
    assert saved.known_ND.shape == (60, saved.encoder.width)
    assert classify(config(dataset, tmp_path / "run", mode="knn", neighbours=5))["rows"] == result["rows"]
    whole = classify(config(dataset, tmp_path / "many", mode="knn", neighbours=5, batch_size=4000))
    assert whole["rows"] == result["rows"], "where neighbours vote there are no batches that could be too large"
    with pytest.raises(ValueError, match="give --batch_size"):
        classify(config(dataset, tmp_path / "linear", mode="linear", batch_size=4000))


def test_the_average_is_what_is_kept(dataset: Path, tmp_path: Path) -> None:
    changes = {"encoder": "random:test_vit", "mode": "full", "steps": 3, "layer_decay": 0.7, "drop_path": 0.2}
    classify(config(dataset, tmp_path / "last", **changes))
    classify(config(dataset, tmp_path / "mean", ema=0.5, crop_area=0.5, dropout=0.1, warmup_epochs=0.4, **changes))
    fresh = open_encoder("random:test_vit", size=32)
    moved = []
    for run in ("last", "mean"):
        saved = load_classifier(tmp_path / run / "model")
        assert not any(name.startswith(("average", "model")) for name in saved.state_dict())
        pairs = zip(saved.encoder.module.parameters(), fresh.module.parameters())
        moved.append(sum(float((one - other).detach().abs().sum()) for one, other in pairs))
    assert 0 < moved[1] < moved[0], "the average stays behind"
    with pytest.raises(ValueError, match="was made with layer_decay"):
        classify(config(dataset, tmp_path / "last", **{**changes, "layer_decay": 0.8}))


def test_folds_measure_every_tile_once_and_have_rows_together(dataset: Path, tmp_path: Path) -> None:
    assert (BENCH.config, BENCH.run) == (ClassifyConfig, classify)
    folders = [tmp_path / str(fold) for fold in range(3)]
    for fold, folder in enumerate(folders):
        settings = {"encoder": "pixels:8", "size": None, "mode": "knn", "neighbours": 3, "cache": tmp_path / "cache"}
        classify(config(dataset, folder, protocol="random", fold=fold, folds=3, **settings))
    rows = rows_of(folders, "set", "random", "pixels")
    assert (rows[0].metric, rows[0].n, rows[0].split) == ("top-1, k-NN", 90, "random")
    assert all("Copies stand on both sides" in row.note for row in rows)
    pooled = read_predictions(folders, ["tile_id"])
    assert sorted(pooled["tile_id"]) == Dataset(dataset).tiles()["tile_id"].to_list()
    assert rows[0].value == pytest.approx((pooled["class"] == pooled["said"].str[0]).mean())
    assert len(list((tmp_path / "cache").glob("groups-*"))) == 1, "copies are looked for once"
    assert (folders[0] / "pictures" / "confusion.png").is_file()


def test_measured_classes_that_nobody_learned_are_told_in_every_row(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, read = {*Dataset(dataset).tiles("test")["tile_id"]}, Dataset.annotations

    def other(self: Dataset) -> pd.DataFrame:
        table = read(self)
        capital = table["tile_id"].isin(test) & (table["category"] == "rows")
        return table.assign(category=table["category"].mask(capital, "Rows"))

    monkeypatch.setattr(Dataset, "annotations", other)
    result = classify(config(dataset, tmp_path / "run", encoder="pixels:8", size=None, mode="knn", neighbours=3))
    told = "10 measured tiles are of classes without a training tile (Rows): none can be right."
    assert all(told in str(row["note"]) for row in result["rows"] if not str(row["encoder"]).startswith("floor:"))


def test_seeds_together_are_rows_of_the_model_alone(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = [[tmp_path / f"{seed}"] for seed in range(2)]
    for seed, (folder,) in enumerate(seeds):
        classify(config(dataset, folder, encoder="random:test_vit", mode="full", steps=3, seed=seed))
    rows = rows_together(seeds, "set", "test", "vit")
    tables = [read_predictions(folders, ["tile_id"]) for folders in seeds]
    assert {row.encoder for row in rows} == {"vit"}
    assert rows[0].metric == "top-1, fine-tuned, 2 seeds together"
    assert rows[0].note.endswith("Probabilities of 2 trainings averaged.")
    assert rows[0].value == pytest.approx((voted(tables)["said"].str[0] == voted(tables)["class"]).mean())
    assert rows[0].floor == rows_of(seeds[0], "set", "test", "vit")[0].floor
    write_predictions(tables[1].drop(columns="probabilities"), seeds[1][0])
    assert rows_together(seeds, "set", "test", "vit") == ()
    assert "seeds together: no rows" in capsys.readouterr().err


@pytest.mark.parametrize("count", [2, 3])
def test_a_head_begins_as_the_regression_of_scikit_learn(count: int) -> None:
    encoder, chance = open_encoder("pixels:4"), np.random.default_rng(0)
    label = chance.integers(0, count, 120)
    values = chance.normal(3, 2, (120, 16)) + label[:, None]
    head = Classifier(encoder, [str(number) for number in range(count)], "linear")
    head.standardise(torch.from_numpy(values).float())
    head.fit(torch.from_numpy(values).float(), torch.from_numpy(label))
    scaled = (values - values.mean(0)) / values.std(0, ddof=1)
    expected = LogisticRegression(C=1e-3, max_iter=300).fit(scaled, label).predict_proba(scaled)
    found = head.logits(torch.from_numpy(values).float()).softmax(-1).detach()
    np.testing.assert_allclose(found, expected, atol=1e-4)
