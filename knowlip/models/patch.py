"""The patch embedding of a foreign ViT as ours: one input channel, our normalisation, our patch and image size.

A grey image given three times to an RGB patch embedding is one image given to the sum of its kernels, and normalising
is affine: so both are folded into the weights exactly, and the model never repeats its input.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor


def fold_channels(
    weight_DCPP: Tensor,
    bias_D: Tensor | None,
    source_mean: Sequence[float],
    source_std: Sequence[float],
    mean: float,
    std: float,
) -> tuple[Tensor, Tensor]:
    """Fold C input channels and their normalisation into one channel.

    With pixels p in 0..1, the source computes sum_c W_c * (p - m_c) / s_c + b of the image given C times. The result
    computes the same from (p - mean) / std:

        W' = sum_c W_c * std / s_c          b' = b + sum_c sum(W_c) * (mean - m_c) / s_c

    Args:
        weight_DCPP: kernel of C channels.
        bias_D: None counts as zero.
        source_mean, source_std: of the source, one number a channel.
        mean, std: of our normalisation.

    Returns:
        Kernel (D, 1, P, P) and bias (D,) in float32 (summed in float64).

    Raises:
        ValueError: as many means and deviations as channels are needed.
    """
    channels = weight_DCPP.shape[1]
    if len(source_mean) != channels or len(source_std) != channels:
        raise ValueError(
            f"The patch kernel has {channels} input channels: give {channels} means and standard deviations of its "
            f"normalisation (vision_mean, vision_std), not {len(source_mean)} and {len(source_std)}."
        )
    weight = weight_DCPP.double()
    scale_C = 1 / torch.tensor(source_std, dtype=torch.double)
    offset_C = (mean - torch.tensor(source_mean, dtype=torch.double)) * scale_C
    folded = torch.einsum("dcij,c->dij", weight, scale_C * std)[:, None]
    shift_D = torch.einsum("dcij,c->d", weight, offset_C)
    bias = shift_D if bias_D is None else bias_D.double() + shift_D
    return folded.float(), bias.float()


def resize_patch(weight_DCPP: Tensor, size: tuple[int, int]) -> Tensor:
    """A patch kernel of another size that sees an image resized with it as the old one did (FlexiViT's pseudo-inverse,
    timm's `resample_patch_embed`)."""
    if tuple(weight_DCPP.shape[-2:]) == size:
        return weight_DCPP
    resized: Tensor = resample_patch_embed(weight_DCPP.float(), list(size))
    return resized


def resize_positions(
    positions_1ND: Tensor,
    grid: tuple[int, int],
    prefix: int,
    antialias: bool = False,
    source_grid: Sequence[int] | None = None,
    align_corners: bool = False,
) -> Tensor:
    """Position embeddings of a grid of patches, interpolated to another grid (bicubic).

    Args:
        positions_1ND: prefix tokens first, then the patches row by row.
        grid: rows and columns wanted.
        prefix: tokens that are no patches ([CLS], registers); they keep their embeddings.
        antialias: low-pass before shrinking, as timm does; BLIP and MAE do not.
        source_grid: rows and columns that the embeddings stand for; a square where it is not given.
        align_corners: as GeoChat, BITA and Prithvi do; nobody else.

    Raises:
        ValueError: the patches make no such grid, or no square.
    """
    count = positions_1ND.shape[1] - prefix
    if source_grid is not None and (len(source_grid) != 2 or min(source_grid) < 1 or math.prod(source_grid) != count):
        raise ValueError(f"{count} position embeddings of patches do not lie as vision_grid {list(source_grid)} says.")
    side = math.isqrt(max(0, count))
    if source_grid is None and (count < 1 or side * side != count):
        raise ValueError(
            f"{positions_1ND.shape[1]} position embeddings are not {prefix} and a square grid of patches: "
            "choose a model.vision.name with the class and register tokens of these weights, or give vision_grid, rows "
            "and columns of the patches."
        )
    if tuple(source_grid or (side, side)) == tuple(grid):
        return positions_1ND.float()
    if align_corners:  # timm's does not offer it
        rows, columns = source_grid or (side, side)
        places = positions_1ND[:, prefix:].float().mT.unflatten(-1, (rows, columns))
        places = F.interpolate(places, tuple(grid), mode="bicubic", align_corners=True).flatten(2).mT
        return torch.cat([positions_1ND[:, :prefix].float(), places], 1)
    resized: Tensor = resample_abs_pos_embed(
        positions_1ND.float(),
        list(grid),
        list(source_grid or (side, side)),
        num_prefix_tokens=prefix,
        antialias=antialias,
    )
    return resized
