"""Any CLIP in open_clip's layout whose image tower is a plain ViT."""

import torch

from knowlip.models.encoders.dual import DualFacts, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.source import Source

USAGE = "open_clip:FILE"
FACTS = DualFacts(
    UNKNOWN,
    EncoderCard((UNKNOWN,), note="Nobody says whose weights these are."),
    lambda width, patch: (None, "open_clip_config.json would"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `open_clip:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("open_clip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
