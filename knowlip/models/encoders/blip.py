"""BLIP: its image tower, in Salesforce's layout; `knowlip convert` makes a model of the whole."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain, timm_names
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import CLIP

USAGE = "blip:FILE"
FACTS = PlainFacts(
    "BSD-3-Clause",
    EncoderCard(("COCO", "Visual Genome", "Conceptual Captions", "SBU", "LAION")),
    "BLIP's code",
    mean=CLIP[0],  # type: ignore[arg-type]
    std=CLIP[1],  # type: ignore[arg-type]
)
_PREFIX = "visual_encoder."


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `blip:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("blip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The image tower; see :data:`knowlip.models.encoders.foreign.Read`."""
    if f"{_PREFIX}patch_embed.proj.weight" not in source.state:
        raise ValueError(f"{source.path} holds no BLIP: it has no {_PREFIX}patch_embed.proj.weight.")
    named = timm_names(source, _PREFIX, {}, "not the image tower (`knowlip convert` makes a model of the whole)")
    return read_plain(source, settings, size, named, FACTS, "BLIP")
