"""Recall@k when several images share one text.

Simulated and annotated texts repeat ("no ships are visible ..."), so "the" right text of an image is every text with
the same string. The gallery therefore holds each string once; a query text has as many right images as carry that
string. Ties count against the model: a collapsed model that scores everything alike gets the worst rank, not the
first.
"""

from collections.abc import Sequence

import numpy as np


def ranks_of_positives(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Rank of the best-scored right candidate of each query.

    Args:
        scores: (Q, G) higher is better; NaN counts as the lowest possible score.
        positive: (Q, G) bool, at least one True a row.

    Returns:
        (Q,) int, 1 = first. Wrong candidates with the same score as the best right one stand before it.
    """
    if scores.shape != positive.shape:
        raise ValueError(f"Scores {scores.shape} and positives {positive.shape} must have the same shape.")
    if not positive.any(1).all():
        raise ValueError("Every query needs at least one right candidate in the gallery.")
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = np.where(positive, scores, -np.inf).max(1, keepdims=True)
    return 1 + ((scores >= best) & ~positive).sum(1)


def diagonal_ranks(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rank of the very pair of each query, whatever other candidates would be right too: what is printed where each
    image has its own text in the gallery and an identical text of another counts as wrong (SARVLM, among others).

    Args:
        scores: (Q, N) of queries against all N candidates, repeats included.
        rows: (Q,) position of each query's own candidate.

    Returns:
        (Q,) int, 1 = first. Others with the same score stand before it.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    own = np.take_along_axis(scores, np.asarray(rows)[:, None], 1)
    return np.asarray((scores >= own).sum(1))


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Share of queries whose right candidate is among the first `k`."""
    return float((ranks <= k).mean())


def chance_recall(positives: Sequence[int] | np.ndarray, gallery: int, k: int) -> float:
    """Expected recall@k of a random order of the gallery, mean over queries.

    One query with p right candidates among G misses with probability C(G - p, k) / C(G, k).

    Args:
        positives: number of right candidates of each query.
        gallery: number of candidates G.
        k: cut-off.
    """
    p = np.asarray(positives, dtype=float)
    miss = np.ones_like(p)
    for i in range(min(k, gallery)):
        miss *= np.clip(gallery - p - i, 0, None) / (gallery - i)
    return float((1 - miss).mean())
