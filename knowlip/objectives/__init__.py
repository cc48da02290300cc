"""The objectives, one a file, pure functions of tensors."""

from knowlip.objectives.infill import infill_loss
from knowlip.objectives.itc import itc_loss, same, similarity
from knowlip.objectives.itm import PRIOR_LOSS, hard_negatives, itm_loss
from knowlip.objectives.lm import causal_ids, lm_loss

__all__ = [
    "PRIOR_LOSS", "causal_ids", "hard_negatives", "infill_loss", "itc_loss", "itm_loss", "lm_loss", "same",
    "similarity",
]  # fmt: skip
