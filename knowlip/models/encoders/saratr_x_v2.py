"""SARATR-X-v2: the tower of an iTPN (a HiViT), pre-trained on SAR chips to write multi-scale structure that speckle
does not move (arXiv 2607.23238). Its pyramid and decoder are left out.
"""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.hivit_file import HiViTForm, read_hivit
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.source import Source

USAGE = "saratr_x_v2:FILE"
LICENCE = "MIT"
CARD = EncoderCard(("FAIR-CSAR (500,000 unlabelled chips)",))
_DROPPED = {
    "decoder_": "decoder of the former training",
    "mask_token": "stands for masked patches in the former training",
    "hogs": "filters of the structure that the former training wrote",
    **dict.fromkeys(("fpn_modules", "align_dim_", "split_", "block_"), "the pyramid behind the tower"),
    "relative_position_index": "follows from the number of patches",
    "head": "head of the former task",
}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `saratr_x_v2:FILE`: the official checkpoint of a pre-training or of a fine-tuned classifier.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("saratr_x_v2", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The tower; see :data:`knowlip.models.encoders.foreign.Read`."""
    # Chips were brought to three equal channels before the one mean and deviation that the training states.
    pixels = "Pixels in 0..1 less 0.2109, over 0.2178"
    return read_hivit(source, settings, size, HiViTForm("SARATR-X-v2", LICENCE, CARD, _DROPPED, 0.2109, 0.2178, pixels))
