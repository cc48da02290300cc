"""Image-text contrast (ITC) with momentum soft targets and a feature queue.

Source: arXiv 2509.23927 Eq. 4 as in BLIP's `blip_pretrain.py`; both directions are averaged, and positives are
decided by image identity **and** by text, because texts repeat (a queue holds many exact duplicates of a common text).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_ABSENT = -1e30
"""Logit of a candidate that does not exist. Finite, so that a target of 0 times its log-probability is 0."""


def same(ids_B: Tensor, ids_K: Tensor, texts_B: Tensor, texts_K: Tensor) -> Tensor:
    """Which of K candidates are positives of B queries: the same image, or word for word the same text. Bool (B, K)."""
    return (ids_B[:, None] == ids_K[None]) | (texts_B[:, None] == texts_K[None])


def similarity(query_BE: Tensor, candidate_KE: Tensor, temperature: Tensor) -> Tensor:
    """Similarities over temperature (B, K), in float32 or better whatever autocast says.

    At the smallest temperature, 0.001, one step of bfloat16 near 1 would be a difference of 4 in a logit.
    """
    with torch.autocast(query_BE.device.type, enabled=False):
        return _full(query_BE) @ _full(candidate_KE).T / _full(temperature)


def itc_loss(
    image_BE: Tensor,
    text_BE: Tensor,
    momentum_image_BE: Tensor,
    momentum_text_BE: Tensor,
    candidate_image_KE: Tensor,
    candidate_text_KE: Tensor,
    positive_BK: Tensor,
    temperature: Tensor,
    alpha: float,
    exists_K: Tensor | None = None,
    positive_text_BK: Tensor | None = None,
) -> Tensor:
    """Symmetric contrastive loss against momentum features.

    Args:
        image_BE, text_BE: online features, L2-normalised.
        momentum_image_BE, momentum_text_BE: momentum features of the same pairs: they make the soft targets.
        candidate_image_KE, candidate_text_KE: momentum features to compare with: of the batches of all ranks, in any
            order, and of the queue.
        positive_BK: which candidates are positives, see :func:`same`; every row has at least one.
        temperature: divides the similarities.
        alpha: share of the momentum model's own similarities in the targets, 0 to 1.
        exists_K: False for candidates to be left out (places of the queue that were never filled).
        positive_text_BK: which candidate images are positives of each text, where that is not `positive_BK` (a text
            that is true of an image which has another text of its own).

    Returns:
        Scalar: mean of image->text and text->image cross-entropy.

    Example:
        >>> f = F.normalize(torch.randn(4, 8), dim=-1)
        >>> bool(itc_loss(f, f, f, f, f, f, torch.eye(4, dtype=torch.bool), torch.tensor(0.07), 0.0) < 1)
        True
    """

    def logits(query_BE: Tensor, candidate_KE: Tensor) -> Tensor:
        found_BK = similarity(query_BE, candidate_KE, temperature)
        return found_BK if exists_K is None else found_BK.masked_fill(~exists_K, _ABSENT)

    def loss(query_BE: Tensor, momentum_BE: Tensor, candidate_KE: Tensor, right_BK: Tensor) -> Tensor:
        log_p_BK = F.log_softmax(logits(query_BE, candidate_KE), 1)
        target_BK = right_BK.to(log_p_BK.dtype) / right_BK.sum(1, keepdim=True)
        if alpha:
            with torch.no_grad():
                soft_BK = F.softmax(logits(momentum_BE, candidate_KE), 1)
            target_BK = torch.lerp(target_BK, soft_BK, alpha)
        return -(log_p_BK * target_BK).sum(1).mean()

    of_text_BK = positive_BK if positive_text_BK is None else positive_text_BK
    of_images = loss(image_BE, momentum_image_BE, candidate_text_KE, positive_BK)
    return (of_images + loss(text_BE, momentum_text_BE, candidate_image_KE, of_text_BK)) / 2


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
