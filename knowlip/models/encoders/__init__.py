"""Every vision model of the benchmark behind one Protocol: `open_encoder(name)`.

A name is KIND:REST, and KIND is the name of a file of this folder: it has `load(rest, device, size)` (with `seed` too,
where it draws weights) and `USAGE`, how its names are written. A new encoder is a new file; nothing is registered
anywhere.
"""

from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

import torch

from knowlip.base.plugins import loaded_plugins, tell_hidden
from knowlip.models.device import chosen
from knowlip.models.encoders.protocol import (
    Encoder,
    EncoderCard,
    PixelSpec,
    TextImageEncoder,
    UnsuitedEncoder,
    WritingEncoder,
    encoder_sha256,
    prepare,
)
from knowlip.models.hub import REPO
from knowlip.models.vision_model import is_vision

__all__ = [
    "Encoder",
    "EncoderCard",
    "PixelSpec",
    "TextImageEncoder",
    "UnsuitedEncoder",
    "WritingEncoder",
    "encoder_kinds",
    "encoder_sha256",
    "open_encoder",
    "prepare",
]


def encoder_kinds() -> dict[str, Any]:
    """Kind -> its module (of a plug-in: what has `load` and `USAGE`), in alphabetical order."""
    modules = {found.name: import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)}
    own = {name: module for name, module in modules.items() if hasattr(module, "load")}
    tell_hidden("encoders", own)
    return dict(sorted({**loaded_plugins("encoders", ("load", "USAGE")), **own}.items()))


def open_encoder(
    name: str | Path, device: str | torch.device = "cpu", size: int | None = None, seed: int = 0
) -> Encoder:
    """Open an encoder by name, in evaluation mode.

    Args:
        name: a model folder or USER/REPO of the Hugging Face hub (ours), or KIND:REST (docs/encoders.md).
        device: where its weights go; "auto" is the first GPU where there is one.
        size: side of its input in pixels, where it should not be the encoder's own.
        seed: of weights that are drawn at random (`random:NAME`); others have their own.

    Raises:
        ValueError: no such encoder; the sentence names those that exist.
    """
    text = str(name)
    device = chosen(device)
    if size is not None and size < 1:
        raise ValueError(f"The side of an encoder's input must be at least 1 pixel, not {size}.")
    kinds = encoder_kinds()
    kind, _, rest = text.partition(":")
    if Path(text).exists() or (kind not in kinds and REPO.fullmatch(text)):
        kind, rest = "vision" if is_vision(Path(text)) else "knowlip", text
    if kind not in kinds:
        known = ", ".join(kinds)
        raise ValueError(
            f"There is no encoder {text!r}: give a model folder, USER/REPO of the Hugging Face hub, or KIND:REST (see "
            f"docs/encoders.md), where KIND is {known}; or register or install the plug-in that has it."
        )
    load = kinds[kind].load
    drawn = {"seed": seed} if "seed" in signature(load).parameters else {}
    encoder = cast(Encoder, load(rest, device, size, **drawn))
    if size is not None:
        _check_input(encoder, text)
    return encoder


def _check_input(encoder: Encoder, name: str) -> None:
    """Raise `ValueError` where the input asked for ends within a patch: timm leaves such a rest out without a word, and
    what is said of pixels is stretched over it."""
    embed, side = getattr(encoder.module, "patch_embed", None), encoder.pixels.size
    patch = getattr(embed, "patch_size", None)
    patch = patch[0] if isinstance(patch, tuple) else patch
    if isinstance(patch, int) and not getattr(embed, "dynamic_img_pad", False):
        check_whole_patches(side, patch, name)


def check_whole_patches(side: int, patch: int, name: str) -> None:
    """Raise `ValueError` where an input of so many pixels ends within a patch of the encoder of this name."""
    if side % patch:
        below = side // patch * patch
        wanted = f"{below} or {below + patch}" if below else f"{patch}"
        raise ValueError(f"size {side} is no multiple of the patches of {name} ({patch} px): take {wanted}.")
