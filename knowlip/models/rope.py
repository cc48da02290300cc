"""DINOv3's ViT: rotary positions of patches, registers, layer scale, no position embeddings.

Names of tensors are the official code's. Source: Siméoni et al., "DINOv3" (arXiv 2508.10104).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, sine_NH: Tensor, cosine_NH: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        query, key = _turned(query, sine_NH, cosine_NH), _turned(key, sine_NH, cosine_NH)
        out: Tensor = self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, scaled: bool, eps: float) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps), _Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), _Mlp(width, hidden)
        self.ls1: nn.Module = _Scale(width) if scaled else nn.Identity()
        self.ls2: nn.Module = _Scale(width) if scaled else nn.Identity()

    def forward(self, x: Tensor, sine_NH: Tensor, cosine_NH: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), sine_NH, cosine_NH))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class _Periods(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.periods: Tensor
        self.register_buffer("periods", torch.ones(count))


class _Patches(nn.Module):
    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class RopeViT(nn.Module):
    """Pixels (B, C, S, S) -> tokens (B, 1 + R + N, D) behind the last norm; any S that the patches divide.

    Args:
        width, depth, heads, hidden: of the transformer; hidden is that of its feed-forward networks.
        patch: side of a patch in pixels.
        channels: C.
        registers: R.
        scaled: whether blocks have layer scale.
        own_norm: whether class token and registers have a last norm of their own (`cls_norm`).
        eps: of the norms.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        patch: int,
        channels: int,
        registers: int,
        scaled: bool,
        own_norm: bool,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        self.num_features, self.num_prefix_tokens = width, 1 + registers
        self.patch_embed = _Patches(channels, width, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.storage_tokens = nn.Parameter(torch.zeros(1, registers, width)) if registers else None
        self.rope_embed = _Periods(width // heads // 4)
        self.blocks = nn.ModuleList(_Block(width, heads, hidden, scaled, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps)
        self.cls_norm = nn.LayerNorm(width, eps) if own_norm else None
        self.fc_norm = nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 1 + R + N, D)."""
        x = self.patch_embed(x)
        sine, cosine = self.angles(x.shape[-2], x.shape[-1])
        parts = [self.cls_token, *([] if self.storage_tokens is None else [self.storage_tokens])]
        x = torch.cat([*(part.expand(len(x), -1, -1) for part in parts), x.flatten(2).mT], 1)
        for block in self.blocks:
            x = block(x, sine, cosine)
        if self.cls_norm is None:
            return self.norm(x)
        first = self.num_prefix_tokens
        return torch.cat([self.cls_norm(x[:, :first]), self.norm(x[:, first:])], 1)

    def angles(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Sine and cosine (N, H) of every patch, H the width of a head: places from -1 to 1, each axis its half."""
        periods = self.rope_embed.periods
        axes = [2 * torch.arange(0.5, count, device=periods.device) / count - 1 for count in (rows, columns)]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)
        turns = (2 * math.pi * places[:, :, None] / periods).flatten(1).tile(2)
        return turns.sin(), turns.cos()


def _turned(x_BHND: Tensor, sine_NH: Tensor, cosine_NH: Tensor) -> Tensor:
    """Patches turned by their places; what stands before them (class token, registers) has none."""
    first = x_BHND.shape[2] - len(sine_NH)
    prefix, patches = x_BHND[:, :, :first], x_BHND[:, :, first:]
    one, two = patches.chunk(2, -1)
    return torch.cat([prefix, patches * cosine_NH + torch.cat([-two, one], -1) * sine_NH], 2)
