"""Image-text matching (ITM) with hard negatives. Source: BLIP's `blip_pretrain.py`, sampling vectorised.

A head that has learned nothing but the 1:2 ratio of positives has a loss of H(1/3) = 0.6365: log it beside the loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PRIOR_LOSS = 0.6365141682948128
"""Entropy of one positive against two negatives."""


@torch.no_grad()
def hard_negatives(similarity_BB: Tensor, positive_BB: Tensor, floor: float = 1e-4) -> tuple[Tensor, Tensor]:
    """Draw one wrong text for each image and one wrong image for each text, likelier the more similar they are.

    Args:
        similarity_BB: image->text similarities of the batch, already divided by the temperature.
        positive_BB: pairs that may not be drawn, see :func:`knowlip.objectives.itc.same`.
        floor: added to each weight. BLIP's 1e-4 draws hard negatives alone; a short training, which never learns to
            tell hard ones apart, needs some easy ones too (0.05 at a batch of 48: about two of three are uniform).

    Returns:
        `text_of_image` and `image_of_text`, int64 (B,); -1 where the batch holds no negative.
    """

    def draw(similarity: Tensor, positive: Tensor) -> Tensor:
        weights = (F.softmax(similarity.float(), 1) + floor).masked_fill(positive, 0)
        none = weights.sum(1) == 0
        drawn = torch.multinomial(weights.masked_fill(none[:, None], 1), 1)[:, 0]
        return drawn.masked_fill(none, -1)

    return draw(similarity_BB, positive_BB), draw(similarity_BB.T, positive_BB.T)


def itm_loss(logits_P2: Tensor, is_match_P: Tensor) -> Tensor:
    """Two-way cross-entropy.

    Args:
        logits_P2: matching logits of positive and negative pairs.
        is_match_P: True where image and text belong together.

    Returns:
        Scalar mean.
    """
    return F.cross_entropy(logits_P2, is_match_P.long())
