"""Our own models as encoders: the image tower, and the text it was taught with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from knowlip.models.checkpoint import load_model
from knowlip.models.encoders.protocol import UNKNOWN, EncoderCard, PixelSpec, prepare
from knowlip.models.knowlip import KnowLIP
from knowlip.models.vision import summary_token, tower_side

USAGE = "knowlip:FOLDER (or the folder alone)"


class KnowLIPEncoder:
    """A KnowLIP model. Its summary is the class token; `embed` and `text` are the space that contrast taught."""

    def __init__(self, name: str, model: KnowLIP) -> None:
        vision = model.config.vision
        self.name, self.model = name, model
        self.licence = str(model.card.get("license") or UNKNOWN)
        self.pixels = PixelSpec(1, (vision.mean,), (vision.std,), vision.image_size)
        tower, readout = model.visual_encoder, model.readout
        parts = [part for part in (model.stem, tower, readout) if part is not None]
        self.module: nn.Module = tower if len(parts) == 1 else nn.ModuleList(parts)
        self.width = int(tower.num_features)  # type: ignore[arg-type]
        self.prefix = int(getattr(tower, "num_prefix_tokens", 0)) + (readout.tokens if readout is not None else 0)
        self.told_width = vision.ground_sampling
        self.temperature = float(model.temp.detach())
        self.card = replace(card_of(model.card), grounded_on=model.config.text.grounded_on)

    def tokens(self, images: Tensor, width_m_B: Tensor | None = None) -> Tensor:
        """(B, N, D)."""
        return self.model.encode_images(prepare(images, self.pixels), width_m_B)[0]

    def summary(self, images: Tensor, width_m_B: Tensor | None = None) -> Tensor:
        """(B, D)."""
        tokens, tower = self.tokens(images, width_m_B), self.model.visual_encoder
        if self.model.readout is not None:  # what it adds is no part of the image's own mean
            first = int(getattr(tower, "num_prefix_tokens", 0))
            tokens = torch.cat([tokens[:, :first], tokens[:, self.prefix :]], 1)
        return summary_token(tower, tokens)

    def embed(self, images: Tensor, width_m_B: Tensor | None = None) -> Tensor:
        """Unit-length embeddings (B, E)."""
        return self.model.encode_images(prepare(images, self.pixels), width_m_B)[1]

    def text(self, texts: Sequence[str]) -> Tensor:
        """Unit-length embeddings (B, E)."""
        return self.model.encode_texts(texts)

    def match(self, tokens: Tensor, texts: Sequence[str]) -> Tensor:
        """Probability (B,) that image tokens and texts belong together."""
        return self.model.match(tokens, texts)

    def generate(
        self, tokens: Tensor, prompts: Sequence[str], max_new_tokens: int, holes: Sequence[int] | None = None
    ) -> list[str]:
        """Fill a hole of each prompt; "" asks for a caption."""
        return self.model.generate(tokens, prompts, max_new_tokens, holes=holes)

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
        model.config.vision.image_size = size
        model.visual_encoder.set_input_size(img_size=tower_side(model.config.vision))  # type: ignore[operator]
    return KnowLIPEncoder(name, model)


def card_of(saved: Mapping[str, Any]) -> EncoderCard:
    """The encoder's card from what a model folder keeps (`KnowLIP.card`).

    A model that does not say what it was trained on (weights of others, converted) has seen UNKNOWN, and what it was
    fine-tuned on since.
    """
    blocks = tuple(str(block) for block in saved.get("train_blocks", ()))
    others = tuple(str(one) for one in saved.get("other_sets", ()))
    if "dataset_fingerprint" not in saved or "train_blocks" not in saved:
        return EncoderCard((UNKNOWN,), train_blocks=blocks, other_sets=others)
    fingerprint = str(saved["dataset_fingerprint"])
    revision = saved.get("revision")
    known = revision if isinstance(revision, int) else None
    own = bool(saved.get("own_split", True))
    return EncoderCard(
        (f"KnowLIP data set {fingerprint[:16]}",), fingerprint, blocks, known, own_split=own, other_sets=others
    )
