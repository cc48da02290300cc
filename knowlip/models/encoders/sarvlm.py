"""SARVLM's SARCLIP and SARCoCa: open_clip's CLIP or CoCa, tuned on SARVLM-1M."""

import torch

from knowlip.models.encoders.dual import DualFacts, always, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.source import Source

USAGE = "sarvlm:FILE"
FACTS = DualFacts(
    UNKNOWN,
    EncoderCard(
        ("SARVLM-1M (with MSTAR, SARSim, OpenSARShip, SAMPLE, ATRNet-STAR, SARDet-100k, FAIR-CSAR, SARLANG-1M)",),
        note="SARDet-100k holds the images of SSDD, HRSID and other public sets.",
    ),
    always("gelu", "SARVLM's code builds open_clip's ViT-L-14, ViT-B-32 or coca_ViT-L-14 with GELU"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `sarvlm:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("sarvlm", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
