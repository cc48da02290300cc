"""A segmenter: a mask transformer on an encoder's tokens, its sliding window, and its folder on disk.

Shapes: B crops, S side of a crop, C classes, H x W pixels of a tile.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from knowlip.base.documents import read_json
from knowlip.base.files import whole_folder, write_json
from knowlip.base.provenance import provenance
from knowlip.dataset.annotations import IGNORE
from knowlip.models.encoders import Encoder, encoder_sha256, open_encoder
from knowlip.models.segmenter import MaskTransformer, enlarged
from knowlip.tasks.classifier import check_encoder
from knowlip.tasks.masked import padded

Mode = Literal["full", "frozen"]
_CARD, _WEIGHTS, _FORMAT = "segmenter.json", "segmenter.safetensors", 1
_MOST: Final = 64
"""Layers or heads of a decoder."""
_AT_ONCE: Final = 16
"""Windows that are computed together."""


@dataclass
class HeadConfig:
    """The decoder."""

    layers: int = 2
    """Transformer blocks."""
    heads: int = 0
    """Of their attention; 0: one for each 64 of the encoder's width."""
    dropout: float = 0.1
    """In the blocks."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= _MOST or not 0 <= self.heads <= _MOST or not 0 <= self.dropout < 1:
            raise ValueError(
                f"head.layers lies in 1 to {_MOST}, head.heads in 0 to {_MOST}, head.dropout in 0 up to but below 1."
            )


class Segmenter(nn.Module):
    """A mask transformer on an encoder's tokens.

    Args:
        encoder: gives tokens on a square grid. In mode "full" its weights are part of this module.
        classes: their names.
        mode: whether the encoder learns.
        head: the decoder.

    Raises:
        ValueError: the encoder gives one token for the whole image.
    """

    def __init__(self, encoder: Encoder, classes: Sequence[str], mode: Mode, head: HeadConfig) -> None:
        super().__init__()
        self.encoder, self.classes, self.mode = encoder, list(classes), mode
        if mode == "full":
            self.visual_encoder = encoder.module
        self.head = MaskTransformer(encoder.width, len(classes), head.layers, head.heads or None, head.dropout)

    def scores(self, images: Tensor) -> Tensor:
        """Crops (B, S, S) uint8 -> (B, C, S, S) float32."""
        return enlarged(self.head(self.tokens(images)), images.shape[-1])

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens (B, N, D) that stand for places; without gradients where the encoder is frozen."""
        with torch.set_grad_enabled(self.mode == "full" and torch.is_grad_enabled()):
            tokens = self.encoder.tokens(images)[:, self.encoder.prefix :]
        if tokens.shape[1] < 2:
            raise ValueError(f"{self.encoder.name} gives one token for a whole image: a mask needs a grid of them.")
        return tokens

    def forward(self, images: Tensor) -> Tensor:
        """As :meth:`scores`."""
        return self.scores(images)


@torch.inference_mode()
def predict(segmenter: Segmenter, pixels: np.ndarray, crop: int, stride: float) -> np.ndarray:
    """Class numbers (H, W) uint8 of a tile of any size, by a sliding window whose probabilities are averaged.

    Args:
        segmenter: in evaluation mode.
        pixels: (H, W) uint8.
        crop: side of the window.
        stride: its step as a share of it. The last of a row or column is moved inwards to end at the border.
    """
    height, width = pixels.shape
    places = list(windows(height, width, crop, max(1, round(stride * crop))))
    device = next(segmenter.head.parameters()).device
    total = torch.zeros(len(segmenter.classes), max(height, crop), max(width, crop))
    times = torch.zeros(total.shape[1:])
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        images = np.stack([padded(pixels[y : y + crop, x : x + crop], crop, 0) for y, x in some])
        found = segmenter.scores(torch.from_numpy(images).to(device)).softmax(1).cpu()
        for (y, x), one in zip(some, found):
            total[:, y : y + crop, x : x + crop] += one
            times[y : y + crop, x : x + crop] += 1
    return np.asarray((total / times.clamp(min=1))[:, :height, :width].argmax(0).to(torch.uint8))


def windows(height: int, width: int, side: int, step: int) -> Iterator[tuple[int, int]]:
    """Upper left corners (top, left) of windows that cover an image, row by row."""

    def starts(extent: int) -> list[int]:
        return [*range(0, extent - side, step), extent - side] if extent > side else [0]

    for top in starts(height):
        for left in starts(width):
            yield top, left


# ---- on disk --------------------------------------------------------------------------------------------------------


def save_segmenter(
    segmenter: Segmenter, state: Mapping[str, Tensor], folder: Path, size: int | None, head: HeadConfig, crop: int
) -> None:
    """Write `segmenter.json` and `segmenter.safetensors`, whole or not at all. A frozen encoder is not copied.

    Args:
        segmenter: the model.
        state: its tensors in one piece.
        folder: where to.
        size: side of the encoder's input, where it is not its own.
        head: the decoder.
        crop: side of the window that it learned with.
    """
    card = {
        "format": _FORMAT,
        "encoder": segmenter.encoder.name,
        "size": size,
        "mode": segmenter.mode,
        "classes": segmenter.classes,
        "crop": crop,
        "head": [head.layers, head.heads],
        "encoder_sha256": "" if segmenter.mode == "full" else encoder_sha256(segmenter.encoder),
        "card": provenance(),
    }
    with whole_folder(folder) as part:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, part / _WEIGHTS)
        write_json(part / _CARD, card)


def load_segmenter(folder: Path, device: torch.device | str = "cpu") -> Segmenter:
    """Open what :func:`save_segmenter` wrote, in evaluation mode; the encoder is opened by its name.

    Raises:
        ValueError: no segmenter, a broken one, or its encoder is not there, or has other weights than those it learned
            on.
    """
    if not (folder / _CARD).is_file():
        raise ValueError(f"{folder} is not a segmenter: it needs {_CARD} and {_WEIGHTS}.")
    card = read_json(folder / _CARD)
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise ValueError(f"{folder / _CARD} is of no format that this version reads ({_FORMAT}).")
    kinds = {"encoder": str, "size": int | None, "mode": str, "classes": list, "crop": int, "head": list}
    sound = all(isinstance(card.get(name, 0.0), kind) for name, kind in kinds.items())
    sound = sound and card["mode"] in ("full", "frozen") and all(isinstance(name, str) for name in card["classes"])
    sound = sound and len(card["head"]) == 2 and all(isinstance(n, int) for n in card["head"])
    if not sound or not 0 < len(card["classes"]) < IGNORE:
        raise ValueError(f"{folder / _CARD} lacks a sound encoder, size, mode, crop, head or list of classes.")
    encoder = open_encoder(card["encoder"], device, card["size"])
    segmenter = Segmenter(encoder, card["classes"], card["mode"], HeadConfig(*card["head"]))
    try:
        segmenter.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / _WEIGHTS} does not fit its encoder ({str(error).splitlines()[0]}).") from None
    check_encoder(encoder, card.get("encoder_sha256"), folder)
    return segmenter.eval().to(device)
