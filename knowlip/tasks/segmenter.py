"""A segmenter: a mask transformer on an encoder's tokens, its sliding window, and its folder on disk.

Shapes: B crops, S side of a crop, C classes, H x W pixels of a tile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.base.rows import Json
from knowlip.dataset.annotations import IGNORE
from knowlip.models.encoders import Encoder, UnsuitedEncoder, open_encoder
from knowlip.models.segmenter import MaskTransformer, enlarged
from knowlip.tasks.masked import padded
from knowlip.tasks.saved import SavedKind, check_encoder, frozen_sha256
from knowlip.tasks.segment_settings import HeadConfig, Mode
from knowlip.tasks.taught_on import ENTRY, TaughtOn, read_taught_on

_SAVED = SavedKind(
    "segmenter", {"encoder": str, "size": int | None, "mode": str, "classes": list, "crop": int, "head": list}
)
_AT_ONCE: Final = 16
"""Windows that are computed together."""


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
            raise UnsuitedEncoder(
                f"{self.encoder.name} gives one token for a whole image: a mask needs a grid of them."
            )
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
    device = next(segmenter.head.parameters()).device

    def look(images: np.ndarray) -> Tensor:
        return segmenter.scores(torch.from_numpy(images).to(device)).softmax(1).cpu()

    return slid(look, len(segmenter.classes), pixels, crop, stride)


def slid(
    look: Callable[[np.ndarray], Tensor], classes: int, pixels: np.ndarray, crop: int, stride: float
) -> np.ndarray:
    """The same by any function of crops (B, crop, crop) uint8 to probabilities (B, C, crop, crop)."""
    height, width = pixels.shape
    places = list(windows(height, width, crop, max(1, round(stride * crop))))
    total = torch.zeros(classes, max(height, crop), max(width, crop))
    times = torch.zeros(total.shape[1:])
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        images = np.stack([padded(pixels[y : y + crop, x : x + crop], crop, 0) for y, x in some])
        for (y, x), one in zip(some, look(images)):
            total[:, y : y + crop, x : x + crop] += one
            times[y : y + crop, x : x + crop] += 1
    return np.asarray((total / times.clamp(min=1))[:, :height, :width].argmax(0).to(torch.uint8))


def windows(height: int, width: int, side: int, step: int) -> Iterator[tuple[int, int]]:
    """Upper left corners (top, left) of windows that cover an image, row by row."""
    for top in window_starts(height, side, step):
        for left in window_starts(width, side, step):
            yield top, left


def window_starts(extent: int, side: int, step: int) -> list[int]:
    """First pixels of windows along one side of an image; the last is moved inwards to end at the border."""
    return [*range(0, extent - side, step), extent - side] if extent > side else [0]


# ---- on disk --------------------------------------------------------------------------------------------------------


def save_segmenter(
    segmenter: Segmenter,
    state: Mapping[str, Tensor],
    folder: Path,
    size: int | None,
    head: HeadConfig,
    crop: int,
    taught: Mapping[str, Json],
) -> None:
    """Write `segmenter.json` and `segmenter.safetensors`, see :mod:`knowlip.tasks.saved`.

    Args:
        segmenter: the model.
        state: its tensors in one piece.
        folder: where to.
        size: side of the encoder's input, where it is not its own.
        head: the decoder.
        crop: side of the window that it learned with.
        taught: what its training tiles were like (:mod:`knowlip.tasks.taught_on`).
    """
    card = {
        "encoder": segmenter.encoder.name,
        "size": size,
        "mode": segmenter.mode,
        "classes": segmenter.classes,
        "crop": crop,
        "head": [head.layers, head.heads],
        "encoder_sha256": frozen_sha256(segmenter.encoder, segmenter.mode == "full"),
        ENTRY: taught,
    }
    _SAVED.write(folder, card, state)


def load_segmenter(folder: Path, device: torch.device | str = "cpu") -> Segmenter:
    """Open what :func:`save_segmenter` wrote, in evaluation mode; the encoder is opened by its name.

    Raises:
        ValueError: no segmenter, a broken one, or its encoder is not there, or has other weights than those it learned
            on.
    """
    card = _SAVED.read_card(folder)
    sound = card["mode"] in ("full", "frozen") and 0 < len(card["classes"]) < IGNORE
    _SAVED.require(sound and len(card["head"]) == 2 and all(isinstance(n, int) for n in card["head"]), folder)
    encoder = open_encoder(card["encoder"], device, card["size"])
    segmenter = Segmenter(encoder, card["classes"], card["mode"], HeadConfig(*card["head"]))
    _SAVED.fill(segmenter, _SAVED.read_weights(folder), folder)
    check_encoder(encoder, card.get("encoder_sha256"), folder)
    return segmenter.eval().to(device)


def segmenter_taught_on(folder: Path) -> tuple[TaughtOn | None, int]:
    """What the training tiles of a saved segmenter were like (None where its card does not say), and the side of the
    window that it learned with.

    Raises:
        ValueError: no segmenter, or a broken card.
    """
    card = _SAVED.read_card(folder)
    _SAVED.require(8 <= card["crop"] <= 1 << 14, folder)
    return read_taught_on(card), card["crop"]


def model_folder(folder: Path) -> Path:
    """The folder of a segmenter: the one given, or `model` in that of its run."""
    return _SAVED.folder(folder)


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights of a segmenter."""
    return _SAVED.sha256(folder)
