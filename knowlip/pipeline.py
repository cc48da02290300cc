"""The whole way in one call: simulate, build, annotate, pre-train, fine-tune, evaluate, report."""

import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from knowlip.base.files import read_json, write_json
from knowlip.base.progress import say
from knowlip.base.recipes import load_recipe, recipe_for, with_changes


def run_stage(name: str, config: Any) -> dict[str, Any]:
    """Run one stage with its settings."""
    from knowlip.cli import STAGES

    result: dict[str, Any] = getattr(import_module(STAGES[name][0]), name)(config)
    return result


def demo(
    out: Path, scenes: Sequence[Path] = (), recipe: str | None = None, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Run every stage and print what came out.

    Args:
        out: folder of everything; a stopped run goes on there.
        scenes: files or folders; simulated scenes where there are none.
        recipe: name or YAML file; chosen by the scenes' resolution where not given.
        changes: "stage.key=value" over the recipe.

    Returns:
        The metrics, also written to `out/metrics.json`; keys: docs/evaluation.md.
    """
    from knowlip.base.parsing import stage_config
    from knowlip.cli import STAGES

    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder to write to.")
    settings = with_changes(load_recipe(recipe or (recipe_for(_resolutions(scenes)) if scenes else "demo")), changes)
    dataset, metrics_path = out / "dataset", out / "metrics.json"
    places: dict[str, dict[str, Any]] = {
        "simulate": {"out": out / "scenes"},
        "build": {"scenes": [str(path) for path in scenes] or [out / "scenes"], "out": dataset},
        "annotate": {"dataset": dataset},
        "pretrain": {"dataset": dataset, "out": out / "pretrain"},
        "finetune": {"dataset": dataset, "model": out / "pretrain" / "model", "out": out / "finetune"},
        "evaluate": {
            "dataset": dataset, "model": out / "pretrain" / "model", "vqa_model": out / "finetune" / "model",
            "out": out / "evaluation.json",
        },
        "report": {
            "dataset": dataset, "run": out / "pretrain", "metrics": metrics_path, "examples": out / "examples.json",
            "out": out / "report.html",
        },
    }  # fmt: skip
    if scenes:
        del places["simulate"]
    # Every setting is checked before anything runs, so that a slip in the last stage does not cost the others' time.
    configs = {
        stage: stage_config(
            getattr(import_module(STAGES[stage][0]), STAGES[stage][1]),
            settings.get(stage, {}) | {key: _text(value) for key, value in here.items()},
        )
        for stage, here in places.items()
    }
    times_path = out / "seconds.json"
    seconds: dict[str, float] = read_json(times_path) if times_path.is_file() else {}
    metrics: dict[str, Any] = {}
    for number, (stage, config) in enumerate(configs.items(), 1):
        say(f"\n[{number}/{len(places)}] {stage}")
        started = time.monotonic()
        result = run_stage(stage, config)
        seconds[stage] = max(seconds.get(stage, 0.0), time.monotonic() - started)
        write_json(times_path, seconds)
        if stage == "build":
            _check_splits(dataset, config.block_km)
        if stage == "evaluate":
            metrics = result
        if stage in ("evaluate", "report"):
            metrics["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
            write_json(metrics_path, metrics)
    from knowlip.benchmark.table import print_table

    print_table(metrics)
    say(f"\n{out / 'report.html'}")
    return metrics


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


def _text(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list) else str(value)


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
