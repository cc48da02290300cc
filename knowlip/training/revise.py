"""SCIO's passes over a corpus, and the revision rows that they write."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from knowlip.models.knowlip import KnowLIP
from knowlip.text.claims import parse_claims
from knowlip.training.corpus import Corpus
from knowlip.training.scio import Scorer, calibrate, differences, reconstruct


@dataclass
class ScioConfig:
    """Settings of screening and reconstruction."""

    margin: float | None = None
    """Threshold in units of each dimension's spread; None calibrates it on planted noise."""
    calibration_tiles: int = 512
    """Tiles that get one planted wrong sub-text for the calibration."""
    beta: float = 0.5
    """The calibrated margin maximises F-beta on the plant: below 1 favours precision."""
    max_new_tokens: int = 48
    """Longest rewritten sub-text."""
    tiles_at_once: int = 32
    """Images scored in one pass."""
    negatives: int = 512
    """Training pairs against which the contrastive loss of a single pair is taken."""


Figures = dict[str, Any]


def _scorer(model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator) -> Scorer:
    negatives = rng.permutation(len(corpus.texts))[: config.negatives]
    return Scorer(model, corpus.pixels, corpus.texts, [int(row) for row in negatives], config.tiles_at_once)


def screen_texts(
    model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator
) -> tuple[pd.DataFrame, Figures]:
    """Decide on every sub-text of every training tile: `kept` or `screened`.

    Returns:
        Rows for a revision of the texts, and the figures of the pass.
    """
    scorer = _scorer(model, corpus, config, rng)
    found = differences(scorer, corpus.texts)
    margin = calibrate(scorer, corpus.texts, corpus.sets, found, config.calibration_tiles, rng, config.beta)
    if config.margin is not None:
        margin.value = config.margin
    score = margin.noise_score(corpus.sets, found)
    noisy = score > margin.value
    rows = corpus.table.copy()
    rows["decision"] = np.where(noisy.ravel(), "screened", "kept")
    rows["delta_itc"], rows["delta_itm"] = found.itc.ravel(), found.itm.ravel()
    rows["margin"] = margin.value
    rows["reason"] = [
        f"noise score {value:.3f} {'>' if value > margin.value else '<='} margin {margin.value:.3f}"
        for value in score.ravel()
    ]
    figures = {
        "margin": margin.value, "planted": margin.planted, "sub_texts": int(noisy.size), "screened": int(noisy.sum()),
    }  # fmt: skip
    return rows, figures


def plain_words(text: str) -> str:
    """A sub-text without case, spaces around it and the full stop, as the decoder may have changed them."""
    return text.lower().strip(" .")


def rewrite_texts(
    model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator
) -> tuple[pd.DataFrame, Figures]:
    """Write every screened sub-text anew: `rewritten` where the new one is better, else `rejected` (the old one stays).

    Better means both scores (Eqs. 12-15), and that it says something: where the old sub-text makes a claim of its
    dimension that can be read, the new one must make one too, and must not be a sentence that the data set uses under
    other dimensions only. A young model otherwise raises both scores by writing "no open water is visible" under
    Layout.
    """
    scorer = _scorer(model, corpus, config, rng)
    noisy = [(tile, slot) for tile, text in enumerate(corpus.texts) for slot in sorted(text.hidden)]
    rewrites = reconstruct(scorer, corpus.texts, noisy, corpus.prompt, corpus.with_text, config.max_new_tokens)
    rows = corpus.table.iloc[[corpus.row(tile, slot) for tile, slot in noisy]].copy()
    written = [rewrite.text for rewrite in rewrites]
    better = np.array([rewrite.accepted for rewrite in rewrites], bool)
    speaks = np.array(
        [
            bool(parse_claims(kind, dimension, new)) or not parse_claims(kind, dimension, old)
            for kind, dimension, old, new in zip(rows["instruction_set"], rows["dimension"], rows["text"], written)
        ],
        bool,
    )
    under: dict[str, set[str]] = {}
    for dimension, text in zip(corpus.table["dimension"], corpus.table["text"]):
        under.setdefault(plain_words(text), set()).add(dimension)
    speaks &= [
        dimension in under.get(plain_words(new), {dimension}) for dimension, new in zip(rows["dimension"], written)
    ]
    accepted = better & speaks
    rows["delta_itc"] = np.array([rewrite.delta_itc for rewrite in rewrites], float)
    rows["delta_itm"] = np.array([rewrite.delta_itm for rewrite in rewrites], float)
    rows["decision"] = np.where(accepted, "rewritten", "rejected")
    rows["reason"] = [
        "better in both scores" if good and says else f"{'says nothing of it' if good else 'not better'}: {text!r}"
        for good, says, text in zip(better, speaks, written)
    ]
    rows["text"] = np.where(accepted, np.array(written, dtype=object), rows["text"].to_numpy(dtype=object))
    rows.loc[rows["decision"] == "rewritten", "annotator"] = "scio"
    return rows, {"candidates": len(noisy), "better": int(better.sum()), "rewritten": int(accepted.sum())}
