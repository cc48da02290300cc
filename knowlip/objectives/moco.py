"""Momentum contrast without a queue: MoCo v3 (Chen, Xie, He, ICCV 2021, Algorithm 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def moco_loss(query_BE: Tensor, key_KE: Tensor, positive_B: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each query's own key among all keys, times twice the temperature.

    Args:
        query_BE: what the encoder and its predictor say of one view of B images.
        key_KE: what the momentum encoder says of the other view of K images, of all processes.
        positive_B: which key is of the query's own image.
        temperature: divides the cosines.

    Returns:
        Scalar. The whole loss is the sum of both directions: view 1 against keys of view 2, and the reverse.

    Example:
        >>> view = torch.eye(4)
        >>> round(float(moco_loss(view, view, torch.arange(4), 0.2)), 4)
        0.008
    """
    query, key = F.normalize(query_BE.float(), dim=1), F.normalize(key_KE.float(), dim=1)
    with torch.autocast(query.device.type, enabled=False):
        logits_BK = query @ key.T / temperature
    return F.cross_entropy(logits_BK, positive_B) * (2 * temperature)
