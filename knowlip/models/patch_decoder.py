"""The small transformer behind an encoder that saw some of the patches: it says what stands at the others.

Source: MAE (He et al., CVPR 2022), `models_mae.py`; SAR-JEPA's has no positions of its own and reads whole windows.
"""

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from knowlip.models.irpe import RelativeAttention
from knowlip.models.vision_model import sincos_positions


class PatchDecoder(nn.Module):
    """Tokens of an encoder (B, P + M, E) -> numbers for every patch (B, N, F).

    Args:
        encoder_width: E.
        prefix: P, tokens that are no patches.
        width, depth, heads: of the decoder.
        outputs: F, numbers a patch.
        grid: rows and columns of the N patches, whose fixed positions are added; None: attention has relative ones, and
            tokens are a class token and a square of patches.
    """

    positions: Tensor

    def __init__(
        self,
        encoder_width: int,
        prefix: int,
        width: int,
        depth: int,
        heads: int,
        outputs: int,
        grid: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.prefix = prefix
        self.embed = nn.Linear(encoder_width, width)
        self.blocks = nn.ModuleList([Block(width, heads, 4.0, qkv_bias=True) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, outputs)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width)) if grid is not None else None
        if grid is not None:
            # Fixed: what hides in a patch is told by its place alone.
            of_patches = sincos_positions(width, *grid)
            self.register_buffer("positions", torch.cat([torch.zeros(prefix, width), of_patches]), persistent=False)
        else:
            for block in self.blocks:
                block.attn = RelativeAttention(width, heads)
        self.apply(xavier)
        if self.mask_token is not None:
            nn.init.normal_(self.mask_token, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-6

    def forward(self, tokens_BMD: Tensor, order_BN: Tensor | None = None) -> Tensor:
        """
        Args:
            tokens_BMD: of class token, registers and patches.
            order_BN: numbers of all N patches of each image, those of the tokens first; without it the tokens are all
                patches in order.
        """
        x = self.embed(tokens_BMD)
        prefix, patches = x[:, : self.prefix], x[:, self.prefix :]
        if order_BN is not None and self.mask_token is not None:
            hidden = self.mask_token.to(x.dtype).expand(len(x), order_BN.shape[1] - patches.shape[1], -1)
            place_BN = order_BN.argsort(1)[..., None].expand(-1, -1, x.shape[-1])
            patches = torch.cat([patches, hidden], 1).gather(1, place_BN)
            x = torch.cat([prefix, patches], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        said: Tensor = self.head(self.norm(x))[:, self.prefix :]
        return said


def xavier(module: nn.Module) -> None:
    """Initialise a linear layer as the official ViT of JAX: Xavier's uniform, no bias."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def xavier_tower(tower: nn.Module) -> None:
    """Initialise a whole ViT so: linear layers, and the patch embedding as if it were one."""
    tower.apply(xavier)
    kernel = tower.patch_embed.proj.weight  # type: ignore[union-attr]
    nn.init.xavier_uniform_(kernel.view(len(kernel), -1))  # type: ignore[operator, arg-type]
    if getattr(tower, "cls_token", None) is not None:
        nn.init.normal_(tower.cls_token, std=0.02)  # type: ignore[arg-type]
