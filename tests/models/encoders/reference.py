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


_WB = ("weight", "bias")
_IN, _OUT = "attn.in_proj_{}", "attn.out_proj.{}"
TIMM = {
    "patch.weight": "patch_embed.proj.weight",
    "patch.bias": "patch_embed.proj.bias",
    "cls": "cls_token",
    "pos": "pos_embed",
    **{f"pre.{part}": f"norm_pre.{part}" for part in _WB},
    **{f"post.{part}": f"norm.{part}" for part in _WB},
    **{f"blocks.i.ln{n}.{part}": f"blocks.{{i}}.norm{n}.{part}" for n in (1, 2) for part in _WB},
    **{f"blocks.i.{_IN.format(part)}": f"blocks.{{i}}.attn.qkv.{part}" for part in _WB},
    **{f"blocks.i.{_OUT.format(part)}": f"blocks.{{i}}.attn.proj.{part}" for part in _WB},
    **{f"blocks.i.fc{n}.{part}": f"blocks.{{i}}.mlp.fc{n}.{part}" for n in (1, 2) for part in _WB},
    "blocks.i.table": "blocks.{i}.attn.rpe_k.lookup_table_weight",
}


def timm_state(module: nn.Module) -> dict[str, Tensor]:
    """Layout B."""
    state = rename(module, TIMM)
    state["cls_token"] = state["cls_token"].reshape(1, 1, -1)
    state["pos_embed"] = state["pos_embed"][None]
    return state


OPENAI_BLOCK = {
    **{f"blocks.i.ln{n}.{part}": f"transformer.resblocks.{{i}}.ln_{n}.{part}" for n in (1, 2) for part in _WB},
    **{f"blocks.i.{_IN.format(part)}": f"transformer.resblocks.{{i}}.attn.in_proj_{part}" for part in _WB},
    **{f"blocks.i.{_OUT.format(part)}": f"transformer.resblocks.{{i}}.attn.out_proj.{part}" for part in _WB},
    **{f"blocks.i.fc1.{part}": f"transformer.resblocks.{{i}}.mlp.c_fc.{part}" for part in _WB},
    **{f"blocks.i.fc2.{part}": f"transformer.resblocks.{{i}}.mlp.c_proj.{part}" for part in _WB},
}
OPENAI = OPENAI_BLOCK | {
    "patch.weight": "conv1.weight",
    "cls": "class_embedding",
    "pos": "positional_embedding",
    **{f"pre.{part}": f"ln_pre.{part}" for part in _WB},
    **{f"post.{part}": f"ln_post.{part}" for part in _WB},
}
HF = {
    "patch.weight": "embeddings.patch_embedding.weight",
    "cls": "embeddings.class_embedding",
    "pos": "embeddings.position_embedding.weight",
    **{f"pre.{part}": f"pre_layrnorm.{part}" for part in _WB},
    **{f"post.{part}": f"post_layernorm.{part}" for part in _WB},
    **{f"blocks.i.ln{n}.{part}": f"encoder.layers.{{i}}.layer_norm{n}.{part}" for n in (1, 2) for part in _WB},
    **{f"blocks.i.{_OUT.format(part)}": f"encoder.layers.{{i}}.self_attn.out_proj.{part}" for part in _WB},
    **{f"blocks.i.fc{n}.{part}": f"encoder.layers.{{i}}.mlp.fc{n}.{part}" for n in (1, 2) for part in _WB},
}
WORDS, LENGTH, EMBED = 540, 12, 32


class TextReference(nn.Module):
    """Tokens of one text, without padding -> its vector."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.pos = nn.Parameter(torch.zeros(LENGTH, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, 1e-5, act, False) for _ in range(DEPTH))
        self.post = nn.LayerNorm(WIDTH, eps=1e-5)
        self.projection = nn.Parameter(torch.zeros(WIDTH, EMBED))

    def forward(self, tokens: Tensor) -> Tensor:
        x = (self.words(tokens) + self.pos[: len(tokens)])[None]
        mask = torch.full((len(tokens),) * 2, -torch.inf).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        return self.post(x[0, -1]) @ self.projection


TEXT = {
    "words.weight": "token_embedding.weight",
    "pos": "positional_embedding",
    "projection": "text_projection",
    **{f"post.{part}": f"ln_final.{part}" for part in _WB},
}


def vocabulary() -> tuple[dict[str, int], list[str]]:
    """Of CLIP's kind, tiny: the letters, and merges that make `ship` and `the`."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(one) for one in plain] + [chr(256 + place) for place in range(256 - len(plain))]
    merges = ["s h", "i p</w>", "sh ip</w>", "t h", "th e</w>"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    words += [f"spare{number}" for number in range(WORDS - len(words) - 2)]
    return {word: place for place, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}, merges


def split_qkv(state: dict[str, Tensor], module: nn.Module, prefix: str, place: str) -> dict[str, Tensor]:
    """q, k and v of every block as three tensors: `place` has {i} for the block, {q} for q, k or v."""
    for number, block in enumerate(module.blocks):  # type: ignore[arg-type]
        for part in _WB:
            whole = getattr(block.attn, f"in_proj_{part}").detach()
            for name, third in zip("qkv", whole.chunk(3)):
                state[prefix + place.format(i=number, q=name) + part] = third.clone()
    return state
