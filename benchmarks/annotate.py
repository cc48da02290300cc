"""Speed of the measured annotator: tiles of 1024 x 1024 and of 256 x 256 pixels a second, on two processes.

    python -m benchmarks.annotate DATASET [--tiles 40] [--processes 2]

Large images are 4 x 4 tiles of the data set side by side, so that they hold real scene content.
Wall clock over all processes, and CPU time (which other programs on the machine disturb less). The baseline is what a
few lines of SciPy do towards it, on the same images and processes: one cell-averaging CFAR with its blobs, no texts.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.record import record
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.types import TileRequest
from knowlip.dataset import Dataset


def bare_cfar(image: np.ndarray) -> int:
    """Blobs above the ring around them (guard 21 px, ring 41 px, false alarms 1e-6 of exponential power)."""
    power = 10 ** (image.astype(np.float32) / 254 * 4.5)
    outer, inner = (ndimage.uniform_filter(power, size) * size**2 for size in (41, 21))
    background = (outer - inner) / (41**2 - 21**2)
    labels, count = ndimage.label(power > background * -np.log(1e-6))
    ndimage.find_objects(labels)
    return int(count)


def detect_all(images: list[np.ndarray], metres_per_pixel: float) -> float:
    """CPU seconds of :func:`bare_cfar` on the images once each, after one for warming up."""
    bare_cfar(images[0])
    started = time.process_time()
    for image in images:
        bare_cfar(image)
    return time.process_time() - started


def annotate_all(images: list[np.ndarray], metres_per_pixel: float) -> float:
    """CPU seconds for annotating the images once each, after one for warming up."""
    annotator = MeasuredAnnotator()
    requests = [
        TileRequest(str(n), image, metres_per_pixel, "large", "", "", 0.0, 0.0) for n, image in enumerate(images)
    ]
    annotator.annotate(requests[0])
    started = time.process_time()
    for request in requests:
        annotator.annotate(request)
    return time.process_time() - started


def measure(
    images: list[np.ndarray], metres_per_pixel: float, processes: int, work: Callable[[list[np.ndarray], float], float]
) -> dict[str, float]:
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(work, [images[:1]] * processes, [metres_per_pixel] * processes))
        started = time.perf_counter()
        seconds = list(pool.map(work, [images[n::processes] for n in range(processes)], [metres_per_pixel] * processes))
        wall = time.perf_counter() - started
    return {
        "tiles": len(images),
        "tiles_per_second": round(len(images) / wall, 1),
        "tiles_per_cpu_second": round(len(images) / sum(seconds), 1),
    }


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before the processes load NumPy
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--tiles", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/annotate.json"))
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    names = list(dataset.tiles(scale="small")["tile_id"])[: 16 * arguments.tiles]
    small = list(dataset.images(names))
    groups = [[small[(16 * n + k) % len(small)] for k in range(16)] for n in range(arguments.tiles)]
    large = [np.block([[group[4 * row + col] for col in range(4)] for row in range(4)]) for group in groups]
    megapixel = measure(large, 1.0, arguments.processes, annotate_all)
    baseline = measure(large, 1.0, arguments.processes, detect_all)
    result = {
        "megapixel": megapixel,
        "megapixel_baseline": baseline,
        "small": measure(small[: 8 * arguments.tiles], 1.0, arguments.processes, annotate_all),
        "required": 20,
    }
    unit = "tiles of 1024 x 1024 a second (small: 256 x 256); baseline: one CFAR with its blobs in SciPy, no texts"
    speeds = megapixel["tiles_per_second"], baseline["tiles_per_second"]
    record(arguments.out, *speeds, unit, result, f"{arguments.processes} processes")
    print(result)


if __name__ == "__main__":
    main()
