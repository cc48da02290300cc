"""Speed of the co-occurrence features beside scikit-image, on the same tiles and one core, interleaved.

python -m benchmarks.glcm [--sides 256 1024] [--rounds 7] [--out benchmarks/results/glcm.json]
"""

import argparse
import time
from pathlib import Path

import numpy as np
from skimage.feature import graycomatrix, graycoprops

from benchmarks.record import record
from knowlip.tiles.glcm import FEATURES, LEVELS, glcm_array, level_table

ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def with_skimage(tile: np.ndarray) -> np.ndarray:
    """The same features, mean over the angles."""
    matrix = graycomatrix(level_table()[tile], [1], ANGLES, levels=LEVELS, symmetric=True, normed=True)
    return np.array([graycoprops(matrix, {"asm": "ASM"}.get(name, name)).mean() for name in FEATURES])


def measure(side: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of both, and the largest difference of a feature."""
    random = np.random.default_rng(0)
    tiles = [np.clip(random.gamma(3, 30, (side, side)), 1, 255).astype(np.uint8) for _ in range(rounds)]
    glcm_array(tiles[0])
    ours, theirs, apart = [], [], 0.0
    for tile in tiles:
        start = time.perf_counter()
        found = glcm_array(tile)
        middle = time.perf_counter()
        wanted = with_skimage(tile)
        end = time.perf_counter()
        ours.append(middle - start)
        theirs.append(end - middle)
        apart = max(apart, float(np.abs(found - wanted).max()))
    one, other = float(np.median(ours)) * 1e3, float(np.median(theirs)) * 1e3
    return {
        "ms": round(one, 3),
        "skimage_ms": round(other, 3),
        "ratio": round(other / one, 1),
        "largest_difference": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "glcm.json")
    options = parser.parse_args()
    result = {f"{side}_px": measure(side, options.rounds) for side in options.sides}
    largest = result[f"{max(options.sides)}_px"]
    unit = f"tiles of {max(options.sides)} px a second; baseline: skimage.feature.graycomatrix and graycoprops"
    speeds = 1e3 / largest["ms"], 1e3 / largest["skimage_ms"]
    record(options.out, *(round(speed, 2) for speed in speeds), unit, {"rounds": options.rounds, **result}, "one core")
    print(result)


if __name__ == "__main__":
    main()
