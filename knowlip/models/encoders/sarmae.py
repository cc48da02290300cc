"""SARMAE: the SAR branch of its pre-training, a MAE on three equal channels."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain, timm_names
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.source import Source

USAGE = "sarmae:FILE"
FACTS = PlainFacts(
    "CC BY-NC 4.0",
    EncoderCard(("SAR-1M",)),
    "SARMAE's code",
)
_PREFIX = "sar_encoder."
_DROPPED = {"decoder_": "MAE's decoder", "mask_token": "stands for masked patches in the former training"}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `sarmae:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("sarmae", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The SAR branch; see :data:`knowlip.models.encoders.foreign.Read`."""
    prefix = _PREFIX if any(key.startswith(_PREFIX) for key in source.state) else ""
    outside = "the optical branch and its alignment" if prefix else ""
    named = timm_names(source, prefix, _DROPPED | {"head": "head of the former task"}, outside)
    return read_plain(
        source, settings, size, named, FACTS, "SARMAE", settings.text("pool", ("class", "mean")) or "class"
    )
