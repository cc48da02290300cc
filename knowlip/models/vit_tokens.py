"""A Vision Transformer of timm on some of its tokens: hidden patches, parts of an image, images of another size.

timm's `forward_features` reads whole images of one size. Trainings that hide patches do what it does in parts: patches,
positions, blocks. A test holds the parts together to the whole.

Shapes: B images, N patches, P tokens that are no patches, D width, M chosen tokens.
"""

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def patch_tokens(tower: VisionTransformer, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Pixels (B, 1, S, S) -> patches (B, N, D) that know no position, and the grid that they lie on, row by row.

    Raises:
        ValueError: a side that is no multiple of the patch's.
    """
    height, width = tower.patch_embed.patch_size
    if pixels.shape[-2] % height or pixels.shape[-1] % width:
        raise ValueError(f"Images of {pixels.shape[-1]} px hold no whole number of patches of {width} px.")
    grid = pixels.shape[-2] // height, pixels.shape[-1] // width
    patches = tower.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    return tower.patch_embed.norm(patches), grid


def placed(tower: VisionTransformer, patches_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    """Patches of a whole image with their positions behind class token and registers (B, P + N, D), as the first block
    reads them."""
    x = patches_BND
    prefix = [one.expand(len(x), -1, -1) for one in (tower.cls_token, tower.reg_token) if one is not None]
    positions = tower.pos_embed
    if positions is not None and tuple(grid) != tuple(tower.patch_embed.grid_size):
        positions = resample_abs_pos_embed(
            positions,
            list(grid),
            list(tower.patch_embed.grid_size),
            num_prefix_tokens=0 if tower.no_embed_class else tower.num_prefix_tokens,
        )
    if positions is not None and tower.no_embed_class:
        x = x + positions
    x = torch.cat([*prefix, x], 1)
    if positions is not None and not tower.no_embed_class:
        x = x + positions
    normed: Tensor = tower.norm_pre(x)
    return normed


def through_blocks(tower: VisionTransformer, tokens_BMD: Tensor) -> Tensor:
    """Tokens that the first block reads -> tokens as `forward_features` gives them."""
    x = tokens_BMD
    for block in tower.blocks:
        if tower.grad_checkpointing and torch.is_grad_enabled():
            x = checkpoint(block, x, use_reentrant=False)
        else:
            x = block(x)
    normed: Tensor = tower.norm(x)
    return normed


def chosen(tokens_BND: Tensor, index_BM: Tensor) -> Tensor:
    """Some tokens of each image (B, M, D)."""
    return tokens_BND.gather(1, index_BM[..., None].expand(-1, -1, tokens_BND.shape[-1]))


def patchify(images_BSS: Tensor, side: int) -> Tensor:
    """(B, S, S) -> (B, N, side * side): the pixels of each patch row by row, patches row by row."""
    batch, height, width = images_BSS.shape
    parts = images_BSS.view(batch, height // side, side, width // side, side)
    return parts.transpose(2, 3).reshape(batch, -1, side * side)


def unpatchify(patches_BNP: Tensor, grid: tuple[int, int]) -> Tensor:
    """The reverse of :func:`patchify`: (B, S, S)."""
    side = round(patches_BNP.shape[-1] ** 0.5)
    parts = patches_BNP.view(len(patches_BNP), *grid, side, side)
    return parts.transpose(2, 3).reshape(len(patches_BNP), grid[0] * side, grid[1] * side)
