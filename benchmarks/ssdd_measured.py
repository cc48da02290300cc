"""Count and location of ships by the measured annotator against the labels of SSDD (real SAR images).

    python -m benchmarks.ssdd_measured SSDD_FOLDER [--metres 3.0] [--half judge] [--limit 300]

SSDD's images come from several sensors with pixels of 1 to 15 m, and no image tells its own: one pixel size is
assumed for all. An image without marine texts counts as "no ship". The judge's rules apply (exact up to three, else
within 25 %; most ships in the named regions, half of the regions hold one). Byte-identical images are taken once.
Baselines: the most frequent count, and the set of regions that is true most often, for every image.

The network was fitted on the images with odd hundreds in their number (`in_fit_half`): the others are measured.
"""

import argparse
import hashlib
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.record import record
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.types import TileRequest
from knowlip.base.vocabulary import region_of
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import count_holds
from knowlip.scenes.xml import read_xml
from knowlip.tasks.metrics.intervals import wilson


def labels(path: Path) -> list[tuple[float, float]]:
    """Centres (x, y) of the labelled ships as fractions of the image."""
    root = read_xml(path, path.name)
    width, height = float(root.findtext("size/width", "1")), float(root.findtext("size/height", "1"))
    centres = []
    for box in root.iter("bndbox"):
        x = (float(box.findtext("xmin", "")) + float(box.findtext("xmax", ""))) / 2
        y = (float(box.findtext("ymin", "")) + float(box.findtext("ymax", ""))) / 2
        centres.append((x / width, y / height))
    return centres


def location_holds(claimed: set[int], at: list[int]) -> bool:
    return sum(region in claimed for region in at) * 2 > len(at) and len(claimed & set(at)) * 2 >= len(claimed)


def in_fit_half(name: str) -> bool:
    """Whether an image of SSDD, by its number, may be fitted on: odd hundreds; the others are for the judge."""
    return int(name) // 100 % 2 == 1


def measure(folder: Path, metres: float, limit: int, half: str = "judge") -> dict[str, Any]:
    annotator, seen = MeasuredAnnotator(), set()
    counts: list[tuple[int, int]] = []
    places: list[tuple[set[int], list[int]]] = []
    seconds, pixels = 0.0, 0
    for path in sorted((folder / "images").glob("*.jpg")):
        if half != "all" and in_fit_half(path.stem) != (half == "fit"):
            continue
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        image = np.maximum(np.asarray(Image.open(path).convert("L")), 1)  # no nodata in SSDD: 0 is a dark pixel
        truth = labels(folder / "annotations" / f"{path.stem}.xml")
        started = time.process_time()
        text = annotator.annotate(
            TileRequest(path.stem, image, metres, "medium", "unknown", "", float("nan"), float("nan"))
        )
        seconds += time.process_time() - started
        pixels += image.size
        marine = text.instruction_set == "marine"
        # The likeliest number, which the Count sentence may give as a range.
        counts.append((text.counts["ship"] if marine else 0, len(truth)))
        if truth:
            claimed = parse_claims("marine", "Location", text.text_of("Location")).get("regions", []) if marine else []
            places.append((set(claimed), [region_of(x, y) for x, y in truth]))
        if len(counts) >= limit:
            break
    right = [count_holds(claimed, true) for claimed, true in counts]
    placed = [bool(claimed) and location_holds(claimed, at) for claimed, at in places]
    common = Counter(true for _, true in counts).most_common(1)[0][0]
    groups = [set(group) for size in range(1, 10) for group in combinations(range(9), size)]
    best = max(groups, key=lambda group: sum(location_holds(group, at) for _, at in places))
    return {
        "half": half,
        "metres_per_pixel_assumed": metres,
        "images": len(counts),
        "count": _share(right),
        "count_baseline": _share([count_holds(common, true) for _, true in counts]),
        "count_mean_absolute_error": round(float(np.mean([abs(a - b) for a, b in counts])), 3),
        "ships_seen_in": _share([claimed > 0 for claimed, true in counts if true]),
        "location": _share(placed),
        "location_where_ships_are_seen": _share([ok for ok, (claimed, _) in zip(placed, places) if claimed]),
        "location_baseline": _share([location_holds(best, at) for _, at in places]),
        "cpu_seconds_a_megapixel": round(seconds / pixels * 1e6, 3),
    }


def _share(values: list[bool]) -> list[float]:
    """Share, lower and upper end of its 95 % Wilson interval."""
    if not values:
        return [0.0, 0.0, 1.0]
    low, high = wilson(sum(values), len(values))
    return [round(float(np.mean(values)), 3), round(low, 3), round(high, 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--metres", type=float, nargs="+", default=[3.0])
    parser.add_argument("--half", choices=("judge", "fit", "all"), default="judge")
    parser.add_argument("--limit", type=int, default=10**6)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ssdd_measured.json"))
    arguments = parser.parse_args()
    runs = [measure(arguments.folder, metres, arguments.limit, arguments.half) for metres in arguments.metres]
    first = runs[0]
    unit = "share of images with the right count of ships; baseline: the most frequent count for all"
    rest = {"runs": runs, "command": f"python -m benchmarks.ssdd_measured SSDD --half {arguments.half}"}
    record(arguments.out, first["count"][0], first["count_baseline"][0], unit, rest, "one process")
    for run in runs:
        print(run)


if __name__ == "__main__":
    main()
