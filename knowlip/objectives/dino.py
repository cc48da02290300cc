"""Self-distillation without labels: DINO (Caron et al., ICCV 2021, Algorithm 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dino_loss(
    student_VBK: Tensor, teacher_GBK: Tensor, center_K: Tensor, student_temperature: float, teacher_temperature: float
) -> Tensor:
    """Cross-entropy between what the teacher says of each global view and the student of every other view.

    Args:
        student_VBK: logits over K prototypes of V views of B images, the global ones first.
        teacher_GBK: logits of the G global views, without gradient.
        center_K: subtracted from the teacher's logits (:func:`moved_center`).
        student_temperature, teacher_temperature: divide the logits; the teacher's is lower, which sharpens.

    Returns:
        Scalar mean over pairs of different views and over images.

    Example:
        >>> logits = torch.zeros(2, 3, 4)
        >>> round(float(dino_loss(logits, logits, torch.zeros(4), 0.1, 0.04)), 3)  # the logarithm of 4
        1.386
    """
    target = sharpened(teacher_GBK, center_K, teacher_temperature)
    log_p = F.log_softmax(student_VBK.float() / student_temperature, -1)
    pairs = [
        -(target[of] * log_p[view]).sum(-1).mean()
        for of in range(len(target))
        for view in range(len(log_p))
        if view != of
    ]
    return torch.stack(pairs).mean()


def sharpened(teacher: Tensor, center_K: Tensor, temperature: float) -> Tensor:
    """Probabilities (..., K) of the teacher's logits, centred and sharpened, without gradient."""
    return F.softmax((teacher.detach().float() - center_K) / temperature, -1)


def moved_center(center_K: Tensor, mean_K: Tensor, momentum: float) -> Tensor:
    """The moving average of the teacher's logits after a step.

    Args:
        center_K: before it.
        mean_K: of the step's logits, over all views, images and processes.
        momentum: share of the old one.
    """
    return torch.lerp(mean_K.float(), center_K, momentum)
