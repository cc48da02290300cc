"""Recipes: all that come with the package are valid, and every slip is named."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from knowlip.base.parsing import stage_config
from knowlip.base.recipes import BENCHED, FOLDER, SECTIONS, load_recipe, recipe_for, recipe_names, with_changes
from knowlip.commands import COMMANDS
from knowlip.tasks.runs import find_bench_task

PLACES: dict[str, dict[str, Any]] = {
    "simulate": {"out": "o"},
    "build": {"scenes": ["s"], "out": "o"},
    "annotate": {"dataset": "d"},
    "selfsup": {"dataset": "d", "out": "o"},
    "pretrain": {"dataset": "d", "out": "o"},
    "finetune": {"dataset": "d", "model": "m", "out": "o"},
    "classify": {"dataset": "d", "encoder": "e", "out": "o"},
    "detect": {"dataset": "d", "encoder": "e", "out": "o"},
    "segment": {"dataset": "d", "encoder": "e", "out": "o"},
    "evaluate": {"dataset": "d", "model": "m", "out": "o"},
    "report": {"dataset": "d", "out": "o"},
}


@dataclass
class Size:
    width: int = 4
    free: dict[str, Any] = field(default_factory=dict)


@dataclass
class Settings:
    out: Path
    size: Size = field(default_factory=Size)
    steps: tuple[int, int] | None = None
    rate: float = 0.1


def test_sections_are_commands() -> None:
    assert set(SECTIONS) <= set(COMMANDS)


@pytest.mark.parametrize("name", recipe_names())
def test_every_setting_of_every_recipe_is_known(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe["about"]
    for stage in SECTIONS:
        stage_config(COMMANDS[stage].kind(), recipe.get(stage, {}) | PLACES[stage])
    for task in recipe.keys() & {*BENCHED}:
        stage_config(find_bench_task(task).config, recipe[task] | PLACES["classify"])


@pytest.mark.parametrize("name", recipe_names())
def test_the_header_says_the_command_and_what_to_expect(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    header = "\n".join(line for line in lines if line.startswith("#"))
    commands = (
        "\n# knowlip demo",
        f"\n# knowlip pretrain --recipe {name} ",
        f"--recipe {name}\n",
        f"\n# knowlip selfsup --recipe {name} ",
        f"\n# knowlip classify --recipe {name} ",
        f"\n# knowlip detect --recipe {name} ",
        f"\n# knowlip bench run --recipe {name} ",
    )
    assert any(command in header for command in commands)
    assert "\n# Expect" in header
    assert ("paper" in load_recipe(name)["about"]) == ("paper" in name.split("-"))


PAPER: dict[str, Any] = {
    "model.vision.image_size": 224,
    "model.text.width": 768,
    "model.text.layers": 12,
    "model.text.heads": 12,
    "model.text.mlp_width": 3072,
    "model.text.max_length": 256,
    "model.embed_dim": 256,
    "vocab_size": 30_524,
    "objectives.itc": 1.0,
    "objectives.itm": 1.0,
    "objectives.infill": 1.0,
    "objectives.generation": "infill",
    "objectives.queue": 20_000,
    "objectives.alpha": 0.4,
    "objectives.alpha_epochs": 2.0,
    "objectives.momentum": 0.995,
    "holes.others": 0.0,
    "scio.method": "paper",
    "scio.iterations": 1,
    "scio.policy": "fragment",
    "stage_epochs": (12, 12, 12),
    "stage_steps": None,
    "batch_size": 8 * 32,
    "devices": 8,
    "accumulate": 1,
    "learning_rate": 3e-4,
    "min_learning_rate": 1e-6,
    "warmup_steps": 3000,
    "decay": "paper",
    "weight_decay": 0.05,
    "view_drop": 0.0,
}


@pytest.mark.parametrize(
    ("name", "tower"), [("paper-vit-b", "vit_base_patch16_224"), ("paper-vit-l", "vit_large_patch16_224")]
)
def test_paper_recipes_are_the_papers_setting(name: str, tower: str) -> None:
    recipe = load_recipe(name)
    config = stage_config(COMMANDS["pretrain"].kind(), recipe["pretrain"] | PLACES["pretrain"])
    for setting, value in {**PAPER, "model.vision.name": tower}.items():
        found = config
        for part in setting.split("."):
            found = getattr(found, part)
        assert found == value, setting
    header = (FOLDER / f"{name}.yaml").read_text()
    assert all(flag in header for flag in ("--init.vision", "--init.text", "--vocabulary"))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("classify-paper-table-3", {"learning_rate": 3e-3, "epochs": 100, "optimizer": "adamw", "decay": "cosine"}),
        (
            "classify-paper-repository",
            {
                "size": 512,
                "batch_size": 28,
                "learning_rate": 3e-3,
                "weight_decay": 0.3,
                "warmup_epochs": 30,
                "epochs": 100,
                "label_smoothing": 0.1,
                "dropout": 0.1,
                "layer_decay": 1.0,
                "hide_size": "no",
            },
        ),
    ],
)
def test_paper_recipes_of_classification_are_what_the_paper_says(name: str, settings: dict[str, Any]) -> None:
    given = load_recipe(name)["classify"] | PLACES["classify"]
    config = stage_config(COMMANDS["classify"].kind(), given)
    assert {key: getattr(config, key) for key in settings} == settings
    assert config.mode == "full"


def test_the_resolution_chooses_the_recipe() -> None:
    assert recipe_for([0.2, 1.0, 3.0]) == "demo"
    assert recipe_for([10.0, 10.0, 1.0]) == "sentinel1"
    assert recipe_for([27.0]) == "sentinel1"
    with pytest.raises(ValueError, match=r"No recipe covers scenes of 500\.0 m"):
        recipe_for([500.0])


def test_a_base_says_what_a_recipe_does_not(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: demo\nbuild: {tile_px: 64}\npretrain: {model: {text: {width: 64}}}\n")
    mine, demo = load_recipe(tmp_path / "mine.yaml"), load_recipe("demo")
    assert mine["build"] == demo["build"] | {"tile_px": 64}
    assert mine["pretrain"]["model"]["text"] == demo["pretrain"]["model"]["text"] | {"width": 64}
    assert mine["pretrain"]["model"]["vision"] == demo["pretrain"]["model"]["vision"]
    (tmp_path / "empty.yaml").write_text("base: demo\nevaluate:\n")
    assert load_recipe(tmp_path / "empty.yaml")["evaluate"] == demo["evaluate"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("- a\n- b\n", "must hold one section a stage"),
        ("", "must hold one section a stage"),
        ("build: [1", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("biuld: {tile_px: 3}", "a stage 'biuld', which there is not: choose from simulate, build"),
        ("build: 3", "build must hold settings"),
        ("base: none", "no recipe none"),
        ("base: SELF", "based on itself"),
    ],
)
def test_broken_recipes_are_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content.replace("SELF", str(path)))
    with pytest.raises(ValueError, match=sentence):
        load_recipe(path)


def test_values_become_typed() -> None:
    settings = {"out": "a", "size": {"width": 5, "free": {"depth": 2}}, "steps": [1, 2], "rate": "1e-4"}
    assert stage_config(Settings, settings) == Settings(Path("a"), Size(5, {"depth": 2}), (1, 2), 1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"out": "a", "widht": 3}, r"^Settings: There is no setting widht: choose from out, size, steps, rate\.$"),
        ({"out": "a", "size": {"wdth": 3}}, r"no setting size\.wdth: choose from size\.width, size\.free\.$"),
        ({"out": "a", "size": 3}, r"size is a group of settings, it cannot be 3\.$"),
        (
            {"out": "a", "size": {"width": "x"}},
            r"The setting size\.width does not fit: expected an int\. Got value: x\.$",
        ),
        ({"out": "a", "steps": [1]}, r"The setting steps does not fit: expected tuple\[int, int\] or null\. Got"),
        ({}, r"required: out\.$"),
    ],
)
def test_unfit_settings_are_named_in_one_line(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        stage_config(Settings, settings)
    assert "\n" not in str(caught.value)
    assert "class" not in str(caught.value)


def test_changes_reach_the_deepest_setting() -> None:
    recipe = with_changes(load_recipe("demo"), ["pretrain.stage_steps=[6,3,3]", "pretrain.model.text.width=32"])
    assert recipe["pretrain"]["stage_steps"] == [6, 3, 3]
    assert recipe["pretrain"]["model"]["text"]["width"] == 32
    assert recipe["pretrain"]["model"]["text"]["layers"] == load_recipe("demo")["pretrain"]["model"]["text"]["layers"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("build", "takes STAGE.KEY=VALUE"),
        ("build=3", "takes STAGE.KEY=VALUE"),
        ("build.=3", "takes STAGE.KEY=VALUE"),
        ("bild.tile_px=3", "a stage 'bild', which there is not"),
        ("build.tile_px=[1", "not valid YAML"),
        ("build.tile_px.x=1", "tile_px has a value and no settings of its own"),
    ],
)
def test_unfit_changes_are_refused(change: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        with_changes(load_recipe("demo"), [change])
