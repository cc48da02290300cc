"""Recall@k when several images share one text.

Simulated and annotated texts repeat ("no ships are visible ..."), so "the" right text of an image is every text with
the same string. The gallery therefore holds each string once; a query text has as many right images as carry that
string. Ties count against the model: a collapsed model that scores everything alike gets the worst rank, not the
first.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_AT_ONCE = 1 << 18
"""Scores that are looked at together."""


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
    ranks = np.empty(len(scores), int)
    for rows in _few_rows(*scores.shape):
        some, right = _without_nan(scores[rows]), positive[rows]
        best = np.where(right, some, -np.inf).max(1, keepdims=True)
        ranks[rows] = 1 + np.count_nonzero((some >= best) & ~right, axis=1)
    return ranks


def diagonal_ranks(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rank of the very pair of each query, whatever other candidates would be right too: what is printed where each
    image has its own text in the gallery and an identical text of another counts as wrong (SARVLM, among others).

    Args:
        scores: (Q, N) of queries against all N candidates, repeats included.
        rows: (Q,) position of each query's own candidate.

    Returns:
        (Q,) int, 1 = first. Others with the same score stand before it.
    """
    ranks, rows = np.empty(len(scores), int), np.asarray(rows)
    for part in _few_rows(*scores.shape):
        some = _without_nan(scores[part])
        own = np.take_along_axis(some, rows[part, None], 1)
        ranks[part] = np.count_nonzero(some >= own, axis=1)
    return ranks


def _few_rows(rows: int, columns: int) -> Iterator[slice]:
    """So many at a time that what is computed of them stays in the processor's cache."""
    at_once = max(1, _AT_ONCE // max(1, columns))
    return (slice(start, start + at_once) for start in range(0, rows, at_once))


def _without_nan(scores: np.ndarray) -> np.ndarray:
    """NaN as the lowest possible score."""
    unknown = np.isnan(scores)
    return np.where(unknown, -np.inf, scores) if unknown.any() else scores


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
