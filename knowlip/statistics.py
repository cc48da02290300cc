"""Statistics that training and benchmark share."""

import numpy as np
from scipy.stats import rankdata


def auroc(score: np.ndarray, wrong: np.ndarray) -> float | None:
    """Probability that a wrong item scores above a right one, ties counting half (Mann-Whitney).

    None when all items are right, or all wrong.
    """
    score, wrong = np.asarray(score, dtype=float), np.asarray(wrong, dtype=bool)
    wrongs, rights = int(wrong.sum()), int((~wrong).sum())
    if not wrongs or not rights:
        return None
    ranks = rankdata(score)
    return float((ranks[wrong].sum() - wrongs * (wrongs + 1) / 2) / (wrongs * rights))
