"""What each part of a model that looks is worth: trainings that differ in one setting, measured on places never seen.

    python -m benchmarks.looking_arms --dataset DATASET --work FOLDER [--steps 400] [--batch 32] [--seeds 1] \
        [--arms full "paper's objectives" ...]

Every arm trains recipe `tiny` for the same number of steps from the same seed, but for the changes that its row names;
`knowlip evaluate` then measures image gain, retrieval and, where the arm was asked questions, answers. A stopped run
goes on where it was, and arms that were measured before are read. Writes benchmarks/results/looking_arms.json; `value`
is the image gain of all target dimensions with the recipe as it is, `baseline` with the paper's objectives alone.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from benchmarks.record import record
from knowlip.base.rows import read_results
from knowlip.training.resume import read_log

RESULT: Final = Path(__file__).parent / "results" / "looking_arms.json"
_NO_READOUT: Final = {"model.readout": False, "objectives.ground": 0.0}
_NO_STEM: Final = {"model.vision.stem": 0, "model.vision.ground_sampling": False}
_VIT: Final = {"embed_dim": 192, "depth": 4, "num_heads": 6}
ARMS: Final[dict[str, dict[str, Any]]] = {
    "full": {},
    "no readout and grounding": _NO_READOUT,
    "decoder reads text alone": {"model.text.decoder_reads": "text"},
    "one hole a text": {"holes.at_once": 1},
    "no wrong sub-text": {"objectives.wrong_subtext": False},
    "no questions": {"objectives.questions": 0},
    "no turns": {"augment.flips": 0.0, "augment.rotations": 0.0},
    "no balance": {"data.balance": 0.0},
    "no stem, patches of 32 px": {**_NO_STEM, "model.vision.changes": {**_VIT, "patch_size": 32}},
    "96 px": {**_NO_STEM, "model.vision.image_size": 96, "model.vision.changes": {**_VIT, "patch_size": 12}},
    "metres a pixel not told": {"model.vision.ground_sampling": False},
    "guided attention": {"objectives.attend": 0.1},
    "contrast of regions": {"objectives.regions": 0.2},
    "paper's objectives": {
        **_NO_READOUT,
        "model.text.decoder_reads": "text",
        "holes.at_once": 1,
        "objectives.wrong_subtext": False,
        "objectives.questions": 0,
        "augment.flips": 0.0,
        "augment.rotations": 0.0,
        "data.balance": 0.0,
    },
}
"""Name -> settings of `pretrain` that differ from the recipe."""


def _knowlip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "knowlip.cli", *arguments], check=True)


_LIMITS: Final = ("tiles=300", "rerank_queries=0", "questions_per_type=100", "examples=0")


def settings_of(name: str, steps: int, seed: int, batch: int = 32) -> list[str]:
    """Arguments of `knowlip pretrain --recipe tiny` for an arm."""
    warmup = max(1, min(50, steps // 4))
    changes = {
        "stage_steps": [steps, 0, 0],
        "batch_size": batch,
        "warmup_steps": warmup,
        "seed": seed,
        "loggers": [],
        **ARMS[name],
    }
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in changes.items()]


def run_arm(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure an arm, or read what was measured before: metric -> value, interval and number of trials."""
    folder = options.work / f"{name.replace(' ', '-')}-{seed}"
    result = folder / "evaluation.json"
    given = settings_of(name, options.steps, seed, options.batch)
    place = ["--dataset", str(options.dataset)]
    # A finished training is only read, and one of other settings refused: its figures would be those of other steps.
    _knowlip("pretrain", "--recipe", "tiny", *place, "--out", str(folder / "run"), "--look_every=0", *given)
    if not result.is_file():
        tasks = ["looking", "retrieve"] + (["vqa"] if "questions" not in name and "paper" not in name else [])
        limits = [f"--limits.{limit}" for limit in _LIMITS]
        model = str(folder / "run" / "model")
        _knowlip("evaluate", *place, "--model", model, "--out", str(result), f"--tasks={tasks}", *limits)
    log = read_log(folder / "run" / "log.jsonl")
    wanted = ("image gain", "image to text R@", "text to image R@", "accuracy", "attention")
    found: dict[str, Any] = {
        row.metric: {"value": row.value, "ci": row.ci, "n": row.n}
        for row in read_results(result).rows
        if row.value is not None and ":" not in row.encoder and any(part in row.metric for part in wanted)
    }
    return found | {"pairs_per_s": median(line["pairs_per_s"] for line in log)}


def target_gain(metrics: Mapping[str, Any]) -> float:
    """Mean image gain of the dimensions of ships and aircraft."""
    found = [one["value"] for name, one in metrics.items() if name in ("image gain, ground", "image gain, marine")]
    if not found:
        raise ValueError(f"There is no image gain of target texts among {', '.join(sorted(metrics))}.")
    return fmean(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    options = parser.parse_args()
    arms = {name: {str(seed): run_arm(name, seed, options) for seed in range(options.seeds)} for name in options.arms}
    gains = {name: fmean(target_gain(found) for found in seeds.values()) for name, seeds in arms.items()}
    for name, gain in gains.items():
        pace = fmean(found["pairs_per_s"] for found in arms[name].values())
        print(f"{name:32} image gain of target texts {gain:+.3f}, {pace:.0f} pairs/s")
    if {"full", "paper's objectives"} <= gains.keys():
        record(
            RESULT,
            gains["full"],
            gains["paper's objectives"],
            "nats a token that the right image adds to target texts",
            {"arms": arms, "gain": gains, "steps": options.steps, "batch": options.batch, "seeds": options.seeds},
        )


if __name__ == "__main__":
    main()
