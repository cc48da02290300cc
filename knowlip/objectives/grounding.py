"""Grounding: what the readout answers from the image is taught by what the annotator claims and points at.

Losses of their own: closed questions whose target is the set of answers that a text leaves open; regions that hold
something or not; the number of targets in each cell of a map, a Poisson regression on the annotator's boxes (density
maps of crowd counting, Lempitsky and Zisserman, NeurIPS 2010, with the likelihood of a count); and what each target is.
"""

import torch.nn.functional as F
from torch import Tensor


def closed_loss(
    log_p_BQK: Tensor, agree_BQK: Tensor, weight_Q: Tensor | None = None, count: Tensor | None = None
) -> Tensor:
    """Negative logarithm of the probability that all answers which agree with the text have together.

    Args:
        log_p_BQK: log-probabilities of the answers.
        agree_BQK: bool, which answers agree with the text; a question without any is unknown and does not count.
        weight_Q: how much each question counts; all the same by default.
        count: what the sum is divided by; the weight of known questions by default. With several ranks: the mean of
            that over the ranks, so that the mean of the ranks' losses is the mean over all.

    Returns:
        Scalar mean over known questions; 0 where none is known.
    """
    score_BQ, known_BQ = closed_scores(log_p_BQK, agree_BQK)
    counts_BQ = known_BQ.to(score_BQ) if weight_Q is None else known_BQ * weight_Q
    return -_mean(score_BQ * counts_BQ, counts_BQ, count)


def closed_scores(log_p_BQK: Tensor, agree_BQK: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability (B, Q) of the answers that agree with a text, and where one is known (B, Q)."""
    score = log_p_BQK.masked_fill(~agree_BQK, -1e4).logsumexp(-1)
    return score, agree_BQK.any(-1)


def regions_loss(logits_BM9: Tensor, held_BM9: Tensor, count: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of regions that hold something (1) or not (0); unknown ones (-1) do not count. `count` as in
    :func:`closed_loss`."""
    known = held_BM9 >= 0
    loss = F.binary_cross_entropy_with_logits(logits_BM9, held_BM9.clamp(min=0).to(logits_BM9.dtype), reduction="none")
    return _mean(loss * known, known, count)


def density_loss(log_rates_BLGG: Tensor, number_BLGG: Tensor, known_BL: Tensor, count: Tensor | None = None) -> Tensor:
    """Poisson negative log-likelihood of the number of targets in each cell, up to a constant.

    An image with many targets would outweigh the others: each counts by one over the square root of its number.

    Args:
        log_rates_BLGG: logarithm of the expected number in each cell, by category.
        number_BLGG: number of centres there.
        known_BL: whether the annotator says how many of a category there are.
        count: as in :func:`closed_loss`, of these.
    """
    total_BL = (log_rates_BLGG.exp() - number_BLGG * log_rates_BLGG).sum((2, 3))
    weight_BL = known_BL / (1 + number_BLGG.sum((2, 3))).sqrt()
    return _mean(total_BL * weight_BL, known_BL, count)


def sizes_loss(log_sizes_B2GG: Tensor, target_B2GG: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean absolute error of the logarithm of widths and heights, where a target's centre is (elsewhere NaN). `count`
    as in :func:`closed_loss`."""
    known = target_B2GG.isfinite()
    return _mean((log_sizes_B2GG - target_B2GG.nan_to_num()).abs() * known, known, count)


def types_loss(log_types_BTGG: Tensor, target_BGG: Tensor, count: Tensor | None = None) -> Tensor:
    """Cross-entropy of the type of the target that has its centre in a cell (elsewhere, or unknown, -1). `count` as in
    :func:`closed_loss`."""
    known = target_BGG >= 0
    chosen = log_types_BTGG.gather(1, target_BGG.clamp(min=0)[:, None])[:, 0]
    return -_mean(chosen * known, known, count)


def _mean(values: Tensor, known: Tensor, count: Tensor | None) -> Tensor:
    return values.sum() / (known.sum() if count is None else count).clamp(min=1e-6)
