"""The whole pre-training in a given time: data, all three stages, recall on places that were held out.

python -m benchmarks.gpu_pretrain --work FOLDER --recipe small --minutes 20 [--tiles 20000 | --dataset DATASET]
    [--precision bf16] [--compile] [--batch 256] [--devices -1] [--set key=value ...] [--only data]

A trial of some steps measures the speed; the steps of the three stages (4 : 1 : 1) follow from it and the minutes,
towards which screening and rewriting do not count. Everything resumes: a command that was cut short is given again. On
two CPU cores: --recipe tiny --tiles 500 --minutes 1 --precision fp32.
"""

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.base.recipes import load_recipe
from knowlip.base.rows import Row
from knowlip.base.settings import plain
from knowlip.training.resume import read_log

TILES_PER_CITY = 188
"""At the sizes of the demo's scenes."""
CITIES = 135
TRIAL_STEPS = 40
STAGES = (4, 1, 1)
POINTS = 400
"""Most points of a curve."""


def make_data(folder: Path, tiles: int, workers: int) -> Path:
    """Simulated scenes, tiles and texts: about as many tiles as asked for. What is there is kept."""
    from knowlip.annotators.annotate import AnnotateConfig, annotate
    from knowlip.simulator import SimulateConfig, simulate
    from knowlip.tiles.build import build
    from knowlip.tiles.plan import BuildConfig

    recipe = load_recipe("demo")
    cities = min(CITIES, max(8, math.ceil(tiles / TILES_PER_CITY)))
    larger = max(1.0, math.sqrt(tiles / (TILES_PER_CITY * cities)))
    sizes = {name: round(size * larger / 512) * 512 + size % 512 for name, size in _sizes(recipe).items()}
    scenes, dataset = folder / "scenes", folder / "dataset"
    for kind, stage, changes in (
        (SimulateConfig, simulate, {"out": scenes, "cities": cities, "scene_size_m": sizes}),
        (BuildConfig, build, {"scenes": [str(scenes)], "out": dataset}),
        (AnnotateConfig, annotate, {"dataset": dataset}),
    ):
        settings = {**recipe[stage.__name__], **changes, "workers": workers}
        config: Any = stage_config(kind, {name: _plain(value) for name, value in settings.items()})
        stage(config)
    return dataset


def _sizes(recipe: dict[str, Any]) -> dict[str, float]:
    sizes: dict[str, float] = recipe["simulate"]["scene_size_m"]
    return sizes


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def run_config(options: argparse.Namespace, dataset: Path, out: Path, steps: list[int]) -> Any:
    """The recipe's settings with those of the command."""
    from knowlip.tasks.pretrain import PretrainConfig

    settings: dict[str, Any] = load_recipe(options.recipe)["pretrain"]
    settings |= {"dataset": str(dataset), "out": str(out), "stage_steps": steps, "devices": options.devices}
    settings |= {"precision": options.precision, "compile": options.compile}
    if options.batch:
        settings["batch_size"] = options.batch
    settings["data"] = {"workers": options.workers, "prefetch": 4, **settings.get("data", {})}
    for change in options.set:
        name, _, value = change.partition("=")
        group = settings
        for key in name.split(".")[:-1]:
            group = group.setdefault(key, {})
        group[name.split(".")[-1]] = yaml.safe_load(value)
    return stage_config(PretrainConfig, settings)


def stage_steps(options: argparse.Namespace, dataset: Path) -> list[int]:
    """How many steps fit into the minutes; measured once and kept."""
    kept = options.work / f"trial-{options.recipe}.json"
    if not kept.is_file():
        from knowlip.tasks.pretrain import pretrain

        config = run_config(options, dataset, options.work / f"trial-{options.recipe}", [TRIAL_STEPS, 0, 0])
        config.log_every = TRIAL_STEPS // 4
        last = pretrain(config)["last"]
        write_json(kept, {"pairs_per_s": last["pairs_per_s"], "batch_size": config.batch_size})
    trial = read_json(kept)
    steps = int(options.minutes * 60 * trial["pairs_per_s"] / trial["batch_size"])
    return [max(1, steps * share // sum(STAGES)) for share in STAGES]


def held_out(model: Path, dataset: Path, queries: int, device: str) -> tuple[Row, ...]:
    """Rows of recall in both directions over tiles of places that training never saw."""
    from knowlip.models.encoders import open_encoder
    from knowlip.tasks.bench import Bench, MeasureLimits
    from knowlip.tasks.retrieve import measure

    return measure(Bench(dataset, limits=MeasureLimits(tiles=queries)), open_encoder(model, device)).rows


def curves(run: Path) -> dict[str, list[float | None]]:
    """Every figure of the log over its steps, thinned."""
    lines = read_log(run / "log.jsonl")
    thin = lines[:: max(1, len(lines) // POINTS)]
    return {name: [line.get(name) for line in thin] for name in lines[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data and runs")
    parser.add_argument("--dataset", type=Path, help="an annotated data set; simulated where it is not given")
    parser.add_argument("--tiles", type=int, default=20_000, help="about how many tiles to simulate")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, without screening and rewriting")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--batch", type=int, help="pairs a step, instead of the recipe's")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--queries", type=int, default=2000, help="most held-out tiles")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="more settings of pretrain")
    parser.add_argument("--only", choices=("data",), help="stop after the data set")
    parser.add_argument("--out", type=Path, help="JSON file (default: FOLDER/gpu_pretrain-RECIPE.json)")
    options = parser.parse_args()
    dataset = options.dataset or make_data(options.work, options.tiles, options.workers)
    if options.only:
        return

    import torch

    from knowlip.dataset import Dataset
    from knowlip.tasks.pretrain import pretrain

    steps = stage_steps(options, dataset)
    run = options.work / f"run-{options.recipe}"
    started = time.monotonic()
    result = pretrain(run_config(options, dataset, run, steps))
    scio = {path.stem: read_json(path) for path in sorted(run.glob("scio-stage*.json"))}
    found = held_out(run / "model", dataset, options.queries, "cuda" if torch.cuda.is_available() else "cpu")
    splits = Dataset(dataset).tiles()["split"].value_counts().to_dict()
    rest = {
        "rows": [plain(row) for row in found],
        "tiles": {str(name): int(count) for name, count in splits.items()},
        "stage_steps": steps,
        "seconds_of_loop": result["seconds"],
        "seconds_of_this_command": time.monotonic() - started,
        "pairs_per_s": result["pairs_per_s"],
        "revision": result["revision"],
        "scio": scio,
        "recipe": options.recipe,
        "precision": options.precision,
        "compile": options.compile,
        "curves": curves(run),
    }
    path = options.out or options.work / f"gpu_pretrain-{options.recipe}.json"
    ways = [row for row in found if row.metric.endswith("R@10")]
    recall, floor = (sum(values) / len(ways) for values in zip(*((row.value or 0, row.floor or 0) for row in ways)))
    unit = "recall at 10 over held-out tiles, mean of both directions; baseline: highest floor"
    record(path, recall, floor, unit, rest)
    say(f"R@10 {recall:.1%} (floor {floor:.1%}), {sum(steps)} steps, {result['pairs_per_s']:.0f} pairs/s: {path}")


if __name__ == "__main__":
    main()
