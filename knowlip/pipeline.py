"""The whole way in one call: simulate, build, annotate, pre-train, fine-tune, evaluate, report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.left_out import is_left_out
from knowlip.base.progress import say
from knowlip.base.recipes import load_recipe, recipe_for, with_changes
from knowlip.base.rows import Results
from knowlip.base.settings import plain
from knowlip.benchmark.table import print_table
from knowlip.commands import COMMANDS
from knowlip.models.default import shipped_model
from knowlip.models.hub import CARD


@dataclass(frozen=True)
class DemoConfig:
    """What the whole way starts from."""

    scenes: list[Path] = field(default_factory=list)
    """Your own scenes, files or folders; simulated ones otherwise."""
    recipe: str | None = None
    """Recipe name or YAML file; chosen by the scenes' resolution where not given."""
    out: Path = Path("demo")
    """Output folder; a stopped run goes on there."""
    set: list[str] = field(default_factory=list)
    """Changes over the recipe, STAGE.KEY=VALUE, e.g. pretrain.batch_size=16."""


def demo(config: DemoConfig) -> Results:
    """Run every stage and print what came out.

    Returns:
        The results, also written to `out/metrics.json`; keys: docs/evaluation.md. `setup["left_out"]` names the stages
        that could not use all that they were given.
    """
    from knowlip.base.parsing import stage_config

    out, scenes = config.out, config.scenes
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder to write to.")
    recipe = config.recipe or (recipe_for(_resolutions(scenes)) if scenes else "demo")
    settings = with_changes(load_recipe(recipe), config.set)
    dataset, metrics_path = out / "dataset", out / "metrics.json"
    places: dict[str, dict[str, Any]] = {
        "simulate": {"out": out / "scenes"},
        "build": {"scenes": scenes or [out / "scenes"], "out": dataset},
        "annotate": {"dataset": dataset},
        "pretrain": {"dataset": dataset, "out": out / "pretrain"},
        "finetune": {"dataset": dataset, "model": out / "pretrain" / "model", "out": out / "finetune"},
        "evaluate": {"dataset": dataset, "model": out / "pretrain" / "model", "out": out / "evaluation.json"},
        "report": {"dataset": dataset, "run": out / "pretrain", "metrics": metrics_path, "out": out / "report.html"},
    }
    places["evaluate"]["vqa_model"] = out / "finetune" / "model"
    places["report"]["examples"] = out / "examples.json"
    if scenes:
        del places["simulate"]
    _check_changes(config.set, places)
    # Every setting is checked before anything runs, so that a slip in the last stage does not cost the others' time.
    configs = {
        stage: stage_config(COMMANDS[stage].kind(), settings.get(stage, {}) | plain(here))
        for stage, here in places.items()
    }
    times_path = out / "seconds.json"
    seconds: dict[str, float] = read_json(times_path) if times_path.is_file() else {}
    results = Results(())
    left_out: list[str] = []
    for number, (stage, stage_settings) in enumerate(configs.items(), 1):
        say(f"\n[{number}/{len(places)}] {stage}")
        started = time.monotonic()
        result = COMMANDS[stage].run(stage_settings)
        seconds[stage] = max(seconds.get(stage, 0.0), time.monotonic() - started)
        write_json(times_path, seconds)
        if is_left_out(result, COMMANDS[stage].left_out):
            left_out.append(stage)
        if stage == "build":
            _check_splits(dataset, stage_settings.block_km)
        if stage == "evaluate":
            results = result
        if stage in ("evaluate", "report"):
            if left_out:
                results = replace(results, setup={**results.setup, "left_out": left_out})
            results = replace(results, seconds={name: round(value, 1) for name, value in seconds.items()})
            results.write(metrics_path)
    print_table(results)
    _say_what_hours_give()
    if left_out:
        say(f"\nLeft out, as told above: something of what was given to {', '.join(left_out)}.")
    say(f"\n{out / 'report.html'}")
    return results


_SHOWN = (
    ("count accuracy", "recognition accuracy", "position accuracy"),
    ("main landform accuracy", "all landforms accuracy", "regional landform accuracy"),
    ("image to text R@1", "text to image R@1"),
)
"""Metrics that a demo of minutes falls short in."""


def _say_what_hours_give() -> None:
    """The same figures of the model that comes with KnowLIP, which the same recipe trained for hours."""
    try:
        measured = read_json(shipped_model() / CARD)["card"].get("measured", {})
    except ValueError:  # a source tree without it
        return
    lines = [[f"{name} {measured[name]:.0%}" for name in names if name in measured] for names in _SHOWN]
    if any(lines):
        say("\nThe model of the package, hours of this recipe, on its own test places (docs/model-card.md):")
        for line in filter(None, lines):
            say("  " + ", ".join(line))


def show(_: Results) -> str:
    """Nothing more: the demo has printed its table on the way."""
    return ""


def _check_changes(changes: Sequence[str], places: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse changes that would be overruled: of where the stages read and write, and of stages that do not run."""
    for change in changes:
        stage, key = change.partition("=")[0].split(".")[:2]
        if stage not in places:
            raise ValueError(f"--set {change}: {stage} does not run here, your own scenes are read.")
        if key in places[stage]:
            raise ValueError(f"--set {change}: the demo itself says where its stages read and write; use --out.")


def _check_splits(path: Path, block_km: float) -> None:
    """Refuse to train what cannot be measured."""
    from knowlip.dataset import Dataset

    counts = Dataset(path).tiles()["split"].value_counts()
    for split in ("train", "test"):
        if not counts.get(split, 0):
            raise ValueError(
                f"{path} has no {split} tile, so a model cannot be trained and measured on different places: give "
                f"scenes of more places, or a smaller block_km than {block_km:g} (--set build.block_km=...)."
            )


def _resolutions(scenes: Sequence[Path]) -> list[float]:
    """Native resolutions in metres of the scenes that can be opened."""
    from knowlip.scenes import find_scenes, open_scenes

    found, refused = [], ""
    for path in find_scenes(list(scenes)):
        try:
            found += [scene.resolution_m for scene in open_scenes(path)]
        except ValueError as error:
            refused = str(error)
    if not found:
        raise ValueError(refused)
    return found
