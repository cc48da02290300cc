"""Segmenter's mask transformer on the tokens of any encoder (Strudel et al., ICCV 2021; their code is MIT).

Learned class tokens join the patch tokens for some transformer blocks; the mask of a class is the product of its token
with every patch token, both of unit length, normalised over the classes and enlarged bilinearly.

Shapes: B images, N patch tokens of a G x G grid, D width of the encoder, C classes, S side of the image.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

_HEAD_WIDTH = 64
_DEVIATION = 0.02
"""Of new weights."""


class MaskTransformer(nn.Module):
    """Patch tokens -> a score of every class at every patch.

    Args:
        width: D of the tokens; the decoder is as wide.
        classes: C.
        layers: transformer blocks.
        heads: of the attention; a head for each 64 of the width where not given.
        dropout: in the blocks.

    Raises:
        ValueError: the width is no multiple of the heads.
    """

    mean_D: Tensor
    std_D: Tensor

    def __init__(self, width: int, classes: int, layers: int = 2, heads: int | None = None, dropout: float = 0.1):
        super().__init__()
        heads = heads or max(1, width // _HEAD_WIDTH)
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}: choose another number of heads.")
        self.classes = classes
        self.register_buffer("mean_D", torch.zeros(width))
        self.register_buffer("std_D", torch.ones(width))
        self.layers = nn.ModuleList(
            Block(width, heads, qkv_bias=True, proj_drop=dropout, attn_drop=dropout) for _ in range(layers)
        )
        self.class_1CD = nn.Parameter(torch.empty(1, classes, width))
        self.project_tokens = nn.Linear(width, width)
        self.patch_DD = nn.Parameter(width**-0.5 * torch.randn(width, width))
        self.class_DD = nn.Parameter(width**-0.5 * torch.randn(width, width))
        self.norm = nn.LayerNorm(width)
        self.class_norm = nn.LayerNorm(classes)
        self.apply(_fresh)
        nn.init.trunc_normal_(self.class_1CD, std=_DEVIATION)

    @torch.no_grad()
    def standardise(self, token_ND: Tensor) -> None:
        """Bring the tokens of a frozen encoder to mean 0 and deviation 1, channel by channel: a few channels of some
        encoders (DINOv2) are so large that the others are not seen beside them."""
        deviation = token_ND.std(0)
        self.mean_D.copy_(token_ND.mean(0))
        self.std_D.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, token_BND: Tensor) -> Tensor:
        """(B, C, G, G) scores.

        Raises:
            ValueError: the tokens are no square grid.
        """
        batch, count, _ = token_BND.shape
        side = math.isqrt(count)
        if side * side != count:
            raise ValueError(f"{count} tokens are no square grid: a mask needs an encoder whose tokens are.")
        x = torch.cat(
            [self.project_tokens((token_BND - self.mean_D) / self.std_D), self.class_1CD.expand(batch, -1, -1)], 1
        )
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        patch = F.normalize(x[:, :count] @ self.patch_DD, dim=-1)
        classes = F.normalize(x[:, count:] @ self.class_DD, dim=-1)
        score_BNC = self.class_norm(patch @ classes.mT)
        return cast(Tensor, score_BNC.mT.unflatten(2, (side, side)))


def enlarged(score_BCGG: Tensor, side: int) -> Tensor:
    """Scores at every pixel (B, C, side, side) float32, bilinear."""
    return F.interpolate(score_BCGG.float(), (side, side), mode="bilinear", align_corners=False)


def _fresh(module: nn.Module) -> None:
    """Weights as ViTs begin with."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_DEVIATION)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
