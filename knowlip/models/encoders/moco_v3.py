"""MoCo v3: the base encoder of a pre-training."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain, timm_names
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.source import Source

USAGE = "moco_v3:FILE"
FACTS = PlainFacts(
    "CC BY-NC 4.0",
    EncoderCard(("ImageNet-1k",), note="Meta's weights; somebody else's of this layout saw something else."),
    "MoCo v3's code",
)
_PREFIX = "base_encoder."
_DROPPED = {"head": "projection of the former training"}
_OUTSIDE = {
    "momentum_encoder": "momentum encoder of the former training",
    "predictor": "predictor of the former training",
}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `moco_v3:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("moco_v3", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The base encoder; see :data:`knowlip.models.encoders.foreign.Read`."""
    if not any(key.startswith(_PREFIX) for key in source.state):
        raise ValueError(f"{source.path} holds no MoCo v3: none of its tensors begins with {_PREFIX}")
    named = timm_names(source, _PREFIX, _DROPPED, _OUTSIDE)
    return read_plain(source, settings, size, named, FACTS, "MoCo v3")
