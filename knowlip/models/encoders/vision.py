"""Vision towers of our own, pre-trained without texts (`knowlip selfsup`), as encoders."""

from pathlib import Path

import torch
from torch import Tensor, nn

from knowlip.models.encoders.knowlip import card_of
from knowlip.models.encoders.protocol import UNKNOWN, PixelSpec, prepare
from knowlip.models.vision_model import VisionModel, load_vision

USAGE = "vision:FOLDER (or the folder alone)"


class VisionEncoder:
    """A tower whose summary is its class token, or the mean of its patches where it was trained so."""

    def __init__(self, name: str, model: VisionModel) -> None:
        vision = model.vision
        self.name, self.model = name, model
        self.module: nn.Module = model.visual_encoder
        self.licence = str(model.card.get("license") or UNKNOWN)
        self.pixels = PixelSpec(1, (vision.mean,), (vision.std,), vision.image_size)
        self.width = int(model.visual_encoder.num_features)
        self.prefix = int(model.visual_encoder.num_prefix_tokens)
        self.card = card_of(model.card)

    def tokens(self, images: Tensor) -> Tensor:
        """(B, N, D)."""
        tokens: Tensor = self.model.visual_encoder.forward_features(prepare(images, self.pixels))
        return tokens

    def summary(self, images: Tensor) -> Tensor:
        """(B, D)."""
        return self.model.summary(self.tokens(images))


def load(name: str, device: str | torch.device, size: int | None = None) -> VisionEncoder:
    """Open a folder that `knowlip selfsup` has written.

    Args:
        name: the folder.
        device: where the weights go.
        size: side of the input in pixels where it should not be the tower's own: position embeddings are resized.

    Raises:
        ValueError: see :func:`knowlip.models.vision_model.load_vision`.
    """
    model = load_vision(Path(name)).to(device)
    if size not in (None, model.vision.image_size):
        model.vision.image_size = size
        model.visual_encoder.set_input_size(img_size=size)  # type: ignore[arg-type]
    return VisionEncoder(name, model)
