"""Self-supervised pre-training: what each method learns, what it must not see, one result whatever interrupts it."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from knowlip.base.documents import read_json
from knowlip.benchmark.run import BenchRunConfig, bench_run
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.models.encoders import open_encoder
from knowlip.tasks.classify import ClassifyConfig, classify
from knowlip.tasks.selfsup import task
from knowlip.tasks.selfsup.run import TASKS, selfsup
from knowlip.tasks.selfsup.settings import METHODS, DinoConfig, MaeConfig, MocoConfig, SelfSupConfig
from knowlip.tasks.selfsup.task import TileViews
from knowlip.tasks.selfsup.watch import effective_rank
from knowlip.training.augment import AugmentConfig
from knowlip.training.views import ViewConfig
from tests.tasks.selfsup_runs import chips, config

STILL = AugmentConfig(gain_db=0, speckle_looks=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chips(tmp_path_factory.mktemp("chips"))


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps."""
    out = tmp_path_factory.mktemp("runs") / "mae"
    selfsup(config(dataset, out, knn_every=4))
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return open_encoder(out / "model").module.state_dict()


def losses(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    timed = ("_per_s", "data_wait", "memory_gb", "mfu")
    return [{key: value for key, value in line.items() if not key.endswith(timed)} for line in lines]


@pytest.mark.parametrize("method", TASKS)
def test_a_stopped_run_ends_the_same(
    method: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"method": method, "checkpoint_every": 2, "knn_every": 2, "cache": tmp_path / "cache"}
    selfsup(config(dataset, tmp_path / "whole", **changes))
    step = task.ViewBatches._step

    def stop(batches: task.ViewBatches, number: int) -> list[TileViews]:
        if number == 5:
            raise KeyboardInterrupt
        return step(batches, number)

    with monkeypatch.context() as patch:
        patch.setattr(task.ViewBatches, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            selfsup(config(dataset, tmp_path / "cut", **changes))
    selfsup(config(dataset, tmp_path / "cut", **changes))
    one, two = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert one == two
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("method", TASKS)
def test_two_processes_train_what_one_does(method: Any, dataset: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": method, "steps": 3, "log_every": 1, "cache": tmp_path / "cache"}
    selfsup(config(dataset, tmp_path / "one", **settings))
    selfsup(config(dataset, tmp_path / "two", devices=2, **settings))
    one, two = ([line["loss"] for line in losses(tmp_path / run)] for run in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=2e-4)
    tiles = torch.randint(1, 256, (4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    said = [open_encoder(tmp_path / run / "model").summary(tiles) for run in ("one", "two")]
    torch.testing.assert_close(said[1], said[0], rtol=1e-2, atol=2e-3)


@pytest.mark.slow
def test_an_autoencoder_learns_more_than_the_mean_of_a_patch(tmp_path: Path) -> None:
    clear, views = chips(tmp_path, depth=0.6, looks=4), ViewConfig(area=(1.0, 1.0), augment=STILL)
    changes = {"steps": 150, "learning_rate": 3e-3, "log_every": 50, "beta2": 0.95, "views": views}
    selfsup(config(clear, tmp_path / "run", mae=MaeConfig(mask=0.5, width=32, depth=1, heads=2), **changes))
    last = losses(tmp_path / "run")[-1]
    assert last["loss"] < 0.9 * last["patch_mean"]


@pytest.mark.slow
def test_contrast_knows_a_view_of_the_same_tile(dataset: Path, tmp_path: Path) -> None:
    views = ViewConfig(area=(0.3, 1.0), augment=AugmentConfig(gain_db=6.0, speckle_looks=0, flips=0, rotations=0))
    moco = MocoConfig(width=64, embed_dim=32, momentum=0.9)
    changes = {"steps": 160, "batch_size": 32, "learning_rate": 2e-3, "log_every": 20}
    selfsup(config(dataset, tmp_path / "run", method="moco", moco=moco, views=views, **changes))
    last = losses(tmp_path / "run")[-4:]
    chance = 2 * 2 * moco.temperature * math.log(32)  # of who takes any of a batch
    assert np.mean([line["loss"] for line in last]) < 0.98 * chance
    assert min(line["spread"] for line in last) > 0.5, "and nothing has collapsed"


@pytest.mark.slow
def test_distillation_raises_the_neighbours_above_a_random_tower(dataset: Path, tmp_path: Path) -> None:
    views = ViewConfig(area=(0.3, 1.0), augment=AugmentConfig(gain_db=6.0, speckle_looks=0, flips=0, rotations=0))
    sizes = {"local_views": 2, "local_px": 16, "prototypes": 64, "hidden": 64, "bottleneck": 32}
    dino = DinoConfig(**sizes, momentum=0.9, freeze_prototypes=0.05)
    changes = {"steps": 60, "batch_size": 32, "learning_rate": 1e-3, "log_every": 20, "knn_every": 40}
    result = selfsup(config(dataset, tmp_path / "run", method="dino", dino=dino, views=views, **changes))
    last = losses(tmp_path / "run")[-1]
    assert result["curve"]["knn"] > result["curve"]["random_init"]["knn"]
    assert last["prototypes"] > 1.5
    assert last["teacher_entropy"] < 0.98


# ---- what is left behind --------------------------------------------------------------------------------------------


def test_the_tower_is_a_folder_that_opens_as_an_encoder(run: Path, dataset: Path) -> None:
    encoder = open_encoder(run / "model")
    assert (encoder.width, encoder.prefix, encoder.pixels.size) == (64, 1, 32)
    tiles = torch.randint(1, 256, (2, 40, 40), dtype=torch.uint8)
    tokens = encoder.tokens(tiles)
    assert tokens.shape == (2, 17, 64)
    torch.testing.assert_close(encoder.summary(tiles), tokens[:, 1:].mean(1))  # of a masked autoencoder
    assert encoder.card.dataset_fingerprint == Dataset(dataset).fingerprint
    assert set(encoder.card.train_blocks) == set(Dataset(dataset).tiles("train")["block"])
    assert open_encoder(run / "model", size=64).tokens(tiles).shape == (2, 65, 64)
    assert torch.equal(open_encoder(f"vision:{run / 'model'}").summary(tiles), encoder.summary(tiles))


def test_timm_opens_the_folder_too(run: Path) -> None:
    theirs = timm.create_model(f"local-dir:{run / 'model'}", pretrained=True).eval()
    pixels = torch.rand(2, 1, 32, 32)
    ours = open_encoder(run / "model").module
    torch.testing.assert_close(theirs.forward_features(pixels), ours.forward_features(pixels))  # type: ignore[operator]


def test_it_starts_another_training(run: Path, dataset: Path, tmp_path: Path) -> None:
    hardly = {"steps": 1, "learning_rate": 1e-9, "min_learning_rate": 0.0}
    selfsup(config(dataset, tmp_path / "next", init=str(run / "model"), **hardly))
    before, after = weights(run), weights(tmp_path / "next")
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=1e-4, atol=1e-5)
    saved: Any = read_json(tmp_path / "next" / "model" / "config.json")
    assert saved["knowlip"]["card"]["weights"]["vision"]["loaded"] > 10


def test_it_is_measured_on_what_it_did_not_see_alone(run: Path, dataset: Path, tmp_path: Path) -> None:
    encoder = str(run / "model")
    settings: dict[str, Any] = {"steps": 2, "batch_size": 16, "accelerator": "cpu", "loggers": ()}
    result = classify(ClassifyConfig(dataset=dataset, encoder=encoder, out=tmp_path / "own", **settings))
    assert result["rows"][0]["note"] == ""
    with pytest.raises(ValueError, match="part of the training"):
        classify(
            ClassifyConfig(dataset=dataset, encoder=encoder, out=tmp_path / "groups", protocol="groups", **settings)
        )


def test_a_fold_that_is_measured_is_left_out(dataset: Path, tmp_path: Path) -> None:
    selfsup(config(dataset, tmp_path / "fold", protocol="groups", fold=1, knn_every=2))
    settings: dict[str, Any] = {"mode": "knn", "protocol": "groups", "accelerator": "cpu", "loggers": ()}
    encoder = str(tmp_path / "fold" / "model")
    measured = classify(ClassifyConfig(dataset=dataset, encoder=encoder, out=tmp_path / "one", fold=1, **settings))
    assert measured["rows"][0]["note"] == ""
    start: Any = read_json(tmp_path / "fold" / "knn.json")
    assert start["asked"] == measured["rows"][0]["n"]
    with pytest.raises(ValueError, match="part of the training"):
        classify(ClassifyConfig(dataset=dataset, encoder=encoder, out=tmp_path / "two", fold=0, **settings))


def test_bench_run_takes_the_folder(run: Path, dataset: Path, tmp_path: Path) -> None:
    settings = BenchRunConfig(
        task="classify",
        data=dataset,
        encoder=str(run / "model"),
        out=tmp_path / "bench",
        protocol="own",
        settings=("mode=knn", "accelerator=cpu"),
    )
    assert bench_run(settings)["rows"]


# ---- the curve and the pictures -------------------------------------------------------------------------------------


def test_the_log_has_a_curve_with_floors_and_pictures(run: Path) -> None:
    start: Any = read_json(run / "knn.json")
    assert (start["asked"] + start["copies_left_out"], start["neighbours"], start["classes"]) == (60, 160, 4)
    assert set(start["floors"]) == {"majority class", "pixels, 1-NN"}
    assert start["floors"]["majority class"] == pytest.approx(0.25, abs=0.1)
    lines = losses(run)
    assert [line["step"] for line in lines if "knn" in line] == [4, 6]
    assert 0 <= lines[-1]["knn"] <= 1
    names = {path.name for path in (run / "pictures").iterdir()}
    assert {"knn.png", "step-000000.png", "step-000006.png"} <= names


def test_the_rank_is_that_of_the_directions() -> None:
    assert effective_rank(torch.ones(6, 4)) == 1
    line = torch.outer(torch.randn(8, generator=torch.Generator().manual_seed(0)), torch.ones(5))
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(4)


def test_without_classes_there_is_no_curve_and_it_says_so(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = selfsup(config(dataset, tmp_path / "run", steps=2, knn_every=1, label="type"))
    assert "The log has no curve of neighbours: 0 tiles" in capsys.readouterr().err
    assert result["curve"]["knn"] is None
    assert "rank" in losses(tmp_path / "run")[-1]


# ---- what cannot work -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 500}, "160 training tiles by the protocol own, fewer than one batch of 500"),
        ({"init": "nowhere.pth"}, "nowhere.pth does not exist"),
        ({"positions": "sincos", "init": "x"}, "positions sincos would replace"),
        ({"method": "simclr"}, "method must be one of mae, moco, jepa, dino"),
        ({"steps": 0}, "epochs and steps must be at least 1"),
        ({"beta2": 1.0}, "beta2 must be from 0 up to but below 1"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], words: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        selfsup(config(dataset, tmp_path / "run", **changes))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_broken_folder_ends_with_a_sentence(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "model", tmp_path / "model"))
    good = (folder / "config.json").read_text()
    for old, new, words in (
        ('"embed_dim": 64', '"embed_dim": 32', "has shape"),
        ('"depth": 2', '"depth": "x"', "depth must be"),
        ('"format": 1', '"format": 9', "reads format 1"),
        ('"pool": "avg"', '"pool": "max"', "pool is one of"),
    ):
        assert old in good
        (folder / "config.json").write_text(good.replace(old, new))
        with pytest.raises(ValueError, match=words):
            open_encoder(folder)


def test_the_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vision = ["--vision.name", "test_vit", "--vision.image_size", "32"]
    decoder = ["--mae.width", "32", "--mae.depth", "1", "--mae.heads", "2"]
    arguments = ["selfsup", "--method", "mae", "--dataset", str(dataset), "--out", str(tmp_path / "run"), *vision]
    assert main([*arguments, *decoder, "--steps", "2", "--accelerator", "cpu", "--batch_size", "8"]) == 0
    assert "mae on 160 tiles, 2 steps" in capsys.readouterr().out
    assert SelfSupConfig(dataset=dataset, out=tmp_path).method in METHODS
