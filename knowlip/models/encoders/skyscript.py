"""SkyScript's SkyCLIP: CLIP tuned on captions made of OpenStreetMap's tags."""

import torch

from knowlip.models.encoders.dual import DualFacts, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.shape import Activation
from knowlip.models.weights.source import Source


def _activation(width: int, patch: int) -> tuple[Activation | None, str]:
    if (width, patch) == (1024, 14):
        return "quick_gelu", "SkyScript's L/14 started from OpenAI's, which has QuickGELU"
    if (width, patch) == (768, 32):
        return "gelu", "SkyScript's B/32 started from LAION's, which has GELU"
    return None, "SkyScript has published B/32 and L/14 alone"


USAGE = "skyscript:FILE"
FACTS = DualFacts(
    "MIT (of its repository)",
    EncoderCard(
        ("SkyScript",),
        note="Tuned from OpenAI's CLIP (L/14) or LAION-2B's (B/32).",
    ),
    _activation,
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `skyscript:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("skyscript", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
