"""MAE of Meta: the encoder of a pre-training, or a fine-tuned one."""

from dataclasses import replace

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain, timm_names
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.source import Source

USAGE = "mae:FILE"
FACTS = PlainFacts(
    "CC BY-NC 4.0",
    EncoderCard(("ImageNet-1k",), note="Meta's weights; somebody else's of this layout saw something else."),
    "MAE's code",
)
_DROPPED = {
    "decoder_": "MAE's decoder",
    "mask_token": "stands for masked patches in the former training",
    "head": "head of the former task",
}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `mae:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("mae", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The encoder; see :data:`knowlip.models.encoders.foreign.Read`."""
    named = timm_names(source, "", _DROPPED)
    facts = FACTS
    if "fc_norm.weight" in named.parts:  # fine-tuned: the mean of the patches has the norm
        facts = replace(FACTS, needs=tuple("fc_norm" if part == "norm" else part for part in FACTS.needs))
    pool = settings.text("pool", ("class", "mean")) or "class"
    return read_plain(source, settings, size, named, facts, "MAE", pool)
