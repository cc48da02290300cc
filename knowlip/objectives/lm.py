"""Plain causal language modelling of the whole text: BLIP's own third objective, kept as the ablation of infilling.

The decoder reads the image directly and never sees what stands to the right of a token. Source: BLIP's
`blip_pretrain.py`.
"""

from torch import Tensor

from knowlip.objectives.infill import infill_loss


def causal_ids(ids_BT: Tensor, dec: int) -> tuple[Tensor, Tensor]:
    """What the decoder reads and what it is to write.

    Args:
        ids_BT: [CLS]-framed token ids.
        dec: id of [DEC], which takes the place of [CLS].

    Returns:
        Inputs and targets, both (B, T - 1): the target of a position is the token behind it.
    """
    inputs = ids_BT[:, :-1].clone()
    inputs[:, 0] = dec
    return inputs, ids_BT[:, 1:]


def lm_loss(logits_MV: Tensor, targets_M: Tensor, label_smoothing: float = 0.1, count: Tensor | None = None) -> Tensor:
    """Cross-entropy over all tokens of the text; arguments as in :func:`knowlip.objectives.infill.infill_loss`."""
    return infill_loss(logits_MV, targets_M, label_smoothing, count)
