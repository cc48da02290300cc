"""Image-text matching (ITM) with hard negatives.

Source: arXiv 2509.23927 Eq. 5 as in BLIP's `blip_pretrain.py`, sampling vectorised.

A head that has learned nothing but the 1:2 ratio of positives has a loss of H(1/3) = 0.6365: log it beside the loss.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PRIOR_LOSS = 0.6365141682948128
"""Entropy of one positive against two negatives."""
PRIOR_LOSS_OF_FOUR = 0.5623351446188083
"""The same against three: texts with one wrong sub-text are asked about too."""


@torch.no_grad()
def hard_negatives(similarity_BK: Tensor, positive_BK: Tensor, uniform_B: Tensor, floor: float = 1e-4) -> Tensor:
    """Draw one wrong candidate for each query, likelier the more similar it is.

    The draw is the inverse of the cumulative distribution at a given number: no random state, no synchronisation, and
    the same draw wherever the same candidates stand in the same order.

    Args:
        similarity_BK: similarities of queries to candidates, already divided by the temperature.
        positive_BK: candidates that may not be drawn, see :func:`knowlip.objectives.itc.same`.
        uniform_B: uniform in [0, 1), the chance of each query.
        floor: added to each weight. BLIP's 1e-4 draws hard negatives alone; a short training, which never learns to
            tell hard ones apart, needs some easy ones too (0.05 at a batch of 48: about two of three are uniform).

    Returns:
        Index of the candidate, int64 (B,); -1 where all candidates are positives.
    """
    weights_BK = (F.softmax(similarity_BK.float(), 1) + floor).masked_fill(positive_BK, 0)
    # positives are 0 here, and below every threshold: no rounding of the sum can draw one
    up_to_BK = weights_BK.cumsum(1).masked_fill(positive_BK, 0)
    total_B = up_to_BK.amax(1)
    threshold_B = uniform_B.float().clamp(max=1 - torch.finfo(torch.float32).eps) * total_B
    drawn_B = (up_to_BK > threshold_B[:, None]).int().argmax(1)
    return drawn_B.masked_fill(total_B == 0, -1)


def itm_loss(
    logits_P2: Tensor, is_match_P: Tensor, weight_P: Tensor | None = None, count: Tensor | None = None
) -> Tensor:
    """Two-way cross-entropy.

    Args:
        logits_P2: matching logits of positive and negative pairs.
        is_match_P: True where image and text belong together.
        weight_P: 1 for a pair that counts, 0 for one that does not (a query without a negative); all 1 by default.
        count: what the weighted sum is divided by; the sum of weights by default. With several ranks: the mean of that
            sum over the ranks.

    Returns:
        Scalar mean.
    """
    loss_P = F.cross_entropy(logits_P2, is_match_P.long(), reduction="none")
    if weight_P is None:
        weight_P = torch.ones_like(loss_P)
    return (loss_P * weight_P).sum() / (weight_P.sum() if count is None else count)


def candidate_scores(cosine: np.ndarray, probability: np.ndarray, temperature: float) -> np.ndarray:
    """How likely candidates are the right ones of a query, from contrast and matching together: for re-ranking.

    Matching learned to tell a query's right candidate from wrong ones drawn in proportion to exp(cosine / tau), see
    :func:`hard_negatives`. The odds of the best discriminator are therefore p(candidate | query) divided by
    exp(cosine / tau), and their product is what is looked for. BLIP's cosine + probability ranks by the odds nearly
    alone and so takes the evidence of contrast out of the ranking again.

    Args:
        cosine: similarities of any shape.
        probability: of matching, same shape.
        temperature: tau of the contrast.

    Returns:
        cosine / tau + log-odds of matching, float64 of the same shape.
    """
    inside = np.clip(np.asarray(probability, float), 1e-6, 1 - 1e-6)
    return np.asarray(cosine, float) / temperature + np.log(inside) - np.log1p(-inside)
