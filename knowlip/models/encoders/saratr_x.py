"""SARATR-X: a HiViT on three equal channels, pre-trained on SAR chips with multi-scale gradients."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.hivit_file import HiViTForm, read_hivit
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.source import Source

USAGE = "saratr_x:FILE"
LICENCE = "CC BY-NC 4.0"
CARD = EncoderCard(
    (
        *("MSTAR", "SARSim", "SAMPLE", "SIVED", "SAR-Ship", "AIR-SARShip", "HRSID", "SSDD", "SADD", "SAR-AIRcraft"),
        "other public SAR sets",
    ),
    note="SARATR-X's pre-training saw the images of SSDD, HRSID and SAR-AIRcraft, parts for testing not excepted.",
)
_DROPPED = {
    "decoder_": "decoder of the former training",
    "mask_token": "stands for masked patches in the former training",
    "sarfeature": "gradient features of the former training",
    "norm": "norm of all stages side by side, before the decoder of the former training",
    "head": "head of the former task",
}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `saratr_x:FILE`: the official checkpoint of a pre-training or of a fine-tuning.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("saratr_x", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The HiViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    if any("relative_position" in key for key in source.state):
        raise ValueError(f"{source.path} has relative positions, which SARATR-X's HiViT has not: it is another HiViT.")
    form = HiViTForm("SARATR-X", LICENCE, CARD, _DROPPED, 0.0, 1.0, "Pixels in 0..1 as they are")
    return read_hivit(source, settings, size, form)
