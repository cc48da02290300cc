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
from knowlip.benchmark.efficiency import operations
from knowlip.benchmark.suite.command import SuiteConfig, read_speed, suite
from knowlip.models.encoders import encoder_kinds, open_encoder
from knowlip.models.flops import _image_tower, vision_sizes
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.benchmark.numbered import build
from tests.models.encoders.examples import tiny_encoders
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


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the suite, run."""
    folder = tmp_path_factory.mktemp("smoke")
    (folder / "encoders").mkdir()
    models = {
        label: {"encoder": name} if size is None else {"encoder": name, "size": size}
        for label, (name, size) in tiny_encoders(folder / "encoders").items()
    }
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
    suite(SuiteConfig(folder / "smoke.yaml", folder / "out"))
    return folder


def test_every_task_and_every_encoder_is_tried(found: Path) -> None:
    results = read_results(found / "out" / "rows.json")
    cells: Any = results.details["suite"]["cells"]
    kinds = {str(open_name).partition(":")[0] for open_name in _names(found)}
    assert kinds >= encoder_kinds().keys() - {"knowlip"}, "give the new kind an example: tests/models/encoders"
    assert not [one for one in cells if one["state"] == "failed"]
    apart = {(one["model"], one["task"]) for one in cells if one["state"] == "does not apply"}
    assert not {task for model, task in apart if model == "ours"}, "ours does everything"
    assert {("pixels", "detect"), ("pixels", "whole"), ("random", "vqa")} <= apart
    assert not {task for _, task in apart} & {"classify", "neighbours"}, "any encoder can be classified with"
    done = [one for one in cells if one["state"] == "done"]
    assert all(one["rows"] and one["config"] for one in done)
    assert {(row.encoder, row.task) for row in results.rows} >= {
        *(("ours", name) for name in (*TRAINED, *MEASURED)),
        *((model, name) for model in ("random", "timm") for name in ("classify", "detect", "segment")),
    }


def _names(folder: Path) -> list[str]:
    return [model["encoder"] for model in yaml.safe_load((folder / "smoke.yaml").read_text())["models"].values()]


def test_what_encoders_cost_is_counted(found: Path) -> None:
    speed = read_speed(found / "out")
    vit = open_encoder("random:test_vit", size=64)
    assert speed["random"].parameters == sum(one.numel() for one in vit.module.parameters())
    assert speed["random"].ratio == 1.0
    assert speed["random"].baseline == "random"
    assert speed["pixels"].parameters == 0
    flops, _ = operations(vit)
    # By hand from shapes (knowlip.models.flops), whose convention is PyTorch's.
    assert flops == pytest.approx(_image_tower(vision_sizes(vit.module), 1), rel=0.02)
