"""Any CLIP of Hugging Face (`CLIPModel`, `CLIPVisionModel`): its folder, with config.json."""

import torch

from knowlip.models.encoders.dual import DualFacts, read_dual
from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.weights.clip import hf_names
from knowlip.models.weights.source import Source

USAGE = "hf_clip:FOLDER"
FACTS = DualFacts(
    UNKNOWN,
    EncoderCard((UNKNOWN,), note="Nobody says whose weights these are."),
    lambda width, patch: (None, "config.json would"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `hf_clip:FOLDER`, with `model.safetensors` or `pytorch_model.bin` and `config.json`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("hf_clip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """Both towers; see :data:`knowlip.models.encoders.foreign.Read`."""
    return read_dual(source, settings, size, hf_names(source), FACTS)
