"""Speed of the rules annotator: tiles of 1024 x 1024 and of 256 x 256 pixels a second, on two processes.

    python -m benchmarks.annotate DATASET [--tiles 40] [--processes 2]

Large images are 4 x 4 tiles of the data set side by side, so that they hold real scene content.
Wall clock over all processes, and CPU time (which other programs on the machine disturb less).
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from knowlip.config import commit, machine
from knowlip.dataset import Dataset
from knowlip.files import write_json
from knowlip.text.rules import RulesAnnotator
from knowlip.text.types import TileRequest


def annotate_all(images: list[np.ndarray], metres_per_pixel: float) -> float:
    """CPU seconds for annotating the images once each, after one for warming up."""
    annotator = RulesAnnotator()
    requests = [
        TileRequest(str(n), image, metres_per_pixel, "large", "", "", 0.0, 0.0) for n, image in enumerate(images)
    ]
    annotator.annotate(requests[0])
    started = time.process_time()
    for request in requests:
        annotator.annotate(request)
    return time.process_time() - started


def measure(images: list[np.ndarray], metres_per_pixel: float, processes: int) -> dict[str, float]:
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(annotate_all, [images[:1]] * processes, [metres_per_pixel] * processes))
        started = time.perf_counter()
        seconds = list(
            pool.map(annotate_all, [images[n::processes] for n in range(processes)], [metres_per_pixel] * processes)
        )
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
    result = {
        "megapixel": measure(large, 1.0, arguments.processes),
        "small": measure(small[: 8 * arguments.tiles], 1.0, arguments.processes),
        "unit": "tiles a second; megapixel: 1024 x 1024, small: 256 x 256",
        "machine": f"{machine()}, {arguments.processes} processes", "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    write_json(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
