"""Architectures of timm with random weights: what a structure is worth without training, and "from scratch"."""

import torch

from knowlip.models.encoders.protocol import EncoderCard, PixelSpec
from knowlip.models.encoders.timm import TimmEncoder, build, find_config

USAGE = "random:NAME"
_SEED = 0
_MEAN, _STD = 0.45, 0.25
"""Of one channel of 8-bit SAR tiles, as in :class:`knowlip.models.config.VisionConfig`."""


def load(name: str, device: str | torch.device, size: int | None = None, seed: int = _SEED) -> TimmEncoder:
    """Open `random:NAME`, one channel, the same weights for the same seed.

    Args:
        name: of a timm model; its tag does not matter.
        device: where the weights go.
        size: side of the input in pixels; by default timm's for NAME.
        seed: of the weights.

    Raises:
        ValueError: no such model, or not of that size.
    """
    config = find_config(name)
    side = size or config.input_size[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(name, 1, side if config.fixed_input_size else None)
    pixels = PixelSpec(1, (_MEAN,), (_STD,), side)
    return TimmEncoder(f"random:{name}", module.eval().to(device), pixels, "Apache-2.0 (timm's code)", EncoderCard())
