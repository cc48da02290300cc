"""Area under the ROC curve with intervals: whole clusters drawn again, the same draws for everything compared.

Tiles of one root share ground and errors, so rows of one root are drawn together. A replicate is a weight for each row
(how often its cluster was drawn); a curve of weighted rows needs no new sorting, so hundreds of replicates are cheap.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

REPLICATES: Final = 400


def cluster_weights(clusters: Sequence[str] | np.ndarray, replicates: int = REPLICATES, seed: int = 0) -> np.ndarray:
    """How often each row is drawn when whole clusters are drawn with replacement: (replicates, N) float32.

    Args:
        clusters: the cluster of each of N rows, at least two different ones.
        replicates: number of draws.
        seed: the same seed and clusters give the same draws.
    """
    _, number = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(number.max()) + 1 if len(number) else 0
    if count < 2:
        raise ValueError("An interval over clusters needs rows of at least two clusters.")
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    return drawn.astype(np.float32)[:, number]


def weighted_auroc(score: np.ndarray, wrong: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Probability that a wrong item scores above a right one, ties half, for each row of weights.

    Args:
        score: (N,) the higher, the more suspect.
        wrong: (N,) bool.
        weights_RN: (R, N) not negative.

    Returns:
        (R,), NaN where the weights leave only right or only wrong items.
    """
    order = np.argsort(score, kind="stable")
    ranked, is_wrong = np.asarray(score)[order], np.asarray(wrong, bool)[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of items with equal score
    weights = weights_RN[:, order].astype(np.float64)
    wrong_RG = np.add.reduceat(np.where(is_wrong, weights, 0.0), starts, axis=1)
    right_RG = np.add.reduceat(np.where(is_wrong, 0.0, weights), starts, axis=1)
    below_RG = np.cumsum(right_RG, 1) - right_RG / 2
    pairs = wrong_RG.sum(1) * right_RG.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: np.ndarray = (wrong_RG * below_RG).sum(1) / pairs
    return np.where(pairs > 0, result, np.nan)


def weighted_auroc_within(
    score: np.ndarray, wrong: np.ndarray, groups: Sequence[str] | np.ndarray, weights_RN: np.ndarray
) -> np.ndarray:
    """Mean of :func:`weighted_auroc` within groups, weighted by their pairs of wrong and right items: (R,)."""
    score, wrong, groups = np.asarray(score), np.asarray(wrong, bool), np.asarray(groups)
    total, pairs = np.zeros(len(weights_RN)), np.zeros(len(weights_RN))
    for group in np.unique(groups):
        at = groups == group
        if wrong[at].all() or not wrong[at].any():
            continue
        part = weights_RN[:, at]
        number = part[:, wrong[at]].sum(1, dtype=float) * part[:, ~wrong[at]].sum(1, dtype=float)
        value = np.nan_to_num(weighted_auroc(score[at], wrong[at], part))
        total, pairs = total + number * value, pairs + number
    return np.divide(total, pairs, out=np.full(len(total), np.nan), where=pairs > 0)


def weighted_precision(flagged: np.ndarray, wrong: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Share of wrong items among the flagged ones for each row of weights: (R,), NaN where nothing is flagged."""
    flags = weights_RN[:, flagged].sum(1, dtype=float)
    hits = weights_RN[:, flagged & wrong].sum(1, dtype=float)
    return np.divide(hits, flags, out=np.full(len(flags), np.nan), where=flags > 0)


def interval(draws: np.ndarray) -> list[float] | None:
    """95 % percentile interval of replicates, None where fewer than half of them have a value."""
    known = draws[np.isfinite(draws)]
    if len(known) * 2 < len(draws) or not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return [float(low), float(high)]


def with_interval(value: float | None, draws: np.ndarray) -> dict[str, Any]:
    """`{"value", "ci"}`."""
    return {"value": None if value is None or not np.isfinite(value) else float(value), "ci": interval(draws)}
