"""BITA: the ViT of a LAVIS checkpoint, where it holds one."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.weights.clip import openai_visual
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import CLIP

USAGE = "bita:FILE"
FACTS = PlainFacts(
    UNKNOWN,
    EncoderCard(("NWPU-Captions, RSICD or UCM-Captions", "OpenAI's 400 million image-text pairs")),
    "BITA's code",
    activation="quick_gelu",
    eps=1e-5,
    mean=CLIP[0],  # type: ignore[arg-type]
    std=CLIP[1],  # type: ignore[arg-type]
    needs=("cls_token", "pos_embed", "norm_pre", "norm", "qkv_bias"),
    align_corners=True,
)
_PREFIX = "visual_encoder."


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `bita:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("bita", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT with the norm behind it; see :data:`knowlip.models.encoders.foreign.Read`."""
    if not any(key.startswith(_PREFIX) for key in source.state):
        raise ValueError(
            f"{source.path} holds no ViT: BITA leaves frozen weights out when it saves, so that its first two stages "
            "have none; give clip:FILE of the CLIP that it started from."
        )
    named = Named()
    for key in openai_visual(source.state, _PREFIX, named):
        named.parts[key] = (key,)
    for key in source.state:
        if key.startswith("ln_vision."):
            named.parts[key.replace("ln_vision.", "norm.")] = (key,)
        elif not key.startswith(_PREFIX):
            named.drop(key, "transformer between image and text, and language model")
    return read_plain(source, settings, size, named, FACTS, "BITA")
