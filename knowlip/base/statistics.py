"""Statistics that several folders share."""

from typing import Final

import numpy as np

Z95: Final = 1.959963984540054


def auroc(score: np.ndarray, wrong: np.ndarray) -> float | None:
    """Probability that a wrong item scores above a right one, ties counting half (Mann-Whitney).

    None when all items are right, or all wrong.
    """
    from scipy.stats import mannwhitneyu  # takes a second to load, and most commands need none

    score, wrong = np.asarray(score, dtype=float), np.asarray(wrong, dtype=bool)
    if not wrong.any() or wrong.all():
        return None
    return float(
        mannwhitneyu(score[wrong], score[~wrong], method="asymptotic").statistic / (wrong.sum() * (~wrong).sum())
    )


def wilson(hits: float, trials: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927), also of trials that are no whole number, which
    `scipy.stats.binomtest` does not have.

    Args:
        hits: number of successes, 0 to `trials`.
        trials: number of independent trials, at least 1; an effective number need not be whole.
        z: standard normal quantile; the default gives 95 %.

    Example:
        >>> [round(x, 3) for x in wilson(5, 10)]
        [0.237, 0.763]
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise ValueError(f"An interval needs 0 <= hits <= trials and at least one trial, got {hits} of {trials}.")
    share = hits / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def conformal_quantile(scores: np.ndarray, groups: np.ndarray, level: float) -> float:
    """The score that one of a new group stays below or at with at least a probability, whatever their distribution, as
    long as groups are alike (exchangeable) and so are the scores within one: every group weighs the same, and one more
    whose scores are infinite stands for the new one (Lee, Barber & Willett 2023, hierarchical conformal prediction).

    Args:
        scores: (N,) of the groups that are known.
        groups: (N,) the group of each.
        level: the probability, 0 to 1.

    Returns:
        Infinite where there are too few groups for the level: 19 are the fewest for 0.95.

    Example:
        >>> conformal_quantile(np.arange(19.0), np.arange(19), 0.95)
        18.0
        >>> conformal_quantile(np.arange(18.0), np.arange(18), 0.95)
        inf
    """
    scores = np.asarray(scores, dtype=float)
    _, number, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    weights = 1.0 / (sizes[number[order]] * (len(sizes) + 1.0))
    reached = np.flatnonzero(np.cumsum(weights) >= level - 1e-9)
    return float(scores[order[reached[0]]]) if len(reached) else float("inf")
