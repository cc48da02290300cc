"""The momentum model: an exponential moving average of every weight, in evaluation mode, without gradients."""

import copy
from typing import TypeVar

import torch
from torch import nn

from knowlip.training.state import local

Module = TypeVar("Module", bound=nn.Module)


def momentum_copy(model: Module) -> Module:
    """A frozen copy. Take it after weights are tied: shared tensors stay shared in the copy."""
    ema = copy.deepcopy(model).eval()
    return ema.requires_grad_(False)


@torch.no_grad()
def update_momentum(ema: nn.Module, model: nn.Module, momentum: float) -> None:
    """ema <- momentum * ema + (1 - momentum) * model, one fused call for all tensors; each process its own shards."""
    torch._foreach_lerp_(
        [local(p.data) for p in ema.parameters()], [local(p.data) for p in model.parameters()], 1.0 - momentum
    )
