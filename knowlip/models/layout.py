"""What a model folder asks for and what its weights hold, compared before a byte of either is allocated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from knowlip.base.files import regular_file
from knowlip.models.config import ModelConfig
from knowlip.models.meta import without_memory
from knowlip.models.tokenizer import TextTokenizer
from knowlip.models.towers import Towers

_MOST_BUFFERED: Final = 1 << 26
"""Numbers in a model's constants (relative positions, rotary angles), which no file of weights bounds."""
_FLOATS: Final = ("F64", "F32", "F16", "BF16")
"""Types of numbers that weights come in, in the words of safetensors."""


def unallocated(config: ModelConfig, tokenizer: TextTokenizer) -> Towers:
    """A model whose tensors have shapes but no memory.

    Raises:
        ValueError: sizes that do not fit each other, or constants that would be too large.
    """
    with without_memory():
        model = Towers(config, tokenizer)
    if sum(buffer.numel() for buffer in model.buffers()) > _MOST_BUFFERED:
        raise ValueError("model.vision: image_size holds too many patches for relative positions.")
    return model


def unshared(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict with every tensor under its first name only (encoder and decoder share most of theirs)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            result[name] = tensor.detach().contiguous()
    return result


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that a file of safetensors says to hold; only its header is read.

    Raises:
        ValueError: it is missing or broken, or holds other than floating-point numbers.
    """
    try:
        with safe_open(regular_file(path), "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            kinds = {name: part.get_dtype() for name, part in parts.items()}
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}).") from None
    if other := sorted(name for name, kind in kinds.items() if kind not in _FLOATS):
        raise ValueError(f"{path}: {other[0]} holds {kinds[other[0]]}, not floating-point numbers.")
    return shapes


def numbers_of(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file that hold what weights can be.

    Raises:
        ValueError: it cannot be read, a tensor holds what is no number, or all matrices hold zeros alone.
    """
    try:
        weights: dict[str, torch.Tensor] = load_file(regular_file(path))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}).") from None
    if broken := sorted(name for name, weight in weights.items() if not torch.isfinite(weight).all()):
        raise ValueError(f"{path}: {broken[0]} holds numbers that are not finite.")
    check_not_zero(weights, str(path))
    return weights


def check_not_zero(weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Raise `ValueError` where every matrix is zero, as in a file whose content was lost: its model would answer
    everything alike. Single ones may be: layers that begin with zeros."""
    matrices = [one for one in weights.values() if one.ndim > 1 and one.is_floating_point()]
    if matrices and not any(bool(one.any()) for one in matrices):
        raise ValueError(f"{source} holds nothing but zeros: its content was lost, or it was saved before it was read.")


def check_shapes(path: Path, config: ModelConfig, tokenizer: TextTokenizer) -> None:
    """Refuse a file of weights that are not those of a model, by names and shapes, with nothing allocated.

    Raises:
        ValueError: sizes that do not fit each other; weights that are missing, unknown or of another shape, of which
            the first is named.
    """
    found = shapes_of(path)
    deepest = max(config.text.layers, config.vision.changes.get("depth", 0))
    if deepest > len(found):  # without laying out what is as deep as that
        raise ValueError(f"{path} lacks weights for {deepest} layers: it holds {len(found)}.")
    try:
        model = unallocated(config, tokenizer)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"model: {str(error).splitlines()[0]}") from None
    wanted = {name: tuple(one.shape) for name, one in unshared(model).items()}
    if missing := sorted(wanted.keys() - found.keys()):
        raise ValueError(f"{path} lacks {len(missing)} weights, first {missing[0]}.")
    if unknown := sorted(found.keys() - wanted.keys()):
        raise ValueError(f"{path} has {len(unknown)} unknown weights, first {unknown[0]}.")
    for name, shape in found.items():
        if shape != wanted[name]:
            raise ValueError(f"{path}: {name} has shape {shape}, the config says {wanted[name]}.")
