"""GeoRSCLIP: CLIP tuned on RS5M, in open_clip's layout or raw as ITRA saves it."""

import torch

from knowlip.models.encoders.dual import DualFacts, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.shape import Activation
from knowlip.models.weights.source import Source


def _activation(width: int, patch: int) -> tuple[Activation | None, str]:
    if width == 1280:
        return "gelu", "GeoRSCLIP's H/14 started from LAION's, which has GELU"
    if (width, patch) == (768, 32):
        return "quick_gelu", "GeoRSCLIP's code builds B/32 as OpenAI's, which has QuickGELU"
    return None, "GeoRSCLIP's code names it for B/32 and H/14 alone"


USAGE = "georsclip:FILE"
FACTS = DualFacts(
    "MIT (of its repository)",
    EncoderCard(
        ("RS5M", "RSICD", "RSITMD", "OpenAI's 400 million image-text pairs"),
        note="Tuned from OpenAI's CLIP (B/32, L/14) or from LAION-2B's (H/14).",
    ),
    _activation,
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `georsclip:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("georsclip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
