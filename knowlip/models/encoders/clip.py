"""OpenAI's CLIP: a TorchScript archive, or its tensors."""

import torch

from knowlip.models.encoders.dual import DualFacts, always, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.source import Source

USAGE = "clip:FILE"
FACTS = DualFacts(
    "MIT",
    EncoderCard(("OpenAI's 400 million image-text pairs",)),
    always("quick_gelu", "OpenAI's code has QuickGELU"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `clip:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("clip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
