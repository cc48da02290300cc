"""ViTDet: a plain Vision Transformer with windowed attention, and a simple pyramid of its last map.

Shapes: B images, H and W their pixels, h and w patches, D width of the transformer, C channels of the pyramid.
"""

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops.misc import Permute

from knowlip.models.detection.settings import DetectorConfig
from knowlip.models.encoders import Encoder, UnsuitedEncoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.models.stem import Stem
from knowlip.models.vision import grid_of

_FEW = 1024
"""Patches of an image up to which attention is not fused on a CPU."""
_FACTORS = (4.0, 2.0, 1.0, 0.5)
"""Cells of each level of the pyramid for one patch, along a side."""


class LayerNorm2d(nn.Sequential):
    """Layer norm over the channels of a map (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(Permute([0, 2, 3, 1]), nn.LayerNorm(channels, eps=1e-6), Permute([0, 3, 1, 2]))


class ViTDet(nn.Module):
    """Tiles -> five maps of `width` channels.

    Args:
        encoder: a Vision Transformer of timm or our own; its module is taken, not copied. Absolute positions have the
            side that it was opened with: smaller images see their upper left part.
        config: width, windows and drop path.

    Raises:
        ValueError: the encoder is no plain Vision Transformer.
    """

    def __init__(self, encoder: Encoder, config: DetectorConfig) -> None:
        super().__init__()
        self.stem, tower = _parts(encoder)
        if not isinstance(tower, VisionTransformer) or not hasattr(tower.patch_embed, "proj"):
            raise UnsuitedEncoder(
                f"{encoder.name} is no plain Vision Transformer of timm, on which ViTDet stands: choose one of "
                "vit_*, deit_* or a model of ours."
            )
        if tower.pos_embed is None:
            raise UnsuitedEncoder(f"{encoder.name} has no absolute positions, which ViTDet's windows need.")
        self.visual_encoder = tower
        self.spec, self.width = encoder.pixels, config.width
        (patch, other), self.grid, _ = grid_of(tower)
        if patch != other:
            raise UnsuitedEncoder(f"{encoder.name} has patches of {patch} x {other} pixels: square ones are needed.")
        self.patch_px = patch * (Stem.STRIDE if self.stem is not None else 1)
        """Pixels along a side of a patch."""
        self.strides = (*(self.patch_px / factor for factor in _FACTORS), 2 * self.patch_px / _FACTORS[-1])
        """Pixels along a side of a cell of each map; not whole numbers where the patch has 14 pixels."""
        depth = len(tower.blocks)
        self.window = config.window
        if self.window and not all(type(block) is Block for block in tower.blocks):
            raise ValueError(f"The blocks of {encoder.name} cannot attend in windows: set detector.window to 0.")
        # Evenly spaced, the last one among them, as in ViTDet: 2, 5, 8 and 11 of 12.
        count = min(config.global_blocks, depth)
        self.whole = {depth * (number + 1) // count - 1 for number in range(count)}
        for number, block in enumerate(tower.blocks):
            rate = config.drop_path * number / max(1, depth - 1)
            if rate and type(block) is Block:
                block.drop_path1, block.drop_path2 = DropPath(rate), DropPath(rate)
            # With few tokens a CPU computes plain attention faster than the fused one, above all its gradient.
            if isinstance(block, Block) and self.grid[0] * self.grid[1] <= _FEW:
                block.attn.fused_attn = next(block.parameters()).device.type != "cpu"  # type: ignore[assignment]
        self.checkpointing = False
        channels = int(tower.embed_dim)
        self.levels = nn.ModuleList([_level(channels, factor, config.width) for factor in _FACTORS])
        # A stem of 8 pixels a cell knows more of small targets than what is made of patches of 32 pixels again.
        self.lateral: nn.Module | None = None
        self.lateral_level = -1
        if self.stem is not None and float(Stem.STRIDE) in self.strides:
            self.lateral_level = self.strides.index(float(Stem.STRIDE))
            fine = int(tower.patch_embed.proj.in_channels)
            self.lateral = nn.Sequential(nn.Conv2d(fine, config.width, 1, bias=False), LayerNorm2d(config.width))
        self.smooth = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(config.width, config.width, 3, padding=1, bias=False), LayerNorm2d(config.width)
                )
                for _ in _FACTORS
            ]
        )

    @property
    def side(self) -> int:
        """The longest side of an image in pixels."""
        return self.grid[0] * self.patch_px

    def normalised(self, images: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Tiles (B, H, W) uint8 -> (B, channels, H, W); what lies outside an image is 0, its mean."""
        mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (self.spec.mean, self.spec.std))
        pixels = (images[:, None].float() / 255 - mean) / std
        for one, (height, width) in zip(pixels, sizes):
            one[:, height:] = 0
            one[:, :, width:] = 0
        return pixels

    def last_map(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, channels, H, W) -> the transformer's last map (B, D, h, w), and the stem's where there is one.

        Raises:
            ValueError: sides that are no multiples of `patch_px`, or longer than `side`.
        """
        height, width = pixels.shape[-2:]
        if height % self.patch_px or width % self.patch_px or max(height, width) > self.side:
            raise ValueError(
                f"Images must have sides that are multiples of {self.patch_px} up to {self.side}, not "
                f"{height} x {width}."
            )
        fine = self.stem(pixels) if self.stem is not None else None
        x, h, w = self._embedded(pixels if fine is None else fine)
        prefix = x.shape[1] - h * w
        for number, block in enumerate(cast(Iterable[Block], self.visual_encoder.blocks)):
            windowed = bool(self.window) and number not in self.whole and max(h, w) > self.window
            if self.checkpointing and self.training:
                x = checkpoint(self._block, block, x, h, w, windowed, use_reentrant=False)
            else:
                x = self._block(block, x, h, w, windowed)
        x = self.visual_encoder.norm(x)
        return x[:, prefix:].transpose(1, 2).unflatten(2, (h, w)).contiguous(), fine

    def forward(self, images: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
        """Tiles (B, H, W) uint8, of which `sizes` (height, width) are real -> maps (B, C, ...) from fine to coarse."""
        return self.pyramid(self.normalised(images, sizes))

    def pyramid(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels (B, channels, H, W) -> maps (B, C, ...) from fine to coarse."""
        last, fine = self.last_map(pixels)
        maps = []
        for number, (level, smooth) in enumerate(zip(self.levels, self.smooth)):
            x = level(last)
            if number == self.lateral_level and self.lateral is not None and fine is not None:
                x = x + self.lateral(fine)
            maps.append(smooth(x))
        maps.append(F.max_pool2d(maps[-1], 1, 2))
        return maps

    def _embedded(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Tokens with positions, prefix first, and the grid of patches: :meth:`VisionTransformer._pos_embed` on images
        that are smaller than its own."""
        tower = self.visual_encoder
        x = tower.patch_embed.proj(x)
        h, w = x.shape[-2:]
        x = tower.patch_embed.norm(x.flatten(2).transpose(1, 2))
        tokens = [one.expand(len(x), -1, -1) for one in (tower.cls_token, tower.reg_token) if one is not None]
        if tower.pos_embed is not None:
            rows, columns = self.grid
            first = tower.pos_embed.shape[1] - rows * columns
            patches = tower.pos_embed[:, first:].unflatten(1, (rows, columns))[:, :h, :w].flatten(1, 2)
            x = x + patches
            if first and tokens:
                tokens = [torch.cat(tokens, 1) + tower.pos_embed[:, :first]]
        return tower.norm_pre(tower.pos_drop(torch.cat([*tokens, x], 1))), h, w

    def _block(self, block: Block, x: Tensor, h: int, w: int, windowed: bool) -> Tensor:
        if not windowed:
            return cast(Tensor, block(x))
        prefix = x.shape[1] - h * w
        # Class and register tokens belong to no window: they wait for the next block that sees the whole image.
        first, x = x[:, :prefix], x[:, prefix:]
        inside = _windows(block.norm1(x).unflatten(1, (h, w)), self.window)
        x = x + block.drop_path1(block.ls1(_joined(block.attn(inside), self.window, h, w)))
        x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
        return torch.cat([first, x], 1)


def _windows(x: Tensor, side: int) -> Tensor:
    """(B, h, w, D) -> (B * windows, side * side, D), filled up with zeros as in ViTDet."""
    _, h, w, width = x.shape
    x = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
    x = x.unflatten(1, (-1, side)).unflatten(3, (-1, side)).transpose(2, 3)
    return x.reshape(-1, side * side, width)


def _joined(x: Tensor, side: int, h: int, w: int) -> Tensor:
    """The reverse: (B, h * w, D)."""
    rows, columns = -(-h // side), -(-w // side)
    x = x.view(-1, rows, columns, side, side, x.shape[-1]).transpose(2, 3)
    return x.reshape(len(x), rows * side, columns * side, -1)[:, :h, :w].flatten(1, 2)


def _level(channels: int, factor: float, width: int) -> nn.Module:
    """The last map at another resolution, with `width` channels."""
    parts: list[nn.Module] = []
    if factor == 4:
        parts = [
            nn.ConvTranspose2d(channels, channels // 2, 2, 2),
            LayerNorm2d(channels // 2),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 2, channels // 4, 2, 2),
        ]
        channels //= 4
    elif factor == 2:
        parts, channels = [nn.ConvTranspose2d(channels, channels // 2, 2, 2)], channels // 2
    elif factor == 0.5:
        parts = [nn.MaxPool2d(2, 2, ceil_mode=True)]
    return nn.Sequential(*parts, nn.Conv2d(channels, width, 1, bias=False), LayerNorm2d(width))


def _parts(encoder: Encoder) -> tuple[nn.Module | None, nn.Module]:
    """Stem, where there is one, and transformer."""
    if isinstance(encoder, KnowLIPEncoder):
        return encoder.model.stem, encoder.model.visual_encoder
    return None, encoder.module
