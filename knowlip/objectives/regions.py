"""Contrast of regions: each of the nine parts of an image is closer to the words for what it holds than to those for
what other parts hold (region-word contrast, Zhong et al., CVPR 2022, "RegionCLIP")."""

import torch.nn.functional as F
from torch import Tensor

from knowlip.objectives.itc import similarity


def region_itc_loss(
    region_RE: Tensor, phrase_UE: Tensor, phrase_of_R: Tensor, temperature: Tensor, count: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each region over the phrases of the batch.

    Args:
        region_RE: embeddings of regions, L2-normalised.
        phrase_UE: embeddings of U different phrases, L2-normalised.
        phrase_of_R: which phrase says what each region holds.
        temperature: divides the similarities.
        count: as in :func:`knowlip.objectives.grounding.closed_loss`, of regions. Phrases are those of a rank's own
            batch.

    Returns:
        Scalar mean over regions; 0 where there is none.
    """
    if not len(region_RE):
        return region_RE.sum()
    total = F.cross_entropy(similarity(region_RE, phrase_UE, temperature), phrase_of_R, reduction="sum")
    return total / (len(region_RE) if count is None else count)
