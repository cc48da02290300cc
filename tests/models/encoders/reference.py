"""A tiny ViT that shares no code with ours: the layers of PyTorch, 2 blocks of width 64, in names of its own.

Layouts of other projects are renamings of its tensors; what it computes is what their encoders must.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, DEPTH, HEADS, PATCH, SIDE = 64, 2, 4, 8, 32


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def bucket(offset: int) -> int:
    """Of SAR-JEPA's relative positions along one axis, for one offset."""
    if abs(offset) <= 1.9:
        return offset
    value = min(round(1.9 + math.log(abs(offset) / 1.9) / math.log(8) * 1.9), 3.8)
    return int(math.copysign(int(value), offset))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, eps: float, act: Callable[[Tensor], Tensor], relative: bool) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act, self.heads = act, heads
        if relative:
            self.table = nn.Parameter(torch.zeros(1, width // heads, 50))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.ln1(x)
        if hasattr(self, "table"):
            mask = self.bias(h)
        x = x + self.attn(h, h, h, attn_mask=mask, need_weights=False)[0]
        x = x + self.fc2(self.act(self.fc1(self.ln2(x))))
        return x

    def bias(self, h: Tensor) -> Tensor:
        """(B * heads, N, N): every query reads the table of its pair."""
        query = F.linear(h, self.attn.in_proj_weight, self.attn.in_proj_bias).chunk(3, -1)[0]
        query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1)
        count = query.shape[1]
        side = math.isqrt(count - 1)
        index = torch.full((count, count), 49)
        for q in range(count - 1):
            for k in range(count - 1):
                rows, columns = q // side - k // side, q % side - k % side
                index[q + 1, k + 1] = (bucket(rows) + 3) * 7 + bucket(columns) + 3
        return torch.einsum("bqd,dqk->bqk", query, self.table[0][:, index])


class Reference(nn.Module):
    """Pixels (B, C, S, S) -> tokens (B, N, D) behind the last norm."""

    def __init__(
        self,
        channels: int = 3,
        act: Callable[[Tensor], Tensor] = F.gelu,
        eps: float = 1e-6,
        patch_bias: bool = True,
        pre: bool = False,
        post: bool = True,
        positions: bool = True,
        relative: bool = False,
        depth: int = DEPTH,
        twice: bool = False,
    ) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, WIDTH, PATCH, PATCH, bias=patch_bias)
        self.cls = nn.Parameter(torch.zeros(WIDTH))
        self.pos = nn.Parameter(torch.zeros(1 + (SIDE // PATCH) ** 2, WIDTH))
        self.pre = nn.LayerNorm(WIDTH, eps=eps) if pre else nn.Identity()
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, eps, act, relative) for _ in range(depth))
        self.post = nn.LayerNorm(WIDTH, eps=eps) if post else nn.Identity()
        self.positions, self.twice = positions, twice

    def states(self, pixels: Tensor) -> list[Tensor]:
        """What goes into the first block, and what comes out of each."""
        x = self.patch(pixels).flatten(2).mT
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1)
        if self.positions:
            x = x + self.pos
        if self.twice:
            x = torch.cat([x[:, :1] + self.cls, x[:, 1:]], 1)
        found = [self.pre(x)]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.post(self.states(pixels)[-1])
        return found


def pixels_of(images: Tensor, mean: Any = 0.0, std: Any = 1.0, channels: int = 3) -> Tensor:
    """Tiles (B, S, S) uint8 -> normalised pixels, repeated for each channel."""
    pixels = images[:, None].expand(-1, channels, -1, -1).float() / 255
    mean, std = (torch.tensor(value, dtype=torch.float32).reshape(-1, 1, 1) for value in (mean, std))
    return (pixels - mean) / std


def rename(module: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """A state under the names of a layout: `{i}` stands for the number of a block. Others are left out."""
    state: dict[str, Tensor] = {}
    for ours, tensor in module.state_dict().items():
        parts = ours.split(".")
        number = parts[1] if parts[0] == "blocks" else ""
        key = ours.replace(f"blocks.{number}.", "blocks.i.") if number else ours
        if key in names:
            state[names[key].format(i=number)] = tensor.clone()
    return state


_IN, _OUT = "attn.in_proj_{}", "attn.out_proj.{}"
TIMM = {
    "patch.weight": "patch_embed.proj.weight",
    "patch.bias": "patch_embed.proj.bias",
    "cls": "cls_token",
    "pos": "pos_embed",
    **{f"pre.{part}": f"norm_pre.{part}" for part in ("weight", "bias")},
    **{f"post.{part}": f"norm.{part}" for part in ("weight", "bias")},
    **{f"blocks.i.ln{n}.{part}": f"blocks.{{i}}.norm{n}.{part}" for n in (1, 2) for part in ("weight", "bias")},
    **{f"blocks.i.{_IN.format(part)}": f"blocks.{{i}}.attn.qkv.{part}" for part in ("weight", "bias")},
    **{f"blocks.i.{_OUT.format(part)}": f"blocks.{{i}}.attn.proj.{part}" for part in ("weight", "bias")},
    **{f"blocks.i.fc{n}.{part}": f"blocks.{{i}}.mlp.fc{n}.{part}" for n in (1, 2) for part in ("weight", "bias")},
    "blocks.i.table": "blocks.{i}.attn.rpe_k.lookup_table_weight",
}


def timm_state(module: nn.Module) -> dict[str, Tensor]:
    """Layout B."""
    state = rename(module, TIMM)
    state["cls_token"] = state["cls_token"].reshape(1, 1, -1)
    state["pos_embed"] = state["pos_embed"][None]
    return state
