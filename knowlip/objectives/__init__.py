"""The three objectives, one a file, pure functions of tensors."""

from knowlip.objectives.infill import infill_loss
from knowlip.objectives.itc import itc_loss, same
from knowlip.objectives.itm import PRIOR_LOSS, hard_negatives, itm_loss

__all__ = ["PRIOR_LOSS", "hard_negatives", "infill_loss", "itc_loss", "itm_loss", "same"]
