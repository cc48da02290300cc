"""Exponential moving averages of all weights, in evaluation mode, without gradients: the momentum model of a
pre-training, and the model that a fine-tuning keeps."""

import copy
from typing import Any, Generic, TypeVar

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


class Averaged(nn.Module, Generic[Module]):
    """A module that learns beside the moving average of its weights, which is what is kept (Polyak averaging).

    Args:
        model: learns; its `forward` is this one's.
        momentum: share of the average that an update leaves as it is, above 0 and below 1. Of the first updates it is
            less, min(momentum, (1 + t) / (10 + t)) at the t-th from 0, as tf.train.ExponentialMovingAverage has it: of
            a short training the weights that it began with would else be most of the average.
    """

    updates: int = 0
    """Made so far: the steps of the training. A run that goes on sets it."""

    def __init__(self, model: Module, momentum: float) -> None:
        super().__init__()
        if not 0 < momentum < 1:
            raise ValueError(f"ema must be above 0 and below 1, or 0 for none, not {momentum}.")
        self.model, self.average, self.momentum = model, momentum_copy(model), momentum

    def train(self, mode: bool = True) -> "Averaged[Module]":
        """The average stays in evaluation mode."""
        super().train(mode)
        self.average.eval()
        return self

    def forward(self, *arguments: Any) -> Any:
        return self.model(*arguments)

    @torch.no_grad()
    def update(self) -> None:
        """After a step: weights are averaged; buffers (running means of batch norms) are averages already."""
        update_momentum(self.average, self.model, min(self.momentum, (1 + self.updates) / (10 + self.updates)))
        self.updates += 1
        for kept, now in zip(self.average.buffers(), self.model.buffers()):
            kept.copy_(now)
