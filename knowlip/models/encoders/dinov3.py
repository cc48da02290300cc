"""DINOv3 in Meta's layout; of timm's there is `timm:NAME@FILE`."""

from dataclasses import replace

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.encoders.rotary import RotaryFacts, read_rotary
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import IMAGENET

USAGE = "dinov3:FILE,data=web|satellite"
_WEB = RotaryFacts(
    "DINOv3 License",
    EncoderCard(("LVD-1689M",)),
    "DINOv3's code",
    1e-5,
    tuple(IMAGENET[0]),
    tuple(IMAGENET[1]),
    224,
)
_SATELLITE = replace(_WEB, card=EncoderCard(("SAT-493M",)), mean=(0.43, 0.411, 0.296), std=(0.213, 0.156, 0.143))


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `dinov3:FILE,data=web` or `data=satellite`: they differ in how pixels are normalised, not in their tensors.

    Raises:
        ValueError: another layout, tensors without a place, or `data` is missing.
    """
    return open_file("dinov3", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    data = settings.text("data", ("web", "satellite"))
    found = read_rotary(source, settings, size, _SATELLITE if data == "satellite" else _WEB, "DINOv3")
    if found.encoder.pixels.channels != 3:
        raise ValueError(f"{source.path} reads one channel, DINOv3 three: it may be a DINOSAR (dinosar:FILE).")
    if data is None:
        raise ValueError(
            f"{source.path} does not say how its pixels were normalised: give data=web (LVD-1689M) or data=satellite "
            "(SAT-493M)."
        )
    return found
