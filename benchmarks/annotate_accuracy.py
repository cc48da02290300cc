"""Accuracy of the measured annotator on a data set with truth, per instruction set and dimension, and its speed.

    python -m benchmarks.annotate_accuracy DATASET [--detail none] [--out benchmarks/results/annotate_accuracy.json]

Every accepted tile is annotated anew (large, then medium, then small, with the parent's annotation), and every sub-text
is judged against the tile's truth. Counts and boxes are held against the true objects: a box is right when it and the
upright box of a true object of its category, each used once, share a quarter of their union. One process, one thread.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from knowlip.annotators.detail import Details
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.measured.evidence import Target
from knowlip.annotators.measured.mentions import box_of
from knowlip.annotators.types import Annotation, Box
from knowlip.annotators.workers import tile_request
from knowlip.base.vocabulary import SCALES, TARGET_CATEGORIES
from knowlip.dataset import Dataset
from knowlip.language.definitions import count_holds
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.truth import judge
from knowlip.tasks.metrics.intervals import wilson

EXPERTS = {
    "ground": (73, 64, 69, 72, 78, 76, 80, 81),
    "marine": (78, 73, 86, 79, 79, 85, 89, 88),
    "terrain": (79, 84, 87, 83, 84, 82, 84, 90),
}
"""What the paper's experts found of its own texts on real images, in percent, read off its chart; dimensions 1 to 8."""


def true_set(truth: dict[str, Any]) -> str:
    """The instruction set that truth asks for."""
    categories = [item["category"] for item in truth["objects"]]
    if not categories:
        return "terrain"
    return "marine" if categories.count("ship") * 2 >= len(categories) else "ground"


def measure(dataset: Dataset, detail: str) -> dict[str, Any]:
    """Annotate all tiles, judge all sub-texts."""
    truths, annotator = dataset.truth(), MeasuredAnnotator()
    details = Details(dataset) if detail == "tiles" else None
    done: dict[str, Annotation] = {}
    verdicts: dict[str, dict[str, list[bool]]] = {name: defaultdict(list) for name in DIMENSIONS}
    sets: dict[str, dict[str, int]] = {name: dict.fromkeys(DIMENSIONS, 0) for name in DIMENSIONS}
    by_confidence: dict[str, list[bool]] = defaultdict(list)
    unverifiable, seconds = 0, 0.0
    for scale in SCALES:
        tiles = dataset.tiles(scale=scale).sort_values(["root_id", "tile_id"])
        for row, image in zip(tiles.to_dict("records"), dataset.images(list(tiles["tile_id"]))):
            tile = {str(key): value for key, value in row.items()}
            started = time.process_time()
            annotation = annotator.annotate(tile_request(tile, image, done.get(row["parent_id"]), details))
            seconds += time.process_time() - started
            done[row["tile_id"]] = annotation
            truth = truths[row["tile_id"]]
            sets[true_set(truth)][annotation.instruction_set] += 1
            for sub_text in annotation.sub_texts:
                verdict = judge(annotation.instruction_set, sub_text.dimension, sub_text.text, truth, row["window_m"])
                if verdict is None:
                    unverifiable += 1
                    continue
                verdicts[annotation.instruction_set][sub_text.dimension].append(verdict)
                by_confidence[f"{min(4, int(sub_text.confidence * 5)) / 5:.1f}"].append(verdict)
    windows = dict(zip(dataset.tiles()["tile_id"], dataset.tiles()["window_m"]))
    every = [verdict for dimensions in verdicts.values() for values in dimensions.values() for verdict in values]
    swapped = _swapped(done, truths, windows)
    return {
        "tiles": len(done),
        "tiles_per_cpu_second": round(len(done) / seconds, 1),
        "value": round(float(np.mean(every)), 3),
        "interval": _interval(every),
        "baseline": round(float(np.mean([v for values in swapped.values() for v in values])), 3),
        "unit": "share of true sub-texts; baseline: the texts of another tile of the same instruction set",
        "unverifiable": unverifiable,
        "sets": {
            name: {
                "tiles": sum(sets[true][name] for true in sets),
                "overall": _mean([verdict for values in dimensions.values() for verdict in values]),
                **{
                    dimension: {
                        "true": _mean(dimensions[dimension]),
                        "interval": _interval(dimensions[dimension]),
                        "swapped": _mean(swapped[name, dimension]),
                        "paper_experts": EXPERTS[name][number] / 100,
                    }
                    for number, dimension in enumerate(DIMENSIONS[name])
                },
            }
            for name, dimensions in verdicts.items()
        },
        "chosen_set_by_true_set": sets,
        "mentions": mentions(done, truths, windows),
        "accuracy_by_confidence_from": {
            key: [_mean(by_confidence[key]), len(by_confidence[key])] for key in sorted(by_confidence)
        },
    }


def mentions(done: dict[str, Annotation], truths: dict[str, Any], windows: dict[str, float]) -> dict[str, Any]:
    """How far counts and boxes are true, for each category."""
    result = {}
    for category in TARGET_CATEGORIES:
        zeros: list[bool] = []
        counts: list[bool] = []
        right, boxes, true_boxes = 0, 0, 0
        for tile, note in done.items():
            items = [item for item in truths[tile]["objects"] if item["category"] == category]
            if category in note.counts:
                number = note.counts[category]
                (counts if number else zeros).append(count_holds(number, len(items)))
            found = [box for box in note.boxes if box.category == category]
            true = [upright(item, windows[tile]) for item in items]
            boxes, true_boxes = boxes + len(found), true_boxes + len(true)
            right += matches(found, true)
        result[category] = {
            "counts_from_1_true": _mean(counts),
            "tiles_counted_from_1": len(counts),
            "counts_of_0_true": _mean(zeros),
            "tiles_counted_0": len(zeros),
            "boxes": boxes,
            "boxes_right": round(right / max(1, boxes), 3),
            "objects": true_boxes,
            "objects_boxed": round(right / max(1, true_boxes), 3),
        }
    return result


def upright(item: dict[str, Any], window_m: float) -> Box:
    """Upright box of a true object, cut at the tile's edge."""
    target = Target(item["category"], item["x"], item["y"], item["length_m"], item["width_m"], item["heading_deg"], "")
    return box_of(target, window_m, window_m)


def matches(found: list[Box], true: list[Box]) -> int:
    """Pairs of a found and a true box that share a quarter of their union, best first, each box in one pair."""
    pairs = sorted(((overlap(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(true)), reverse=True)
    left, right = set(range(len(found))), set(range(len(true)))
    count = 0
    for share, i, j in pairs:
        if share < 0.25:
            break
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            count += 1
    return count


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    both = max(0.0, width) * max(0.0, height)
    return both / max(1e-12, a.width * a.height + b.width * b.height - both)


def _swapped(
    done: dict[str, Annotation], truths: dict[str, Any], windows: dict[str, float]
) -> dict[tuple[str, str], list[bool]]:
    """Verdicts a set and dimension when every tile gets the texts of a random other tile of its set: the chance."""
    rng, verdicts = np.random.default_rng(0), defaultdict(list)
    for name in DIMENSIONS:
        tiles = [tile for tile in sorted(done) if done[tile].instruction_set == name]
        for tile, donor in zip(tiles, rng.permutation(len(tiles))):
            for sub_text in done[tiles[donor]].sub_texts:
                verdict = judge(name, sub_text.dimension, sub_text.text, truths[tile], windows[tile])
                if verdict is not None:
                    verdicts[name, sub_text.dimension].append(verdict)
    return verdicts


def _interval(values: list[bool]) -> list[float] | None:
    """95 % Wilson interval of the share; tiles of one scene are not quite independent."""
    return [round(end, 3) for end in wilson(sum(values), len(values))] if values else None


def _mean(values: list[bool]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--detail", choices=("tiles", "none"), default="tiles", help="as of knowlip annotate")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/annotate_accuracy.json"))
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    result = measure(dataset, arguments.detail)
    command = f"python -m benchmarks.annotate_accuracy DATASET --detail {arguments.detail}"
    rest = {"dataset_fingerprint": dataset.fingerprint, "command": command}
    value, baseline, unit = (result.pop(name) for name in ("value", "baseline", "unit"))
    record(arguments.out, value, baseline, unit, {**result, **rest}, "one process")
    true, swapped = f"{value:.1%} true", f"{baseline:.1%} when swapped"
    print(f"{result['tiles']} tiles, {result['tiles_per_cpu_second']} a CPU second, {true}, {swapped}")
    for name, row in result["sets"].items():
        print(name, row["tiles"], row["overall"], {dim: row[dim]["true"] for dim in DIMENSIONS[name]})
    print(result["mentions"])
    print(result["chosen_set_by_true_set"])
    print(result["accuracy_by_confidence_from"])


if __name__ == "__main__":
    main()
