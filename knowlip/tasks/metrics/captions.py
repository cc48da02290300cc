"""BLEU-4 and CIDEr from `pycocoevalcap`, after a tokenisation that needs no Java.

The reference tool chain runs the Stanford PTB tokeniser, a Java program. Ours ("simple" in every result) lower-cases,
separates words, and drops punctuation, as PTB followed by the reference's punctuation filter does; numbers keep their
decimal point and words their inner hyphen. Scores differ a little from PTB's, so compare only within one tokenisation.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider

from knowlip.tasks.metrics.intervals import MIN_CLUSTERS, NO_INTERVAL, Estimate, drawn, mean
from knowlip.tasks.metrics.resampled import cluster_weights

TOKENISATION: Final = "simple"
_WORD: Final = re.compile(r"\d+(?:\.\d+)?|\w+(?:[-']\w+)*")


def tokenise(text: str) -> str:
    """Lower-case words and numbers joined by single blanks.

    Example:
        >>> tokenise("Size: about 30.5 m, L-shaped.")
        'size about 30.5 m l-shaped'
    """
    # WordPiece decoding writes "built - up" and "30. 5"; both spellings must count as one word.
    text = re.sub(r"(?<=\w)\s*-\s*(?=\w)", "-", text.lower())
    text = re.sub(r"(?<=\d)\s*\.\s+(?=\d)", ".", text)
    return " ".join(_WORD.findall(text))


NO_CIDER: Final = (
    "CIDEr weighs words by how few images' references hold them: it needs references of two images that differ."
)


def caption_scores(
    generated: Sequence[str], references: Sequence[Sequence[str]], clusters: Sequence[str] = ()
) -> dict[str, Estimate | None]:
    """Corpus BLEU-4 (0 to 1) and CIDEr (0 to 10, mean over captions; document frequencies from these references).

    Args:
        generated: one text an image.
        references: the reference texts of each image, at least one.
        clusters: the cluster of each image, for the intervals; without them, or with fewer than 8, there are none.

    Returns:
        "BLEU-4" and "CIDEr"; None of CIDEr where it cannot be measured (`NO_CIDER` says why): of one image, or of
        images whose references are all alike, every word weighs nothing and a perfect caption would score 0.
    """
    if len(generated) != len(references) or not generated:
        raise ValueError("Caption scores need at least one text and as many lists of references as texts.")
    said = [tokenise(text) for text in generated]
    truth = [[tokenise(text) for text in texts] for texts in references]
    counts = _bleu_counts(said, truth)
    numbered = {i: [text] for i, text in enumerate(said)}
    _, each = Cider().compute_score(dict(enumerate(truth)), numbered)
    n, number = len(said), len({*clusters})
    bleu = Estimate(float(_bleu4(counts.sum(0, keepdims=True))[0]), None, n, NO_INTERVAL if number else "")
    if number >= MIN_CLUSTERS:
        bleu = drawn(bleu.value, _bleu4(cluster_weights(clusters) @ counts), n, number)
    cider = mean(each, clusters) if number else Estimate(float(np.mean(each)), None, n)
    return {"BLEU-4": bleu, "CIDEr": cider if len({tuple(sorted(texts)) for texts in truth}) > 1 else None}


def _bleu_counts(generated: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 10): matched and possible n-grams of length 1 to 4, length, closest reference length. Corpus BLEU is a
    function of their sums, so that a resampled corpus needs no new counting."""
    scorer = BleuScorer(n=4)
    for text, texts in zip(generated, references):
        scorer += (text, texts)
    rows = [
        [*one["correct"], *one["guess"], one["testlen"], min(one["reflen"], key=lambda r: (abs(r - one["testlen"]), r))]
        for one in scorer.ctest
    ]
    return np.array(rows, dtype=float)


def _bleu4(sums: np.ndarray) -> np.ndarray:
    """BLEU-4 of each row of summed counts, with the tiny constants of `pycocoevalcap` (Papineni et al. 2002, Eq. 3)."""
    correct, guess, length, reference = sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9]
    precision = np.prod((correct + 1e-15) / (guess + 1e-9), axis=1) ** 0.25
    ratio = (length + 1e-15) / (reference + 1e-9)
    score: np.ndarray = precision * np.exp(np.minimum(0.0, 1 - 1 / ratio))
    return score
