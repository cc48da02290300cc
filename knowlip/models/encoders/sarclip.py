"""SARCLIP (CAESAR-Radi): CLIP tuned on captions of SAR tiles, in open_clip's layout."""

import torch

from knowlip.models.encoders.dual import DualFacts, always, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.source import Source

USAGE = "sarclip:FILE"
FACTS = DualFacts(
    "research and non-commercial use",
    EncoderCard(("SARCAP",)),
    always("gelu", "SARCLIP's own configurations have GELU"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `sarclip:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("sarclip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
