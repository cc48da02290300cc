"""What screening costs: all eight removals of a tile's text, beside one plain evaluation and beside nine of them.

    python -m benchmarks.screening DATASET --model MODEL [--tiles 64] [--repeats 3] [--out FILE]

    plain     one evaluation of a tile: image tower, text embedding, matching of the whole text; in batches
    loop      nine evaluations of one tile after the other
    nine      the naive screening: nine such evaluations, of the whole text and of eight without a sub-text; in batches
    deltas    `screen` with `evidence: deltas`: same figures, the image once, matching where contrast suspects noise
    nll       `screen` with `evidence: nll`: eight holes, some at once (`scio.holes_at_once`)

The threshold is the one at which a tenth of the sub-texts is called noise. `nine` and `deltas` must decide alike, or
there is no result. Repeats are interleaved; times are medians.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import record
from benchmarks.scio_scores import corpus_of
from knowlip.dataset import Dataset
from knowlip.language.dimensions import SLOTS
from knowlip.models import load_model
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.kinds import DECODER, DELTAS, Evidence
from knowlip.scio.passes import ScioConfig
from knowlip.scio.screening import scorer_of, screen
from knowlip.scio.thresholds import noise_score, standardisation
from knowlip.training.corpus import Corpus


def evaluation(scorer: Scorer, corpus: Corpus, without: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """L_ITC and s of every tile and its text, batch by batch, everything computed anew."""
    itc, itm, size = [], [], scorer.tiles_at_once
    for first in range(0, len(corpus.texts), size):
        rows = list(range(first, min(first + size, len(corpus.texts))))
        texts = [corpus.texts[row].ids(without=without) for row in rows]
        tokens, image = scorer.encode(rows)
        itc.append(scorer.contrast(image, scorer.embed(texts), rows, [corpus.texts[row].hash for row in rows]))
        with torch.inference_mode():
            memory = scorer.model.image_key_values(tokens)
        itm.append(scorer.match(memory, range(len(rows)), texts))
    return np.concatenate(itc), np.concatenate(itm)


def nine(scorer: Scorer, corpus: Corpus) -> Evidence:
    """dITC and dITM by nine evaluations."""
    itc, itm = evaluation(scorer, corpus)
    found = Evidence.empty(len(corpus.texts))
    for slot in range(SLOTS):
        less_itc, less_itm = evaluation(scorer, corpus, slot)
        found.itc[:, slot], found.itm[:, slot] = less_itc - itc, less_itm - itm
    return found


def measure(scorer: Scorer, corpus: Corpus, repeats: int) -> dict[str, float]:
    """Seconds a tile of each way.

    Raises:
        RuntimeError: the decisions differ.
    """
    whole = evidence(scorer, corpus.texts, kinds=DELTAS)
    noise = standardisation(whole, corpus.sets, "deltas")
    noise.threshold = float(np.quantile(noise_score(noise, whole, corpus.sets), 0.9))
    said = evidence(scorer, corpus.texts, kinds=DECODER)
    guess = replace(standardisation(said, corpus.sets, "nll"), weights=[1.0])
    guess.threshold = float(np.quantile(noise_score(guess, said, corpus.sets), 0.9))
    single = copy.copy(scorer)
    single.tiles_at_once = 1
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: evaluation(scorer, corpus),
        "loop": lambda: nine(single, corpus),
        "nine": lambda: noise_score(noise, nine(scorer, corpus), corpus.sets) > noise.threshold,
        "deltas": lambda: screen(scorer, corpus, noise).noisy,
        "nll": lambda: screen(scorer, corpus, guess).noisy,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    decided = {}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            decided[name] = way()
            if scorer.model.device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    if different := int((np.asarray(decided["nine"]) != np.asarray(decided["deltas"])).sum()):
        raise RuntimeError(f"{different} decisions differ between nine evaluations and screening: no result.")
    return {name: float(np.median(values)) / len(corpus.texts) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/screening_cost.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.model).eval().to(options.device)
    with tempfile.TemporaryDirectory() as cache:
        corpus = corpus_of(Dataset(options.dataset), model, Path(cache), options.tiles, 0)
    scorer = scorer_of(model, corpus, ScioConfig(), np.random.default_rng(0))
    seconds = measure(scorer, corpus, options.repeats)
    deltas, nll, naive, loop = (seconds[name] / seconds["plain"] for name in ("deltas", "nll", "nine", "loop"))
    faster, by_tile = seconds["nine"] / seconds["deltas"], seconds["loop"] / seconds["deltas"]
    print(f"a plain evaluation takes {1000 * seconds['plain']:.1f} ms a tile; in units of it:")
    print(f"  nine evaluations {naive:.2f}, tile by tile {loop:.2f}")
    print(f"  screening, deltas {deltas:.2f} ({faster:.2f} x faster than nine, {by_tile:.2f} x than tile by tile)")
    print(f"  screening, nll {nll:.2f}")
    rest = {
        "seconds_a_tile": seconds,
        "in_plain_evaluations": {"loop": loop, "nine": naive, "deltas": deltas, "nll": nll},
        "times_faster_than_loop": by_tile,
        "tiles": len(corpus.texts),
        "repeats": options.repeats,
        "same_decisions": True,
    }
    record(options.out, seconds["deltas"], seconds["nine"], "seconds a tile, beside nine evaluations", rest, "one core")


if __name__ == "__main__":
    main()
