"""Image relative positions on keys (iRPE): the ViT of LoMaR and SAR-JEPA, which knows no absolute position.

Every query reads a table of one vector a bucket of offsets, rows and columns apart (`product`), shared by the heads;
what it finds is added to the logit of that key. Offsets of up to one patch have buckets of their own, those beyond
share them logarithmically. Any square grid of patches can be read, so windows of an image can.

Source: Wu et al., "Rethinking and Improving Relative Position Encoding for Vision Transformer" (arXiv 2107.14222),
Eq. 18 and the product method, with the settings of SAR-JEPA (arXiv 2311.15153): ratio 1.9, on keys, one bucket for the
class token.
"""

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

_ALPHA, _BETA, _GAMMA = 1.9, 3.8, 15.2
"""1, 2 and 8 times the ratio."""
_REACH = int(_BETA)
BUCKETS = (2 * _REACH + 1) ** 2 + 1
"""Of a table: 7 x 7 offsets and the class token."""


def piecewise_index(offset: Tensor) -> Tensor:
    """Offsets in patches (integers of any shape) -> buckets from -3 to 3 along one axis (Eq. 18)."""
    far = offset.abs().clamp(min=1).double()
    scale = (_BETA - _ALPHA) / math.log(_GAMMA / _ALPHA)
    # The order is the published code's: rounded, then cut off at beta (3.8), then truncated by the cast to integers.
    bucket = (_ALPHA + torch.log(far / _ALPHA) * scale).round().clamp(max=_BETA).long()
    return torch.where(offset.abs() <= _ALPHA, offset, offset.sign() * bucket)


@lru_cache(maxsize=16)
def buckets(rows: int, columns: int) -> Tensor:
    """Bucket (1 + N, 1 + N) of every pair of query and key of a grid of N patches behind a class token."""
    # They are kept: made for an image that is only looked at, they must serve a training too.
    with torch.inference_mode(False):
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        axes = piecewise_index(places[:, None] - places[None]) + _REACH
        found = torch.full((len(places) + 1,) * 2, BUCKETS - 1)
        found[1:, 1:] = axes[..., 0] * (2 * _REACH + 1) + axes[..., 1]
        return found


class RelativeKeys(nn.Module):
    """The table: named as in published checkpoints (`rpe_k.lookup_table_weight`). It starts at zero, as theirs."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.lookup_table_weight = nn.Parameter(torch.zeros(1, head_width, BUCKETS))

    def forward(self, query_BHND: Tensor) -> Tensor:
        """Queries, not scaled -> what is added to the logits (B, H, N, N).

        Raises:
            ValueError: the tokens are no class token and a square of patches.
        """
        count = query_BHND.shape[2] - 1
        side = math.isqrt(max(count, 0))
        if side < 1 or side * side != count:
            raise ValueError(f"Relative positions need a class token and a square of patches, not {count + 1} tokens.")
        index_NN = buckets(side, side).to(query_BHND.device)
        scores_BHNT = query_BHND @ self.lookup_table_weight
        return scores_BHNT.gather(-1, index_NN.expand(*scores_BHNT.shape[:2], -1, -1))


class RelativeAttention(nn.Module):
    """timm's `Attention` with relative positions: same names of tensors, `rpe_k` beside them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"A width of {width} cannot be divided among {heads} heads of attention.")
        self.num_heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rpe_k = RelativeKeys(width // heads)

    def forward(self, x_BND: Tensor, **unused: Any) -> Tensor:
        """(B, N, D) -> (B, N, D). timm's masks are None here: an image has none."""
        parts = self.qkv(x_BND).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.rpe_k(query))
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


def with_relative_positions(tower: VisionTransformer) -> VisionTransformer:
    """A ViT of timm without absolute positions, its attention with relative ones; in place, weights of it are kept.

    Raises:
        ValueError: it has no class token, or registers.
    """
    if tower.cls_token is None or tower.num_prefix_tokens != 1:
        raise ValueError("Relative positions need a ViT with a class token and no registers.")
    tower.pos_embed = None
    for block in tower.blocks:
        absolute: Any = block.attn
        attention = RelativeAttention(tower.embed_dim, int(absolute.num_heads))
        attention.load_state_dict(absolute.state_dict() | {"rpe_k.lookup_table_weight": _table(attention)})
        block.attn = attention
    return tower


def relative_vit(
    width: int, depth: int, heads: int, patch: int = 16, side: int = 224, channels: int = 1, mlp_ratio: float = 4.0
) -> VisionTransformer:
    """SAR-JEPA's ViT with random weights, no head: `forward_features` of pixels (B, C, S, S) is tokens (B, 1 + N, D).

    Args:
        width: D, of the tokens.
        depth: blocks.
        heads: of attention.
        patch: side of a patch in pixels.
        side: S, of the image in pixels.
        channels: C, of the image.
        mlp_ratio: width of the feed-forward network over D.
    """
    tower = VisionTransformer(
        img_size=side,
        patch_size=patch,
        in_chans=channels,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=mlp_ratio,
    )
    return with_relative_positions(tower)


def _table(attention: RelativeAttention) -> Tensor:
    return attention.rpe_k.lookup_table_weight.detach()
