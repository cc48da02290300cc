"""Image-text contrast (ITC) with momentum soft targets and a feature queue.

Source: arXiv 2509.23927 Eqs. 3-4 as in BLIP's `blip_pretrain.py`; both directions are averaged, and positives are
decided by image identity **and** by text, because texts repeat (a queue holds many exact duplicates of a common text).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def same(ids_B: Tensor, ids_K: Tensor, texts_B: Tensor, texts_K: Tensor) -> Tensor:
    """Which of K candidates are positives of B queries: the same image, or word for word the same text. Bool (B, K)."""
    return (ids_B[:, None] == ids_K[None]) | (texts_B[:, None] == texts_K[None])


def itc_loss(
    image_BE: Tensor,
    text_BE: Tensor,
    momentum_image_KE: Tensor,
    momentum_text_KE: Tensor,
    positive_BK: Tensor,
    temperature: Tensor,
    alpha: float,
) -> Tensor:
    """Symmetric contrastive loss against momentum features.

    Args:
        image_BE, text_BE: online features, L2-normalised.
        momentum_image_KE, momentum_text_KE: momentum features of this batch (first B rows, in order) and of the queue.
        positive_BK: which candidates are positives, see :func:`same`; every row has at least one.
        temperature: divides the similarities.
        alpha: share of the momentum model's own similarities in the targets, 0 to 1.

    Returns:
        Scalar: mean of image->text and text->image cross-entropy.

    Example:
        >>> f = F.normalize(torch.randn(4, 8), dim=-1)
        >>> bool(itc_loss(f, f, f, f, torch.eye(4, dtype=torch.bool), torch.tensor(0.07), 0.0) < 1)
        True
    """
    batch = len(image_BE)
    hard_BK = positive_BK.to(image_BE.dtype) / positive_BK.sum(1, keepdim=True)
    with torch.no_grad():
        soft_i2t = F.softmax(momentum_image_KE[:batch] @ momentum_text_KE.T / temperature, 1)
        soft_t2i = F.softmax(momentum_text_KE[:batch] @ momentum_image_KE.T / temperature, 1)
    i2t = F.log_softmax(image_BE @ momentum_text_KE.T / temperature, 1)
    t2i = F.log_softmax(text_BE @ momentum_image_KE.T / temperature, 1)
    loss_i2t = -(i2t * (alpha * soft_i2t + (1 - alpha) * hard_BK)).sum(1).mean()
    loss_t2i = -(t2i * (alpha * soft_t2i + (1 - alpha) * hard_BK)).sum(1).mean()
    return (loss_i2t + loss_t2i) / 2
