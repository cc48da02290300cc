"""CLIP's text tower, and the space that it shares with a ViT: dual encoders of other projects, to measure.

A causal transformer reads a text; its state at the end-of-text token stands for it. CoCa appends a token of its own
instead. Sources: Radford et al., arXiv 2103.00020; Yu et al., arXiv 2205.01917, in open_clip's form.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.models.weights.shape import ACTIVATIONS, Activation


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BLW: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = self.qkv(x_BLW).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, activation: Activation, eps: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attn, self.mlp = _Attention(width, heads), _Mlp(width, hidden, activation)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.norm1(x), mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class ClipText(nn.Module):
    """Tokens (B, L) -> the text's vector in the common space (B, E), not of unit length.

    Args:
        words: of the vocabulary.
        length: L at most.
        width, depth, heads, hidden: of the transformer; hidden is that of its feed-forward networks.
        embed: E.
        activation, eps: of the blocks.
        own_token: CoCa: a learned token behind the text stands for it, and padding is not attended to.
        bias: of the projection.
    """

    def __init__(
        self,
        words: int,
        length: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        embed: int,
        activation: Activation,
        eps: float = 1e-5,
        own_token: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"A text tower of width {width} cannot be divided among {heads} heads.")
        self.length = length
        self.embedding = nn.Embedding(words, width)
        self.positions = nn.Parameter(torch.zeros(length + own_token, width))
        self.own_token = nn.Parameter(torch.zeros(width)) if own_token else None
        self.blocks = nn.ModuleList(_Block(width, heads, hidden, activation, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps)
        self.projection = nn.Linear(width, embed, bias=bias)

    def forward(self, tokens_BL: Tensor, end_B: Tensor) -> Tensor:
        """`end_B` is the place of each text's end-of-text token; what stands behind it is padding."""
        x_BLW = self.embedding(tokens_BL)
        mask = None
        if self.own_token is not None:
            x_BLW = torch.cat([x_BLW, self.own_token.expand(len(x_BLW), 1, -1)], 1)
            mask = self._mask(tokens_BL)
        x_BLW = x_BLW + self.positions[: x_BLW.shape[1]]
        for block in self.blocks:
            x_BLW = block(x_BLW, mask)
        if self.own_token is not None:
            pooled_BW = x_BLW[:, -1]
        else:
            pooled_BW = x_BLW[torch.arange(len(x_BLW), device=x_BLW.device), end_B]
        out: Tensor = self.projection(self.norm(pooled_BW))
        return out

    def _mask(self, tokens_BL: Tensor) -> Tensor:
        """Causal, without padding. CoCa's published weights were trained with the padding's mask one place too late
        (open_clip's `correct_cls_mask` is False): so it is here."""
        places = torch.arange(tokens_BL.shape[1] + 1, device=tokens_BL.device)
        causal = places[None] <= places[:, None]
        valid_BL = F.pad(tokens_BL != 0, (1, 0), value=True)
        return (causal[None] & valid_BL[:, None])[:, None]


class CocaPool(nn.Module):
    """CoCa's attentional pooling: a learned query reads all tokens (B, N, D) -> (B, E), behind the last norm.

    Published models learned 255 more queries, which the decoder of captions reads; the first stands for the image.
    """

    def __init__(self, width: int, embed: int, heads: int, queries: int, eps: float) -> None:
        super().__init__()
        if embed % heads:
            raise ValueError(f"A pooling of width {embed} cannot be divided among {heads} heads: give pool_heads.")
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(queries, embed))
        self.norm_q, self.norm_k, self.norm = (nn.LayerNorm(one, eps) for one in (embed, width, embed))
        self.q, self.k, self.v = nn.Linear(embed, embed), nn.Linear(width, embed), nn.Linear(width, embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, E)."""
        x_BND = self.norm_k(x_BND)
        query = self.q(self.norm_q(self.query[:1])).expand(len(x_BND), 1, -1)
        parts = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, self.k(x_BND), self.v(x_BND)))
        mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        out: Tensor = self.norm(self.out(mixed)[:, 0])
        return out


class ClipModel(nn.Module):
    """Two towers, and their projections into one space.

    Attributes:
        visual: a ViT of timm; `projection` takes its class token, behind the last norm, to (B, E).
        text: None where the file has none.
        logit_scale: log of the factor by which contrast multiplies cosines.
        pool: CoCa's; None where the class token stands for the image.
    """

    def __init__(
        self,
        visual: nn.Module,
        embed: int | None,
        text: ClipText | None,
        scale: bool,
        pool: CocaPool | None = None,
    ) -> None:
        super().__init__()
        self.visual, self.text, self.pool = visual, text, pool
        width = int(visual.num_features) if pool is None else pool.query.shape[1]  # type: ignore[arg-type]
        self.projection = nn.Linear(width, embed, bias=False) if embed else None
        self.logit_scale = nn.Parameter(torch.tensor(0.0)) if scale else None
