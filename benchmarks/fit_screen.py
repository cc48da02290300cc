r"""Fit the score of region screening on simulated scenes, and measure it on other ones.

    python -m benchmarks.fit_screen --fit SCENES ... --check SCENES ... [--result benchmarks/results/screen.json]

A window counts as structured when man-made ground (built-up, road, runway, apron, bridge, quay) covers 8 % of it or it
holds three ships or aircraft or more. The weights of a logistic regression on the cues are printed for
`knowlip/tiles/screen.py`; every size of window and sensor has the same weight, and so have structured windows and
others. The figures are those of the constants that stand there, on scenes of cities that the fit has not seen;
intervals are 95 % over scenes drawn with replacement. The scenes are large (6 km at C band, 8 km at X band), so that
ports, airports and towns lie among open water, fields and woods:

    for n in 1 2; do
      [ $n = 1 ] && themes='[port,rural,airport,port,town,rural]' || themes='[rural,airport,port,town,rural,port]'
      for part in "fit 6 200" "check 12 300"; do
        set -- $part
        knowlip simulate --out screen/$1$n --cities $2 --seed $3$n --themes "$themes" --sensors '[sim-c,sim-x]' \
          --scene_size_m '{sim-c: 6144, sim-x: 8190}'
      done
    done
    knowlip simulate --out screen/ku --cities 12 --sensors '[sim-ku]'
    python -m benchmarks.fit_screen --fit screen/fit1 screen/fit2 --check screen/check1 screen/check2 screen/ku
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.fit_quality_reference import interval
from benchmarks.record import record
from knowlip.base.statistics import auroc
from knowlip.base.vocabulary import SCALES
from knowlip.scenes import open_scenes
from knowlip.tiles.cues import window_cues
from knowlip.tiles.ground import Ground
from knowlip.tiles.resample import Level, levels_of
from knowlip.tiles.screen import SUGGESTED, window_score
from knowlip.tiles.truth import SceneTruth
from knowlip.tiles.windows import Window, family, plan_roots

MAN_MADE = ("built-up", "road", "runway", "apron", "bridge", "quay")
SHARE, OBJECTS = 0.08, 3
SIDES = (1024.0, 512.0, 256.0)
SIDE_PX = 256


@dataclass(frozen=True)
class Item:
    """A window of a scene: what is known of it and what is said of it."""

    city: str
    sensor: str
    scene: str
    side_m: float
    structured: bool
    cues: np.ndarray
    score: float


def windows(folder: Path, skipped: set[str]) -> list[Item]:
    """Windows of all `SIDES` of the scenes of a folder, where the sensor is fine enough; not those of some cities."""
    found = []
    for path in sorted(folder.glob("*.tif")):
        city, sensor = path.stem.rsplit("-", 1)
        if path.name.endswith("landcover.tif") or city in skipped:
            continue
        for scene in open_scenes(path):
            ground = Ground(scene)
            truth = SceneTruth(path, ground.crs)
            for root in plan_roots(ground, scene.scene_id, SIDES):
                levels, codes = levels_of(ground, root, SIDE_PX), truth.root_codes(root)
                for window in family(root):
                    number = SCALES.index(window.scale)
                    if not levels[number].averaged:
                        continue
                    part = _part(levels[number], window, root)
                    cues = window_cues(part.power, part.valid)
                    if cues is not None:
                        yes = _structured(truth.of(window, root, codes))
                        name = f"{folder.name}/{path.stem}"
                        found.append(Item(city, sensor, name, SIDES[number], yes, cues, window_score([part])))
    return found


def _part(level: Level, window: Window, root: Window) -> Level:
    """The level of a window as that of its own large window would be."""
    times = 2 ** SCALES.index(window.scale)
    row, column = (window.row - root.row * times) * SIDE_PX, (window.column - root.column * times) * SIDE_PX
    here = slice(row, row + SIDE_PX), slice(column, column + SIDE_PX)
    return Level(level.power[here], level.valid[here], level.coverage[here], level.averaged)


def _structured(facts: dict[str, Any]) -> bool:
    share = sum(facts["shares"].get(name, 0.0) for name in MAN_MADE)
    return bool(share >= SHARE or len(facts["objects"]) >= OBJECTS)


def balanced(items: list[Item]) -> np.ndarray:
    """Weights (N,) with which every sensor and size counts alike, and structured windows as much as others."""
    groups = [(item.sensor, item.side_m, item.structured) for item in items]
    count = Counter(groups)
    return np.array([len(items) / len(count) / count[group] for group in groups])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=Path, nargs="+", required=True)
    parser.add_argument("--check", type=Path, nargs="+", required=True)
    parser.add_argument("--result", type=Path, default=Path(__file__).parent / "results" / "screen.json")
    options = parser.parse_args()
    fit = [item for folder in options.fit for item in windows(folder, set())]
    cues, structured = np.array([item.cues for item in fit]), np.array([item.structured for item in fit])
    model = LogisticRegression(max_iter=1000).fit(cues, structured, sample_weight=balanced(fit))
    print(model.coef_[0].round(3).tolist(), "offset", model.intercept_.round(3), len(fit), flush=True)
    fitted = {item.city for item in fit}
    check = [item for folder in options.check for item in windows(folder, fitted)]
    result: dict[str, Any] = {"threshold": SUGGESTED, "cities_of_the_fit": sorted(fitted)}
    result["cities"] = sorted({item.city for item in check})
    for side in SIDES:
        for sensor in sorted({item.sensor for item in check if item.side_m == side}):
            chosen = [item for item in check if (item.side_m, item.sensor) == (side, sensor)]
            result[f"windows_{side:g}_m_{sensor}"] = measured(chosen)
    first = next(value for name, value in result.items() if name.startswith("windows_"))
    unit = "AUROC of the first row's windows on cities that the fit never saw; baseline: chance"
    record(options.result, first["auroc"], 0.5, unit, result)
    print(result)


def measured(items: list[Item]) -> dict[str, Any]:
    """Figures of the score, beside what keeping every window would give (`base_rate`)."""
    scene = np.array([item.scene for item in items])
    score, truth = np.array([item.score for item in items]), np.array([item.structured for item in items])
    kept = score >= SUGGESTED

    def area(rows: np.ndarray) -> float | None:
        return auroc(score[rows], truth[rows])

    def precision(rows: np.ndarray) -> float | None:
        return float(truth[rows][kept[rows]].mean()) if kept[rows].any() else None

    def recall(rows: np.ndarray) -> float | None:
        return float(kept[rows][truth[rows]].mean()) if truth[rows].any() else None

    every = np.arange(len(items))
    figures: dict[str, Any] = {
        "windows": len(items),
        "scenes": len(np.unique(scene)),
        "structured": int(truth.sum()),
        "base_rate": round(float(truth.mean()), 4),
        "kept": int(kept.sum()),
        "kept_share": round(float(kept.mean()), 4),
    }
    for name, function in (("auroc", area), ("precision", precision), ("recall", recall)):
        value = function(every)
        figures[name] = None if value is None else round(value, 4)
        figures[f"{name}_interval"] = interval(function, scene)
    return figures


if __name__ == "__main__":
    main()
