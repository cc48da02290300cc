"""The objectives, one a file, pure functions of tensors."""

from knowlip.objectives.attend import attend_loss as attend_loss
from knowlip.objectives.grounding import closed_loss as closed_loss
from knowlip.objectives.grounding import closed_scores as closed_scores
from knowlip.objectives.grounding import density_loss as density_loss
from knowlip.objectives.grounding import regions_loss as regions_loss
from knowlip.objectives.grounding import sizes_loss as sizes_loss
from knowlip.objectives.infill import infill_loss as infill_loss
from knowlip.objectives.itc import itc_loss as itc_loss
from knowlip.objectives.itc import same as same
from knowlip.objectives.itc import similarity as similarity
from knowlip.objectives.itm import PRIOR_LOSS as PRIOR_LOSS
from knowlip.objectives.itm import PRIOR_LOSS_OF_FOUR as PRIOR_LOSS_OF_FOUR
from knowlip.objectives.itm import candidate_scores as candidate_scores
from knowlip.objectives.itm import hard_negatives as hard_negatives
from knowlip.objectives.itm import itm_loss as itm_loss
from knowlip.objectives.lm import causal_ids as causal_ids
from knowlip.objectives.lm import lm_loss as lm_loss
from knowlip.objectives.regions import region_itc_loss as region_itc_loss
