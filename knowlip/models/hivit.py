"""HiViT: SARATR-X's backbone, a ViT whose first two stages are feed-forward networks on ever larger cells.

Names of tensors are the official code's. Source: Zhang et al., "HiViT" (arXiv 2205.14949); SARATR-X (arXiv 2405.09365)
uses it with absolute positions and without relative ones; SARATR-X-v2 (arXiv 2607.23238) as the tower of an iTPN
(arXiv 2211.12735), whose fine-tuned models may have relative ones too.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
INNER = 4
"""Cells of 4 x 4 in a patch: two stages merge 2 x 2 each."""


def relative_positions(grid: int) -> Tensor:
    """(N, N) int64: the row of the table of (2 grid - 1)^2 offsets that belongs to each pair of patches."""
    places = torch.stack(torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")).flatten(1)
    offsets = places[:, :, None] - places[:, None] + grid - 1
    return offsets[0] * (2 * grid - 1) + offsets[1]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, grid: int = 0) -> None:
        super().__init__()
        self.heads = heads
        if grid:
            self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * grid - 1) ** 2, heads))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, relative: Tensor | None = None) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        bias = None if relative is None else self.relative_position_bias_table[relative].permute(2, 0, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, bias)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    """Without heads it mixes no places: the norm and feed-forward network alone."""

    def __init__(self, width: int, heads: int, hidden: int, grid: int = 0) -> None:
        super().__init__()
        if heads:
            self.norm1, self.attn = nn.LayerNorm(width, EPS), _Attention(width, heads, grid)
        self.norm2, self.mlp = nn.LayerNorm(width, EPS), _Mlp(width, hidden)
        self.mixes = heads > 0

    def forward(self, x: Tensor, relative: Tensor | None = None) -> Tensor:
        if self.mixes:
            x = x + self.attn(self.norm1(x), relative)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Merge(nn.Module):
    """2 x 2 cells (B, N, I, I, D) -> one (B, N, I/2, I/2, 2D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width, EPS), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[..., row::2, column::2, :] for column in (0, 1) for row in (0, 1)]
        out: Tensor = self.reduction(self.norm(torch.cat(parts, -1)))
        return out


class _Cells(nn.Module):
    """Pixels (B, C, S, S) -> cells of every patch (B, N, 4, 4, D)."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(channels, width, patch // INNER, patch // INNER)
        self.norm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (side // self.patch for side in x.shape[-2:])
        x = self.proj(x).unflatten(2, (rows, INNER)).unflatten(4, (columns, INNER))
        out: Tensor = self.norm(x.permute(0, 2, 4, 3, 5, 1).flatten(1, 2))
        return out


class HiViT(nn.Module):
    """Pixels (B, C, S, S) -> patches (B, N, D) of the last block, without a norm.

    Args:
        width: D; the stages have D/4, D/2 and D.
        depths: blocks of the three stages; those of the first two hold two feed-forward networks each.
        heads: of the last stage.
        hidden: width of the feed-forward networks in each stage.
        patch: side of a patch in pixels, a multiple of 4.
        side: S.
        channels: C.
        pooled: whether a norm of the mean of the patches was trained (`fc_norm`).
        relative: whether the blocks of the last stage have a table of relative positions each.
    """

    num_prefix_tokens = 0

    def __init__(
        self,
        width: int,
        depths: Sequence[int],
        heads: int,
        hidden: Sequence[int],
        patch: int,
        side: int,
        channels: int,
        pooled: bool,
        relative: bool = False,
    ) -> None:
        super().__init__()
        self.num_features = width
        self.patch_embed = _Cells(channels, width // 4, patch)
        self.absolute_pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2, width))
        self.grid = grid = side // patch if relative else 0
        layers: list[nn.Module] = []
        for stage, (depth, inside) in enumerate(zip(depths, hidden)):
            wide = width >> (2 - stage)
            last = stage == 2
            layers += [_Block(wide, heads if last else 0, inside, grid) for _ in range(depth if last else 2 * depth)]
            layers += [] if last else [_Merge(wide)]
        self.blocks = nn.ModuleList(layers)
        self.last = depths[-1]
        self.fc_norm = nn.LayerNorm(width, EPS) if pooled else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, N, D)."""
        x = self.patch_embed(x)
        for block in self.blocks[: -self.last]:
            x = block(x)
        x = x[..., 0, 0, :] + self.absolute_pos_embed
        relative = relative_positions(self.grid).to(x.device) if self.grid else None
        for block in self.blocks[-self.last :]:
            x = block(x, relative)
        return x
