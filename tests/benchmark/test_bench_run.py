"""`knowlip bench run` with a task of a few lines: what is pooled, what goes on, what is refused."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowlip.base.files import write_json
from knowlip.base.parsing import stage_config
from knowlip.base.rows import Results, Row, read_results
from knowlip.base.settings import save_config
from knowlip.benchmark import run as bench
from knowlip.benchmark.evaluate import short_name
from knowlip.benchmark.run import BenchRunConfig, over_seeds, weights_sha256
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.tasks.metrics import proportion
from knowlip.tasks.protocols import Division
from knowlip.tasks.runs import METRICS, BenchTask, MeasuredConfig, find_bench_task, write_division
from tests.annotators.tiny_dataset import build_tiny_dataset


@dataclass(kw_only=True)
class ToyConfig(MeasuredConfig):
    """A task that trains nothing."""

    steps: int = 3
    level: float = 0.5


calls: list[tuple[int, int]] = []
"""Seed and fold of each training."""
stop_at: list[tuple[int, int]] = []
forget: list[tuple[int, int]] = []
"""Seed and fold of trainings that measure nothing."""


def toy(config: ToyConfig) -> Mapping[str, Any]:
    if (config.seed, config.fold) in stop_at:
        raise KeyboardInterrupt
    calls.append((config.seed, config.fold))
    rng = np.random.default_rng([config.seed, config.fold])
    config.out.mkdir(parents=True)
    save_config(config.out / "config.yaml", config)
    right = (rng.random(20) < config.level).tolist()
    write_json(config.out / "right.json", {"right": right, "group": [f"{config.fold}-{i // 4}" for i in range(20)]})
    ids = Dataset(config.dataset).tiles()["tile_id"].tolist()
    test = () if (config.seed, config.fold) in forget else tuple(ids[config.fold :: config.folds])
    write_division(config.out, Division(config.protocol, (), test, dict.fromkeys(ids, "")))
    Results((), {"toy": {"fold": config.fold}}, {}, {"train": 2.0}).write(config.out / METRICS)
    return {}


def toy_rows(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    found = [json.loads((folder / "right.json").read_text()) for folder in folders]
    right = [one for part in found for one in part["right"]]
    figure = proportion(right, [one for part in found for one in part["group"]])
    floor = Row(data, split, "toy", "floor:half <b>", "accuracy", 0.5, None, figure.n, 0.5, "half <b>")
    row = Row(data, split, "toy", encoder, "accuracy", figure.value, figure.ci, figure.n, 0.5, "half <b>")
    return row, floor


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's line, with a data set and the toy task in its place."""
    calls.clear()
    stop_at.clear()
    forget.clear()
    monkeypatch.setattr(bench, "find_bench_task", lambda name: BenchTask(ToyConfig, toy, toy_rows))
    data = build_tiny_dataset(tmp_path / "set")
    line = f"bench run --task toy --data {data} --encoder pixels --protocol groups --folds 3 --out {tmp_path / 'runs'}"
    return line.split()


def test_folds_are_pooled_and_seeds_averaged(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--seeds", "2"]) == 0
    assert calls == [(seed, fold) for seed in range(2) for fold in range(3)]
    found = read_results(tmp_path / "runs" / "rows.json")
    row, floor = found.rows
    right = [
        json.loads((tmp_path / "runs" / f"seed-{seed}" / f"fold-{fold}" / "right.json").read_text())["right"]
        for seed in range(2)
        for fold in range(3)
    ]
    assert row.value == pytest.approx(np.mean(right))
    assert row.n == 60, "a seed asks about each once"
    assert row.ci is not None
    assert row.ci[0] < row.value < row.ci[1]
    assert "Mean of 2 seeds from" in row.note
    assert floor.note == "", "a floor knows no seeds"
    assert (row.data, row.split, row.encoder, row.folds) == ("set", "groups", "pixels", 3)
    assert sum(found.seconds.values()) == 12.0
    page = (tmp_path / "runs" / "bench.html").read_text()
    assert "half &lt;b&gt;" in page
    assert "half <b>" not in page
    assert "seed 1" in page


def test_rows_name_the_split_that_was_measured(command: list[str], tmp_path: Path) -> None:
    own = [word if word != "groups" else "own" for word in command]
    for split in ("val", "test"):
        assert main([*own[:-1], str(tmp_path / split), "--settings", f"split={split}"]) == 0
        rows = read_results(tmp_path / split / "rows.json").rows
        assert {(row.split, row.folds) for row in rows} == {(split, 0)}


def test_a_killed_run_goes_on(command: list[str], tmp_path: Path) -> None:
    stop_at.append((0, 1))
    assert main(command) == 130
    assert not (tmp_path / "runs" / "rows.json").exists()
    stop_at.clear()
    assert main(command) == 0
    assert calls == [(0, 0), (0, 1), (0, 2)], "what is finished is read"
    before = (tmp_path / "runs" / "rows.json").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "runs" / "rows.json").read_bytes() == before
    assert main([*command, "--seeds", "2"]) == 0
    assert len(calls) == 6, "more seeds come to those that are there"


@pytest.mark.parametrize(
    "changes",
    [["--settings", "level=0.7"], ["--encoder", "pixels:16"], ["--folds", "4"], ["--protocol", "random"]],
)
def test_other_settings_in_the_same_folder_are_refused(
    command: list[str], changes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    line = [word for pair in zip(command[2::2], command[3::2]) if pair[0] != changes[0] for word in pair]
    assert main(["bench", "run", *line, *changes]) == 2
    assert "use another output folder" in capsys.readouterr().err
    assert len(calls) == 3


def test_another_config_beside_the_same_weights_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, config = tmp_path / "w" / "model.safetensors", tmp_path / "w" / "config.json"
    weights.parent.mkdir()
    weights.write_bytes(b"same")
    config.write_text('{"layer_norm_eps": 1e-6}')
    line = [word if word != "pixels" else f"mae:{weights}" for word in command]
    assert main(line) == 0
    settings = tmp_path / "runs" / "bench.yaml"
    assert "encoder_config_sha256" in settings.read_text()
    (weights.parent / "README.md").write_text("says nothing of how weights are read")
    assert main(line) == 0
    config.write_text('{"layer_norm_eps": 1e-12}')
    assert main(line) == 2
    assert "was made with encoder_config_sha256" in capsys.readouterr().err
    config.unlink()
    assert main(line) == 2
    assert len(calls) == 3, "nothing was trained again"
    # A folder of before that was looked at goes on.
    kept = [one for one in settings.read_text().splitlines() if not one.startswith("encoder_config_sha256")]
    settings.write_text("\n".join(kept) + "\n")
    assert main(line) == 0


@pytest.mark.parametrize("name", ["annotations.parquet", "masks.parquet", "truth.parquet"])
def test_other_labels_of_the_same_tiles_are_refused(
    name: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    with (tmp_path / "set" / name).open("ab") as file:
        file.write(b"more")
    assert main(command) == 2
    assert "was made with labels_sha256" in capsys.readouterr().err


def test_labels_that_change_while_it_runs_are_told(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(config: ToyConfig) -> Mapping[str, Any]:
        found = toy(config)
        if config.fold == 1:
            with (tmp_path / "set" / "annotations.parquet").open("ab") as file:
                file.write(b"more")
        return found

    monkeypatch.setattr(bench, "find_bench_task", lambda name: BenchTask(ToyConfig, changing, toy_rows))
    assert main(command) == 2
    assert "labels_sha256 changed while" in capsys.readouterr().err
    assert calls == [(0, 0), (0, 1)]
    assert not (tmp_path / "runs" / "rows.json").exists()


def test_what_is_read_only_when_measured_may_change_until_then(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(ToyConfig):
        measured_with = ("level",)

    def stopped(config: ToyConfig) -> Mapping[str, Any]:
        config.out.mkdir(parents=True)
        (config.out / "config.yaml").write_text("begun: true")
        raise KeyboardInterrupt

    def going_on(config: ToyConfig) -> Mapping[str, Any]:
        shutil.rmtree(config.out, ignore_errors=True)
        return toy(config)

    monkeypatch.setattr(bench, "find_bench_task", lambda name: BenchTask(Late, stopped, toy_rows))
    assert main([*command, "--settings", "level=0.2"]) == 130
    monkeypatch.setattr(bench, "find_bench_task", lambda name: BenchTask(Late, going_on, toy_rows))
    assert main([*command, "--settings", "level=0.7", "split=val"]) == 2, "another setting binds"
    assert main([*command, "--settings", "level=0.7"]) == 0
    assert main([*command, "--settings", "level=0.9"]) == 2
    assert "task_settings.level = 0.7" in capsys.readouterr().err


def test_runs_that_read_other_items_have_no_rows(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    for fold, said in enumerate(("one", "one", "other")):
        path = tmp_path / "runs" / "seed-0" / f"fold-{fold}" / METRICS
        Results((), {"toy": {}}, {"said_sha256": said}, {}).write(path)
    assert main(command) == 2
    assert "seed-0/fold-2 was made with another said_sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("seed-0/fold-0", "seed-1/fold-0", "run of seed 0, and here 1 belongs"),
        ("seed-0", "seed-1", "run of seed 0, and here 1 belongs"),
        ("other/seed-1/fold-0", "seed-1/fold-0", "run of level 0.9, and here 0.5 belongs"),
    ],
)
def test_runs_that_were_copied_from_elsewhere_are_not_pooled(
    command: list[str], source: str, target: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed copied to make two of it, and a fold of another run: their figures are not those of this one."""
    assert main([*command, "--seeds", "2"]) == 0
    runs, other = tmp_path / "runs", tmp_path / "runs" / "other"
    elsewhere = [str(other) if one == str(runs) else one for one in command]
    assert main([*elsewhere, "--seeds", "2", "--settings", "level=0.9"]) == 0
    shutil.rmtree(runs / target)
    shutil.copytree(runs / source, runs / target)
    capsys.readouterr()
    assert main([*command, "--seeds", "2"]) == 2
    assert why in capsys.readouterr().err


def test_a_finished_run_without_its_settings_is_not_pooled(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    (tmp_path / "runs" / "seed-0" / "fold-1" / "config.yaml").unlink()
    assert main(command) == 2
    assert "lacks its config.yaml" in capsys.readouterr().err


def test_finished_runs_of_other_tiles_have_no_rows(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    for path in (tmp_path / "runs").glob("seed-*/fold-*/metrics.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps({**found, "setup": {"dataset_fingerprint": "another"}}))
    assert main(command) == 2
    assert "other tiles than those of this data set" in capsys.readouterr().err


def test_seeds_of_other_numbers_say_so() -> None:
    one, two = (Row("d", "own", "t", "e", "m", 0.5, (0.4, 0.6), n, None, "") for n in (10, 13))
    (found,) = over_seeds([[one], [two]])
    assert "Of 10 to 13 trials in a seed." in found.note


def test_folds_that_have_not_measured_every_tile_have_no_rows(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget.append((0, 1))
    assert main(command) == 2
    assert "not measured all tiles" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "rows.json").exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (["--settings", "depth=3"], "no setting depth"),
        (["--settings", "seed=3"], "seed is said by bench run itself"),
        (["--settings", "steps"], "NAME=VALUE"),
        (["--settings", "steps=2", "steps.x=3"], "no group of settings"),
        (["--settings", "level.x=1"], "level does not fit"),
        (["--recipe", "demo"], "says nothing about toy"),
        (["--seeds", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    command: list[str], changes: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *changes]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("steps", [0, -5])
@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_a_training_without_a_step_is_refused(task: str, steps: int) -> None:
    with pytest.raises(ValueError, match="steps must be at least 1"):
        stage_config(find_bench_task(task).config, {"dataset": "d", "encoder": "e", "out": "o", "steps": steps})


def test_a_group_where_a_word_should_stand_is_one_sentence() -> None:
    settings = {"dataset": "d", "encoder": "e", "out": "o", "mode": {"x": 1}}
    with pytest.raises(ValueError, match="The setting mode does not fit"):
        stage_config(find_bench_task("classify").config, settings)


def test_settings_that_the_task_refuses_bind_nobody(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(config: ToyConfig) -> Mapping[str, Any]:
        if config.level > 0.9:
            raise ValueError("That is too much.")
        return toy(config)

    monkeypatch.setattr(bench, "find_bench_task", lambda name: BenchTask(ToyConfig, picky, toy_rows))
    assert main([*command, "--settings", "level=0.95"]) == 2
    assert main([*command, "--settings", "level=0.6"]) == 0
    assert main([*command, "--settings", "level=0.5"]) == 2, "what has begun does"


def test_recipe_and_settings_reach_the_task(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("about: x\nclassify: {steps: 7}\n")
    settings = bench._task_settings(
        BenchRunConfig("classify", tmp_path, "pixels", tmp_path, str(tmp_path / "r.yaml"), ("augment.flips=0.5",))
    )
    assert settings == {"steps": 7, "augment": {"flips": 0.5}}


def test_a_figure_that_a_seed_lacks_is_none() -> None:
    row = Row("d", "own", "t", "e", "m", 0.5, (0.4, 0.6), 10, None, "")
    none = Row("d", "own", "t", "e", "m", None, None, 10, None, "", "No interval.")
    (found,) = over_seeds([[row], [none]])
    assert found.value is None
    assert "Only 1 of 2 seeds" in found.note
    (found,) = over_seeds([[row], [Row("d", "own", "t", "e", "m", 0.7, (0.5, 0.8), 10, None, "")]])
    assert (found.value, found.ci) == (pytest.approx(0.6), (pytest.approx(0.45), pytest.approx(0.7)))


def test_tasks_are_found_by_their_files() -> None:
    with pytest.raises(ValueError, match="no task 'os' that bench run can train"):
        find_bench_task("os")


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"a")
    one = weights_sha256(f"timm:vit@{tmp_path / 'w.pth'}")
    (tmp_path / "w.pth").write_bytes(b"b")
    assert one != weights_sha256(f"timm:vit@{tmp_path / 'w.pth'}") != ""
    assert weights_sha256("random:vit_tiny_patch16_224") == ""
    assert weights_sha256(f"mae:{tmp_path / 'w.pth'},heads=4") == weights_sha256(f"timm:vit@{tmp_path / 'w.pth'}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "pytorch_model.bin").write_bytes(b"a")
    before = weights_sha256(f"hf_clip:{tmp_path / 'folder'}")
    (tmp_path / "folder" / "pytorch_model.bin").write_bytes(b"b")
    assert "" != before != weights_sha256(f"hf_clip:{tmp_path / 'folder'}")
    assert short_name(f"mae:{tmp_path / 'w.pth'},heads=4") == "mae:w.pth,heads=4"
