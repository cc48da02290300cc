"""What the processes of one training ("ranks") tell each other; without torch.distributed there is one, and every
function is the identity.

The rows of a global batch are dealt like cards: rank r of W holds the rows r, r + W, r + 2 W, ... So the first rows of
every rank are together the first rows of the whole, and a share of a batch is the same share whatever the world size.
`gather` puts the rows back in the order of the global batch.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """Number of ranks."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this rank, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather(x_B: Tensor) -> Tensor:
    """Rows of all ranks in the order of the global batch, (B, ...) -> (W B, ...), without gradient.

    Every rank must give the same shape.
    """
    return _interleave(_all_gather(x_B.detach())) if world() > 1 else x_B.detach()


def gather_with_grad(x_B: Tensor) -> Tensor:
    """:func:`gather` through which gradients flow back to the rank that a row came from, summed over all ranks.

    With gradients of parameters averaged over ranks, as DDP and FSDP do, this is the gradient of the mean of the ranks'
    losses.
    """
    return _Gather.apply(x_B) if world() > 1 else x_B


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, without gradient."""
    if world() == 1:
        return x.detach()
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


def _all_gather(x_B: Tensor) -> Tensor:
    """(B, ...) -> (W, B, ...)"""
    rows = [torch.empty_like(x_B, memory_format=torch.contiguous_format) for _ in range(world())]
    dist.all_gather(rows, x_B.contiguous())
    return torch.stack(rows)


def _interleave(x_WB: Tensor) -> Tensor:
    return x_WB.transpose(0, 1).flatten(0, 1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x_B: Tensor) -> Tensor:
        return _interleave(_all_gather(x_B))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[rank() :: world()]
