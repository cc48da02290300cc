"""Tiny references of what is no plain ViT: HiViT's stages, DINOv3's rotary positions."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.encoders.reference import HEADS, WIDTH


class HiViTReference(nn.Module):
    """Pixels (B, C, 32, 32), patches of 16 px -> (B, 4, 64); one block in the first stage, one in the second, two."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.cells = nn.Conv2d(channels, 16, 4, 4)
        self.cell_norm = nn.LayerNorm(16, eps=1e-6)
        self.positions = nn.Parameter(torch.zeros(4, WIDTH))
        norms = [16, 16, 64, 32, 32, 128, 64, 64]
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for width in norms)
        self.before = nn.ModuleList(nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
        self.attention = nn.ModuleList(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(width, 3 * width) for width in (16, 16, 32, 32, 64, 64))
        self.down = nn.ModuleList(nn.Linear(3 * width, width) for width in (16, 16, 32, 32, 64, 64))
        self.merge = nn.ModuleList([nn.Linear(64, 32, bias=False), nn.Linear(128, 64, bias=False)])

    def mlp(self, x: Tensor, number: int, norm: int) -> Tensor:
        return x + self.down[number](F.gelu(self.up[number](self.norms[norm](x))))

    def forward(self, pixels: Tensor) -> Tensor:
        cells = self.cells(pixels)
        patches = []
        for row in range(2):
            for column in range(2):
                x = self.cell_norm(cells[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].permute(0, 2, 3, 1))
                for stage in range(2):
                    for block in range(2):
                        x = self.mlp(x, 2 * stage + block, 3 * stage + block)
                    side = x.shape[1] // 2
                    four = [x[:, one::2, two::2].reshape(len(x), side, side, -1) for two in (0, 1) for one in (0, 1)]
                    x = self.merge[stage](self.norms[3 * stage + 2](torch.cat(four, -1)))
                patches.append(x[:, 0, 0])
        x = torch.stack(patches, 1) + self.positions
        for block in range(2):
            h = self.before[block](x)
            x = x + self.attention[block](h, h, h, need_weights=False)[0]
            x = self.mlp(x, 4 + block, 6 + block)
        return x

    def official(self) -> dict[str, Tensor]:
        """Its tensors as SARATR-X names them: blocks 0, 1, merge, 3, 4, merge, 6, 7."""
        found = {"patch_embed.proj.weight": self.cells.weight, "patch_embed.proj.bias": self.cells.bias}
        found |= {f"patch_embed.norm.{key}": value for key, value in self.cell_norm.state_dict().items()}
        found["absolute_pos_embed"] = self.positions[None]
        places = (0, 1, 2, 3, 4, 5, 6, 7)
        for place, norm in zip(places, self.norms):
            word = "norm" if place in (2, 5) else "norm2"
            found |= {f"blocks.{place}.{word}.{key}": value for key, value in norm.state_dict().items()}
        for place, up, down in zip((0, 1, 3, 4, 6, 7), self.up, self.down):
            found |= {f"blocks.{place}.mlp.fc1.{key}": value for key, value in up.state_dict().items()}
            found |= {f"blocks.{place}.mlp.fc2.{key}": value for key, value in down.state_dict().items()}
        for place, merge in zip((2, 5), self.merge):
            found[f"blocks.{place}.reduction.weight"] = merge.weight
        for place, norm, attention in zip((6, 7), self.before, self.attention):
            found |= {f"blocks.{place}.norm1.{key}": value for key, value in norm.state_dict().items()}
            found[f"blocks.{place}.attn.qkv.weight"] = attention.in_proj_weight
            found[f"blocks.{place}.attn.qkv.bias"] = attention.in_proj_bias
            found[f"blocks.{place}.attn.proj.weight"] = attention.out_proj.weight
            found[f"blocks.{place}.attn.proj.bias"] = attention.out_proj.bias
        return {key: value.detach().clone() for key, value in found.items()}


class RopeReference(nn.Module):
    """DINOv3's ViT with two registers, patches of 8 px, heads of 16: turns are complex numbers here."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, WIDTH, 8, 8)
        self.first = nn.Parameter(torch.zeros(3, WIDTH))
        self.periods = 100.0 ** (2 * torch.arange(4) / 8)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH, eps=eps) for _ in range(5))
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(WIDTH, 4 * WIDTH) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(4 * WIDTH, WIDTH) for _ in range(2))
        self.scales = nn.Parameter(torch.ones(4, WIDTH))

    def turn(self, x: Tensor, side: int) -> Tensor:
        """Heads of one image (H, N, 16): channel c and c + 8 are one complex number."""
        pairs = torch.complex(x[..., :8], x[..., 8:])
        angles = torch.zeros(x.shape[-2], 8)
        for place in range(side * side):
            row, column = (2 * (one + 0.5) / side - 1 for one in divmod(place, side))
            angles[3 + place] = 2 * math.pi * torch.cat([row / self.periods, column / self.periods])
        turned = pairs * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([turned.real, turned.imag], -1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch(pixels)
        side = x.shape[-1]
        x = torch.cat([self.first.expand(len(x), -1, -1), x.flatten(2).mT], 1)
        for block in range(2):
            thirds = self.qkv[block](self.norms[2 * block](x)).chunk(3, -1)
            query, key, value = (part.unflatten(-1, (4, 16)).transpose(1, 2) for part in thirds)
            query, key = self.turn(query, side), self.turn(key, side)
            mixed = (query @ key.mT / 4).softmax(-1) @ value
            x = x + self.scales[2 * block] * self.out[block](mixed.transpose(1, 2).flatten(2))
            up = F.gelu(self.up[block](self.norms[2 * block + 1](x)))
            x = x + self.scales[2 * block + 1] * self.down[block](up)
        return self.norms[4](x)

    def official(self) -> dict[str, Tensor]:
        """Its tensors as Meta names them; the bias of keys stands there, and a mask takes it away."""
        found = {"patch_embed.proj.weight": self.patch.weight, "patch_embed.proj.bias": self.patch.bias}
        found |= {"cls_token": self.first[None, :1], "storage_tokens": self.first[None, 1:]}
        found["rope_embed.periods"] = self.periods
        for block in range(2):
            for word, norm in (("norm1", self.norms[2 * block]), ("norm2", self.norms[2 * block + 1])):
                found |= {f"blocks.{block}.{word}.{key}": value for key, value in norm.state_dict().items()}
            for word, layer in (("attn.qkv", self.qkv), ("attn.proj", self.out), ("mlp.fc1", self.up)):
                found |= {f"blocks.{block}.{word}.{key}": value for key, value in layer[block].state_dict().items()}
            found |= {f"blocks.{block}.mlp.fc2.{key}": value for key, value in self.down[block].state_dict().items()}
            found |= {f"blocks.{block}.ls{1 + part}.gamma": self.scales[2 * block + part] for part in (0, 1)}
            mask = torch.ones(3 * WIDTH)
            mask[WIDTH : 2 * WIDTH] = 0
            found[f"blocks.{block}.attn.qkv.bias_mask"] = mask
        found |= {f"norm.{key}": value for key, value in self.norms[4].state_dict().items()}
        return {key: value.detach().clone() for key, value in found.items()}
