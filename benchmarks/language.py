"""Questions, retrieval, captions and evidence: on simulated places that no model saw, on real sets with copies apart.

    knowlip demo --out runs/demo                       # its data set: cities that the model of the package never saw
    knowlip dataset import ssdd ../shared/data/ssdd --out runs/ssdd
    knowlip dataset import sen1floods11 ../shared/data/sen1floods11 --out runs/sen1floods11
    python -m benchmarks.language --simulated runs/demo/dataset --ssdd runs/ssdd --sen1floods11 runs/sen1floods11 \
        --work runs/language [--arms NAME ...]

The model is that of the package: as it is (`steps=0`), or fine-tuned on the items of the other half (of simulated
places: of the training split). Each arm is a
`knowlip bench run` in WORK/ARM, which goes on where it was stopped, or for evidence a `knowlip evaluate --tasks
pointing`; its rows replace those of the same names in benchmarks/results/language.json. `cpu_seconds` is that of the
whole arm, null where parts of it were there already.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bench_arm import bench_arm
from benchmarks.record import merge_rows
from knowlip.base.rows import Row
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.benchmark.run import BenchRunConfig
from knowlip.models.default import shipped_model
from knowlip.tasks.detector_counts import DETECTOR
from knowlip.tasks.protocols import Protocol

OUT: Final = Path(__file__).parent / "results" / "language.json"
EVIDENCE: Final = "evidence"


@dataclass(frozen=True)
class Arm:
    """One task on one set."""

    data: str
    task: str
    settings: tuple[str, ...] = ("steps=0",)
    protocol: Protocol = "own"
    folds: int = 2
    label: str = "shipped"
    """Of the model in rows."""
    detector: bool = False
    """The rows kept are those of a detector's boxes (`--detections`) beside the model's answers."""


_LEARNED: Final = ("steps=100", "accelerator=cpu", "loggers=[]", "workers=1")
_TUNED: Final = "shipped, fine-tuned for 100 steps"
_LONGER: Final = ("steps=300", *_LEARNED[1:])
"""For the six types of questions on simulated places."""
_TUNED_LONGER: Final = "shipped, fine-tuned for 300 steps"
_AS_IT_IS: Final = ("steps=0", "accelerator=cpu", "loggers=[]")
ARMS: Final = {
    "simulated-vqa": Arm("simulated", "vqa", _AS_IT_IS),
    "simulated-retrieve": Arm("simulated", "retrieve", _AS_IT_IS),
    "simulated-caption": Arm("simulated", "caption", _AS_IT_IS),
    "simulated-vqa-tuned": Arm("simulated", "vqa", _LONGER, label=_TUNED_LONGER),
    "simulated-retrieve-tuned": Arm("simulated", "retrieve", _LEARNED, label=_TUNED),
    "simulated-caption-tuned": Arm("simulated", "caption", _LEARNED, label=_TUNED),
    EVIDENCE: Arm("simulated", "pointing"),
    "ssdd-vqa": Arm("ssdd", "vqa", _LEARNED, "groups", label=_TUNED),
    "ssdd-vqa-as-it-is": Arm("ssdd", "vqa", _AS_IT_IS, "groups"),
    "ssdd-count": Arm("ssdd", "vqa", _AS_IT_IS, "groups", detector=True),
    "ssdd-retrieve": Arm("ssdd", "retrieve", _LEARNED, "groups", label=_TUNED),
    "ssdd-caption": Arm("ssdd", "caption", _LEARNED, "groups", label=_TUNED),
    # Six images have labels: too few to learn from.
    "sen1floods11-vqa": Arm("sen1floods11", "vqa", (*_AS_IT_IS, "batch_size=2"), "groups"),
}


def rows_of(arm: Arm, data: Path, out: Path, detections: Path | None = None) -> tuple[Sequence[Row], float | None]:
    """Rows of an arm and the CPU seconds of it."""
    if arm.task == "pointing":
        started = time.process_time()
        config = EvaluateConfig(
            dataset=data, model=str(shipped_model()), out=out / "pointing.json", tasks=("pointing",)
        )
        out.mkdir(parents=True, exist_ok=True)
        return evaluate(config).rows, time.process_time() - started
    rows, seconds = bench_arm(
        BenchRunConfig(
            task=arm.task,
            data=data,
            encoder=f"knowlip:{shipped_model()}",
            out=out,
            recipe="tuned",
            settings=(*arm.settings, f"detections={detections}") if arm.detector else arm.settings,
            protocol=arm.protocol,
            folds=arm.folds,
            name=arm.data,
            label=arm.label,
        )
    )
    return [row for row in rows if not arm.detector or row.encoder.startswith(DETECTOR)], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in sorted({arm.data for arm in ARMS.values()}):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--detections", type=Path, help="run folder of benchmarks.vision_detect on the same SSDD")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    for name in options.arms:
        arm, data = ARMS[name], getattr(options, ARMS[name].data)
        if data is None or (arm.detector and options.detections is None):
            print(f"{name}: not measured, its set (or detection) is not given")
            continue
        rows, seconds = rows_of(arm, data, options.work / name, options.detections)
        merge_rows(options.out, rows, seconds, f"python -m benchmarks.language --arms {name}", "one process")
        for row in rows[:8]:
            print(f"{name}: {row.encoder} {row.metric} {row.shown(row.value)}; {row.floor_name} {row.shown(row.floor)}")


if __name__ == "__main__":
    main()
