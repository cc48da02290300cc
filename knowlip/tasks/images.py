"""Test images that are encoded once for all tasks."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowlip.base.progress import track
from knowlip.models.encoders import Encoder, TextImageEncoder
from knowlip.models.towers import resize

_BATCH = 64
_MOST_KEPT_BYTES = 2 << 30


class ImageSource(Protocol):
    """Anything that gives tile images by id, such as `knowlip.dataset.Dataset`."""

    def images(self, tile_ids: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        """Images (H, W) in the order of the ids."""
        ...


@runtime_checkable
class WidthSource(Protocol):
    """An image source that knows how wide tiles are on the ground."""

    def widths_m(self, tile_ids: Sequence[str]) -> NDArray[np.float32]:
        """Metres (N,), NaN where that is not known."""
        ...


class EncodedImages:
    """Embeddings and tokens of images, computed when first asked for. Tokens are kept where all fit into 2 GiB, else
    encoded again each time.

    Args:
        encoder: encodes.
        source: holds the images.
        tile_ids: which images, in which order; positions in this list are the indices below.
    """

    def __init__(self, encoder: Encoder, source: ImageSource, tile_ids: Sequence[str]) -> None:
        self.encoder, self.source, self.tile_ids = encoder, source, list(tile_ids)
        weights = next(encoder.module.parameters(), None)
        self._device = weights.device if weights is not None else torch.device("cpu")

    @cached_property
    def features(self) -> Tensor:
        """(N, E) float32 on the CPU: embeddings in the space that the encoder shares with texts."""
        encoder = self.encoder
        assert isinstance(encoder, TextImageEncoder), "only tasks with texts ask for embeddings"
        with torch.inference_mode():
            starts = track(range(0, len(self.tile_ids), _BATCH), "encode test images")
            return torch.cat([encoder.embed(*self._given(range(s, s + _BATCH))).float().cpu() for s in starts])

    def tokens(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """(B, N, D) tokens of the images at `indices`, repeats allowed."""
        indices = np.asarray(indices)
        if self._kept is not None:
            return self._kept[torch.as_tensor(indices, device=self._kept.device)]
        distinct, back = np.unique(indices, return_inverse=True)
        with torch.inference_mode():
            tokens = self.encoder.tokens(*self._given(distinct.tolist()))
        return tokens[torch.as_tensor(back, device=tokens.device)]

    @cached_property
    def _kept(self) -> Tensor | None:
        """Tokens of all images, None where they would not fit; one image says how large they are."""
        with torch.inference_mode():
            one = self.encoder.tokens(*self._given([0]))
            if one.numel() * one.element_size() * len(self.tile_ids) > _MOST_KEPT_BYTES:
                return None
            starts = track(range(0, len(self.tile_ids), _BATCH), "encode test images")
            return torch.cat([self.encoder.tokens(*self._given(range(s, s + _BATCH))) for s in starts])

    def _given(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        """Pixels, and to an encoder that is told how large a pixel is the images' widths on the ground."""
        pixels = self._pixels(positions)
        if not getattr(self.encoder, "told_width", False) or not isinstance(self.source, WidthSource):
            return (pixels,)
        tile_ids = [self.tile_ids[i] for i in positions if i < len(self.tile_ids)]
        return pixels, torch.from_numpy(self.source.widths_m(tile_ids)).to(self._device)

    def _pixels(self, positions: Sequence[int]) -> Tensor:
        """uint8 (B, S, S) of the side that the encoder was made for, resized as for its training."""
        tile_ids = [self.tile_ids[i] for i in positions if i < len(self.tile_ids)]
        side = self.encoder.pixels.size
        return torch.from_numpy(np.stack([resize(image, side) for image in self.source.images(tile_ids)])).to(
            self._device
        )
