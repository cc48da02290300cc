"""The smoke recipe: every task that learns or measures, with every kind of encoder, on tiny data. No cell of a table is
code that nobody ran."""

from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from knowlip.base.rows import read_results
from knowlip.benchmark import efficiency
from knowlip.benchmark.efficiency import operations
from knowlip.benchmark.leaderboard import LeaderboardConfig, leaderboard
from knowlip.benchmark.leaderboard.boards import is_model
from knowlip.benchmark.leaderboard.sources import read_sources
from knowlip.benchmark.leaderboard.trials import NoTrials, mean_of_seeds
from knowlip.benchmark.suite.command import SuiteConfig, read_speed, suite
from knowlip.models.encoders import encoder_kinds, open_encoder
from knowlip.models.flops import _image_tower, vision_sizes
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.benchmark.numbered import build
from tests.models.encoders.examples import OWN, tiny_encoders
from tests.tasks.test_detect import HEAD, coco_set
from tests.tiles.test_imports import picture, voc

TASKS = sorted(path.name.removesuffix(".py") for path in files("knowlip.tasks").iterdir() if path.name.endswith(".py"))
TRAINED = [name for name in TASKS if hasattr(import_module(f"knowlip.tasks.{name}"), "BENCH")]
MEASURED = [name for name in TASKS if hasattr(import_module(f"knowlip.tasks.{name}"), "measure")]
WITH_TEXTS = ("retrieve", "caption", "vqa")
SMALL: dict[str, Any] = {"steps": 1, "batch_size": 2, "workers": 0, "loggers": [], "accelerator": "cpu"}
DATA = {"classify": "classes", "detect": "boxes", "segment": "masks", **dict.fromkeys(WITH_TEXTS, "ships")}
SETTINGS: dict[str, dict[str, Any]] = {
    "classify": {"mode": "linear"},
    "detect": {"detector": HEAD, "validation_share": 0.0, "validate_every": 1, "size": 64},
    "segment": {"mode": "frozen", "crop": 32},
    "retrieve": {"rerank_queries": 2},
    "caption": {"max_tokens": 20},
}
"""What makes a training of the task short; of a new task the defaults must do."""


def classes(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for level, name in ((60, "dark"), (180, "light")):
            for number in range(count):
                path = folder / "in" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(level - 50, level + 50, (24, 24)).astype(np.uint8)).save(path)
    import_dataset(ImportConfig(source=folder / "in", format="folder", out=folder / "set"))
    return folder / "set"


def masks(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(8):
        mask = np.kron(rng.integers(0, 2, (2, 2)), np.ones((16, 16))).astype(np.uint8)
        name = f"{'test' if number > 5 else 'train'}-{number}.png"
        Image.fromarray((40 + 80 * mask + rng.integers(0, 20, mask.shape)).astype(np.uint8)).save(
            folder / "images" / name
        )
        Image.fromarray(mask).save(folder / "masks" / name)
    labels: dict[str, Any] = {"images": Path("images"), "masks": Path("masks"), "test_names": "test"}
    import_dataset(ImportConfig(folder, "mask", folder / "set", mask_classes=["0=water", "1=land"], **labels))
    return folder / "set"


def ships(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    for number in range(12):
        picture(folder / "in" / "images" / f"{number:03d}.png", number, (64, 64))
        boxes = [(x, y, x + 8, y + 6) for x, y in rng.uniform(0, 55, (number % 4, 2)).tolist()]
        labels = folder / "in" / "labels" / f"{number:03d}.xml"
        voc(labels, (64, 64), *boxes)
        labels.write_text(labels.read_text().replace("<difficult>1", "<difficult>0"))
    config = ImportConfig(folder / "in", out=folder / "set", format="voc", test_endings="3,6,9", voc_corners="edges")
    import_dataset(config)
    return folder / "set"


def smoke(folder: Path) -> None:
    """Run the suite in a folder."""
    (folder / "encoders").mkdir()
    models: dict[str, dict[str, Any]] = {}
    for label, (name, size) in tiny_encoders(folder / "encoders").items():
        models[label] = {"encoder": name} if size is None else {"encoder": name, "size": size}
        if label not in OWN:  # what reads no texts gives the sentence of `pixels` in all other tasks
            models[label]["tasks"] = ["classify", "detect", "segment", "zero-shot retrieve"]
    build(folder / "texts")
    limits = {"rerank_queries": 2, "questions_per_type": 3, "captions": 2, "max_new_tokens": 4, "looking_tiles": 4}
    recipe = {
        "about": "every task with every encoder",
        "baseline": "random",
        "data": {
            "classes": str(classes(folder / "classes")),
            "boxes": str(coco_set(folder / "boxes", 12, 0)),
            "masks": str(masks(folder / "masks")),
            "ships": str(ships(folder / "ships")),
            "texts": str(folder / "texts"),
        },
        "models": models,
        "tasks": {
            **{name: {"data": [DATA[name]], "settings": SMALL | SETTINGS.get(name, {})} for name in TRAINED},
            "neighbours": {
                "task": "classify",
                "data": ["classes"],
                "settings": SMALL | {"mode": "knn", "neighbours": 3},
            },
            "whole": {"task": "classify", "data": ["classes"], "settings": SMALL | {"mode": "full"}},
            **{
                f"zero-shot {name}": {"evaluate": [name], "data": ["texts"], "settings": {"limits": limits}}
                for name in MEASURED
            },
        },
    }
    (folder / "smoke.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficiency, "_LEAST_SECONDS", 0.0)
        assert suite(SuiteConfig(folder / "smoke.yaml", folder / "out"))["failed"] == {}


def test_every_task_with_every_encoder(tmp_path: Path) -> None:
    """In one test, so that one process runs the suite once."""
    assert {*TRAINED} <= DATA.keys(), "give the new task a data set to learn from, above"
    smoke(tmp_path)
    everything_is_tried(tmp_path)
    what_is_made_of_a_set_is_shared(tmp_path)
    costs_are_counted(tmp_path)
    figures_drawn_anew_are_those_of_the_rows(tmp_path)
    a_leaderboard_is_made_of_it(tmp_path, tmp_path / "board")


def everything_is_tried(found: Path) -> None:
    results = read_results(found / "out" / "rows.json")
    cells: Any = results.details["suite"]["cells"]
    kinds = {str(open_name).partition(":")[0] for open_name in _names(found)}
    assert kinds >= encoder_kinds().keys() - {"knowlip"}, "give the new kind an example: tests/models/encoders"
    assert not [one for one in cells if one["state"] == "failed"]
    apart = {(one["model"], one["task"]) for one in cells if one["state"] == "does not apply"}
    assert not {task for model, task in apart if model == "ours"}, "ours does everything"
    assert {("pixels", "detect"), ("pixels", "whole"), ("random", "vqa")} <= apart
    assert not {model for model, task in apart if task == "classify"}, "any encoder can be classified with"
    done = [one for one in cells if one["state"] == "done"]
    assert all(one["rows"] and one["config"] for one in done)
    assert {(row.encoder, row.task) for row in results.rows} >= {
        *(("ours", name) for name in (*TRAINED, *MEASURED)),
        *((model, name) for model in ("random", "timm") for name in ("classify", "detect", "segment")),
    }


def figures_drawn_anew_are_those_of_the_rows(found: Path) -> None:
    """A bootstrap of what a leaderboard compares, with every trial once, is the figure in the row."""
    seen = set()
    for told in read_sources([found / "out"]).rows:
        if told.runs and told.row.value is not None and is_model(told.row):
            try:
                trials = mean_of_seeds(told.row, told.runs)
            except NoTrials:
                continue
            (value,) = trials.figure(np.ones((1, len(trials.ids))))
            assert value == pytest.approx(told.row.value, abs=1e-6), told.row.name
            seen.add((told.row.task, told.row.metric.split(",")[0]))
    assert seen >= {
        *(("classify", "top-1"), ("detect", "AP50"), ("detect", "AP"), ("segment", "mIoU"), ("segment", "OA")),
        *(("retrieve", "mean recall"), ("retrieve", "image to text R@1"), ("vqa", "mean accuracy")),
    }


def a_leaderboard_is_made_of_it(found: Path, out: Path) -> None:
    told = leaderboard(LeaderboardConfig([found / "out"], out))
    assert {one["board"].split(" on ")[0] for one in told["boards"]} >= {*TRAINED}
    page = (out / "leaderboard.html").read_text()
    assert all(f"<h3>{task} on " in page for task in (*TRAINED, *MEASURED))
    assert page.count("<img src=") > 4, "tiles by several models"
    assert "Efficiency" in page
    assert "no absolute positions" in page, "a cell that does not apply says why"
    assert "By sensor and resolution" in page


def _names(folder: Path) -> list[str]:
    return [model["encoder"] for model in yaml.safe_load((folder / "smoke.yaml").read_text())["models"].values()]


def what_is_made_of_a_set_is_shared(found: Path) -> None:
    assert any((found / "out" / "cache" / "classes").iterdir())
    assert not list((found / "out" / "cells").rglob("cache"))


def costs_are_counted(found: Path) -> None:
    speed = read_speed(found / "out")
    vit = open_encoder("random:test_vit", size=64)
    assert speed["random"].parameters == sum(one.numel() for one in vit.module.parameters())
    assert speed["random"].ratio == 1.0
    assert speed["random"].baseline == "random"
    assert speed["pixels"].parameters == 0
    flops, _ = operations(vit)
    # By hand from shapes (knowlip.models.flops), whose convention is PyTorch's.
    assert flops == pytest.approx(_image_tower(vision_sizes(vit.module), 1), rel=0.02)
