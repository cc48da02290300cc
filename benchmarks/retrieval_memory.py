"""Peak memory of scoring retrieval among many images and texts, against the matrices of all scores and right answers.

    python -m benchmarks.retrieval_memory [--items 100000] [--width 256]

Random unit embeddings, each text twice; recall in both directions and in which identical texts are wrong, as `knowlip
evaluate` asks for. The baseline is what two matrices of all pairs (float32 scores, bool answers) would take.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import resident_peak_mb
from benchmarks.record import record
from knowlip.tasks.ranking import Direction, pair_ranks, recalls

OUT = Path(__file__).parent / "results" / "retrieval_memory.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    ways = directions(options.items, (options.items + 1) // 2, options.width)
    before, start = resident_peak_mb(), time.perf_counter()
    found = score(ways)
    seconds, grown = time.perf_counter() - start, resident_peak_mb() - before
    whole = found["images"] * found["texts"] * 5 / 1e6
    details = {**found, "seconds": seconds}
    record(OUT, grown, whole, "MB more than the embeddings; baseline: all scores and answers at once", details)
    print(f"{grown:.0f} MB against {whole:.0f} MB, {seconds:.0f} s, {found}")


def directions(images: int, texts: int, width: int) -> dict[str, Direction]:
    """Random unit embeddings of images around those of the texts, which as many images share as need be."""
    chance = np.random.default_rng(0)
    own = np.arange(images) * texts // images
    text_D = _unit(chance.standard_normal((texts, width), dtype=np.float32))
    image_D = _unit(text_D[own] + 0.15 * chance.standard_normal((images, width), dtype=np.float32))
    first, numbers = np.searchsorted(own, np.arange(texts)), np.arange(texts)
    clusters = (np.arange(images) // 50).astype(str)
    return {
        "image to text": Direction(image_D, text_D, own, numbers, clusters),
        "text to image": Direction(text_D, image_D, numbers, own, clusters[first]),
    }


def score(ways: dict[str, Direction]) -> dict[str, Any]:
    """Recall at 1 in both directions, and where identical texts are wrong."""
    found = {name: recalls(way).at[1].value for name, way in ways.items()}
    alone = {name: float((ranks == 1).mean()) for name, ranks in pair_ranks(ways["image to text"]).items()}
    images, texts = len(ways["image to text"]), len(ways["text to image"])
    return {"images": images, "texts": texts, "r1": found, "r1_identical_texts_wrong": alone}


def _unit(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = values / np.linalg.norm(values, axis=1, keepdims=True)
    return found


if __name__ == "__main__":
    main()
