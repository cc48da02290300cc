"""What every vision model of the benchmark is to a task, whoever made it.

Shapes: B images, S side of the tiles, C channels, N tokens, D width of the tokens, E width of an embedding shared by
images and texts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.models.config import Sentences

UNKNOWN = "unknown"
"""Said of a licence or of training data that nobody stated."""


class UnsuitedEncoder(ValueError):
    """The encoder is of a kind that cannot do what a task needs: nothing failed, the task does not apply to it."""


@dataclass(frozen=True)
class PixelSpec:
    """The pixels that an encoder was made for."""

    channels: int
    """A grey tile is repeated for each of them."""
    mean: tuple[float, ...]
    """Of each channel, for pixels in 0..1."""
    std: tuple[float, ...]
    """Of each channel, as `mean`."""
    size: int
    """Side of the square input."""

    def __post_init__(self) -> None:
        if self.channels < 1 or self.size < 1 or min(self.std, default=0) <= 0:
            raise ValueError(f"Pixels need a channel, a side and positive deviations, not {self}.")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{self.channels} channels need as many means and deviations: {self.mean}, {self.std}.")


@dataclass(frozen=True)
class EncoderCard:
    """What an encoder was trained on, for the check that it never saw what it is measured on."""

    trained_on: tuple[str, ...] = ()
    """Names of data sets; (UNKNOWN,) where nobody says, () where nothing was learned from any image."""
    dataset_fingerprint: str = ""
    """Of the KnowLIP data set among them; "" for encoders from elsewhere."""
    train_blocks: tuple[str, ...] = ()
    """Blocks (places, or images of imported sets) that training saw, of that data set and of `other_sets`."""
    revision: int | None = None
    """Of the data set's texts that taught it; None where that is not known."""
    note: str = ""
    """What else a reader of its results must know, as a sentence."""
    grounded_on: Sentences = "all"
    """Which sentences of a text its matching was taught with."""
    own_split: bool = True
    """Whether it saw the data set's own training split; else what it saw are the blocks alone."""
    other_sets: tuple[str, ...] = ()
    """Other KnowLIP data sets that it learned from, as FINGERPRINT NAME."""


class Encoder(Protocol):
    """A vision model. It is opened in evaluation mode; nothing here turns gradients off, so a task may train it."""

    name: str
    """As given to :func:`knowlip.models.encoders.open_encoder`."""
    licence: str
    """Of the weights; UNKNOWN where nobody says."""
    pixels: PixelSpec
    """What :func:`prepare` makes of tiles."""
    module: nn.Module
    """All weights that `tokens` and `summary` use, to train, shard or count them."""
    width: int
    """D."""
    prefix: int
    """How many of the tokens, the first, stand for no place in the image ([CLS], registers); those behind them lie row
    by row on a square grid."""
    card: EncoderCard
    """What it was trained on."""

    def tokens(self, images: Tensor) -> Tensor:
        """Tiles (B, S, S) uint8 of any side -> (B, N, D)."""
        ...

    def summary(self, images: Tensor) -> Tensor:
        """Tiles (B, S, S) uint8 of any side -> one vector an image (B, D)."""
        ...


@runtime_checkable
class TextImageEncoder(Protocol):
    """What a vision-language encoder offers besides: one space for images and texts."""

    def embed(self, images: Tensor) -> Tensor:
        """Tiles (B, S, S) uint8 -> embeddings of unit length (B, E)."""
        ...

    def text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> embeddings of unit length (B, E)."""
        ...


@runtime_checkable
class WritingEncoder(Protocol):
    """What an encoder offers besides whose model matches images with texts and writes."""

    temperature: float
    """tau, by which contrast divides cosines."""

    def match(self, tokens: Tensor, texts: Sequence[str]) -> Tensor:
        """Probability (B,) that image tokens and the text at the same place belong together."""
        ...

    def generate(
        self, tokens: Tensor, prompts: Sequence[str], max_new_tokens: int, holes: Sequence[int] | None = None
    ) -> list[str]:
        """Fill a [MASK] hole of each prompt, or write a caption where it is "". `holes` counts which [MASK] is meant,
        from 0; the first by default."""
        ...

    def rank(self, tokens: Tensor, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """Log-probability (B, A) of each of A answers."""
        ...


def encoder_sha256(encoder: Encoder) -> str:
    """SHA-256 of an encoder as it is now: its weights, whatever file they came from, and the pixels that it takes."""
    digest = hashlib.sha256(f"{encoder.pixels}".encode())
    for key, tensor in sorted(encoder.module.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def prepare(images: Tensor, spec: PixelSpec) -> Tensor:
    """Tiles (B, S, S) uint8 -> what a model takes (B, C, size, size) float32: resized (bilinear, antialiased when it
    gets smaller), normalised, repeated for each channel.

    Raises:
        ValueError: other than 8-bit square tiles.
    """
    if images.ndim != 3 or images.dtype != torch.uint8 or images.shape[1] != images.shape[2]:
        raise ValueError(f"Tiles must be uint8 (B, S, S), not {images.dtype} of shape {tuple(images.shape)}.")
    pixels = images[:, None].float()
    if images.shape[-1] != spec.size:
        side = (spec.size, spec.size)
        pixels = F.interpolate(pixels, side, mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (spec.mean, spec.std))
    return (pixels / 255 - mean) / std
