"""The model as the tasks see it, and test images that are encoded once for all of them."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowlip.base.progress import track

_BATCH = 64
_MOST_KEPT_BYTES = 2 << 30


class VisionLanguageModel(Protocol):
    """What the tasks need of a model: the methods of `knowlip.models.load_model(folder)`."""

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(B, 1, S, S) float from B images (H, W) uint8."""
        ...

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, D) and normalised features (B, E)."""
        ...

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Normalised features (B, E)."""
        ...

    def match(self, tokens: Tensor, texts: list[str]) -> Tensor:
        """(B,) probability that image i and text i belong together."""
        ...

    def generate(self, tokens: Tensor, prompts: list[str], max_new_tokens: int, /) -> list[str]:
        """Fill the one [MASK] hole of each prompt; "" asks for the whole text."""
        ...

    def rank(self, tokens: Tensor, questions: list[str], answers: list[str]) -> Tensor:
        """(B, A) log-probability of each answer."""
        ...


class ImageSource(Protocol):
    """Anything that gives tile images by id, such as `knowlip.dataset.Dataset`."""

    def images(self, tile_ids: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        """Images (H, W) in the order of the ids."""
        ...


class EncodedImages:
    """Features of all images, and their tokens: kept where they fit into 2 GiB, else encoded again when asked for.

    Args:
        model: encodes.
        source: holds the images.
        tile_ids: which images, in which order; positions in this list are the indices below.
    """

    def __init__(self, model: VisionLanguageModel, source: ImageSource, tile_ids: Sequence[str]) -> None:
        self.model, self.source, self.tile_ids = model, source, list(tile_ids)
        self._tokens: list[Tensor] | None = []
        features, kept = [], 0
        for start in track(range(0, len(self.tile_ids), _BATCH), "encode test images"):
            tokens, feature = self._encode(self.tile_ids[start : start + _BATCH])
            features.append(feature.float().cpu())
            kept += tokens.numel() * tokens.element_size()
            if kept > _MOST_KEPT_BYTES:
                self._tokens = None
            if self._tokens is not None:
                self._tokens.append(tokens)
        self.features = torch.cat(features)
        """(N, E) float32 on the CPU."""
        self._kept = torch.cat(self._tokens) if self._tokens is not None else None
        self._tokens = None

    def _encode(self, tile_ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return self.model.encode_images(self.model.prepare(list(self.source.images(tile_ids))))

    def tokens(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """(B, N, D) tokens of the images at `indices`, repeats allowed."""
        indices = np.asarray(indices)
        if self._kept is not None:
            return self._kept[torch.as_tensor(indices, device=self._kept.device)]
        distinct, back = np.unique(indices, return_inverse=True)
        tokens, _ = self._encode([self.tile_ids[i] for i in distinct])
        return tokens[torch.as_tensor(back, device=tokens.device)]
