"""The model that answers: the one that was named, or the one that comes with KnowLIP, which says so."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from knowlip.base.progress import say
from knowlip.inference.images import TakenImage
from knowlip.models import KnowLIP, load_model
from knowlip.models.default import shipped_model
from knowlip.models.hub import README, find_model

BEYOND = 1.5
"""By so much may an image be wider or narrower than the windows of the training before a note is said."""
_SQUEEZED = 1.25
"""From this ratio of its sides on it is said that an image is squeezed into a square."""


def open_model(named: Path | None, device: str) -> tuple[KnowLIP, Path]:
    """A model for use, and its folder.

    Args:
        named: a folder, or USER/REPO of the hub; None for the model that comes with KnowLIP, and a line says so.
        device: "cpu", "cuda" or "auto".

    Raises:
        ValueError: no such model, or none comes with this installation.
    """
    folder = shipped_model() if named is None else find_model(named)
    model = load_model(folder, device)
    if named is None:
        say(f"The model that comes with KnowLIP answers; what it scores and cannot do: {folder / README}")
    return model, folder


def encode(model: KnowLIP, images: Sequence[TakenImage]) -> tuple[Tensor, Tensor]:
    """Tokens (B, N, V) and normalised embeddings (B, E) of images; a model that is told the ground sampling gets it."""
    pixels = model.prepare([image.pixels for image in images])
    return model.encode_images(pixels, torch.tensor([width_m(image) for image in images], device=pixels.device))


def width_m(image: TakenImage) -> float:
    """Width of an image on the ground in metres as a model is told it, NaN where it is not known.

    An image that is no square is squeezed into one: the side of a square of the same area is its width.
    """
    return math.nan if image.metres_per_pixel is None else image.metres_per_pixel * math.sqrt(image.pixels.size)


def say_what_is_unknown(model: KnowLIP, images: Sequence[tuple[Path, TakenImage]]) -> list[Path]:
    """Say :func:`what_is_unknown` of images that were given to a command, but for pixels of unknown size: of several
    images that is said once, by :func:`say_unknown_sizes`. Returns whose pixels have none."""
    known = [(str(path), image) for path, image in images if image.metres_per_pixel is not None]
    unknown = [(str(path), image) for path, image in images if image.metres_per_pixel is None]
    for sentence in [*what_is_unknown(model, known, ""), *_shapes(unknown)]:
        say(sentence)
    return [Path(path) for path, _ in unknown]


def say_unknown_sizes(paths: Sequence[Path]) -> None:
    """Say which images do not say how large a pixel is on the ground."""
    for sentence in _sizes([str(path) for path in paths], "--metres_per_pixel"):
        say(sentence)


def _sizes(names: Sequence[str], setting: str) -> list[str]:
    if not names:
        return []
    which = f"{names[0]} does" if len(names) == 1 else f"{len(names)} images do"
    return [
        f"{which} not say how large a pixel is on the ground: give {setting}. Without it sizes and kinds are guesses."
    ]


def _shapes(images: Sequence[tuple[str, TakenImage]]) -> list[str]:
    notes = []
    for name, image in images:
        height, width = image.pixels.shape
        if max(height, width) >= _SQUEEZED * min(height, width):
            notes.append(
                f"{name} is {width} x {height} px and squeezed into a square: shapes, sizes and axes are distorted; "
                "cut it into squares to be sure of them."
            )
    return notes


def what_is_unknown(model: KnowLIP, images: Sequence[tuple[str, TakenImage]], setting: str) -> list[str]:
    """Notes on images whose pixels have no known size, that show much more or less ground than the training did, or
    that are far from square.

    Args:
        model: that answers.
        images: each with its name in a sentence.
        setting: how the size of a pixel is given, for the sentence.
    """
    unknown = [name for name, image in images if image.metres_per_pixel is None]
    notes = [*_sizes(unknown, setting), *_shapes(images)]
    windows = model.card.get("windows_m")
    if not windows:
        return notes
    for name, image in images:
        if image.metres_per_pixel is None:
            continue
        # The longer side counts: the model sees the whole image at once, squeezed into its square input.
        shown = max(image.pixels.shape) * image.metres_per_pixel
        if not min(windows) / BEYOND <= shown <= max(windows) * BEYOND:
            notes.append(
                f"{name} shows {shown:.0f} m of ground, the model was taught on windows of {min(windows):g} to "
                f"{max(windows):g} m: cut it with `knowlip build` first, or take its words as guesses."
            )
    return notes
