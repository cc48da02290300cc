"""Sizes that a config beside the weights states, held against those of the tensors.

A config of another model is believed in what no shape tells (heads, activation, epsilon), so one that contradicts the
shapes must not be believed at all: it lies beside the wrong file, or blocks of the file are missing.
"""

from collections.abc import Mapping
from typing import Any, Final

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "width": ("hidden_size", "embed_dim", "width"),
    "depth": ("num_hidden_layers", "depth", "layers"),
    "patch": ("patch_size",),
    "channels": ("num_channels", "in_chans"),
    "mlp_width": ("intermediate_size",),
    "side": ("image_size", "img_size"),
    "words": ("vocab_size",),
    "length": ("max_position_embeddings", "context_length"),
}
"""Size -> its names in configs of Hugging Face, timm and open_clip."""
_TOLD: Final[Mapping[str, str]] = {
    "width": "a width of {}",
    "depth": "{} blocks",
    "patch": "patches of {} px",
    "channels": "{} channels",
    "mlp_width": "feed-forward networks of {}",
    "side": "positions for {} px",
    "words": "{} words",
    "length": "texts of {} tokens",
    "embed": "embeddings of {}",
}


def said_sizes(known: Mapping[str, Any], who: str, path: str) -> dict[str, int]:
    """Sizes by our names that a config states.

    Args:
        known: the config, or the part of it that is about one tower.
        who: the config's name, for sentences.
        path: of the weights, for sentences.

    Raises:
        ValueError: one is no positive whole number (or several equal ones, as of rows and columns).
    """
    found: dict[str, int] = {}
    for size, keys in _KEYS.items():
        for key in keys:
            if known.get(key) is not None:
                found[size] = whole(known[key], key, who, path)
    return found


def whole(value: Any, key: str, who: str, path: str) -> int:
    """A positive whole number of a config; a list of equal ones is one.

    Raises:
        ValueError: it is none.
    """
    numbers = value if isinstance(value, list) and value else [value]
    sound = all(isinstance(one, int) and not isinstance(one, bool) and 0 < one < 1 << 24 for one in numbers)
    if not sound or len(set(numbers)) != 1:
        raise ValueError(f"{who} beside {path} has no sound {key}: {value!s:.60}.")
    return int(numbers[0])


def same_sizes(path: str, who: str, said: Mapping[str, int], found: Mapping[str, int], part: str = "ViT") -> None:
    """Refuse a config that contradicts the tensors.

    Args:
        path: of the weights.
        who: the config's name.
        said: sizes that it states.
        found: sizes that the shapes have; those that it does not state are not compared.
        part: which tower.

    Raises:
        ValueError: two differ; the sentence names both.
    """
    for size, told in said.items():
        if size in found and found[size] != told:
            word = _TOLD[size]
            raise ValueError(
                f"{path} has a {part} with {word.format(found[size])}, and {who} beside it says {word.format(told)}: "
                f"it belongs to another file, or the weights are not whole. Put the file's own {who} there, or none."
            )


def sound_eps(value: Any, who: str, path: str) -> float:
    """A norm's epsilon of a config.

    Raises:
        ValueError: it is no number above 0 and below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f"{who} beside {path} has no sound epsilon of its norms: {value!s:.60}.")
    return float(value)
