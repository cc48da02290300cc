"""Our own models as encoders: the image tower, and the text it was taught with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from knowlip.models.checkpoint import load_model
from knowlip.models.encoders.protocol import UNKNOWN, EncoderCard, PixelSpec, prepare
from knowlip.models.knowlip import KnowLIP
from knowlip.models.vision import summary_token

USAGE = "knowlip:FOLDER (or the folder alone)"


class KnowLIPEncoder:
    """A KnowLIP model. Its summary is the class token; `embed` and `text` are the space that contrast taught."""

    def __init__(self, name: str, model: KnowLIP) -> None:
        vision = model.config.vision
        self.name, self.model = name, model
        self.licence = str(model.card.get("license") or UNKNOWN)
        self.pixels = PixelSpec(1, (vision.mean,), (vision.std,), vision.image_size)
        self.module: nn.Module = model.visual_encoder
        self.width = int(self.module.num_features)  # type: ignore[arg-type]
        self.prefix = int(getattr(self.module, "num_prefix_tokens", 0))
        self.card = replace(card_of(model.card), grounded_on=model.config.text.grounded_on)

    def tokens(self, images: Tensor) -> Tensor:
        """(B, N, D)."""
        return self.module(prepare(images, self.pixels))

    def summary(self, images: Tensor) -> Tensor:
        """(B, D)."""
        return summary_token(self.module, self.tokens(images))

    def embed(self, images: Tensor) -> Tensor:
        """Unit-length embeddings (B, E)."""
        return self.model.encode_images(prepare(images, self.pixels))[1]

    def text(self, texts: Sequence[str]) -> Tensor:
        """Unit-length embeddings (B, E)."""
        return self.model.encode_texts(texts)

    def match(self, tokens: Tensor, texts: Sequence[str]) -> Tensor:
        """Probability (B,) that image tokens and texts belong together."""
        return self.model.match(tokens, texts)

    def generate(self, tokens: Tensor, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Fill the hole of each prompt; "" asks for a caption."""
        return self.model.generate(tokens, prompts, max_new_tokens)

    def rank(self, tokens: Tensor, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """Log-probability (B, A) of each answer."""
        return self.model.rank(tokens, questions, answers)


def load(name: str, device: str | torch.device, size: int | None = None) -> KnowLIPEncoder:
    """Open a model folder, or USER/REPO of the Hugging Face hub.

    Args:
        name: folder or repository.
        device: where the weights go.
        size: side of the input in pixels where it should not be the model's own: position embeddings are resized.

    Raises:
        ValueError: see :func:`knowlip.models.checkpoint.load_model`.
    """
    model = load_model(name, device)
    if size not in (None, model.config.vision.image_size):
        model.visual_encoder.set_input_size(img_size=size)  # type: ignore[operator]
        model.config.vision.image_size = size
    return KnowLIPEncoder(name, model)


def card_of(saved: Mapping[str, Any]) -> EncoderCard:
    """The encoder's card from what a model folder keeps (`KnowLIP.card`).

    A model that does not say what it was trained on (weights of others, converted) has seen UNKNOWN.
    """
    if "dataset_fingerprint" not in saved or "train_blocks" not in saved:
        return EncoderCard((UNKNOWN,))
    fingerprint = str(saved["dataset_fingerprint"])
    blocks = tuple(str(block) for block in saved["train_blocks"])
    revision = saved.get("revision")
    known = revision if isinstance(revision, int) else None
    return EncoderCard((f"KnowLIP data set {fingerprint[:16]}",), fingerprint, blocks, known)
