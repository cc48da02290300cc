"""Masked autoencoders: the pixels of hidden patches (He et al., CVPR 2022, section 3 "Reconstruction target").

Pixels without data are no target: they count neither in the loss nor in a patch's mean and variance. Where all pixels
have data the loss is that of the official code (`models_mae.py`, `forward_loss`).
"""

import torch
from torch import Tensor

_SMALLEST = 1e-6
"""Added to a patch's variance."""


def mae_loss(
    said_BNP: Tensor, pixels_BNP: Tensor, hidden_BN: Tensor, known_BNP: Tensor | None = None, norm: bool = True
) -> Tensor:
    """Mean squared error of hidden patches, mean over the patches of each image and then over the images.

    Args:
        said_BNP: what is said of the P pixels of N patches.
        pixels_BNP: these pixels.
        hidden_BN: bool, which patches were hidden from the encoder; others do not count.
        known_BNP: bool, which pixels have data; all where not given.
        norm: compare with pixels normalised by mean and variance of their own patch.

    Returns:
        Scalar. An image without a target counts as 0, so that the mean over images is that of any share of them.

    Example:
        >>> pixels = torch.rand(2, 4, 9)
        >>> hidden = torch.tensor([[True, True, True, False]] * 2)
        >>> round(float(mae_loss(torch.zeros(2, 4, 9), pixels, hidden)), 3)  # the mean of each patch is predicted
        0.889
    """
    known, target = _known(pixels_BNP, known_BNP), pixels_BNP.float()
    if norm:
        target = patch_normalised(target, known)
    return _mean((said_BNP.float() - target).square(), hidden_BN, known)


def patch_mean_loss(
    pixels_BNP: Tensor, hidden_BN: Tensor, known_BNP: Tensor | None = None, norm: bool = True
) -> Tensor:
    """The loss of one who knows the mean of every hidden patch and nothing else: the floor of :func:`mae_loss`, whose
    arguments these are."""
    known, target = _known(pixels_BNP, known_BNP), pixels_BNP.float()
    if norm:
        target = patch_normalised(target, known)
    mean = (target * known).sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp(min=1)
    return _mean((mean - target).square(), hidden_BN, known)


def patch_normalised(pixels_BNP: Tensor, known_BNP: Tensor) -> Tensor:
    """Pixels minus the mean of their patch over its deviation (the unbiased one), of pixels with data."""
    count = known_BNP.sum(-1, keepdim=True)
    mean = (pixels_BNP * known_BNP).sum(-1, keepdim=True) / count.clamp(min=1)
    square = ((pixels_BNP - mean).square() * known_BNP).sum(-1, keepdim=True) / (count - 1).clamp(min=1)
    return (pixels_BNP - mean) / (square + _SMALLEST).sqrt()


def _known(pixels_BNP: Tensor, known_BNP: Tensor | None) -> Tensor:
    return torch.ones_like(pixels_BNP, dtype=torch.bool) if known_BNP is None else known_BNP


def _mean(error_BNP: Tensor, hidden_BN: Tensor, known_BNP: Tensor) -> Tensor:
    """Over the known pixels of each patch, over the hidden patches of each image that have one, over images."""
    count_BN = known_BNP.sum(-1)
    error_BN = (error_BNP * known_BNP).sum(-1) / count_BN.clamp(min=1)
    counts_BN = hidden_BN & (count_BN > 0)
    return ((error_BN * counts_BN).sum(1) / counts_BN.sum(1).clamp(min=1)).mean()
