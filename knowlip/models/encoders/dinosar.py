"""DINOSAR: DINOv3's ViT on one channel with four registers, pre-trained on SAR with DINO and iBOT."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.encoders.rotary import RotaryFacts, read_rotary
from knowlip.models.weights.source import Source

USAGE = "dinosar:FILE"
FACTS = RotaryFacts("MIT", EncoderCard(("UniSAR-7M",)), "DINOSAR's code", 1e-6, (0.219,), (0.22,), 224)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `dinosar:FILE`: a released backbone, or a whole training, whose teacher is taken.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("dinosar", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    found = read_rotary(source, settings, size, FACTS, "DINOSAR")
    if found.encoder.pixels.channels != 1:
        raise ValueError(f"{source.path} reads three channels, DINOSAR one: it may be a DINOv3 (dinov3:FILE).")
    return found
