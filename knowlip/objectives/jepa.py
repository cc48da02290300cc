"""SAR-JEPA: gradients of hidden patches at several scales (Li et al., ISPRS Journal 2024; arXiv 2311.15153).

The gradient of a SAR image is a ratio (Touzi, Lopes, Bousquet 1988): the logarithm of the mean on one side of a pixel
over the mean on the other, which multiplicative speckle and gain do not move. Where all pixels have data the targets
are those of the official code (`models_lomar.py`, class GF, and `patchify`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (5, 9, 13, 17)
"""Pixels from the centre to the edge of the windows, as published."""
_OFFSET = 1e-2
"""Added to pixels in 0..1, as published."""
_ENOUGH = 0.5
"""Share of a half window that must have data."""


def jepa_loss(said_BNF: Tensor, target_BNF: Tensor, hidden_BN: Tensor, known_BNF: Tensor | None = None) -> Tensor:
    """Mean squared error of the gradients of hidden patches, mean over the patches of each image and then over images.

    Args:
        said_BNF: what is said of the F gradients of N patches.
        target_BNF: the gradients (:func:`gradient_targets`).
        hidden_BN: bool, which patches were hidden; others do not count.
        known_BNF: bool, which gradients are known; all where not given.

    Returns:
        Scalar; an image without a target counts as 0.

    Example:
        >>> hidden = torch.tensor([[True, False]])
        >>> float(jepa_loss(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), hidden))
        1.0
    """
    known = torch.ones_like(target_BNF, dtype=torch.bool) if known_BNF is None else known_BNF
    count_BN = known.sum(-1)
    error_BN = ((said_BNF.float() - target_BNF.float()).square() * known).sum(-1) / count_BN.clamp(min=1)
    counts_BN = hidden_BN & (count_BN > 0)
    return ((error_BN * counts_BN).sum(1) / counts_BN.sum(1).clamp(min=1)).mean()


def gradient_targets(pixels_BSS: Tensor, known_BSS: Tensor, scales: Sequence[int] = SCALES) -> tuple[Tensor, Tensor]:
    """Gradients by ratio at several scales, and where they are known.

    Args:
        pixels_BSS: amplitudes in 0..1.
        known_BSS: bool, which pixels have data.
        scales: pixels from the centre to the edge of each window, less than the side of the image.

    Returns:
        (B, len(scales), S, S) float32, and bool of the same shape: a gradient is known where its pixel has data, and
        at least half of each of the four half windows.

    Raises:
        ValueError: a window is larger than the image, which is mirrored at its edges.
    """
    if max(scales) >= min(pixels_BSS.shape[-2:]):
        raise ValueError(
            f"Gradients of {max(scales)} px to each side need images of more than that, not {pixels_BSS.shape[-1]} px."
        )
    with torch.autocast(pixels_BSS.device.type, enabled=False):
        found = [_gradient(pixels_BSS.double(), known_BSS, scale) for scale in scales]
    return torch.stack([value for value, _ in found], 1), torch.stack([known for _, known in found], 1)


def _gradient(pixels_BSS: Tensor, known_BSS: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Norm of the logarithms of both ratios, (B, S, S), and where it is known."""
    known = known_BSS.double()  # of differences of sums little is left in float32
    both = torch.stack([(pixels_BSS + _OFFSET) * known, known], 1)
    both = F.pad(both, (scale,) * 4, mode="reflect")
    # A half window is a box of scale + 1 by 2 scale + 1 pixels that holds the centre: a sum along one axis at a time.
    across, down = _sums(both, 2 * scale + 1, -1), _sums(both, 2 * scale + 1, -2)
    above, left = _sums(across, scale + 1, -2), _sums(down, scale + 1, -1)
    side = pixels_BSS.shape[-1]
    halves = above[:, :, :side], above[:, :, scale : scale + side], left[..., :side], left[..., scale : scale + side]
    mean = [half[:, 0] / half[:, 1].clamp(min=1) + 1e-12 for half in halves]
    enough = torch.stack([half[:, 1] for half in halves]).amin(0) >= _ENOUGH * (scale + 1) * (2 * scale + 1) - 1e-6
    value = torch.stack([(mean[2] / mean[3]).log(), (mean[0] / mean[1]).log()], -1).norm(dim=-1)
    return value.float(), enough & known_BSS


def _sums(x: Tensor, length: int, axis: int) -> Tensor:
    """Sums of `length` pixels in a row along an axis, from sums up to each pixel."""
    upto = F.pad(x.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
    count = upto.shape[axis] - length
    return upto.narrow(axis, length, count) - upto.narrow(axis, 0, count)
