"""How far the numbers of whole scenes are off: the sum over windows of how many ships, or aircraft, there are.

    knowlip simulate --out FIT --cities 10 --first_city 100 --seed 190
    knowlip simulate --out MEASURE --cities 9 --first_city 90 --seed 2
    python -m benchmarks.scene_totals FIT MEASURE [--model FOLDER] [--write]

Neither the cities nor the seeds taught the model of the package. Scenes of 1 m and coarser are asked as `knowlip ask`
asks them. Fitted on the scenes of FIT: how far the square roots of the true and of the told number are apart, below
which 90 % of scenes stay (:func:`knowlip.base.statistics.conformal_quantile`; every scene is a world of its own).
Measured on those of MEASURE: how many true numbers lie in the interval that follows, and the error of the sum beside
that of always saying none, or the middle number of FIT. --write puts the fit into `answers.json` beside the weights.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, write_json
from knowlip.base.generation import GenerationConfig
from knowlip.base.progress import track
from knowlip.base.statistics import conformal_quantile, wilson
from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.inference.ask import answer_view
from knowlip.inference.opened import open_model
from knowlip.inference.replies import asker_of
from knowlip.inference.summary import interval_of
from knowlip.inference.views import view_of
from knowlip.language.phrases import plural
from knowlip.language.questions import TEMPLATES, QuestionType
from knowlip.models import KnowLIP
from knowlip.models.hub import ANSWERS, WEIGHTS

RESULT: Final = Path(__file__).parent / "results" / "scene_totals.json"
LEVEL: Final = 0.9
_FINE: Final = "-ku"
"""End of the names of scenes of 0.2 m: they show no more ground than a few windows."""

Total = tuple[str, float, float]
"""Scene, true number, and the number that is told."""


def totals_of(model: KnowLIP, folder: Path, scenes: Path) -> dict[str, list[Total]]:
    """Category -> the numbers of each scene."""
    paths = sorted(path for path in scenes.glob("*.tif") if not path.name.endswith(".landcover.tif"))
    found: dict[str, list[Total]] = {category: [] for category in TARGET_CATEGORIES}
    for path in track([path for path in paths if not path.stem.endswith(_FINE)], "count whole scenes"):
        truth = [one["properties"].get("category") for one in read_json(path.with_suffix(".truth.geojson"))["features"]]
        view = view_of(path, model)
        for category, rows in found.items():
            words = TEMPLATES[QuestionType.COUNT][0].format(plural=plural(category))
            asker, _ = asker_of(model, folder, words, True, GenerationConfig())
            told = answer_view(asker, view).result.get("summary")
            if told is not None:
                rows.append((path.stem, float(truth.count(category)), float(told["answer"])))
    return found


def distances(rows: Sequence[Total]) -> np.ndarray:
    """(S,) distances of the square roots."""
    _, truth, told = (np.array(column) for column in zip(*rows))
    return np.abs(np.sqrt(truth.astype(float)) - np.sqrt(told.astype(float)))


def measured(rows: Sequence[Total], fit: Sequence[Total], spread: float) -> dict[str, Any]:
    """Coverage and errors on scenes that the interval was not fitted on."""
    truth = np.array([one[1] for one in rows])
    told = np.array([one[2] for one in rows])
    ends = np.array([interval_of(one, spread) for one in told])
    inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    middle = float(np.median([one[1] for one in fit]))
    return {
        "scenes": len(rows),
        "within_interval": round(float(inside.mean()), 4),
        "within_interval_ci": [round(end, 4) for end in wilson(int(inside.sum()), len(rows))],
        "width": round(float(np.median(ends[:, 1] - ends[:, 0])), 1),
        "true_number": round(float(truth.mean()), 2),
        "error_of_sum": round(float(np.abs(told - truth).mean()), 2),
        "error_of_none": round(float(truth.mean()), 2),
        "error_of_middle": round(float(np.abs(truth - middle).mean()), 2),
        "numbers": [[name, true, said, *map(int, end)] for (name, true, said), end in zip(rows, ends)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fit", type=Path)
    parser.add_argument("measure", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help="into answers.json beside the weights")
    options = parser.parse_args()
    started = time.process_time()
    model, folder = open_model(options.model, "cpu")
    fit, test = (totals_of(model, folder, path) for path in (options.fit, options.measure))
    facts: dict[str, Any] = {}
    for category, rows in fit.items():
        spread = conformal_quantile(distances(rows), np.array([one[0] for one in rows]), LEVEL)
        if not np.isfinite(spread):
            raise SystemExit("Too few scenes for an interval: simulate more of FIT.")
        cities = {one[0].rsplit("-", 1)[0] for one in rows}
        facts[category] = {"spread": round(spread, 4), "level": LEVEL, "scenes": len(rows), "places": len(cities)}
    found = {category: measured(rows, fit[category], facts[category]["spread"]) for category, rows in test.items()}
    if options.write:
        said = read_json(folder / ANSWERS)
        if not isinstance(said, dict) or said.get("weights_sha256") != file_sha256(folder / WEIGHTS):
            raise SystemExit("answers.json is of other weights: run benchmarks.ask_evidence first.")
        write_json(folder / ANSWERS, said | {"totals": facts})
    rest = {
        "command": "python -m benchmarks.scene_totals FIT MEASURE --write",
        "fitted": {name: {**one, "numbers": [list(row) for row in fit[name]]} for name, one in facts.items()},
        "measured": found,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    within = sum(one["within_interval"] * one["scenes"] for one in found.values())
    value = round(within / sum(one["scenes"] for one in found.values()), 4)
    record(
        RESULT, value, LEVEL, "share of true numbers within their interval; the share that was meant", rest, "one core"
    )


if __name__ == "__main__":
    main()
