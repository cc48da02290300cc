"""Make the reference set of the quality filter, and measure it.

    python -m benchmarks.fit_quality_reference SCENES [--real FOLDER ...] [--check FOLDER ...]
        [--out knowlip/tiles/data/reference.json] [--result benchmarks/results/quality.json]

Good samples are tiles of three scales of simulated scenes (SCENES) and of real ones (--real); bad samples are the same
ground with a defect of `quality_defects`, quantised anew. A defect that texture cannot tell from good ground is left
out of the set and only reported. Scenes under --check are never part of the set: how many of their tiles the default
rejects is counted. Only features are stored, no pixels. Accuracy is that of leaving out every sample of a scene at a
time; intervals are 95 % over scenes drawn with replacement.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_defects import POWER_DEFECTS, TILE_DEFECTS
from benchmarks.record import record
from knowlip.base.statistics import auroc
from knowlip.scenes import open_scenes
from knowlip.tiles.cut import cut
from knowlip.tiles.ground import Ground
from knowlip.tiles.plan import BuildConfig
from knowlip.tiles.quality import STATISTICS, QualityConfig, measure, reject_reason
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig, make_quantiser
from knowlip.tiles.reference import DEFAULT, VOTED, Reference, write_reference
from knowlip.tiles.resample import levels_of
from knowlip.tiles.windows import Window, plan_roots

SIDE = 256
NOT_SEPARABLE = ("ambiguity",)
NEIGHBOURS = QualityConfig().neighbours
_AT = [STATISTICS.index(name) for name in VOTED]


def grounds(folder: Path) -> Iterator[tuple[Ground, list[Window]]]:
    """Scenes of a folder with their large windows; those that are too small or hold nothing are left out."""
    for path in sorted([*folder.glob("*.tif"), *folder.glob("*.png")]):
        if path.name.endswith("landcover.tif"):
            continue
        try:
            for scene in open_scenes(path):
                ground = Ground(scene)
                large = 1024.0 if scene.resolution_m < 5 else 256 * scene.resolution_m
                yield ground, plan_roots(ground, scene.scene_id, (large, large / 2, large / 4))
        except ValueError as error:
            print(f"  skipped: {error}")


def samples_of(ground: Ground, roots: list[Window], random: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """(kind, features) of a scene: up to two large windows, at each scale a good tile and a bad one of each of some
    defects."""
    from knowlip.tiles.cut import _histogram

    found: list[tuple[str, np.ndarray]] = []
    if not roots:
        return found
    histogram = _histogram(ground, roots, SIDE)
    if not histogram.total:
        return found
    quantiser = make_quantiser(histogram, QuantiseConfig())
    for root in random.permutation(np.array(roots, object))[:2]:
        for number, level in enumerate(levels_of(ground, root, SIDE)):
            for _ in range(2 if number else 1):
                row, column = random.integers(0, 2**number, 2) * SIDE
                here = slice(row, row + SIDE), slice(column, column + SIDE)
                power, valid = level.power[here], level.valid[here]
                tile = quantiser(power, valid)
                if valid.mean() < 0.9 or rejected(tile):
                    continue
                found.append(("good", features(tile)))
                for name in random.permutation(list(POWER_DEFECTS))[:1]:
                    spoiled = POWER_DEFECTS[name](level.power, random)
                    counted = PowerHistogram()
                    counted.add(spoiled, level.valid)
                    found.append((name, features(make_quantiser(counted, QuantiseConfig())(spoiled[here], valid))))
                if random.random() < 0.3:
                    name = str(random.choice(list(TILE_DEFECTS)))
                    found.append((name, features(TILE_DEFECTS[name](tile, random) * valid)))
    return found


def rejected(tile: np.ndarray) -> bool:
    """Whether the plain thresholds refuse a tile: such a one says nothing about the vote."""
    numbers = measure(tile)
    if numbers is None:
        return True
    return bool(reject_reason({**dict(zip(STATISTICS, numbers)), "q_good": 1.0}, 1.0, 0.0, QualityConfig()))


def features(tile: np.ndarray) -> np.ndarray:
    """The features that are voted on."""
    numbers = measure(np.ascontiguousarray(tile, np.uint8))
    assert numbers is not None
    return numbers[_AT]


def leave_scene_out(features: np.ndarray, good: np.ndarray, scenes: np.ndarray, voting: np.ndarray) -> np.ndarray:
    """Share of good neighbours of each sample (N,), none of them of the same scene; only `voting` samples vote."""
    votes = np.zeros(len(good))
    for scene in np.unique(scenes):
        kept = (scenes != scene) & voting
        rest = Reference(features[kept], good[kept], tuple(scenes[kept]))
        for i in np.flatnonzero(scenes == scene):
            votes[i] = rest.vote(features[i], NEIGHBOURS)
    return votes


def interval(function: Any, scenes: np.ndarray, draws: int = 400) -> list[float]:
    """95 % interval of a figure of sample rows over scenes drawn with replacement; [] where it has no value."""
    random, names = np.random.default_rng(0), np.unique(scenes)
    rows = {name: np.flatnonzero(scenes == name) for name in names}
    values = []
    for _ in range(draws):
        value = function(np.concatenate([rows[name] for name in random.choice(names, len(names))]))
        if value is not None:
            values.append(value)
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])] if values else []


def measured(votes: np.ndarray, kinds: np.ndarray, scenes: np.ndarray) -> dict[str, Any]:
    """Figures of the vote at the default threshold."""
    good, threshold = kinds == "good", QualityConfig().min_good
    counted = ~np.isin(kinds, NOT_SEPARABLE)
    right = (votes >= threshold) == good

    def accuracy(rows: np.ndarray) -> float:
        return float(right[rows[counted[rows]]].mean())

    def area(rows: np.ndarray) -> float | None:
        return auroc(-votes[rows[counted[rows]]], ~good[rows[counted[rows]]])

    def refused(rows: np.ndarray) -> float:
        return round(float((votes[rows] < threshold).mean()), 4)

    every = np.arange(len(votes))
    majority = max(good[counted].mean(), 1 - good[counted].mean())
    return {
        "samples": int(counted.sum()),
        "scenes": len(np.unique(scenes)),
        "good": int(good.sum()),
        "accuracy": round(accuracy(every), 4),
        "accuracy_interval": interval(accuracy, scenes),
        "majority_baseline": round(float(majority), 4),
        "auroc": round(area(every) or 0.0, 4),
        "auroc_interval": interval(area, scenes),
        "good_rejected": refused(good),
        "rejected_by_defect": {
            str(kind): {"samples": int((kinds == kind).sum()), "rejected": refused(kinds == kind)}
            for kind in np.unique(kinds[~good])
        },
    }


def rejections(folder: Path) -> dict[str, Any]:
    """How many tiles of the scenes of a folder the default filter rejects, and why."""
    reasons: dict[str, int] = {}
    tiles = 0
    worst: list[str] = []
    for ground, roots in grounds(folder):
        large = roots[0].side / ground.unit_per_metre
        config = BuildConfig([folder], folder, windows_m=(large, large / 2, large / 4))
        try:
            _, families = cut(ground, roots, config)
            for group in families:
                for tile in group.tiles:
                    tiles += 1
                    if tile.reject_reason:
                        reasons[tile.reject_reason] = reasons.get(tile.reject_reason, 0) + 1
                        if tile.reject_reason == "poor":
                            worst.append(f"{tile.window.tile_id} {tile.statistics['q_good']:.2f}")
        except ValueError as error:
            print(f"  skipped: {error}")
    return {"tiles": tiles, "rejected": reasons, "poor": worst}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    parser.add_argument("--check", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=DEFAULT)
    parser.add_argument("--result", type=Path, default=Path(__file__).parent / "results" / "quality.json")
    options = parser.parse_args()
    random = np.random.default_rng(7)
    kinds, rows, scenes = [], [], []
    for folder in [options.scenes, *options.real]:
        for ground, roots in grounds(folder):
            for what, numbers in samples_of(ground, roots, random):
                kinds.append(what)
                rows.append(numbers)
                scenes.append(ground.scene.scene_id)
    kind, values, scene = np.array(kinds), np.array(rows), np.array(scenes)
    # Scenes of a place share their names up to the last part: they are left out together.
    place = np.array([name.rsplit("-", 1)[0] for name in scene])
    voting = ~np.isin(kind, NOT_SEPARABLE)
    votes = leave_scene_out(values, kind == "good", place, voting)
    about = {
        "quantiser": "db-percentile-v1(0.5,99.8)",
        "tile_px": SIDE,
        "made_by": "python -m benchmarks.fit_quality_reference",
        "note": "Features only, no pixels. Real scenes: modified Copernicus Sentinel data, Sen1Floods11.",
    }
    sources = tuple(f"{name}:{defect}" for name, defect in zip(scene[voting], kind[voting]))
    write_reference(options.out, Reference(values[voting], kind[voting] == "good", sources), about)
    from knowlip.tiles.reference import load_reference

    load_reference.cache_clear()
    result = {
        "neighbours": NEIGHBOURS,
        "min_good": QualityConfig().min_good,
        "leave_one_place_out": measured(votes, kind, place),
        "checked": {
            folder.name if folder.name != "scenes" else "simulated": rejections(folder) for folder in options.check
        },
    }
    left_out = result["leave_one_place_out"]
    unit = "accuracy on places left out of the reference; baseline: the majority class"
    record(options.result, left_out["accuracy"], left_out["majority_baseline"], unit, result)
    print(result)


if __name__ == "__main__":
    main()
