"""Pre-training as a whole: it learns, its revisions are in order, and a killed run ends as if it had not been
killed."""

import json
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knowlip.dataset import Dataset
from knowlip.dataset.figures import read_figures
from knowlip.jobs.store import alone
from knowlip.models import load_model
from knowlip.scio.passes import ScioConfig
from knowlip.tasks.pretrain import pretrain
from knowlip.tasks.vqa import Example, FinetuneConfig, finetune
from knowlip.training.losses import ObjectiveConfig
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.benchmark.numbered import build
from tests.training.runs import annotated, dataset, losses, start, tiny, train

__all__ = ["annotated", "dataset"]


def revisions(dataset: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((dataset / "revisions").glob("*.parquet"))]


def test_three_stages_write_revisions_and_a_model(dataset: Path, tmp_path: Path) -> None:
    result = pretrain(tiny(dataset, tmp_path / "run"))
    log = losses(tmp_path / "run")
    assert [line["step"] for line in log] == list(range(1, 25))
    assert [line["stage"] for line in log] == [1] * 11 + [2] * 6 + [3] * 7  # the line says where training goes on
    assert np.mean([line["infill"] for line in log[-5:]]) < np.mean([line["infill"] for line in log[:5]])
    data = Dataset(dataset)
    assert result["revision"] == 2 == data.revisions()[-1]
    raw, screened, rewritten = (data.texts(number) for number in (0, 1, 2))
    assert set(screened["decision"]) == {"kept", "screened"}
    assert (screened["text"] == raw["text"]).all()
    noisy = screened["decision"] == "screened"
    assert set(rewritten.loc[noisy, "decision"]) <= {"rewritten", "rejected", "kept"}
    assert (rewritten.loc[~noisy, "text"] == raw.loc[~noisy, "text"]).all()
    assert (
        rewritten.loc[rewritten["decision"] == "rejected", "text"]
        == raw.loc[rewritten["decision"] == "rejected", "text"]
    ).all()
    assert ((screened["noise"] > screened["margin"]) == noisy).all()
    assert ((screened["delta_itc"] < 0) & (screened["delta_itm"] > 0))[noisy].all()
    assert np.isfinite(screened["delta_itc"]).all()
    assert read_figures(dataset, 1)["screened"] == noisy.sum()
    assert read_figures(dataset, 2)["candidates"] == noisy.sum()
    model = load_model(tmp_path / "run" / "model")
    assert model.card["dataset_fingerprint"] == data.fingerprint
    assert model.card["train_blocks"] == ["b0"]
    assert sum(model.card["epoch_rows"].values()) == pytest.approx(16, abs=0.5), "two batches of eight"
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    again = pretrain(tiny(dataset, tmp_path / "run"))
    assert again["steps"] == 24
    assert again["last"]["loss"] == result["last"]["loss"]
    with pytest.raises(ValueError, match=r"batch_size = 8, now it is 4"):
        pretrain(tiny(dataset, tmp_path / "run", batch_size=4))


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_losses_texts_and_weights(annotated: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        shutil.copytree(annotated, folder / "dataset")
    [uninterrupted] = start(tiny(whole / "dataset", whole / "run"))
    uninterrupted.join()
    assert uninterrupted.exitcode == 0
    config = tiny(killed / "dataset", killed / "run")
    for stop_at in (8, 15):  # before SCIO, and between screening and reconstruction
        [process] = start(config)
        log = killed / "run" / "log.jsonl"
        while process.is_alive() and not (log.is_file() and len(log.read_text().splitlines()) >= stop_at):
            time.sleep(0.002)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"
    assert train(config) == [0]
    assert losses(killed / "run") == losses(whole / "run")
    assert revisions(killed / "dataset") == revisions(whole / "dataset")
    weights = [(folder / "run" / "model" / "model.safetensors").read_bytes() for folder in (whole, killed)]
    assert weights[0] == weights[1]
    leftovers = [path for path in killed.rglob("*") if path.name.endswith((".part", ".old"))]
    assert not [path for path in leftovers if "cache" not in path.parts]


def test_the_log_says_what_the_image_adds_and_nothing_else_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = build(tmp_path / "dataset", revisions=False)
    for name, every in (("run", 4), ("unseen", 0)):
        changes: dict[str, object] = {"look_every": every, "look_tiles": 6, "log_every": 2, "stage_steps": (6, 0, 0)}
        pretrain(tiny(data.path, tmp_path / name, **changes))
    assert losses(tmp_path / "run") == losses(tmp_path / "unseen")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "gain.marine" in line] == [4, 6]
    gains = [value for name, value in lines[-1].items() if name.startswith("gain.marine.")]
    assert len(gains) == 8
    assert lines[-1]["gain.marine"] == pytest.approx(np.mean(gains))
    said = capsys.readouterr().err
    assert "image gain marine " in said
    assert "No val tile is of the set terrain" in said
    with pytest.raises(ValueError, match="look_every"):
        tiny(data.path, tmp_path / "run", look_every=-1)


def test_two_runs_on_one_data_set_do_not_mix_their_texts(dataset: Path, tmp_path: Path) -> None:
    first = pretrain(tiny(dataset, tmp_path / "a"))
    second = pretrain(tiny(dataset, tmp_path / "b", seed=1))
    data = Dataset(dataset)
    assert (first["revision"], second["revision"]) == (2, 4)
    for number in (2, 4):
        runs = set(data.texts(number)["run"])
        assert len({run.rsplit("-", 1)[0] for run in runs if run != "annotate"}) == 1


def test_screening_and_rewriting_again_with_noise_out_of_all_texts(dataset: Path, tmp_path: Path) -> None:
    settings = ScioConfig(
        iterations=2, evidence="all", threshold=0.12, calibration_tiles=8, max_new_tokens=8, noise="all", policy="whole"
    )
    result = pretrain(tiny(dataset, tmp_path / "run", stage_steps=(6, 2, 2), scio=settings))
    assert [line["stage"] for line in losses(tmp_path / "run")] == [1] * 5 + [2] * 2 + [3] * 2 + [4] * 2 + [5] * 3
    assert result["revision"] == 4
    assert all((tmp_path / "run" / f"scio-stage{stage}.json").is_file() for stage in (2, 3, 4, 5))


def test_what_cannot_work_is_refused(dataset: Path, tmp_path: Path) -> None:
    readout = replace(tiny(dataset, tmp_path).model, readout=True)
    for changes, sentence in (
        ({"batch_size": 1}, "at least 2"),
        ({"batch_size": 64}, "fewer than one batch"),
        ({"stage_steps": (0, 1, 1)}, "Stage 1 needs"),
        ({"vocabulary": tmp_path / "no.txt"}, "does not exist"),
        ({"model": readout}, "Nothing teaches the readout"),
        ({"objectives": ObjectiveConfig(ground_from="truth")}, "has no truth: set objectives.ground_from"),
        ({"objectives": ObjectiveConfig(closed={"count": 6.0})}, "weighs what objectives.ground teaches"),
        (
            {"model": readout, "objectives": ObjectiveConfig(ground=1.0, closed={"number": 6.0})},
            "readout answers no question number",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            pretrain(tiny(dataset, tmp_path / "run", **changes))
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    bare = build_tiny_dataset(tmp_path / "bare")
    with pytest.raises(ValueError, match="annotat"):
        pretrain(tiny(bare, tmp_path / "run"))


def test_a_broken_checkpoint_is_named(dataset: Path, tmp_path: Path) -> None:
    pretrain(tiny(dataset, tmp_path / "run", stage_steps=(4, 0, 0)))
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read"):
        pretrain(tiny(dataset, tmp_path / "run", stage_steps=(4, 0, 0)))


def test_fine_tuning_learns_answers_and_refuses_strangers(dataset: Path, tmp_path: Path) -> None:
    pretrain(tiny(dataset, tmp_path / "run", stage_steps=(4, 0, 0)))
    tile_ids = Dataset(dataset).tiles()["tile_id"].to_list()
    examples = [Example(tile_id, "is there water?", "yes") for tile_id in tile_ids]
    config = FinetuneConfig(
        dataset=dataset,
        model=tmp_path / "run" / "model",
        out=tmp_path / "tuned",
        steps=80,
        batch_size=8,
        learning_rate=3e-3,
        accelerator="cpu",
        checkpoint_every=7,
    )
    result = finetune(config, examples)
    model = load_model(result["model"])
    pixels = model.prepare([Dataset(dataset).image(tile_ids[0])])
    tokens, _ = model.encode_images(pixels)
    assert model.generate(tokens, ["is there water?"], 8) == ["yes"]
    assert model.card["finetuned_on"] == "questions"
    with pytest.raises(ValueError, match="other questions"):
        finetune(config, examples[1:])
    for bad, sentence in (([], "no questions"), ([Example("nowhere", "?", "yes")], "not in the training split")):
        with pytest.raises(ValueError, match=sentence):
            finetune(FinetuneConfig(dataset=dataset, model=config.model, out=tmp_path / "none"), bad)
        assert not (tmp_path / "none").exists()


def test_two_trainings_at_once_do_not_share_a_folder(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with (
        alone(out / "lock", "busy"),
        pytest.raises(ValueError, match=f"Another process trains in {out}: let it end"),
    ):
        pretrain(tiny(dataset, out))
    assert not (out / "config.yaml").exists()
