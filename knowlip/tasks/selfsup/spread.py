"""How far the vectors of different images are from each other: what a collapse brings to 0."""

import torch.nn.functional as F
from torch import Tensor


def spread(x_BE: Tensor) -> Tensor:
    """Deviation of unit vectors over rows, times the square root of their width: about 1 where they point anywhere, 0
    where all are alike."""
    unit = F.normalize(x_BE.detach().float(), dim=-1)
    return unit.std(0, correction=0).mean() * x_BE.shape[-1] ** 0.5
