"""Fit the score of region screening on simulated scenes, and measure it on other ones.

    python -m benchmarks.fit_screen SCENES CHECK [--result benchmarks/results/screen.json]

A window counts as structured when man-made ground (built-up, road, runway, apron, bridge, quay) covers 8 % of it or it
holds three objects of interest or more. The weights of a logistic regression on the four cues are printed for
`knowlip/tiles/screen.py`. The figures are those of the constants that stand there, on CHECK, scenes of other cities;
intervals are 95 % over cities drawn with replacement. Windows of 512 and 256 m stand beside those of 1024 m, because
nearly all large windows of the simulated scenes hold something man-made.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.fit_quality_reference import interval
from knowlip.files import write_json
from knowlip.scenes import open_scenes
from knowlip.statistics import auroc
from knowlip.tiles.ground import Ground
from knowlip.tiles.resample import levels_of
from knowlip.tiles.screen import CUES, SUGGESTED, window_cues, window_score
from knowlip.tiles.truth import SceneTruth
from knowlip.tiles.windows import plan_roots

MAN_MADE = ("built-up", "road", "runway", "apron", "bridge", "quay")
SHARE, OBJECTS = 0.08, 3
SIDES = (1024.0, 512.0, 256.0)


def windows(folder: Path, side: float) -> list[tuple[str, str, np.ndarray, float, float, int]]:
    """(city, sensor, cues, score, share of man-made ground, objects) of every window of the scenes of a folder."""
    found = []
    for path in sorted(folder.glob("*.tif")):
        if path.name.endswith("landcover.tif"):
            continue
        for scene in open_scenes(path):
            ground = Ground(scene)
            truth = SceneTruth(path, ground.crs)
            for root in plan_roots(ground, scene.scene_id, (side, side / 2, side / 4)):
                levels = levels_of(ground, root, 256)
                cues = window_cues(levels[0].power, levels[0].valid)
                if cues is None or not levels[0].averaged:
                    continue
                facts = truth.of(root, root, truth.root_codes(root))
                share = sum(facts["shares"].get(name, 0.0) for name in MAN_MADE)
                city, sensor = path.stem.rsplit("-", 1)
                found.append((city, sensor, cues, window_score(levels), share, len(facts["objects"])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("check", type=Path)
    parser.add_argument("--result", type=Path, default=Path(__file__).parent / "results" / "screen.json")
    options = parser.parse_args()
    fit = [item for side in SIDES for item in windows(options.scenes, side)]
    cues, structured = np.array([item[2] for item in fit]), np.array([_structured(item) for item in fit])
    model = LogisticRegression(class_weight="balanced").fit(cues, structured)
    print(dict(zip(CUES, model.coef_[0].round(3).tolist())), "offset", model.intercept_.round(3), len(fit))
    fitted = {item[0] for item in fit}
    result: dict[str, Any] = {"threshold": SUGGESTED, "cities_of_the_fit": sorted(fitted)}
    for side in SIDES:
        check = [item for item in windows(options.check, side) if item[0] not in fitted]
        result[f"windows_{side:g}_m"] = measured(check)
    write_json(options.result, result)
    print(result)


def _structured(item: tuple[str, str, np.ndarray, float, float, int]) -> bool:
    return item[4] >= SHARE or item[5] >= OBJECTS


def measured(items: list[tuple[str, str, np.ndarray, float, float, int]]) -> dict[str, Any]:
    """Figures of the score."""
    city, sensor = np.array([item[0] for item in items]), np.array([item[1] for item in items])
    score, truth = np.array([item[3] for item in items]), np.array([_structured(item) for item in items])
    kept = score >= SUGGESTED

    def area(rows: np.ndarray) -> float | None:
        return auroc(score[rows], truth[rows])

    def precision(rows: np.ndarray) -> float | None:
        return float(truth[rows][kept[rows]].mean()) if kept[rows].any() else None

    def recall(rows: np.ndarray) -> float | None:
        return float(kept[rows][truth[rows]].mean()) if truth[rows].any() else None

    every = np.arange(len(items))
    figures: dict[str, Any] = {
        "windows": len(items), "cities": len(np.unique(city)), "structured": int(truth.sum()),
        "kept": int(kept.sum()),
    }  # fmt: skip
    for name, function in (("auroc", area), ("precision", precision), ("recall", recall)):
        value = function(every)
        figures[name] = None if value is None else round(value, 4)
        figures[f"{name}_interval"] = interval(function, city)
    for name in np.unique(sensor):
        value = area(np.flatnonzero(sensor == name))
        figures[f"auroc_{name}"] = None if value is None else round(value, 4)
    return figures


if __name__ == "__main__":
    main()
