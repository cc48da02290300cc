"""How long BLEU-4, CIDEr, ROUGE-L and METEOR of 5,000 captions take, against pycocoevalcap's own classes.

    python -m benchmarks.caption_scores [--captions 5000]

Random texts of the simulator's words, five references of an image. Both do the same: PTB tokens, BLEU-4, CIDEr, ROUGE-L
and METEOR; ours scores raw strings too. Their results must be equal.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from benchmarks.record import record
from knowlip.tasks.metrics import CaptionScorer

OUT = Path(__file__).parent / "results" / "caption_scores.json"
_WORDS = (
    "two three ships lie along the quay in upper left of image calm water fills most tile with few buildings near "
    "straight road bright points rows one tanker and cargo ship about 120 m long open sea no land is visible airport"
).split()


def theirs(generated: list[str], references: list[list[str]]) -> dict[str, float]:
    said, truth = (
        PTBTokenizer().tokenize({n: [{"caption": text} for text in texts] for n, texts in enumerate(one)})
        for one in ([[text] for text in generated], references)
    )
    found: Any = {"BLEU-4": Bleu(4).compute_score(truth, said, verbose=0)[0][3]}
    for name, scorer in (("CIDEr", Cider()), ("ROUGE-L", Rouge()), ("METEOR", Meteor())):
        found[name] = scorer.compute_score(truth, said)[0]
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=5000)
    options = parser.parse_args()
    chance = np.random.default_rng(0)
    texts = [
        [" ".join(chance.choice(_WORDS, chance.integers(8, 60))) for _ in range(6)] for _ in range(options.captions)
    ]
    generated, references = [one[0] for one in texts], [one[1:] for one in texts]
    start = time.perf_counter()
    ours = CaptionScorer(references, texts=generated).scores(generated)
    middle = time.perf_counter()
    other = theirs(generated, references)
    end = time.perf_counter()
    apart = {name: abs((ours[name].value or 0.0) - value) for name, value in other.items()}
    if max(apart.values()) > 1e-9:
        raise SystemExit(f"The scores differ: {apart}")
    details = {"captions": options.captions, "references": 5, "scores": other}
    record(OUT, middle - start, end - middle, "s", details, "one process")
    print(f"{middle - start:.1f} s against {end - middle:.1f} s: {other}")


if __name__ == "__main__":
    main()
