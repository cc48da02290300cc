"""Infilling: the decoder writes what stood in a hole. The masked language modelling (MLM) of arXiv 2509.23927, Eq. 6,
wired as BLIP's VQA model."""

import torch.nn.functional as F
from torch import Tensor


def infill_loss(
    logits_MV: Tensor, targets_M: Tensor, label_smoothing: float = 0.1, count: Tensor | None = None
) -> Tensor:
    """Cross-entropy over the hole's tokens alone.

    Args:
        logits_MV: logits at real target positions (padding already left out; M over the whole batch).
        targets_M: the next token at each of them.
        label_smoothing: share of the target spread over the vocabulary.
        count: what the sum over tokens is divided by; M by default. With several ranks: the mean number of tokens a
            rank, so that the mean of the ranks' losses is the mean over all tokens.

    Returns:
        Scalar mean over tokens, in float32 or better.
    """
    total = F.cross_entropy(logits_MV, targets_M, label_smoothing=label_smoothing, reduction="sum")
    return total / (len(targets_M) if count is None else count)
