"""Guided attention: a hole in a text about targets attends to the patches that hold some.

Source: the supervised attention of captioning (Liu et al., AAAI 2017, "Attention correctness in neural image
captioning"), on the annotator's boxes; some heads are guided and the others stay free.
"""

from torch import Tensor


def attend_loss(weights_RHN: Tensor, on_target_RN: Tensor, heads: int = 2, count: Tensor | None = None) -> Tensor:
    """Negative logarithm of the weight that falls on targets, mean over holes and over the first heads.

    Args:
        weights_RHN: attention of R holes to N image tokens in H heads; sums to 1 over N.
        on_target_RN: bool, which tokens hold a target; a hole without any does not count.
        heads: how many heads are guided.
        count: as in :func:`knowlip.objectives.grounding.closed_loss`, of holes that count.

    Returns:
        Scalar; 0 where no hole counts.
    """
    counts_R = on_target_RN.any(-1)
    on_RH = (weights_RHN[:, :heads] * on_target_RN[:, None]).sum(-1)
    loss_R = -on_RH.clamp(min=1e-6).log().mean(1)
    return (loss_R * counts_R).sum() / (counts_R.sum() if count is None else count).clamp(min=1)
