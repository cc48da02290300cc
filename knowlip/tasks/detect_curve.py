"""Average precision over the compute that was spent: what a longer training would reach can be read off."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from knowlip.base.files import whole_file


class CurvePoint(NamedTuple):
    """A measurement within a training."""

    step: int
    cpu_seconds: float
    ap50: float
    ap: float


def read_curve(log: Path) -> list[CurvePoint]:
    """The points of a training's log, in order."""
    if not log.is_file():
        return []
    lines = [json.loads(line) for line in log.read_text().splitlines() if line]
    return [
        CurvePoint(line["step"], line["cpu_seconds"], line["val_ap50"], line["val_ap"])
        for line in lines
        if "val_ap50" in line
    ]


def draw_curve(log: Path, path: Path) -> Sequence[CurvePoint]:
    """Draw the points of a log as PNG; nothing where there is none."""
    points = read_curve(log)
    if not points:
        return points
    from matplotlib.figure import Figure

    figure = Figure((6.4, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    hours = [point.cpu_seconds / 3600 for point in points]
    axes.plot(hours, [point.ap50 for point in points], "o-", color="#0072b2", label="AP50")
    axes.plot(hours, [point.ap for point in points], "s-", color="#d55e00", label="AP")
    axes.set(xlabel="CPU hours of the first process", ylabel="on tiles held out of train", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return points
