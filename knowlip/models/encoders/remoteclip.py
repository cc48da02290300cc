"""RemoteCLIP: CLIP tuned on captions made of remote sensing's labels, in open_clip's layout."""

import torch

from knowlip.models.encoders.dual import DualFacts, always, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_names
from knowlip.models.weights.source import Source

USAGE = "remoteclip:FILE"
FACTS = DualFacts(
    "Apache-2.0 (of its repository)",
    EncoderCard(
        ("RET-3", "SEG-4", "DET-10", "OpenAI's 400 million image-text pairs"),
        note="RemoteCLIP's README loads it as an open_clip model with GELU; what it was trained with is not stated.",
    ),
    always("gelu", "as its README loads it; not stated what it was trained with"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `remoteclip:FILE`; a vocabulary of byte pairs beside it lets it read texts.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("remoteclip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, openai_names(source), FACTS)
