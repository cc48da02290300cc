"""Peak memory of scoring retrieval among many images and texts, against the matrices of all scores and right answers.

    python -m benchmarks.retrieval_memory [--items 100000] [--width 256]

Random unit embeddings, each text twice; recall in both directions and in which identical texts are wrong, as `knowlip
evaluate` asks for. The baseline is what two matrices of all pairs (float32 scores, bool answers) would take.
"""

import argparse
import time
from pathlib import Path

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
    chance, count = np.random.default_rng(0), options.items
    own = np.arange(count) // 2
    texts = _unit(chance.standard_normal((own[-1] + 1, options.width), dtype=np.float32))
    images = _unit(texts[own] + 0.15 * chance.standard_normal((count, options.width), dtype=np.float32))
    clusters = (np.arange(count) // 50).astype(str)
    before, start = resident_peak_mb(), time.perf_counter()
    numbers = np.arange(len(texts))
    ways = {
        "image to text": Direction(images, texts, own, numbers, clusters),
        "text to image": Direction(texts, images, numbers, own, clusters[::2]),
    }
    found = {name: recalls(way).at[1].value for name, way in ways.items()}
    alone = {name: float((ranks == 1).mean()) for name, ranks in pair_ranks(ways["image to text"]).items()}
    seconds, grown = time.perf_counter() - start, resident_peak_mb() - before
    whole = count * len(texts) * 5 / 1e6
    details = {"images": count, "texts": len(texts), "seconds": seconds, "r1": found, "r1_identical_texts_wrong": alone}
    record(OUT, grown, whole, "MB more than the embeddings; baseline: all scores and answers at once", details)
    print(f"{grown:.0f} MB against {whole:.0f} MB, {seconds:.0f} s, R@1 {found}, identical texts wrong {alone}")


def _unit(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = values / np.linalg.norm(values, axis=1, keepdims=True)
    return found


if __name__ == "__main__":
    main()
