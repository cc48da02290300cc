"""Accuracy of the rules annotator on a data set with truth, per instruction set and dimension, and its speed.

    python -m benchmarks.annotate_accuracy DATASET [--out benchmarks/results/annotate_accuracy.json]

Every accepted tile is annotated anew (large, then medium, then small, with the parent's annotation), and every sub-text
is judged against the tile's truth. One process, one thread.
"""

import argparse
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.benchmark.truth import judge
from knowlip.dataset import Dataset
from knowlip.files import write_json
from knowlip.text.rules import RulesAnnotator
from knowlip.text.types import Annotation, TileRequest
from knowlip.vocabulary import DIMENSIONS, SCALES

PLACE = ("country", "region", "city", "city_km", "airport", "airport_km", "port", "port_km")


def request_of(row: dict[str, Any], image: np.ndarray, parent: Annotation | None) -> TileRequest:
    """A row of the index and its image as the annotator sees them."""
    look = row["look_azimuth_deg"]
    return TileRequest(
        row["tile_id"], image, row["metres_per_pixel"], row["scale"], row["platform"], row["sar:frequency_band"],
        row["lon"], row["lat"], {name: row[name] for name in PLACE}, None if np.isnan(look) else look, parent,
    )  # fmt: skip


def true_set(truth: dict[str, Any]) -> str:
    """The instruction set that truth asks for."""
    categories = [item["category"] for item in truth["objects"]]
    if not categories:
        return "terrain"
    return "marine" if categories.count("ship") * 2 >= len(categories) else "ground"


def measure(dataset: Dataset) -> dict[str, Any]:
    """Annotate all tiles, judge all sub-texts."""
    truths, annotator = dataset.truth(), RulesAnnotator()
    done: dict[str, Annotation] = {}
    verdicts: dict[str, dict[str, list[bool]]] = {name: defaultdict(list) for name in DIMENSIONS}
    sets: dict[str, dict[str, int]] = {name: dict.fromkeys(DIMENSIONS, 0) for name in DIMENSIONS}
    by_confidence: dict[str, list[bool]] = defaultdict(list)
    unverifiable, seconds = 0, 0.0
    for scale in SCALES:
        tiles = dataset.tiles(scale=scale)
        for row, image in zip(tiles.to_dict("records"), dataset.images(list(tiles["tile_id"]))):
            started = time.process_time()
            annotation = annotator.annotate(request_of(row, image, done.get(row["parent_id"])))
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
    every = [verdict for dimensions in verdicts.values() for values in dimensions.values() for verdict in values]
    return {
        "tiles": len(done),
        "tiles_per_cpu_second": round(len(done) / seconds, 1),
        "overall": round(float(np.mean(every)), 3),
        "unverifiable": unverifiable,
        "sets": {
            name: {
                "tiles": sum(sets[true][name] for true in sets),
                "overall": _mean([verdict for values in dimensions.values() for verdict in values]),
                **{dimension: _mean(dimensions[dimension]) for dimension in DIMENSIONS[name]},
            }
            for name, dimensions in verdicts.items()
        },
        "chosen_set_by_true_set": sets,
        "accuracy_by_confidence_from": {
            key: [_mean(by_confidence[key]), len(by_confidence[key])] for key in sorted(by_confidence)
        },
    }


def _mean(values: list[bool]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/annotate_accuracy.json"))
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    result = measure(dataset)
    result["machine"] = "2-core x86-64 CPU, one process"
    result["date"] = datetime.now(UTC).date().isoformat()
    result["dataset_fingerprint"] = dataset.fingerprint
    write_json(arguments.out, result)
    print(f"{result['tiles']} tiles, {result['tiles_per_cpu_second']} a CPU second, {result['overall']:.1%} true")
    for name, row in result["sets"].items():
        print(name, row)
    print(result["chosen_set_by_true_set"])
    print(result["accuracy_by_confidence_from"])


if __name__ == "__main__":
    main()
