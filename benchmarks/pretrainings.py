"""One image tower, one set of images, one number of steps: what teaches it most for real images of other kinds?

    knowlip demo --out runs/demo                        # or any annotated data set with a train split
    knowlip dataset import sar-acd ../shared/data/sar-acd --out runs/sar-acd
    knowlip dataset import polsf ../shared/data/polsf --out runs/polsf
    knowlip dataset import ssdd ../shared/data/ssdd --out runs/ssdd
    python -m benchmarks.pretrainings runs/demo/dataset --sar-acd runs/sar-acd --polsf runs/polsf --ssdd runs/ssdd \
        --simulated runs/cover --work runs/towers

A ViT-Ti/14 of four blocks at 112 px from random weights learns from the training tiles of a data set: by MAE, MoCo v3,
SAR-JEPA's gradients, DINO with iBOT (`knowlip selfsup`), or from their texts by contrast, matching and infilling,
without SCIO and with it (`knowlip pretrain`); each with several seeds. It then stays frozen: nearest neighbours and a
linear probe on SAR-ACD (copies apart, chip size hidden), a decoder on PolSF and on the land cover of simulated places
(`dataset overlay` lays it on, as benchmarks.whole_scenes says). On SSDD it is the start of a detector that learns as a
whole, on the first of five parts by groups of copies alone. Beside them the same tower untrained. A
row is the mean of the seeds, its interval that of the tiles, and its note says how far the seeds lie apart. Rows go to
benchmarks/results/pretrainings.json; what was trained or measured before is not done again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.bench_arm import bench_arm
from benchmarks.record import merge_rows
from knowlip.base.documents import read_json
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.base.rows import Row
from knowlip.benchmark.run import BenchRunConfig, over_seeds
from knowlip.tasks.detect import BENCH as DETECTION
from knowlip.tasks.detect import DetectConfig
from knowlip.tasks.runs import METRICS
from knowlip.tasks.selfsup.settings import METHODS

OUT: Final = Path(__file__).parent / "results" / "pretrainings.json"
_TOWER: Final = {"name": "vit_tiny_patch16_224", "image_size": 112, "changes": {"patch_size": 14, "depth": 4}}
SCRATCH: Final = "scratch"
TEXTS: Final = "texts"
SCIO: Final = "texts, SCIO"
ARMS: Final = (SCRATCH, *METHODS, TEXTS, SCIO)
_CHIPS: Final = ("window=96", "contrast=chip", "accelerator=cpu", "loggers=[]", "workers=0")
MEASURES: Final = {
    "sar-acd-knn": ("classify", "sar-acd", "groups", 5, "", ("mode=knn", "neighbours=5", *_CHIPS)),
    "sar-acd-linear": ("classify", "sar-acd", "groups", 5, "", ("mode=linear", "epochs=30", *_CHIPS)),
    "polsf": ("segment", "polsf", "own", 3, "segment-cpu", ("crop=64", "steps=150", "size=112")),
    "simulated": ("segment", "simulated", "own", 3, "segment-cpu", ("crop=256", "stride=1.0", "steps=150", "size=112")),
}
"""Name -> task, set, protocol, folds, recipe, settings."""
SSDD: Final = "ssdd"
_DETECTOR: Final = {"size": 224, "steps": 400, "warmup_steps": 40, "layer_decay": 1.0, "validation_share": 0.0}
"""A detector in minutes: the same few steps for all."""


def training_of(arm: str, seed: int, steps: int, batch: int) -> list[str]:
    """Command and settings of an arm's training, but for data set and folder."""
    common = {"seed": seed, "batch_size": batch, "warmup_steps": steps // 10, "log_every": 20, "loggers": []}
    if arm == SCRATCH:  # a step of no length: what the tower is before it learns
        given = {"vision": _TOWER, "method": "mae", "steps": 1, "knn_every": 0, "learning_rate": 1e-12}
        return ["selfsup", "--recipe", "selfsup-cpu", *_flags({**given, **common, "warmup_steps": 0})]
    if arm in METHODS:
        # The teacher of DINO and MoCo is an average over some 1 / (1 - 0.98) steps: short enough for these trainings.
        given = {"vision": _TOWER, "method": arm, "steps": steps, "knn_every": 0, "learning_rate": 1e-3, **common}
        return ["selfsup", "--recipe", "selfsup-cpu", *_flags(given)]
    # The paper's three objectives on the same tower: nothing of ours that a self-supervised tower could not have.
    stages = [steps, 0, 0] if arm == TEXTS else [steps // 2, steps // 4, steps - steps // 2 - steps // 4]
    given = {
        "model.vision.stem": 0,
        "model.vision.ground_sampling": False,
        **{f"model.vision.{name}": value for name, value in _TOWER.items()},
        "model.readout": False,
        "model.text.decoder_reads": "text",
        "objectives.ground": 0.0,
        "objectives.questions": 0,
        "scio.evidence": "nll",
        "scio.iterations": 0 if arm == TEXTS else 1,
        "stage_steps": stages,
        "look_every": 0,
        **common,
    }
    return ["pretrain", "--recipe", "tiny", *_flags(given)]


def _flags(given: dict[str, object]) -> list[str]:
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()]


def tower(arm: str, seed: int, options: argparse.Namespace) -> tuple[str, float]:
    """Encoder that an arm leaves, trained now or before, and the seconds of its training (0: not known)."""
    folder = options.work / f"{arm.replace(', ', '-')}-{seed}"
    spent = folder / "seconds.json"
    if not spent.is_file():
        begun, started = (folder / "run").exists(), time.monotonic()
        command = training_of(arm, seed, options.steps, options.batch)
        place = ["--dataset", str(options.dataset), "--out", str(folder / "run")]
        subprocess.run([sys.executable, "-m", "knowlip.cli", *command, *place], check=True)
        spent.write_text(json.dumps(None if begun else round(time.monotonic() - started, 1)))
    return str(folder / "run" / "model"), read_json(spent) or 0.0


def rows_of(arm: str, name: str, encoders: Sequence[str], options: argparse.Namespace) -> tuple[Row, ...]:
    """Rows of a measure over all seeds of an arm, an encoder each."""
    task, data, protocol, folds, recipe, settings = MEASURES[name]
    by_seed = []
    for seed, encoder in enumerate(encoders):
        out = options.work / f"{arm.replace(', ', '-')}-{seed}" / name
        (options.work / "cache" / data).mkdir(parents=True, exist_ok=True)
        rows, _ = bench_arm(
            BenchRunConfig(
                task=task,
                data=getattr(options, data.replace("-", "_")),
                encoder=encoder,
                out=out,
                recipe=recipe,
                settings=settings,
                protocol=protocol,
                folds=folds,
                cache=options.work / "cache" / data,
                name=data,
                label=f"ViT-Ti/14 of 4 blocks, {arm}",
            )
        )
        by_seed.append(rows)
    return over_seeds(by_seed)


def detected(arm: str, encoders: Sequence[str], options: argparse.Namespace) -> tuple[Row, ...]:
    """Rows on SSDD over all seeds of an arm, a detector each."""
    label, cache = f"ViT-Ti/14 of 4 blocks, {arm}", options.work / "cache" / SSDD
    cache.mkdir(parents=True, exist_ok=True)
    by_seed = []
    for seed, encoder in enumerate(encoders):
        out = options.work / f"{arm.replace(', ', '-')}-{seed}" / SSDD
        given = {"dataset": options.ssdd, "encoder": encoder, "out": out, "cache": cache, "seed": seed}
        given |= {"protocol": "groups", "classes": {"ship": "ship"}, **_DETECTOR}
        if not (out / METRICS).is_file():
            DETECTION.run(stage_config(DetectConfig, {**load_recipe("detect-cpu")["detect"], **given}))
        by_seed.append(DETECTION.rows([out], SSDD, "groups", label))
    return over_seeds(by_seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sar-acd", type=Path)
    parser.add_argument("--polsf", type=Path)
    parser.add_argument(
        "--simulated", type=Path, help="simulated tiles with masks of land cover, training and test places"
    )
    parser.add_argument("--ssdd", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    for arm in options.arms:
        towers = [tower(arm, seed, options) for seed in range(options.seeds)]
        found: list[Row] = []
        for name, (_, data, *_) in MEASURES.items():
            if getattr(options, data.replace("-", "_")) is None:
                print(f"{name}: not measured, its set is not given")
                continue
            found += rows_of(arm, name, [encoder for encoder, _ in towers], options)
        if options.ssdd is None:
            print("ssdd: not measured, its set is not given")
        else:
            found += detected(arm, [encoder for encoder, _ in towers], options)
        command = f"python -m benchmarks.pretrainings DATASET --steps {options.steps} --batch {options.batch}"
        command += f" --seeds {options.seeds}"
        seconds = sum(spent for _, spent in towers) / len(towers)
        told = f"{options.steps} steps of {options.batch} tiles, {seconds:.0f} s of training."
        told = "Untrained." if arm == SCRATCH else told
        merge_rows(options.out, [replace(row, note=f"{row.note} {told}".strip()) for row in found], None, command)
        for row in _telling(found):
            print(f"{arm}: {row.data} {row.metric} {row.shown(row.value)}; {row.floor_name} {row.shown(row.floor)}")


def _telling(rows: Sequence[Row]) -> list[Row]:
    """The rows worth a line."""
    return [
        row
        for row in rows
        if row.metric in ("top-1, k-NN", "top-1, linear probe", "mIoU", "AP50") and ":" not in row.encoder
    ]


if __name__ == "__main__":
    main()
