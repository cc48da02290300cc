"""Masked image modelling by self-distillation: iBOT (Zhou et al., ICLR 2022, Eq. 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.objectives.dino import sharpened


def ibot_loss(
    student_MK: Tensor,
    teacher_MK: Tensor,
    image_M: Tensor,
    images: int,
    center_K: Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """Cross-entropy between teacher and student at patches that only the student does not see.

    Args:
        student_MK: logits over K prototypes at the M hidden patches of a batch of views.
        teacher_MK: of the teacher, which sees them, without gradient.
        image_M: number of the view that each patch is of.
        images: how many views there are, those without a hidden patch too.
        center_K: subtracted from the teacher's logits.
        student_temperature, teacher_temperature: divide the logits.

    Returns:
        Scalar: mean over the hidden patches of each view, and then over views; one without any counts as 0.

    Example:
        >>> logits = torch.zeros(3, 4)
        >>> round(float(ibot_loss(logits, logits, torch.tensor([0, 0, 1]), 2, torch.zeros(4), 0.1, 0.04)), 3)
        1.386
    """
    log_p = F.log_softmax(student_MK.float() / student_temperature, -1)
    loss_M = -(sharpened(teacher_MK, center_K, teacher_temperature) * log_p).sum(-1)
    count = torch.bincount(image_M, minlength=images).clamp(min=1)
    return (loss_M / count[image_M]).sum() / images
