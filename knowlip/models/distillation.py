"""Heads that self-supervised trainings put on a tower, and throw away: projectors with batch norm (MoCo v3), and
prototypes (DINO, iBOT)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.jobs.ranks import gather_with_grad

_EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch norm over the rows of all processes, as nn.SyncBatchNorm but on any device; in training alone, so that
    nothing is remembered.

    Args:
        width: of the rows.
        affine: whether a scale and a shift are learned.
    """

    def __init__(self, width: int, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, D) -> (B, D); every process must give as many rows."""
        x = x_BD.float()
        # Two means of means: what travels between processes are two rows of each.
        mean = gather_with_grad(x.mean(0, keepdim=True)).mean(0)
        variance = gather_with_grad((x - mean).square().mean(0, keepdim=True)).mean(0)
        x = (x - mean) * (variance + _EPSILON).rsqrt()
        return x if self.weight is None or self.bias is None else x * self.weight + self.bias


def projector(width: int, hidden: int, outputs: int, layers: int, last_norm: bool = True) -> nn.Sequential:
    """MoCo v3's MLP: linear layers without bias, batch norm after each (the last without scale and shift), ReLU
    between."""
    parts: list[nn.Module] = []
    for number in range(layers):
        last = number == layers - 1
        parts.append(nn.Linear(width if number == 0 else hidden, outputs if last else hidden, bias=False))
        if not last:
            parts += [BatchNorm(hidden), nn.ReLU()]
        elif last_norm:
            parts.append(BatchNorm(outputs, affine=False))
    return nn.Sequential(*parts)


class Prototypes(nn.Module):
    """DINO's head: an MLP of three layers, unit length, and cosines to prototypes. With patches it is iBOT's.

    Args:
        width: of the tokens.
        hidden: of the MLP.
        bottleneck: before the prototypes.
        images: prototypes of images.
        patches: of patches; 0 for those of images.
    """

    def __init__(self, width: int, hidden: int, bottleneck: int, images: int, patches: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        # Lengths do not matter: only the direction of a prototype is used (weight norm with a length of 1).
        self.images = nn.Parameter(_drawn(images, bottleneck))
        self.patches = nn.Parameter(_drawn(patches, bottleneck)) if patches else None

    def of_images(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Class tokens (..., D) -> logits over prototypes (..., K); `frozen` gives these no gradient."""
        return self._cosines(x, self.images, frozen)

    def of_patches(self, x: Tensor, frozen: bool = False) -> Tensor:
        """The same of patches' tokens, over prototypes of patches."""
        return self._cosines(x, self.images if self.patches is None else self.patches, frozen)

    def _cosines(self, x: Tensor, weight: Tensor, frozen: bool) -> Tensor:
        if frozen:  # a gradient of 0 and not none, which several processes would wait for
            weight = weight.detach() + 0 * weight
        unit = F.normalize(self.mlp(x).float(), dim=-1)
        return F.linear(unit, F.normalize(weight.float(), dim=-1))


def _drawn(count: int, width: int) -> Tensor:
    """Weights as nn.Linear draws them."""
    return nn.Linear(width, count, bias=False).weight.detach()
