"""BLEU-4, CIDEr, ROUGE-L, METEOR and SPICE of captions, under the names that the field prints.

CIDEr and BLEU differ with what counts as a word, so each stands under its own name: of PTB tokens (BLIP, COCO; plain
names), and of raw strings that are split at blanks (SARVLM, SARLANG). Compare only within one of them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from knowlip.tasks.metrics import java, scene_graph
from knowlip.tasks.metrics.intervals import MIN_CLUSTERS, NO_INTERVAL, Estimate, drawn, mean
from knowlip.tasks.metrics.resampled import cluster_weights

RAW: Final = ", raw strings"
"""Behind the names of what is measured on strings as they are."""
METRICS: Final = ("BLEU-4", "CIDEr", "ROUGE-L", "METEOR", "SPICE")
_NO_MEAN: Final = "METEOR of a corpus is no mean of its texts': no interval."
_BETA: Final = 1.2
"""Weight of recall in ROUGE-L, as COCO's code has it."""
_WORD: Final = re.compile(r"\d+(?:\.\d+)?|\w+(?:[-']\w+)*")


def tokenise(text: str) -> str:
    """Lower-case words and numbers joined by single blanks, without Java: for comparing texts, not for scores.

    Example:
        >>> tokenise("Size: about 30.5 m, L-shaped.")
        'size about 30.5 m l-shaped'
    """
    # WordPiece decoding writes "built - up" and "30. 5"; both spellings must count as one word.
    text = re.sub(r"(?<=\w)\s*-\s*(?=\w)", "-", text.lower())
    text = re.sub(r"(?<=\d)\s*\.\s+(?=\d)", ".", text)
    return " ".join(_WORD.findall(text))


_PARTS: Final = re.compile(r"[^\W_]+|[^\w\s]|_")
_JOINED: Final = (
    (re.compile(r"(?<=\d) \. (?=\d)"), "."),
    (re.compile(r"(?<=\d) , (?=\d{3}(?!\d))"), ","),
    (re.compile(r"(?<=[^\W_]) ([-/]) (?=[^\W_])"), r"\1"),
    (re.compile(r"(?<=[^\W_]) ' (?=(?:s|t|d|m|re|ve|ll)\b)"), "'"),
    (re.compile(r" (?=[.,;:!?%)\]}])"), ""),
    (re.compile(r"(?<=[(\[{]) "), ""),
)
"""What belongs to its neighbours, in this order."""


def one_spelling(text: str) -> str:
    """A text in the one spelling that what is written and what it is compared with share: without capitals, with the
    spaces between words and marks that English has, whatever they were.

    WordPiece decoding puts spaces around marks and loses where there were none ("30. 5", "1, 200", "built - up"): both
    sides are taken apart and put together by the same rules.

    Example:
        >>> one_spelling("It is 30. 5 m ( 1, 200 ft ), the quay ' s built - up side .")
        "it is 30.5 m (1,200 ft), the quay's built-up side."
    """
    text = " ".join(_PARTS.findall(text.lower()))
    for pattern, joint in _JOINED:
        text = pattern.sub(joint, text)
    return text


NO_CIDER: Final = (
    "CIDEr weighs words by how few images' references hold them: it needs references of two images that differ."
)


@dataclass(frozen=True)
class CaptionScore:
    """A figure, or why there is none."""

    figure: Estimate | None
    reason: str = ""

    @property
    def value(self) -> float | None:
        return self.figure.value if self.figure else None


class CaptionScorer:
    """Scores several lists of texts against the same references; the tokens of each text are made once.

    Args:
        references: the reference texts of each image, at least one.
        clusters: the cluster of each image, for the intervals; without them, or with fewer than 8, there are none.
        texts: all that will be scored, where it is known: the PTB tokeniser is then started once.
    """

    def __init__(
        self, references: Sequence[Sequence[str]], clusters: Sequence[str] = (), texts: Iterable[str] = ()
    ) -> None:
        if not references or not all(len(one) for one in references):
            raise ValueError("Caption scores need at least one image, and at least one reference of each.")
        self.references, self.clusters = references, clusters
        self.no_java = java.no_java()
        self._ptb: dict[str, str] = {}
        self._read([*texts, *(text for one in references for text in one)])

    def _read(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._ptb]
        if new and not self.no_java:
            self._ptb |= dict(zip(new, java.ptb(new)))

    def scores(self, generated: Sequence[str]) -> Mapping[str, CaptionScore]:
        """Name of the metric -> score: BLEU-4 (0 to 1), CIDEr (0 to 10, mean over captions; document frequencies from
        these references), ROUGE-L, METEOR and SPICE (0 to 1) on PTB tokens, a scene-graph F of our own
        (:mod:`knowlip.tasks.metrics.scene_graph`), and the first three on raw strings.

        Args:
            generated: one text an image.

        Raises:
            ValueError: not as many texts as images.
        """
        if len(generated) != len(self.references):
            raise ValueError(f"{len(generated)} texts were written for {len(self.references)} images.")
        found: dict[str, CaptionScore] = {}
        if self.no_java:
            found |= dict.fromkeys(METRICS, CaptionScore(None, self.no_java))
        else:
            self._read(generated)
            said = [self._ptb[text] for text in generated]
            truth = [[self._ptb[text] for text in texts] for texts in self.references]
            found |= self._of_words(said, truth)
            found["METEOR"] = CaptionScore(Estimate(java.meteor(said, truth), None, len(said), _NO_MEAN))
            found["SPICE"] = self._spice(generated)
        found[scene_graph.NAME] = self._graphs(generated)
        said = [" ".join(text.split()) for text in generated]
        truth = [[" ".join(text.split()) for text in texts] for texts in self.references]
        return found | {f"{name}{RAW}": score for name, score in self._of_words(said, truth).items()}

    def _of_words(self, said: Sequence[str], truth: Sequence[Sequence[str]]) -> dict[str, CaptionScore]:
        if reason := java.no_package():
            return dict.fromkeys(METRICS[:3], CaptionScore(None, reason))
        from pycocoevalcap.cider.cider import Cider

        counts = _bleu_counts(said, truth)
        _, each = Cider().compute_score(dict(enumerate(truth)), {i: [text] for i, text in enumerate(said)})
        n, number = len(said), len({*self.clusters})
        bleu = Estimate(float(_bleu4(counts.sum(0, keepdims=True))[0]), None, n, NO_INTERVAL if number else "")
        if number >= MIN_CLUSTERS:
            bleu = drawn(bleu.value, _bleu4(cluster_weights(self.clusters) @ counts), n, number)
        # Of one image, or of images whose references are all alike, every word weighs nothing: a perfect caption would
        # have a CIDEr of 0.
        differ = len({tuple(sorted(texts)) for texts in truth}) > 1
        cider = CaptionScore(self._mean(each)) if differ else CaptionScore(None, NO_CIDER)
        rouge = CaptionScore(self._mean([rouge_l(text, texts) for text, texts in zip(said, truth)]))
        return {"BLEU-4": CaptionScore(bleu), "CIDEr": cider, "ROUGE-L": rouge}

    def _spice(self, generated: Sequence[str]) -> CaptionScore:
        if reason := java.no_spice():
            return CaptionScore(None, reason)
        return CaptionScore(self._mean(java.spice(generated, self.references)))

    def _graphs(self, generated: Sequence[str]) -> CaptionScore:
        if reason := scene_graph.no_parser():
            return CaptionScore(None, reason)
        return CaptionScore(self._mean(scene_graph.scene_graph_scores(generated, self.references)))

    def _mean(self, each: Sequence[float] | np.ndarray) -> Estimate:
        return mean(each, self.clusters) if len({*self.clusters}) else Estimate(float(np.mean(each)), None, len(each))


def rouge_l(text: str, references: Sequence[str]) -> float:
    """ROUGE-L of words joined by blanks, with the best precision and the best recall over the references (Lin 2004, as
    COCO's code computes it)."""
    words = text.split(" ")
    common = [(_longest_common(words, other), len(other)) for other in (one.split(" ") for one in references)]
    precision = max(length / len(words) for length, _ in common)
    recall = max(length / total for length, total in common)
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence: the bits of one integer are a row of the table (Hyyro 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(first)) - 1
    row = every
    for word in second:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & every
    return len(first) - row.bit_count()


def _bleu_counts(generated: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 10): matched and possible n-grams of length 1 to 4, length, closest reference length. Corpus BLEU is a
    function of their sums, so that a resampled corpus needs no new counting."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

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
